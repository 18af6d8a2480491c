// The ladder of transports, against a server over real sockets.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { follow } from "../../../clients/js/src/livefeed.js";
import { Server, until, versionOf } from "./server.mjs";

const FIRST = '{"a":{"b":1},"c":[1]}';
const SECOND = '{"a":{"b":2},"c":[1]}';

let server;
let feeds;

beforeEach(async () => {
  server = await Server.start(FIRST);
  feeds = [];
});

afterEach(async () => {
  for (const feed of feeds) feed.close();
  await server.close();
});

function start(options = {}, url = server.url) {
  const feed = follow(url, { WebSocket, ...options });
  feeds.push(feed);
  return feed;
}

const refuse = (...kinds) => {
  server.override = ({ url, headers }, out) => {
    const kind = headers.upgrade ? "websocket" : url.includes(".sse") ? "events" : headers.prefer ? "long-poll" : "get";
    if (!kinds.includes(kind)) return false;
    if (kind === "websocket") out.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    else out.writeHead(502).end();
    return true;
  };
};

test("a GET comes first, then the WebSocket goes on from there", async () => {
  const changes = [];
  const feed = start({ onChange: (data, meta) => changes.push([data, meta]) });
  assert.equal(feed.line, "connecting");
  await until(feed, () => feed.line === "open");
  assert.deepEqual(server.kinds, ["get", "websocket"]);
  assert.equal(new URL(server.requests[1].url, server.url).search, `?have=${versionOf(FIRST)}`);
  assert.equal(feed.transport, "websocket");
  assert.ok(feed.age() >= 200);
  assert.ok(feed.next() <= 300);
  server.set(SECOND);
  server.push(server.message());
  await until(feed, () => feed.version === versionOf(SECOND));
  assert.deepEqual(
    changes.map(([data, meta]) => [data, meta.version, meta.state, meta.verified]),
    [FIRST, SECOND].map((text) => [JSON.parse(text), versionOf(text), "live", true]),
  );
  assert.equal(feed.bytes, FIRST.length + JSON.stringify(server.message(server.version)).length + lengthOf(server));
});

const lengthOf = ({ text, ...server }) =>
  JSON.stringify({ type: "document", ...Server.prototype.facts.call({ ...server, text, version: versionOf(text) }), text })
    .length;

test("a server that refuses WebSockets is followed by events, which the tab remembers", async () => {
  refuse("websocket");
  const stored = {};
  globalThis.sessionStorage = stored;
  try {
    const feed = start();
    await until(feed, () => feed.transport === "events");
    assert.equal(feed.line, "open");
    server.set(SECOND);
    server.push(server.message());
    await until(feed, () => feed.version === versionOf(SECOND));
    assert.deepEqual(Object.values(stored), ["events"]);
    feed.close();
    server.requests.length = 0;
    const next = start();
    await until(next, () => next.transport === "events");
    assert.deepEqual(server.kinds, ["get", "events"]);
  } finally {
    delete globalThis.sessionStorage;
  }
});

test("without streams there are long polls", async () => {
  refuse("websocket", "events");
  const feed = start();
  await until(feed, () => feed.transport === "long-poll");
  assert.equal(feed.line, "polling");
  server.set(SECOND);
  await until(feed, () => feed.version === versionOf(SECOND));
});

test("long polls that bring nothing come before the page has to say that it knows nothing", async () => {
  refuse("websocket", "events");
  const feed = start();
  await until(feed, () => server.kinds.includes("long-poll"));
  const { prefer } = server.requests.find(({ headers }) => headers.prefer).headers;
  // The age counts from the request on: two of them, and up to a quarter of a second after each, in two ticks and 3 s.
  assert.ok(2 * (Number(prefer.replace("wait=", "")) + 0.25) < 2 + 3, prefer);
});

test("without those there are polls", async () => {
  refuse("websocket", "events", "long-poll");
  const feed = start();
  await until(feed, () => feed.transport === "poll" && server.kinds.includes("long-poll"));
  server.set(SECOND);
  await until(feed, () => feed.version === versionOf(SECOND));
  assert.equal(feed.line, "polling");
});

test("a server that goes away and comes back is found again, and the document stays", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  await server.close();
  await until(feed, () => feed.line === "offline");
  assert.equal(feed.version, versionOf(FIRST));
  assert.equal(feed.transport, null);
  assert.ok(feed.error);
  server.set(SECOND);
  await server.listen(server.port);
  await until(feed, () => feed.line === "open");
  assert.deepEqual([feed.version, feed.transport, feed.error], [versionOf(SECOND), "websocket", null]);
});

