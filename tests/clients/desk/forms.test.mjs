// The forms of the desk: how a time is read, how values are found, what a preview says, and what takes a command back.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Europe/Berlin";

const { undoOf } = await import("../../../livefeed/static/desk/commands.js");
const { isJson, jsonOf } = await import("../../../livefeed/static/desk/editing.js");
const { leaves } = await import("../../../livefeed/static/desk/leaves.js");
const { sentences } = await import("../../../livefeed/static/desk/preview.js");
const { strings } = await import("../../../livefeed/static/desk/strings.js");
const { nextOf } = await import("../../../livefeed/static/desk/timed.js");
const { parseTime, TimeError } = await import("../../../livefeed/static/desk/times.js");
const { parse } = await import("../../../livefeed/static/page/exact.js");

const NOW = Date.parse("2026-11-30T21:04:00+01:00");
const at = (text, now = NOW) => new Date(parseTime(text, now).at).toISOString();

test("a time is a time of day, a duration, or a date", () => {
  for (const [text, expected] of [
    ["21:30", "2026-11-30T20:30:00.000Z"],
    [" 21:30:15 ", "2026-11-30T20:30:15.000Z"],
    ["9:05", "2026-12-01T08:05:00.000Z"],
    ["+10m", "2026-11-30T20:14:00.000Z"],
    ["+1h30m", "2026-11-30T21:34:00.000Z"],
    ["+1d2h3m4s", "2026-12-01T22:07:04.000Z"],
    ["2026-12-24 18:00", "2026-12-24T17:00:00.000Z"],
    ["2026-12-24T18:00:30Z", "2026-12-24T18:00:30.000Z"],
    ["2026-12-24t18:00:30 -05:00", "2026-12-24T23:00:30.000Z"],
  ]) {
    assert.equal(at(text), expected, text);
  }
  assert.equal(parseTime("21:30", NOW).isTomorrow, false);
  assert.equal(parseTime("21:04", NOW).isTomorrow, true);
});

test("a time that is none, has passed, or is not clear is refused, and each reason has a text", () => {
  for (const [text, why, now] of [
    ["", "form"],
    ["soon", "form"],
    ["24:00", "form"],
    ["+", "form"],
    ["+0s", "form"],
    ["10m", "form"],
    ["2026-12-24", "form"],
    ["2026-13-01 10:00", "form"],
    ["2026-11-31 10:00", "form"],
    ["2026-12-01 24:30", "form"],
    ["2026-12-01T99:00:00Z", "form"],
    ["2027-02-29T10:00:00Z", "form"],
    ["2026-12-01T10:00:00+99:00", "form"],
    ["2026-11-30 21:04", "passed"],
    ["2025-12-24T18:00:00Z", "passed"],
    ["2028-01-01 10:00", "far"],
    ["+8d", "far"],
    ["2027-03-28 02:30", "skipped"],
    ["2027-10-31 02:30", "twice"],
    ["02:30", "twice", Date.parse("2026-10-24T23:00:00+02:00")],
  ]) {
    assert.throws(() => parseTime(text, now ?? NOW), (error) => error instanceof TimeError && error.message === why, text);
    assert.ok(strings.timed.wrong[why]);
  }
  assert.equal(at("2027-10-31T02:30:00+01:00"), "2027-10-31T01:30:00.000Z");
});

test("values are found by words of their pointers and of themselves", () => {
  const value = parse('{"counted":58,"districts":[{"name":"North","votes":1.50},{"name":"South/East","votes":7}],"none":{},"list":[true,null]}');
  const found = (words, most = 10) => leaves(value, words, most).found.map(({ pointer }) => pointer);
  assert.deepEqual(found("VOTES north"), ["/districts/{name=North}/votes"]);
  assert.deepEqual(found("1.50"), ["/districts/{name=North}/votes"]);
  assert.deepEqual(found("south"), ["/districts/{name=South~1East}/name", "/districts/{name=South~1East}/votes"]);
  assert.deepEqual(found("nowhere"), []);
  assert.equal(found("").length, 8);
  assert.deepEqual(found("none"), ["/none"]);
  assert.deepEqual(found("list"), ["/list/0", "/list/1"]);
  assert.deepEqual([leaves(value, "", 3).isCut, leaves(value, "", 8).isCut], [true, false]);
  // The document itself has no pointer that the form takes.
  assert.deepEqual(leaves(parse("7"), "", 3), { found: [], isCut: false });
});

test("values are JSON, and keep their digits", () => {
  assert.deepEqual(["1.50", '"a"', "null", "[]", "{}"].map(isJson), [true, true, true, true, true]);
  assert.deepEqual(["", "SOC", "1,5", "01", "'a'", "[1"].map(isJson), [false, false, false, false, false, false]);
  assert.deepEqual(['1.50', '"a\\"b"', "true", "null"].map((text) => jsonOf(parse(text))), ["1.50", '"a\\"b"', "true", "null"]);
});

