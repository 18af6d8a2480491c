// What livefeed says when a stream ends: when it wants the client back.

import { HOUR_MS } from "./slots.js";

/** Gives a time in ms that a server has chosen, or the longest one; undefined if it is none. */
export function timeOf(value, most = HOUR_MS) {
  return typeof value === "number" && value >= 0 ? Math.min(value, most) : undefined;
}

/**
 * Reads what the server says when it closes a WebSocket (docs/reference/protocol.md, "Close codes").
 *
 * @returns {number | undefined} The time in ms after which the client comes back; Infinity if it must not; undefined if
 *   the server said nothing: the line is broken.
 */
export function delayOfClose(code, reason) {
  const said = /come back in (\d+) ms/.exec(reason)?.[1];
  if (code >= 3000 && code < 3500) return delayOfRetry(Number(said ?? (code - 3000) * 20));
  if (code === 1001) return delayOfRetry(Number(said ?? 6000 * (0.75 + Math.random() / 2)));
  // The client has broken the protocol. Another connection would end in the same way.
  if ((code >= 3500 && code < 4000) || [1002, 1007, 1008, 1009].includes(code)) return Infinity;
  return undefined;
}

/** Gives a time in ms that the server has chosen, at most an hour, with a small random part; undefined if it is none. */
export function delayOfRetry(value) {
  const ms = timeOf(value);
  return ms === undefined ? undefined : ms + 250 * Math.random();
}