test("a server that names a time is left alone until then, and asked by the WebSocket at once", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  server.requests.length = 0;
  const closed = performance.now();
  for (const socket of server.sockets.clients) socket.close(3025, "come back in 600 ms");
  await until(feed, () => feed.line === "connecting");
  await until(feed, () => feed.line === "open");
  assert.ok(performance.now() - closed >= 590);
  assert.equal(server.kinds[0], "websocket");
});

test("a server that says not to come back is not asked in this way again", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  server.requests.length = 0;
  for (const socket of server.sockets.clients) socket.close(3500, "too many frames");
  await until(feed, () => feed.transport === "events");
  assert.ok(!server.kinds.includes("websocket"));
});

test("a Retry-After is obeyed, also with a document", async () => {
  server.override = (request, response) => {
    if (request.headers.upgrade || server.requests.length > 1) return false;
    response.setHeader("Retry-After", "1");
    return false;
  };
  const feed = start({ transports: ["poll"] });
  await until(feed, () => feed.version);
  const first = performance.now();
  await until(feed, () => server.requests.length > 1);
  assert.ok(performance.now() - first >= 900);
});

test("several documents share a connection, and one refusal concerns one of them", async () => {
  const replies = { "/feed/c": { type: "refused", path: "/feed/c", status: 429, detail: "too many", retry: null } };
  const [one, two, three] = ["", "/a", "/c"].map((part) => {
    const feed = follow(server.url + part);
    feeds.push(feed);
    return feed;
  });
  // Node has no WebSocket of its own in all versions: these share the line of the module.
  assert.equal(one.transport, null);
  for (const feed of [one, two, three]) feed.use("events");
  await until(one, () => one.transport === "events");
  const streams = server.requests.filter(({ url }) => url.includes(".sse"));
  assert.match(decodeURIComponent(streams.at(-1).url), /follow=[0-9a-f]{32}\/feed\/a&follow=[0-9a-f]{32}\/feed\/c$/);
  server.push(replies["/feed/c"]);
  await until(three, () => three.error);
  assert.deepEqual([three.line, three.error.message, three.error.status], ["offline", "too many", 429]);
  assert.deepEqual([one.line, two.line], ["open", "open"]);
  server.push({ type: "heartbeat", ...server.facts(), state: "stale", version: versionOf(FIRST) });
  await until(two, () => two.state === "stale");
  // The heartbeat says nothing about a document of which no messages come.
  assert.deepEqual([one.state, three.state], ["stale", "live"]);
  server.push({ type: "heartbeat", ...server.facts(), state: "withdrawn", version: versionOf(FIRST) });
  await until(three, () => three.state === "withdrawn");
  assert.equal(three.text, null);
});

test("a document that is refused says nothing about the line of the others", async () => {
  server.override = ({ url, headers }, out) => {
    if (headers.upgrade || !url.startsWith("/feed/b")) return false;
    out.writeHead(403).end();
    return true;
  };
  const lines = [];
  const [refused, healthy] = ["/b", "/a"].map((part) => {
    const feed = follow(server.url + part, { transports: ["poll"] });
    feeds.push(feed);
    return feed;
  });
  healthy.subscribe((data, { line }) => lines.push(line));
  await until(refused, () => refused.error && healthy.data);
  assert.deepEqual([refused.line, refused.error.status, refused.data], ["offline", 403, undefined]);
  assert.ok(!lines.includes("offline"), lines);
  server.override = () => false;
  refused.use("poll");
  await until(refused, () => refused.line === "polling");
  assert.deepEqual([refused.error, refused.state], [null, "live"]);
});

test("a selection tells only of its own changes, and keeps what is equal", async () => {
  const feed = start();
  const [part, list, none] = ["/a/b", "/c", "/c/x/0"].map((pointer) => feed.select(pointer));
  await until(feed, () => feed.line === "open");
  assert.deepEqual([part.value, list.value, none.value], [1, [1], undefined]);
  const told = [];
  part.subscribe((value) => told.push(value));
  list.subscribe((value) => told.push(value));
  const before = list.value;
  server.set(SECOND);
  server.push(server.message());
  await until(feed, () => told.length > 0);
  assert.deepEqual(told, [2]);
  assert.equal(list.value, before);
});

