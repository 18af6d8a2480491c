// Pointers to values, as rules and overlays write them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { differences } from "../../../livefeed/static/page/changes.js";
import { parse } from "../../../livefeed/static/page/exact.js";
import { named, pointerOf } from "../../../livefeed/static/page/pointers.js";

test("names with characters that have a meaning are escaped", () => {
  for (const [path, pointer] of [
    [[], ""],
    [["votes", 0], "/votes/0"],
    [["a/b~", "*", "{x}", "a*"], "/a~1b~0/~2/~3x}/a*"],
    [[{ member: "na=me", value: "B/C=D" }], "/{na~4me=B~1C=D}"],
    [[{ member: "name", value: "*" }], "/{name=~2}"],
  ]) {
    assert.equal(pointerOf(path), pointer);
  }
});

test("differences name elements by the member that tells them apart", () => {
  const [old, fresh] = ['{"list":[{"id":1,"n":1},{"id":2,"n":1}]}', '{"list":[{"id":2,"n":1},{"id":1,"n":0}]}'].map(parse);
  assert.deepEqual(differences(old, fresh).map(({ path }) => pointerOf(path)), ["/list/{id=1}/n"]);
});

test("a pointer of any form is written like the differences", () => {
  const document = parse('{"districts":[{"name":"A","key":7,"votes":1},{"name":"B/C","key":8}],"list":[1,[2]],"a/b":{"~":1,"{x=y}":2}}');
  for (const [pointer, name] of [
    ["/districts/1/votes", "/districts/{key=8}/votes"],
    ["/districts/{name=B~1C}/votes", "/districts/{key=8}/votes"],
    ["/districts/{key=7}", "/districts/{key=7}"],
    ["/districts/{name=Z}/votes", "/districts/{name=Z}/votes"],
    ["/districts/9/votes", "/districts/9/votes"],
    ["/list/1/0", "/list/1/0"],
    ["/a~1b/~0", "/a~1b/~0"],
    ["/a~1b/~3x=y}", "/a~1b/~3x=y}"],
    ["/nothing/there", "/nothing/there"],
    ["", ""],
  ]) {
    assert.equal(named(document, pointer), name);
  }
  assert.equal(named(undefined, "/a/{b=c}"), "/a/{b=c}");
});
