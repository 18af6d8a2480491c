// The life of a page: it is frozen, put into the back/forward cache, or sleeps with its machine, and it comes back.

/** A difference in ms between wall clock and monotonic clock that shows that the machine slept, or its clock was set. */
const JUMP_MS = 2000;
/** The shortest time in ms between two looks at documents that have ended, by a page that is shown again. */
const LOOK_MS = 10_000;

/** Gives the time that passed on the wall clock, but not on the monotonic clock. */
const clockOffset = () => Date.now() - performance.now();

/** The lines that are told already. */
const watched = new WeakSet();

/**
 * Has a line learn that time may have passed unseen: no age is known until the server answers.
 *
 * @param {number} delay The time in ms after which it is asked.
 * @param {number} slept The time in ms of which timers know nothing.
 */
function wake(line, delay, slept = 0) {
  for (const feed of line.feeds) feed.doubt(slept);
  line.restart(delay);
}

/** Tells a line when time may have passed unseen, until it has no documents any more. */
export function watchPage(line) {
  if (watched.has(line)) return;
  watched.add(line);
  const end = new AbortController();
  let offset = clockOffset();
  let looked = -LOOK_MS;
  line.checkClock = () => {
    if (!line.feeds.size) end.abort();
    const now = clockOffset();
    const jump = now - offset;
    offset = now;
    if (Math.abs(jump) > JUMP_MS) wake(line, 0, Math.max(0, jump));
  };
  const { signal } = end;
  const on = (target, name, listener) => target?.addEventListener?.(name, listener, { signal });
  on(globalThis, "pagehide", () => wake(line, Infinity));
  on(globalThis, "pageshow", ({ persisted }) => persisted && wake(line, 0));
  on(globalThis, "online", () => line.restart());
  const { document } = globalThis;
  on(document, "resume", () => wake(line, 0));
  on(document, "visibilitychange", () => {
    if (line.state !== "closed" || document.hidden || performance.now() - looked < LOOK_MS) return;
    looked = performance.now();
    line.restart();
  });
  const timer = setInterval(line.checkClock, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