test("a document that is not there, expired, or not pulled yet is said to be so", async () => {
  const answers = [
    [404, {}, null, "offline"],
    [410, { "Livefeed-State": "withdrawn" }, "withdrawn", "polling"],
    [503, { "Livefeed-State": "stale" }, "stale", "polling"],
  ];
  for (const [status, fields, state, line] of answers) {
    server.override = (request, response) => {
      if (request.headers.upgrade) return false;
      response.writeHead(status, fields).end();
      return true;
    };
    const feed = start({ transports: ["poll"] });
    await until(feed, () => feed.error);
    assert.deepEqual([feed.error.status, feed.state, feed.data, feed.line], [status, state, undefined, line]);
    feed.close();
  }
});

test("a page that is opened while the document is withdrawn follows by a stream, and learns at once that it is back", async () => {
  server.state = "withdrawn";
  server.override = (request, response) => {
    if (request.headers.upgrade || server.state === "live") return false;
    response.writeHead(410, { "Livefeed-State": "withdrawn" }).end();
    return true;
  };
  const feed = start({ transports: ["websocket"] });
  await until(feed, () => feed.state === "withdrawn" && server.streams.size > 0);
  server.state = "live";
  server.push(server.message());
  await until(feed, () => feed.data);
  assert.deepEqual([feed.state, feed.line], ["live", "open"]);
});

test("an older version of the same epoch is not shown again", async () => {
  const feed = start({ transports: ["poll"] });
  await until(feed, () => feed.version);
  const { version } = feed;
  server.set(SECOND);
  server.number = 0;
  const { length } = server.requests;
  await until(feed, () => server.requests.length > length + 1);
  assert.equal(feed.version, version);
});

test("a document that a proxy has changed is not shown", async () => {
  server.override = (request, response) => {
    if (request.headers.upgrade) return false;
    response.writeHead(200, { "Livefeed-Version": server.version, "Livefeed-State": "live" }).end(SECOND);
    return true;
  };
  const feed = start({ transports: ["poll"] });
  await until(feed, () => feed.error);
  assert.deepEqual([feed.data, feed.version], [undefined, null]);
  assert.match(feed.error.message, /not its version/);
});

test("after a sleep the age is unknown until the server answers, and what has ended meanwhile is not shown", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  // The pause after the first request has ended: no poll is due any more.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  const now = Date.now;
  server.override = () => true;
  try {
    Date.now = () => now() + 60_000;
    assert.equal(feed.age(), null);
    assert.deepEqual([feed.version, feed.state], [versionOf(FIRST), "stale"]);
    Date.now = () => now() + 3_600_000;
    assert.equal(feed.age(), null);
    assert.deepEqual([feed.data, feed.version, feed.state], [undefined, null, "expired"]);
    server.override = () => false;
    await until(feed, () => feed.age() !== null && feed.line === "open");
    assert.deepEqual([feed.transport, feed.version, feed.state], ["websocket", versionOf(FIRST), "live"]);
  } finally {
    Date.now = now;
  }
});

test("a document that is held says why, and for how long a newer one has waited", async () => {
  Object.assign(server, { state: "held", reason: 'Wähler "fallen" um 20 %', waiting: 5000 });
  const told = [];
  const feed = start({ onState: (meta) => told.push(meta) });
  assert.deepEqual([feed.reason, feed.waiting()], [null, null]);
  await until(feed, () => feed.version);
  assert.deepEqual([told.at(-1).state, told.at(-1).reason], ["held", server.reason]);
  assert.ok(told.at(-1).waiting >= 5000);
  await until(feed, () => feed.line === "open");
  assert.equal(feed.reason, server.reason);
  const before = feed.waiting();
  assert.ok(before >= 5000 && before < 60_000);
  // Another reason and the end of waiting are news, like another state.
  server.reason = "another";
  server.push(server.message(server.version));
  await until(feed, () => told.at(-1).reason === "another");
  Object.assign(server, { reason: undefined, waiting: undefined });
  server.push(server.message(server.version));
  await until(feed, () => told.at(-1).reason === null);
  assert.deepEqual([told.at(-1).state, told.at(-1).waiting, feed.waiting()], ["held", null, null]);
});

test("the values of an editor are listed, however they come", async () => {
  server.overlay = ["/seat", "/caf\u00e9"];
  const told = [];
  const feed = start({ onState: (meta) => told.push(meta) });
  await until(feed, () => feed.version);
  assert.deepEqual(told.at(-1).overlay, server.overlay);
  await until(feed, () => feed.line === "open");
  assert.deepEqual(told.at(-1).overlay, server.overlay);
  // Another list is news, also of the same version.
  for (const overlay of [["/seat"], undefined]) {
    server.overlay = overlay;
    server.push(server.message(server.version));
    await until(feed, () => told.at(-1).overlay.length === (overlay ?? []).length);
    assert.deepEqual(told.at(-1).overlay, overlay ?? []);
  }
});

