// Values of documents, slots, and times.

import assert from "node:assert/strict";
import { test } from "node:test";
import { delayOfClose } from "../../../clients/js/src/closes.js";
import { delayOfAnswer } from "../../../clients/js/src/slots.js";
import { ExactNumber, parseExact, read } from "../../../clients/js/src/values.js";

test("parts that do not change stay the same objects", () => {
  const [before] = read('{"a":{"b":[1,2,{"c":3}]},"d":{"e":1}}');
  const [after, changes] = read('{"a":{"b":[1,2,{"c":4}]},"d":{"e":1}}', before);
  assert.deepEqual(after, { a: { b: [1, 2, { c: 4 }] }, d: { e: 1 } });
  assert.equal(after.d, before.d);
  assert.notEqual(after.a, before.a);
  assert.deepEqual(changes, ["/a/b/2/c"]);
  const [same, none] = read('{"d":{"e":1},"a":{"b":[1,2,{"c":4}]}}', after);
  assert.equal(same, after);
  assert.deepEqual(none, []);
});

test("changes name what was added, removed or is of another kind", () => {
  const changesOf = (before, after) => read(after, read(before)[0])[1];
  assert.deepEqual(changesOf('{"a/b":1,"c~d":2}', '{"a/b":2}'), ["/a~1b", "/c~0d"]);
  assert.deepEqual(changesOf("[1,2,3]", "[1]"), ["/1", "/2"]);
  assert.deepEqual(changesOf("[1]", '[1,{"a":1}]'), ["/1"]);
  assert.deepEqual(changesOf('{"a":[]}', '{"a":{}}'), ["/a"]);
  assert.deepEqual(changesOf("1", "2"), [""]);
  const many = JSON.stringify(Array.from({ length: 1500 }, (_, index) => index));
  assert.deepEqual(changesOf(many, many.replaceAll(/\d+/g, (number) => Number(number) + 1)), [""]);
});

test("names of members may be those of an object's prototype", () => {
  const [before] = read('{"a":{}}');
  const [after, changes] = read('{"a":{},"__proto__":{},"constructor":1,"toString":null}', before);
  assert.deepEqual(changes, ["/__proto__", "/constructor", "/toString"]);
  assert.equal(Object.getPrototypeOf(after), Object.prototype);
  assert.deepEqual(JSON.stringify(after), '{"a":{},"__proto__":{},"constructor":1,"toString":null}');
});

test("exact numbers keep what a float loses", () => {
  const text = '{"big":12345678901234567890,"price":1.50,"plain":1.5,"text":"1.50","number":[-0,1e2,7]}';
  const value = parseExact(text);
  assert.ok(value.big instanceof ExactNumber);
  assert.equal(String(value.big), "12345678901234567890");
  assert.equal(String(value.price), "1.50");
  assert.equal(value.price * 2, 3);
  assert.equal(value.plain, 1.5);
  assert.equal(value.text, "1.50");
  assert.deepEqual(value.number.map(String), ["-0", "1e2", "7"]);
  const [before] = read('{"a":1.50,"b":2.50}', undefined, true);
  const [after, changes] = read('{"a":1.50,"b":2.60}', before, true);
  assert.equal(after.a, before.a);
  assert.equal(String(after.b), "2.60");
  assert.deepEqual(changes, ["/b"]);
});

test("a line that breaks, and a date in Retry-After, say no time", () => {
  for (const code of [1000, 1006, 1011, 4000]) assert.equal(delayOfClose(code, ""), undefined);
  assert.equal(delayOfAnswer(null), undefined);
  assert.equal(delayOfAnswer("Wed, 21 Oct 2026 07:28:00 GMT"), undefined);
});
