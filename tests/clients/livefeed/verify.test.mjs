// Documents that are signed, against a server over real sockets, and statements by themselves.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { Verifier, follow } from "../../../clients/js/src/verify.js";
import { Server, until, versionOf } from "./server.mjs";
import { Signer } from "./signer.mjs";

const FIRST = '{"a":1}';
const SECOND = '{"a":2}';

let server;
let signer;
let feeds;
let distrust;

beforeEach(async () => {
  server = await Server.start(FIRST);
  signer = server.signer = new Signer();
  feeds = [];
  distrust = [];
});

afterEach(async () => {
  for (const feed of feeds) feed.close();
  await server.close();
});

function start(options = {}) {
  const onDistrust = ({ message }) => distrust.push(message);
  const feed = follow(server.url, { WebSocket, verify: signer.keys, onDistrust, ...options });
  feeds.push(feed);
  return feed;
}

test("answers and messages are verified, and the page is told so", async () => {
  const told = [];
  const feed = start({ onChange: (data, { signed }) => told.push([data.a, signed]), onState: ({ signed }) => told.push(signed) });
  await until(feed, () => feed.line === "open");
  assert.equal(feed.signed, true);
  server.set(SECOND);
  server.push(server.message());
  await until(feed, () => feed.data.a === 2);
  server.state = "held";
  server.push(server.message(server.version));
  await until(feed, () => feed.state === "held");
  assert.deepEqual(told.filter(Array.isArray), [[1, true], [2, true]]);
  assert.deepEqual(distrust, []);
  assert.ok(!server.kinds.includes("events"));
});

test("polls are verified too, and those that change nothing", async () => {
  const feed = start({ transports: ["poll", "events"] });
  await until(feed, () => feed.signed && server.requests.length > 2);
  server.set(SECOND);
  await until(feed, () => feed.data.a === 2);
  assert.deepEqual(distrust, []);
  assert.deepEqual([...new Set(server.kinds)], ["get"]);
});

for (const [name, lies, why] of [
  ["another document", { text: SECOND }, /not the document that was signed/],
  ["another feed", { feed: "other" }, /for the feed other, and not for feed/],
  ["another sequence", { sequence: "9.9" }, /its sequence is not/],
  ["an unknown key", { id: "x" }, /a key that is not trusted: x/],
  ["another algorithm", { alg: "hmac-sha256" }, /not signed as a statement/],
  ["another purpose", { tag: "x" }, /not signed as a statement/],
]) {
  test(`nothing is shown that is signed as ${name}`, async () => {
    signer.lies = lies;
    const feed = start();
    await until(feed, () => distrust.length && feed.error);
    assert.match(distrust[0], why);
    assert.deepEqual([feed.data, feed.text, feed.signed, feed.line], [undefined, null, false, "offline"]);
  });
}

test("nothing is shown without a statement, or by another key", async () => {
  server.signer = null;
  const feed = start();
  await until(feed, () => distrust.length);
  assert.match(distrust[0], /it is not signed/);
  server.signer = new Signer();
  server.signer.id = signer.id;
  await until(feed, () => distrust.length > 1);
  assert.match(distrust[1], /its signature is not one of the key/);
  server.signer = signer;
  await until(feed, () => feed.data?.a === 1);
  assert.equal(feed.error, null);
});

test("a message that is not signed ends the stream, and the document before stays", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  server.signer = null;
  server.set(SECOND);
  server.push(server.message());
  await until(feed, () => distrust.length && feed.line !== "open");
  assert.deepEqual([feed.data, feed.signed], [{ a: 1 }, true]);
  server.signer = signer;
  await until(feed, () => feed.data.a === 2);
});

test("a withdrawal needs no signature", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  server.signer = null;
  server.state = "withdrawn";
  server.push(server.message(server.version));
  await until(feed, () => feed.state === "withdrawn");
  assert.deepEqual([feed.data, distrust], [undefined, []]);
});

test("a state that was not signed counts only if it is more careful", async () => {
  signer.lies = { state: "live" };
  const feed = start();
  for (const [said, shown] of [["ended", "live"], ["stale", "stale"], ["paused", "live"], ["held", "held"]]) {
    server.state = said;
    await until(feed, () => feed.line === "open");
    server.push(server.message(server.version));
    await until(feed, () => feed.state === shown);
  }
});

test("a mirror that repeats an old statement is stale", async () => {
  signer.lies = { created: Math.floor(Date.now() / 1000) - 600 };
  const feed = start({ transports: ["poll"] });
  await until(feed, () => feed.data);
  assert.deepEqual([feed.state, feed.signed], ["stale", true]);
  signer.lies = {};
  await until(feed, () => feed.state === "live");
});

test("statements come in order", async () => {
  const verifier = new Verifier(signer.keys, "feed");
  const take = (text, sequence, more = {}) =>
    verifier.take(signer.sign({ text, sequence, state: "live", ...more }), { version: versionOf(text), sequence, state: "live" });
  assert.equal(await take(FIRST, "1.12"), "live");
  await assert.rejects(take(SECOND, "1.9"), /older than one that was verified before: 1.9 < 1.12/);
  await assert.rejects(take(SECOND, "1.12"), /two documents are signed as 1.12/);
  const created = Math.floor(Date.now() / 1000) - 100;
  assert.equal(await take(FIRST, "1.12", { created }), "live");
  assert.equal(await take(SECOND, "2.1"), "live");
  assert.equal(await take(SECOND, "2.1", { state: "ended", created: created + 500, lasts: -1000 }), "ended");
});

test("malformed statements are refused", async () => {
  const verifier = new Verifier(signer.keys, "feed");
  const good = signer.sign({ text: FIRST, sequence: "1.1", state: "live" });
  const said = { version: versionOf(FIRST), sequence: "1.1", state: "live" };
  for (const change of [
    { statement: `${good.statement}, ` },
    { statement: "x".repeat(2000) },
    { parameters: good.parameters.replace("livefeed-statement", "date") },
    { parameters: `${good.parameters};tag="livefeed"` },
    { signature: "A".repeat(86) + "==" },
    { signature: 1 },
  ])
    await assert.rejects(verifier.take({ ...good, ...change }, said));
  await assert.rejects(verifier.take(undefined, said), /not signed/);
  for (const keys of [undefined, {}, { keys: [{ kty: "EC" }] }]) {
    const nobody = new Verifier(keys, "feed");
    await assert.rejects(nobody.take(good, said), /no key of Ed25519/);
  }
  const broken = new Verifier({ keys: [{ kty: "OKP", crv: "Ed25519", x: "AAAA" }] }, "feed");
  await assert.rejects(broken.take(good, said), /cannot verify signatures of Ed25519, or the key is none/);
});
