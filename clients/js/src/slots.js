// Times: when livefeed wants a client back, and how to wait for that.

/** Gives the number in a text, behind some words; undefined if there is none. */
function numberIn(text, pattern) {
  const found = pattern.exec(text);
  return found ? Number(found[1]) : undefined;
}

/**
 * Reads what the server says when it closes a WebSocket (docs/protocol.md, "Close codes").
 *
 * @returns {number | undefined} The time in ms after which the client comes back; Infinity if it must not; undefined if
 *   the server said nothing: the line is broken.
 */
export function delayOfClose(code, reason) {
  const said = numberIn(reason, /come back in (\d+) ms/);
  if (code >= 3000 && code < 3500) return delayOfRetry(said ?? (code - 3000) * 20);
  if (code === 1001) return delayOfRetry(said ?? 6000 * (0.75 + Math.random() / 2));
  // The client has broken the protocol. Another connection would end in the same way.
  if ((code >= 3500 && code < 4000) || [1002, 1007, 1008, 1009].includes(code)) return Infinity;
  return undefined;
}

/** Gives a time in ms that the server has chosen, with a small random part. */
export function delayOfRetry(ms) {
  return ms + 250 * Math.random();
}

/** Gives the time of Retry-After in ms, with a random part that is different in each client; undefined for none. */
export function delayOfAnswer(headers) {
  const seconds = numberIn(headers.get("Retry-After"), /^(\d+)$/);
  return seconds === undefined ? seconds : 1000 * (seconds + Math.random());
}

/** Gives the time in ms for which caches may show an answer, the time aside that they may take to ask for another. */
export function lifetimeOf(headers) {
  const field = headers.get("Cache-Control");
  const fresh = numberIn(field, /max-age=(\d+)/) ?? Infinity;
  return 1000 * (fresh + (numberIn(field, /stale-if-error=(\d+)/) ?? Infinity) - Number(headers.get("Age")));
}

/** Gives a time in ms that is longer after each failure, half of it random. */
export function backOff(failures) {
  return Math.min(30_000, 1000 * 2 ** failures) * (0.5 + Math.random());
}

/** Calls a function when a signal is given, also if that was before. */
export function onAbort(signal, callback, options) {
  if (signal.aborted) callback();
  else signal.addEventListener("abort", callback, options);
}

/** Gives a controller whose signal is also given by another signal. */
export function childOf(signal) {
  const child = new AbortController();
  onAbort(signal, () => child.abort(), { signal: child.signal });
  return child;
}

/** Waits, at most until a signal is given. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const child = childOf(signal);
    const timer = setTimeout(() => child.abort(), Math.min(ms, 2 ** 31 - 1));
    onAbort(child.signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