test("a cache makes the waiting longer, and so does a sleep", async () => {
  Object.assign(server, { state: "held", waiting: 5000 });
  server.override = (request, response) => {
    if (!request.headers.upgrade) response.setHeader("Age", "60");
    return false;
  };
  const feed = start({ transports: ["poll"] });
  await until(feed, () => feed.version);
  assert.ok(feed.waiting() >= 65_000 && feed.waiting() < 100_000);
  const now = Date.now;
  server.override = () => true;
  try {
    Date.now = () => now() + 60_000;
    assert.equal(feed.age(), null);
    assert.ok(feed.waiting() >= 125_000 - 1000);
  } finally {
    Date.now = now;
  }
});

test("a document that has ended closes the line, and a page may ask whether that was taken back", async () => {
  const feed = start();
  await until(feed, () => feed.line === "open");
  server.state = "ended";
  server.push(server.message(server.version));
  await until(feed, () => feed.line === "closed" && server.streams.size === 0);
  assert.deepEqual([feed.transport, feed.state, feed.version, feed.error], [null, "ended", versionOf(FIRST), null]);
  const { length } = server.requests;
  feed.refresh();
  await until(feed, () => server.requests.length > length);
  await until(feed, () => feed.line === "closed");
  server.state = "live";
  server.set(SECOND);
  feed.refresh();
  await until(feed, () => feed.line === "open" && feed.version === versionOf(SECOND));
  assert.deepEqual([feed.state, server.kinds.slice(length)], ["live", ["get", "get", "websocket"]]);
});

test("a line is not said to be closed when a document goes on whose stream is not open yet", async () => {
  server.state = "ended";
  const feed = start();
  await until(feed, () => feed.line === "closed");
  server.state = "live";
  // The handshake is never answered.
  let handshake;
  server.override = ({ headers }, out) => {
    if (headers.upgrade) handshake = out;
    return Boolean(headers.upgrade);
  };
  feed.refresh();
  await until(feed, () => handshake);
  assert.deepEqual([feed.state, feed.line], ["live", "connecting"]);
  feed.close();
  handshake.destroy();
});

test("a document that has ended before is asked for once", async () => {
  server.state = "ended";
  for (const transports of [undefined, ["events"], ["long-poll"], ["poll"]]) {
    server.requests.length = 0;
    const feed = start({ transports });
    await until(feed, () => feed.line === "closed");
    // Many ticks of this server.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.deepEqual([server.kinds, feed.state, feed.line], [["get"], "ended", "closed"]);
    feed.close();
  }
});

test("one that goes on keeps the line, and one that has ended is polled no more", async () => {
  server.override = ({ url, headers }, out) => {
    if (headers.upgrade || url !== "/feed/a") return false;
    out.setHeader("Livefeed-State", "ended");
    const fields = { "Livefeed-Version": versionOf("{}"), "Livefeed-Sequence": "1.1", "Livefeed-State": "ended" };
    out.writeHead(200, fields).end("{}");
    return true;
  };
  const [over, live] = ["/a", ""].map((part) => {
    const feed = follow(server.url + part, { transports: ["poll"] });
    feeds.push(feed);
    return feed;
  });
  const asked = (path) => server.requests.filter(({ url }) => url === path).length;
  await until(live, () => asked("/feed") > 3);
  assert.deepEqual([over.state, live.state, asked("/feed/a"), over.line], ["ended", "live", 1, "polling"]);
});

test("an event stream that a server ends with 204, since the document has ended, is not opened again", async () => {
  server.override = ({ url, headers }, out) => {
    if (headers.upgrade || !url.includes(".sse")) return false;
    server.state = "ended";
    out.writeHead(204).end();
    return true;
  };
  const feed = start({ transports: ["events", "poll"] });
  await until(feed, () => feed.line === "closed");
  assert.deepEqual([feed.state, feed.version, server.kinds], ["ended", versionOf(FIRST), ["get", "events", "get"]]);
});

test("a closed feed does nothing any more", async () => {
  const controller = new AbortController();
  let calls = 0;
  const feed = start({ signal: controller.signal, onState: () => (calls += 1) });
  await until(feed, () => feed.line === "open");
  controller.abort();
  const before = calls;
  await until(feed, () => server.streams.size === 0);
  assert.equal(calls, before);
  feed.close();
});
