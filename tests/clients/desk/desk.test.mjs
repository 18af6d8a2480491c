// What the page of the desk says, and when a command can be given.

import assert from "node:assert/strict";
import { test } from "node:test";

import { whyNot } from "../../../livefeed/static/desk/actions.js";
import { indented, nameOf } from "../../../livefeed/static/desk/comparison.js";
import { counting, strings } from "../../../livefeed/static/desk/strings.js";
import { parse } from "../../../livefeed/static/page/exact.js";

const COMMANDS = ["hold", "release", "once", "rollback", "unpin", "withdraw", "end", "resume"];
const shown = { version: "b" };
const versions = [{ version: "b" }, { version: "a" }];
const waiting = { version: "c", rule: "votes" };
const possible = (report) => COMMANDS.filter((kind) => whyNot(kind, { shown, versions, waiting: null, decision: null, ...report }) === null);

test("commands that can be given", () => {
  for (const [report, expected] of [
    [{}, ["hold", "rollback", "withdraw", "end"]],
    [{ waiting }, ["hold", "release", "once", "rollback", "withdraw", "end"]],
    [{ decision: { kind: "hold" } }, ["release", "rollback", "withdraw", "end"]],
    [{ decision: { kind: "hold" }, waiting }, ["release", "once", "rollback", "withdraw", "end"]],
    [{ decision: { kind: "pin" }, waiting }, ["rollback", "unpin", "withdraw", "end"]],
    [{ decision: { kind: "withdraw" }, shown: null }, ["resume"]],
    [{ decision: { kind: "end" } }, ["withdraw", "resume"]],
    [{ shown: null, versions: [] }, ["hold", "withdraw"]],
    [{ versions: [{ version: "b" }] }, ["hold", "withdraw", "end"]],
    [{ versions: undefined }, ["hold", "withdraw", "end"]],
  ]) {
    assert.deepEqual(possible(report), expected, JSON.stringify(report));
  }
});

test("a command that cannot be given has a reason", () => {
  const reports = [{ shown, versions, waiting: null, decision: null }];
  for (const kind of ["hold", "pin", "withdraw", "end"]) reports.push({ ...reports[0], decision: { kind } });
  for (const report of reports) {
    for (const kind of COMMANDS) assert.notEqual(whyNot(kind, report), undefined, `${kind} after ${report.decision?.kind}`);
  }
});

test("a pointer is written like the differences", () => {
  const document = parse('{"districts":[{"name":"A","votes":1},{"name":"B/C","votes":2}],"list":[1,[2]],"a/b":{"~":1}}');
  for (const [pointer, name] of [
    ["/districts/1/votes", "/districts/name=B/C/votes"],
    ["/districts/9/votes", "/districts/9/votes"],
    ["/list/1/0", "/list/1/0"],
    ["/a~1b/~0", "/a/b/~"],
    ["/nothing/there", "/nothing/there"],
    ["", "/"],
  ]) {
    assert.equal(nameOf(document, pointer), name);
  }
  assert.equal(nameOf(undefined, "/a"), "/a");
});

test("a document is broken into lines, and nothing else of it changes", () => {
  for (const [text, lines] of [
    ['{"a":[1,2.50,{"b":"x, {y}\\""}],"c":{},"d":[ ]}', '{\n  "a": [\n    1,\n    2.50,\n    {\n      "b": "x, {y}\\""\n    }\n  ],\n  "c": {},\n  "d": []\n}'],
    ["[]", "[]"],
    [" 12345678901234567890 ", "12345678901234567890"],
    ['"a', '"a'],
  ]) {
    assert.equal(indented(text), lines);
  }
  const long = indented(`["${"x".repeat(600_000)}"]`);
  assert.ok(long.endsWith("\n…") && long.length < 510_000);
});

test("times are counted in two units", () => {
  const plain = (seconds) => counting(seconds).replaceAll("\u00a0", " ");
  for (const [seconds, text] of [
    [-1, "0 s"],
    [59.9, "59 s"],
    [125, "2 min 5 s"],
    [7261, "2 h 1 min"],
    [90_000, "1 day 1 h"],
  ]) {
    assert.equal(plain(seconds), text);
  }
});

test("each command says its effect and how it is taken back, and each dangerous one its consequence", () => {
  for (const kind of COMMANDS) {
    for (const member of ["name", "effect", "undo"]) assert.ok(strings.commands[kind][member], `${kind}.${member}`);
    assert.ok(strings.done[kind], kind);
  }
  for (const kind of ["withdraw", "end"]) {
    assert.match(strings.confirm[kind]("results"), /results/);
    assert.ok(strings.consequence[kind] && strings.confirmed[kind]);
  }
});
