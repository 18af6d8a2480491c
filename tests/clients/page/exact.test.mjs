// The page's reader of JSON, and its differences between documents.

import assert from "node:assert/strict";
import { test } from "node:test";

import { differences, identityOf } from "../../../livefeed/static/page/changes.js";
import { Numeral, parse, plain, preview } from "../../../livefeed/static/page/exact.js";
import { placesOf } from "../../../livefeed/static/page/places.js";
import { find } from "../../../livefeed/static/page/finding.js";
import { pointerOf } from "../../../livefeed/static/page/pointers.js";

const TEXTS = [
  "null", "true", "false", "0", "-0", "1.50", "-1e400", "12345678901234567890", '""', '"a\\"b\\\\"', '"\\ud83d\\ude00😀"',
  "[]", "{}", " [ 1 , [2 ] ,\n{ } ] ", '{"b":1,"a":{"c":[true,null]},"2":3,"1":4}', '{"__proto__":1}',
];
const BROKEN = [
  "", " ", "[", "]", "[1,]", "[,1]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "01", "1.", ".5", "+1", "1e", "--1",
  "nul", "truee", "'a'", '"', '"\n"x', "[1 2]", "1 2", "NaN", "[".repeat(600) + "]".repeat(600),
];

test("values are those of JSON.parse", () => {
  for (const text of TEXTS) assert.deepEqual(JSON.stringify(plain(parse(text))), JSON.stringify(JSON.parse(text)), text);
});

test("numbers keep their digits, and members their order", () => {
  assert.equal(parse("1.50").text, "1.50");
  assert.equal(parse("[12345678901234567890]")[0].text, "12345678901234567890");
  assert.deepEqual([...parse('{"b":1,"2":2,"1":3}').keys()], ["b", "2", "1"]);
});

test("what is no JSON, or too deep, is refused", () => {
  for (const text of BROKEN) assert.throws(() => parse(text), SyntaxError, text.slice(0, 20));
});

test("the beginning of a value is short", () => {
  assert.equal(preview(parse('{"a":[1],"b":{"c":1},"d":"e"}')), "a: […], b: {…}, d: e");
  assert.ok(preview(parse(JSON.stringify(Array(1000).fill("x"))), 40).length < 60);
});

test("differences name the values that differ", () => {
  const between = (a, b) => differences(parse(a), parse(b)).map(({ path, kind }) => [path.join("/"), kind]);
  assert.deepEqual(between('{"a":1,"b":[1,2]}', '{"a":1,"b":[1,3,4],"c":5}'), [["b/1", "changed"], ["b/2", "added"], ["c", "added"]]);
  assert.deepEqual(between("[1,2]", "[1]"), [["1", "removed"]]);
  assert.deepEqual(between('{"a":1.0}', '{"a":1.00}'), [["a", "changed"]]);
  assert.deepEqual(between('{"a":{"b":1}}', '{"a":[1]}'), [["a", "changed"]]);
  assert.deepEqual(between('{"a":1}', '{"a":1}'), []);
});

test("objects of an array are compared by their identity, wherever they are", () => {
  const [old, fresh] = ['[{"id":1,"n":1},{"id":2,"n":2}]', '[{"id":2,"n":2},{"id":1,"n":5},{"id":3,"n":0}]'].map(parse);
  assert.equal(identityOf(old), "id");
  assert.deepEqual(differences(old, fresh).map(({ path }) => pointerOf(path)), ["/{id=1}/n", "/{id=3}"]);
  assert.equal(identityOf(parse('[{"id":1},{"id":1}]')), null);
  assert.equal(identityOf(parse("[{}]")), null);
});

test("there are no more differences than asked for", () => {
  const many = JSON.stringify(Array.from({ length: 900 }, (_, place) => place));
  const others = JSON.stringify(Array.from({ length: 900 }, (_, place) => place + 1));
  assert.equal(differences(parse(many), parse(others), 300).length, 300);
});

test("the search finds names and values", () => {
  const value = parse('{"Alpha":{"b":"alphabet"},"c":[1.5,"x"]}');
  assert.deepEqual(find(value, "ALPHA").map((path) => path.join("/")), ["Alpha", "Alpha/b"]);
  assert.deepEqual(find(value, "1.5"), [["c", 0]]);
  assert.deepEqual(find(value, "y"), []);
});

test("a parliament has a place for each seat", () => {
  for (const total of [0, 1, 2, 7, 100, 200, 631, 2000]) {
    const { places, size } = placesOf(total);
    assert.equal(places.length, total);
    assert.ok(size > 0);
    for (const { x, y } of places) assert.ok(Math.hypot(x, y) <= 1 + 1e-9 && y >= -1e-9);
  }
  assert.ok(parse("5") instanceof Numeral);
});
