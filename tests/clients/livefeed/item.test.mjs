// What a client has of a document, and what it shows.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Item } from "../../../clients/js/src/item.js";
import { isAbout } from "../../../clients/js/src/messages.js";
import { versionOf } from "./server.mjs";

const OLD = '{"seat":42,"party":"A"}';
const NEW = '{"seat":43,"party":"A"}';
const FACTS = { path: "/feed", sequence: "1.1", state: "live" };
const document = { type: "document", ...FACTS, version: versionOf(OLD), text: OLD };
const splices = {
  ...{ type: "splices", ...FACTS, sequence: "1.2" },
  ...{ version: versionOf(NEW), from: versionOf(OLD), splices: [9, "3", 13] },
};
const heartbeat = (state, text = OLD) => ({ type: "heartbeat", ...FACTS, state, version: versionOf(text) });

function shown({ text, version, state, data }) {
  assert.equal(data === undefined, text === null);
  return [text, version, state];
}

async function after(...messages) {
  const item = new Item();
  // They are applied in order, although verification takes time.
  const results = await Promise.all(messages.map((message) => item.take(message)));
  return { item, results };
}

test("a document is shown with its state, and splices make the next version", async () => {
  const { item, results } = await after(document, splices);
  assert.deepEqual(results, [true, true]);
  assert.deepEqual(shown(item), [NEW, versionOf(NEW), "live"]);
  assert.equal(item.verified, true);
  assert.equal(item.sequence, "1.2");
  assert.deepEqual(item.data, { seat: 43, party: "A" });
});

test("a document that is not its version is not shown, and asked for again from nothing", async () => {
  const { item, results } = await after(document, { ...document, text: NEW, version: versionOf("other") });
  assert.deepEqual(results, [true, false]);
  assert.deepEqual(shown(item), [OLD, versionOf(OLD), "live"]);
  assert.equal(item.have, null);
});

test("splices for another version change nothing", async () => {
  for (const wrong of [
    { ...splices, from: versionOf("other") },
    { ...splices, splices: [99] },
    { ...splices, splices: [9, "4", 13] },
  ]) {
    const { item, results } = await after(document, wrong);
    assert.deepEqual(results, [true, false]);
    assert.deepEqual(shown(item), [OLD, versionOf(OLD), "live"]);
  }
});

test("a heartbeat of another version is no news of this one", async () => {
  const { item, results } = await after(document, heartbeat("stale", NEW));
  assert.deepEqual(results, [true, false]);
  assert.deepEqual(shown(item), [OLD, versionOf(OLD), "live"]);
});

test("states in which a document is shown", async () => {
  for (const state of ["live", "stale", "held", "ended"]) {
    const { item } = await after(document, heartbeat(state));
    assert.deepEqual(shown(item), [OLD, versionOf(OLD), state]);
  }
});

test("an unknown state is said as it is, and never shown as live", async () => {
  const { item } = await after(document, heartbeat("frozen"));
  assert.deepEqual(shown(item), [OLD, versionOf(OLD), "frozen"]);
});

test("an expired or withdrawn document is forgotten, until it is sent again", async () => {
  for (const state of ["expired", "withdrawn"]) {
    const { item, results } = await after(document, heartbeat(state, "whatever"));
    assert.deepEqual(results, [true, true]);
    assert.deepEqual(shown(item), [null, null, state]);
    assert.equal(item.have, null);
    // The heartbeat of the whole document does not bring it back.
    assert.equal(await item.take({ ...heartbeat("live"), path: "/" }, false), true);
    assert.deepEqual(shown(item), [null, null, state]);
    assert.equal(await item.take(heartbeat("live")), false);
    assert.equal(await item.take(document), true);
    assert.deepEqual(shown(item), [OLD, versionOf(OLD), "live"]);
  }
});

test("a part that is missing is not shown, and is the base of the next version", async () => {
  const { item } = await after(document, { type: "missing", ...FACTS });
  assert.deepEqual(shown(item), [null, null, "live"]);
  assert.equal(await item.take(heartbeat("stale", NEW), false), true);
  assert.deepEqual(shown(item), [null, null, "live"]);
  assert.equal(await item.take(splices), true);
  assert.deepEqual(shown(item), [NEW, versionOf(NEW), "live"]);
});

test("a reason belongs to its state, and a refusal keeps it", async () => {
  const { item } = await after(document, { ...heartbeat("held"), reason: "a check" });
  assert.deepEqual([item.state, item.reason], ["held", "a check"]);
  await item.take({ type: "refused", path: "/feed", status: 503, detail: "" });
  assert.equal(item.reason, "a check");
  await item.take({ ...heartbeat("stale", NEW), path: "/", reason: "the source" }, false);
  assert.deepEqual([item.state, item.reason], ["held", "a check"]);
  await item.take(heartbeat("live"));
  assert.deepEqual([item.state, item.reason], ["live", null]);
});

test("the values of an editor are those of the item's own messages", async () => {
  const { item } = await after({ ...document, overlay: ["/seat"] });
  assert.deepEqual(item.overlay, ["/seat"]);
  await item.take({ type: "refused", path: "/feed", status: 503, detail: "" });
  assert.deepEqual(item.overlay, ["/seat"]);
  await item.take({ ...heartbeat("stale", NEW), path: "/", overlay: ["/other"] }, false);
  assert.deepEqual(item.overlay, ["/seat"]);
  await item.take(heartbeat("live"));
  assert.equal(item.overlay, undefined);
});

test("the heartbeat of the whole document has the state of a part", async () => {
  const { item } = await after(document);
  assert.equal(await item.take(heartbeat("stale", NEW), false), true);
  assert.deepEqual(shown(item), [OLD, versionOf(OLD), "stale"]);
});

test("messages and members that are unknown are ignored", async () => {
  const { item, results } = await after({ ...document, more: 1 });
  assert.deepEqual(results, [true]);
  assert.deepEqual(shown(item), [OLD, versionOf(OLD), "live"]);
  assert.equal(isAbout({ type: "news", ...FACTS }, FACTS.path), undefined);
  assert.equal(isAbout(document, FACTS.path), true);
});
