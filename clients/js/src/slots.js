// Times: when livefeed wants a client back, and how to wait for that.

/** The longest time in ms that a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls a function after a time in ms; gives the timer. */
export function after(ms, callback) {
  return setTimeout(callback, Math.min(ms, LONGEST_MS));
}

/** Gives the time of Retry-After in ms, with a random part that is different in each client; undefined for none. */
export function delayOfAnswer(headers) {
  const field = headers.get("Retry-After");
  return /^\d+$/.test(field) ? 1000 * (Number(field) + Math.random()) : undefined;
}

/** Gives a time in ms that is longer after each failure, half of it random. */
export function backOff(failures) {
  return Math.min(30_000, 1000 * 2 ** failures) * (0.5 + Math.random());
}

/** Calls a function when a signal is given, also if that was before. */
export function onAbort(signal, callback) {
  if (signal.aborted) callback();
  else signal.addEventListener("abort", callback);
}
