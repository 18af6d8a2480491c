// Points in time that an operator types: a time of day, a duration from now on, or a date with a time.
// A time that has passed, that clocks skip, or that they show twice is refused: a guess would be an hour early.

const DAY_MS = 86_400_000;
const LONGEST_MS = 7 * DAY_MS;
const FURTHEST_MS = 366 * DAY_MS;
// By how much clocks are set forwards or back.
const STEPS_MS = [30, 60, 120].map((minutes) => minutes * 60_000);

const CLOCK = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/;
const DURATION = /^\+(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?$/;
const DATE = /^(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))? ?(Z|[+-]\d{2}:\d{2})?$/i;

// Why a text is no time: "form", "passed", "far", "skipped" or "twice".
export class TimeError extends Error {}

// Gives a point in time in milliseconds since 1970, and whether it is of tomorrow because it is over today.
export function parseTime(text, now) {
  const { at, isTomorrow = false } = read(text.trim(), now);
  if (at <= now) throw new TimeError("passed");
  if (at - now > FURTHEST_MS) throw new TimeError("far");
  return { at, isTomorrow };
}

function read(text, now) {
  const duration = DURATION.exec(text);
  if (duration !== null) {
    const [days, hours, minutes, seconds] = duration.slice(1).map((each) => Number(each ?? 0));
    const ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
    if (ms === 0) throw new TimeError("form");
    if (ms > LONGEST_MS) throw new TimeError("far");
    return { at: now + ms };
  }
  const clock = CLOCK.exec(text);
  if (clock !== null) {
    const today = new Date(now);
    const [hours, minutes, seconds] = clock.slice(1).map((each) => Number(each ?? 0));
    const of = (day) => local(today.getFullYear(), today.getMonth(), today.getDate() + day, hours, minutes, seconds);
    const at = of(0);
    return at > now ? { at } : { at: of(1), isTomorrow: true };
  }
  const date = DATE.exec(text);
  if (date === null) throw new TimeError("form");
  const [year, month, day, hours, minutes, seconds] = date.slice(1, 7).map((each) => Number(each ?? 0));
  const noon = new Date(year, month - 1, day, 12);
  if (noon.getMonth() !== month - 1 || noon.getDate() !== day || hours > 23 || minutes > 59 || seconds > 59) throw new TimeError("form");
  if (date[7] === undefined) return { at: local(year, month - 1, day, hours, minutes, seconds) };
  const at = Date.parse(`${date.slice(1, 4).join("-")}T${date[4]}:${date[5]}:${date[6] ?? "00"}${date[7].toUpperCase()}`);
  // The offset is none.
  if (Number.isNaN(at)) throw new TimeError("form");
  return { at };
}

// Gives a time of the local time zone. The day may lie behind the end of its month.
function local(year, month, day, hours, minutes, seconds) {
  const at = new Date(year, month, day, hours, minutes, seconds).valueOf();
  const face = (ms) => {
    const date = new Date(ms);
    return [date.getHours(), date.getMinutes(), date.getSeconds()].join();
  };
  const wanted = [hours, minutes, seconds].join();
  if (face(at) !== wanted) throw new TimeError("skipped");
  if (STEPS_MS.some((step) => face(at + step) === wanted || face(at - step) === wanted)) throw new TimeError("twice");
  return at;
}
