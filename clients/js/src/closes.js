// What livefeed says when a stream ends: when it wants the client back.

/**
 * Reads what the server says when it closes a WebSocket (docs/protocol.md, "Close codes").
 *
 * @returns {number | undefined} The time in ms after which the client comes back; Infinity if it must not; undefined if
 *   the server said nothing: the line is broken.
 */
export function delayOfClose(code, reason) {
  const found = /come back in (\d+) ms/.exec(reason);
  const said = found ? Number(found[1]) : undefined;
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
