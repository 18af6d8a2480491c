// What the page of the desk says, and when a command can be given.

import assert from "node:assert/strict";
import { test } from "node:test";

import { whyNot } from "../../../livefeed/static/desk/commands.js";
import { indented } from "../../../livefeed/static/desk/comparison.js";
import { strings } from "../../../livefeed/static/desk/strings.js";

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
    [{ rollback_to: null }, ["hold", "withdraw", "end"]],
    [{ rollback_to: "a" }, ["hold", "rollback", "withdraw", "end"]],
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
