// The life of a page: it is frozen, put into the back/forward cache, or sleeps with its machine, and it comes back.

/** A difference in ms between wall clock and monotonic clock that shows that the machine slept, or its clock was set. */
const JUMP_MS = 2000;

/** Gives the time that passed on the wall clock, but not on the monotonic clock. */
const clockOffset = () => Date.now() - performance.now();

/** The lines that are told already. */
const watched = new WeakSet();

/** Tells a line when time may have passed unseen, until it has no documents any more. */
export function watchPage(line) {
  if (watched.has(line)) return;
  watched.add(line);
  const end = new AbortController();
  let offset = clockOffset();
  line.checkClock = () => {
    if (!line.feeds.size) end.abort();
    const now = clockOffset();
    const jump = now - offset;
    offset = now;
    if (Math.abs(jump) > JUMP_MS) line.wake(0, Math.max(0, jump));
  };
  const { signal } = end;
  const on = (target, name, listener) => target?.addEventListener?.(name, listener, { signal });
  on(globalThis, "pagehide", () => line.wake(Infinity));
  on(globalThis, "pageshow", ({ persisted }) => persisted && line.wake(0));
  on(globalThis, "online", () => line.restart());
  on(globalThis.document, "resume", () => line.wake(0));
  const timer = setInterval(line.checkClock, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
