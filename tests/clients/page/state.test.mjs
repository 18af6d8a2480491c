// What the page says of a feed, and when it shows a document.

import assert from "node:assert/strict";
import { test } from "node:test";

import { condition, isShown } from "../../../livefeed/static/page/state.js";
import { counting, strings } from "../../../livefeed/static/page/strings.js";
import { Version } from "../../../livefeed/static/page/version.js";

const feed = (state, text, line = "open") => ({ state, text, line });

test("a document is shown in the known states alone", () => {
  for (const state of ["live", "stale", "held", "ended"]) assert.ok(isShown(feed(state, "{}")), state);
  for (const state of ["expired", "withdrawn", "frozen", "", null, undefined]) assert.ok(!isShown(feed(state, "{}")), state);
  for (const text of [null, undefined]) assert.ok(!isShown(feed("live", text)));
});

test("every condition has a name and an explanation", () => {
  for (const [given, expected] of [
    [feed("live", "{}"), "live"],
    [feed("held", "{}"), "held"],
    [feed("stale", null), "waiting"],
    [feed(null, null, "connecting"), "connecting"],
    [feed(null, null, "polling"), "waiting"],
    [feed("expired", null), "expired"],
    [feed("withdrawn", null), "withdrawn"],
    [feed("live", "{}", "offline"), "offline"],
  ]) {
    assert.equal(condition(given), expected);
    assert.ok(strings.states[expected]);
    assert.equal(typeof strings.explanations[expected], "string");
  }
});

test("the time for which a newer version waits is counted in two units", () => {
  for (const [seconds, text] of [
    [0, "0 s"],
    [59.9, "59 s"],
    [125, "2 min 5 s"],
    [3599, "59 min 59 s"],
    [7261, "2 h 1 min"],
    [90_000, "1 day 1 h"],
    [-1, "0 s"],
  ]) {
    assert.equal(counting(seconds).replaceAll("\u00a0", " "), text);
    assert.ok(strings.waiting(seconds).endsWith(`${counting(seconds)}.`));
  }
});

test("an unknown state is named, and never taken for another one", () => {
  assert.equal(condition(feed("frozen", "{}")), "frozen");
  assert.match(strings.unknownState("frozen"), /frozen/);
});

test("values come back after they have been let go", () => {
  const versions = Array.from({ length: 6 }, (_, number) => new Version(String(number), `[${number}]`));
  for (let turn = 0; turn < 2; turn++) {
    for (const [number, version] of versions.entries()) assert.equal(version.value[0].text, String(number));
  }
  assert.equal(new Version("deep", "[".repeat(600) + "]".repeat(600)).value, undefined);
});
