// The vectors: the contract for clients in all languages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { follow } from "../../../clients/js/src/livefeed.js";
import { Item } from "../../../clients/js/src/item.js";
import { isAbout, readMessage } from "../../../clients/js/src/messages.js";
import { delayOfClose, delayOfRetry } from "../../../clients/js/src/closes.js";
import { delayOfAnswer } from "../../../clients/js/src/slots.js";
import { applySplices } from "../../../clients/js/src/splices.js";
import { Verifier } from "../../../clients/js/src/verify.js";
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

async function step(items, { message: said, shown, sends }, name) {
  const message = readMessage(JSON.stringify(said));
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

test("a document in a state that is unknown is shown under that name, and never as live", async () => {
  const known = ["live", "stale", "held", "expired", "ended", "withdrawn"];
  const unknown = vectors.messages.filter(({ message }) => message.state && !known.includes(message.state));
  assert.ok(unknown.length > 0);
  for (const { name, have, message } of unknown) {
    const items = await start(have);
    const item = items.get(message.path);
    assert.equal(await item.take(message), true, name);
    // Time makes it neither live nor stale.
    item.outdate("stale");
    assert.deepEqual([item.state, item.version], [message.state, message.version], name);
    assert.equal(item.text, texts.get(message.version), name);
    assert.deepEqual(item.data, JSON.parse(item.text), name);
    item.outdate("expired");
    assert.deepEqual([item.state, item.text], ["expired", null], name);
  }
});

test("documents are shown for their lifetime", async () => {
  const { now } = performance;
  try {
    for (const { name, have, message, shown_ms: shown } of vectors.lifetimes) {
      let time = 0;
      performance.now = () => time;
      const [[path, version]] = Object.entries(have);
      const feed = follow(`http://127.0.0.1${path}`, { fetch: () => new Promise(() => {}) });
      try {
        const about = { type: "document", path, version, sequence: "0.0", state: "live", age: 0, next: 1000 };
        if (version) await feed.deliver({ ...about, text: texts.get(version) }, time, 0);
        const isOwn = isAbout(message, path);
        if (isOwn !== undefined) await feed.deliver(readMessage(JSON.stringify(message)), time, 0, isOwn);
        const looks = shown === null ? [1e12] : [shown - 1, shown];
        const seen = looks.map((each) => {
          time = each;
          feed.doubt(0);
          return [feed.text !== null, feed.state === "expired"];
        });
        const expected = [[true, false], [false, true]];
        if (shown === null) assert.deepEqual(seen, [[true, false]], name);
        else assert.deepEqual(seen.slice(shown === 0 ? 1 : 0), expected.slice(shown === 0 ? 1 : 0), name);
      } finally {
        feed.close();
      }
    }
  } finally {
    performance.now = now;
  }
});

test("clients come back when the server wants them", () => {
  for (const slot of vectors.slots) {
    if (slot.status === 410 && slot.retry_after === null) continue;
    let delay;
    if ("code" in slot) delay = delayOfClose(slot.code, slot.reason);
    else if ("status" in slot) delay = delayOfAnswer(slot.retry_after);
    else delay = delayOfRetry(slot.retry ?? slot.refused) ?? Infinity;
    if (slot.delay_ms === null) assert.equal(delay, Infinity, JSON.stringify(slot));
    else assert.ok(delay >= slot.delay_ms[0] && delay <= slot.delay_ms[1], `${JSON.stringify(slot)}: ${delay}`);
  }
});

for (const { name, keys, feed, text, signed, says } of vectors.statements) {
  test(`statement: ${name}`, async () => {
    const verifier = new Verifier(keys, feed, Infinity);
    const said = { version: versionOf(text), sequence: "1764000000000.7", state: "live" };
    if (says) assert.equal(await verifier.take(signed, said), says.state);
    else await assert.rejects(verifier.take(signed, said));
  });
}
