// Values of documents: numbers as they are written, and what two versions have in common. It is loaded when it is needed.

/** A text, or a number, of JSON. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
/** The largest number of pointers in a list of changes. A longer list is replaced by that of the whole document. */
const MOST_CHANGES = 1000;

/** A number that JavaScript would change, such as 12345678901234567890 or 1.50. */
export class ExactNumber {
  /** @param {string} source The number as it is written in the document. */
  constructor(source) {
    this.source = source;
    Object.freeze(this);
  }

  toString() {
    return this.source;
  }

  valueOf() {
    return Number(this.source);
  }

  toJSON() {
    return Number(this.source);
  }
}

/**
 * Reads a document.
 *
 * @param {unknown} before The value of the version before it, or undefined.
 * @param {boolean} isExact Whether numbers that JavaScript would change become {@link ExactNumber}.
 * @returns {[unknown, string[] | undefined]} The value, and the pointers to the parts that have changed.
 */
export function read(text, before, isExact) {
  const changes = [];
  const value = share(before, isExact ? parseExact(text) : JSON.parse(text), [], changes);
  return [value, before === undefined ? undefined : changes];
}

/** Parses JSON without a change to its numbers. */
export function parseExact(text) {
  let name = "number";
  while (text.includes(`"${name}"`)) name += Math.random();
  let isMarked = false;
  const marked = text.replace(TOKEN, (token) => {
    if (token[0] === '"' || String(Number(token)) === token) return token;
    isMarked = true;
    return `{"${name}":"${token}"}`;
  });
  if (!isMarked) return JSON.parse(text);
  const revive = (_, value) => (isObject(value) && Object.hasOwn(value, name) ? new ExactNumber(value[name]) : value);
  return JSON.parse(marked, revive);
}

/**
 * Gives the new value, in which each part that is equal to the old one is the same object as before.
 *
 * Comparing two parts by `===` then tells whether they are equal.
 *
 * @param {string[]} path The names that lead to both values.
 * @param {string[]} changes Receives the pointers of the smallest parts that were changed, added or removed.
 */
export function share(before, after, path, changes) {
  if (Object.is(before, after)) return before;
  const areNumbers = [before, after].map((value) => value instanceof ExactNumber);
  if (areNumbers.every(Boolean) && before.source === after.source) return before;
  const areArrays = [before, after].map(Array.isArray);
  if (!isObject(before) || !isObject(after) || areNumbers.some(Boolean) || areArrays[0] !== areArrays[1]) {
    note(path, changes);
    return after;
  }
  let isEqual = true;
  // A name of an object's prototype, such as "constructor", may be that of a member.
  for (const name of Object.keys(after)) {
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    path.push(name);
    after[name] = share(old, after[name], path, changes);
    path.pop();
    if (after[name] !== old) isEqual = false;
  }
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) {
      note([...path, name], changes);
      isEqual = false;
    }
  }
  return isEqual ? before : after;
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}

function note(path, changes) {
  const pointer = path.map((name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  if (changes[0] !== "" && changes.push(pointer) > MOST_CHANGES) changes.splice(0, Infinity, "");
}
