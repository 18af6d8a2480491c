// JSON as it was written: numbers keep their digits, and members their order, which JSON.parse changes.
// Objects become Maps, arrays Arrays, and numbers Numerals.

const MAX_DEPTH = 512;
const SPACE = 0x20;
const BLANK = /[ \t\n\r]*/y;
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS = new Map([["t", ["true", true]], ["f", ["false", false]], ["n", ["null", null]]]);

export class Numeral {
  constructor(text) {
    this.text = text;
  }

  get value() {
    return Number(this.text);
  }
}

// Gives the value of a JSON text. Throws a SyntaxError if it is none, or too deep.
export function parse(text) {
  let at = 0;

  function skip() {
    if (text.charCodeAt(at) > SPACE) return;
    BLANK.lastIndex = at;
    BLANK.test(text);
    at = BLANK.lastIndex;
  }

  function take(pattern) {
    pattern.lastIndex = at;
    if (!pattern.test(text)) throw new SyntaxError(`unexpected character at ${at}`);
    const taken = text.slice(at, pattern.lastIndex);
    at = pattern.lastIndex;
    return taken;
  }

  function string() {
    // Most strings have no escapes.
    const end = text.indexOf('"', at + 1);
    const simple = text.slice(at + 1, end);
    if (text[at] === '"' && end > 0 && !simple.includes("\\")) {
      at = end + 1;
      return simple;
    }
    const taken = take(STRING);
    return taken.includes("\\") ? JSON.parse(taken) : taken.slice(1, -1);
  }

  function expect(character) {
    if (text[at] !== character) throw new SyntaxError(`expected ${character} at ${at}`);
    at++;
  }

  // Reads what stands between two brackets, by commas.
  function members(close, read) {
    at++;
    skip();
    if (text[at] === close) return void at++;
    for (;;) {
      read();
      skip();
      if (text[at] === close) return void at++;
      expect(",");
      skip();
    }
  }

  function value(depth) {
    if (depth > MAX_DEPTH) throw new SyntaxError("too deep");
    skip();
    const first = text[at];
    if (first === "{") {
      const object = new Map();
      members("}", () => {
        const key = string();
        skip();
        expect(":");
        object.set(key, value(depth + 1));
      });
      return object;
    }
    if (first === "[") {
      const array = [];
      members("]", () => array.push(value(depth + 1)));
      return array;
    }
    if (first === '"') return string();
    const word = WORDS.get(first);
    if (word !== undefined && text.startsWith(word[0], at)) {
      at += word[0].length;
      return word[1];
    }
    return new Numeral(take(NUMBER));
  }

  const result = value(0);
  skip();
  if (at < text.length) throw new SyntaxError(`unexpected text at ${at}`);
  return result;
}

export const isObject = (value) => value instanceof Map;
export const isBranch = (value) => value instanceof Map || Array.isArray(value);

// Gives a value as text: that of a scalar as it was written, of others their beginning.
export function preview(value, limit = 80) {
  if (typeof value === "string") return value.length > limit ? `${value.slice(0, limit)}…` : value;
  if (value instanceof Numeral) return value.text;
  if (!isBranch(value)) return String(value);
  let text = "";
  for (const [key, inner] of isObject(value) ? value : value.entries()) {
    if (text.length > limit) return `${text}, …`;
    const name = isObject(value) ? `${key}: ` : "";
    text += (text ? ", " : "") + name + (isBranch(inner) ? (isObject(inner) ? "{…}" : "[…]") : preview(inner, limit));
  }
  return text;
}

// Whether two scalars are written in the same way.
export function sameScalar(a, b) {
  return a instanceof Numeral && b instanceof Numeral ? a.text === b.text : a === b;
}

// Gives a value as JavaScript has it: plain objects, arrays and numbers.
export function plain(value) {
  if (value instanceof Numeral) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (isObject(value)) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return value;
}
