// The vectors: the contract for clients in all languages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Item } from "../../../clients/js/src/item.js";
import { isAbout } from "../../../clients/js/src/stream.js";
import { delayOfClose, delayOfRetry } from "../../../clients/js/src/closes.js";
import { delayOfAnswer } from "../../../clients/js/src/slots.js";
import { applySplices } from "../../../clients/js/src/splices.js";
import { versionOf } from "./server.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/vectors.json", import.meta.url), "utf8"));
const bytesOf = (text) => new TextEncoder().encode(text);
const texts = new Map();
for (const { text, version } of vectors.documents) texts.set(version, text);
for (const list of [vectors.messages, vectors.sequences.flatMap(({ steps }) => steps)]) {
  for (const { shown } of list) for (const { text, version } of shown) if (text !== null) texts.set(version, text);
}

async function start(have) {
  const items = new Map();
  for (const [path, version] of Object.entries(have)) {
    const item = new Item();
    items.set(path, item);
    const sequence = "0.0";
    if (version) await item.take({ type: "document", path, version, sequence, state: "live", text: texts.get(version) });
  }
  return items;
}

async function step(items, { message, shown, sends }, name) {
  const sent = [];
  for (const [path, item] of items) {
    const isOwn = isAbout(message, path);
    if (isOwn !== undefined && !(await item.take(message, isOwn))) sent.push({ follow: path, have: item.have });
  }
  const seen = shown.map(({ path }) => {
    const { text, state, version } = items.get(path);
    return { path, text, state, version };
  });
  assert.deepEqual(seen, shown, name);
  assert.deepEqual(sent, sends, name);
}

test("documents have their versions, and splices make them", () => {
  for (const { name, text, version } of vectors.documents) assert.equal(versionOf(text), version, name);
  for (const { name, old, splices, version } of vectors.splices) {
    assert.equal(versionOf(applySplices(bytesOf(old), splices, 1 << 20)), version, name);
  }
});

test("bad splices are refused, or make another version", () => {
  for (const { name, old, splices, version, max_bytes: most } of vectors.bad_splices) {
    const apply = () => versionOf(applySplices(bytesOf(old), JSON.parse(splices), most));
    let made;
    try {
      made = apply();
    } catch {
      continue;
    }
    assert.notEqual(made, version, name);
  }
});

test("messages show what they should, and are answered as they should be", async () => {
  for (const { name, have, ...only } of vectors.messages) await step(await start(have), only, name);
});

test("sequences of messages do so, too", async () => {
  for (const { name, have, steps } of vectors.sequences) {
    const items = await start(have);
    for (const [index, each] of steps.entries()) await step(items, each, `${name}, ${index}`);
  }
});

test("clients come back when the server wants them", () => {
  for (const slot of vectors.slots) {
    if (slot.status === 410 && slot.retry_after === null) continue;
    let delay;
    if ("code" in slot) delay = delayOfClose(slot.code, slot.reason);
    else if ("status" in slot) delay = delayOfAnswer(new Headers({ "Retry-After": slot.retry_after }));
    else delay = delayOfRetry(slot.retry ?? slot.refused ?? Infinity);
    if (slot.delay_ms === null) assert.equal(delay, Infinity, JSON.stringify(slot));
    else assert.ok(delay >= slot.delay_ms[0] && delay <= slot.delay_ms[1], `${JSON.stringify(slot)}: ${delay}`);
  }
});