const entry = { pointer: "/a", action: "set", value: "2", expected: null, reason: "", by: "ada", changes: 1, places: [{ pointer: "/a", hidden: "1" }], conflicts: [] };
const answer = { state: "live", effect: "shown", rule: null, why: null, overlay: [entry] };
const said = (more, own = {}, before = []) => sentences({ ...answer, ...more, overlay: [{ ...entry, ...own }] }, "/a", before);

test("a preview says what would be changed, and what watchers would see", () => {
  assert.deepEqual(said({}), [
    { text: "/a: the source has 1; it becomes 2.", tone: "" },
    { text: "Watchers are shown it at once.", tone: "good" },
  ]);
  assert.match(said({ effect: "none" }).at(-1).text, /shown now/);
  assert.match(said({ effect: "unknown" }, { changes: null, places: [] }).at(-1).text, /No document was pulled/);
  assert.deepEqual(said({ effect: "waits", rule: "votes", why: "/a falls from 1 to 0" }).at(-1), {
    text: "The rule votes would hold the document back: /a falls from 1 to 0. Release shows it all the same.",
    tone: "bad",
  });
  assert.match(said({ effect: "waits", state: "held" }).at(-1).text, /is held, so/);
  assert.match(said({}, { value: null, places: [{ pointer: "/a", hidden: null }] })[0].text, /nothing there; it is taken out/);
  assert.match(said({}, {}, [{ ...entry, by: "bert" }]).at(-1).text, /the entry of bert, 2/);
});

test("a preview never says that an entry that does not fit is shown", () => {
  const nothing = said({ effect: "none" }, { changes: 0, places: [], conflicts: [{ pointer: "/a", why: "there is no /a" }] });
  assert.deepEqual(nothing, [{ text: "It changes nothing: there is no /a.", tone: "bad" }]);
  const places = Array.from({ length: 16 }, (_, place) => ({ pointer: `/${place}`, hidden: "1" }));
  const several = said({}, { changes: 20, places, conflicts: [{ pointer: "/x", why: "it is 3" }] });
  assert.equal(several.filter(({ tone }) => tone === "bad").length, 1);
  assert.ok(several.some(({ text }) => text === "It changes 17 more values as well."));
});

test("what has failed is told before what is next", () => {
  const entries = [{ feed: "b", id: 1 }, { feed: "a", id: 2 }, { feed: "a", id: 3 }, { feed: "b", id: 4, failed: "x" }];
  assert.deepEqual(["a", "b", "c"].map((name) => nextOf(entries, name)?.id), [2, 4, undefined]);
});

test("what takes a command back", () => {
  const none = { overlay: [], versions: [] };
  const own = { ...entry, expected: "1", reason: "by phone" };
  const back = { kind: "set", more: { pointer: "/a", value: "2", expect: "1", reason: "by phone" } };
  for (const [kind, more, before, answered, expected] of [
    ["set", { pointer: "/a", value: "3" }, none, {}, { kind: "drop", more: { pointer: "/a" } }],
    ["remove", { pointer: "/a" }, { overlay: [own] }, {}, back],
    ["drop", { pointer: "/a" }, { overlay: [own] }, {}, back],
    ["drop", { pointer: "/a" }, { overlay: [{ ...entry, action: "remove", value: null }] }, {}, { kind: "remove", more: { pointer: "/a" } }],
    // The report has a part of the value alone.
    ["drop", { pointer: "/a" }, { overlay: [{ ...entry, value: `${"x".repeat(256)}…` }] }, {}, null],
    ["clear", {}, { overlay: [own] }, {}, null],
    ["timed", { at: "T" }, none, { id: "e1" }, { kind: "cancel", more: { id: "e1" } }],
    ["cancel", { id: "e1" }, none, { kind: "release", feed: "f", at: "T", reason: "" }, { kind: "timed", more: { feed: "f", at: "T" } }],
    ["cancel", { id: "e1" }, none, { kind: "publish" }, null],
    ["publish", { id: "e1" }, none, { kind: "publish" }, null],
  ]) {
    assert.deepEqual(undoOf(kind, more, before, none, answered), expected, kind);
  }
  assert.deepEqual(undoOf("hold", {}, none, { decision: { kind: "hold" } }, {}), { kind: "release", more: null });
  assert.equal(undoOf("release", {}, none, { shown: null }, {}), null);
});

test("each command of a form has a name and says that it is done", () => {
  for (const kind of ["set", "add", "remove", "drop", "clear", "timed", "cancel", "publish"]) {
    assert.ok(strings.names[kind], kind);
    const done = strings.done[kind];
    assert.ok(typeof done === "function" ? done({ feed: "f", kind: "publish", at: "2026-11-30T20:30:00Z", in_s: 3 }) : done, kind);
  }
});
