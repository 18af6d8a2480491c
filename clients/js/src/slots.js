// Times: when livefeed wants a client back, and how to wait for that.

/** The longest time in ms that a timer waits here: 23 days, which is less than it can. */
const LONGEST_MS = 2e9;

/** The longest time in ms that a server can choose. One that is wrong does not silence its clients for days. */
export const HOUR_MS = 3_600_000;

/** Gives the number of a field; undefined if it has none, or more than one. */
export function numberOf(field) {
  return /^\d{1,12}$/.test(field) ? Number(field) : undefined;
}

/** Calls a function after a time in ms; gives the timer. */
export function after(ms, callback) {
  return setTimeout(callback, Math.min(ms, LONGEST_MS));
}

/** Gives the time of Retry-After in ms, with a random part that is different in each client; undefined for none. */
export function delayOfAnswer(retryAfter) {
  // No number makes NaN.
  return Math.min(1000 * numberOf(retryAfter), HOUR_MS) + 1000 * Math.random() || undefined;
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
