// Servers and proxies that are broken or hostile: no wait is shorter or longer than it may be, and nothing ends the program.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { ask } from "../../../clients/js/src/ask.js";
import { events } from "../../../clients/js/src/events.js";
import { follow } from "../../../clients/js/src/livefeed.js";
import { Line } from "../../../clients/js/src/line.js";
import { readMessage } from "../../../clients/js/src/messages.js";
import { Stream } from "../../../clients/js/src/stream.js";
import { versionOf } from "./server.mjs";

const TEXT = '{"n":1}';
const HOUR_MS = 3_600_000;
const LONGEST_MS = 2 ** 31 - 1;
const HEARTBEAT = { type: "heartbeat", path: "/feed", version: versionOf(TEXT), sequence: "1.1", state: "live", age: 0, next: 100 };
const FIELDS = { "Livefeed-Version": versionOf(TEXT), "Livefeed-State": "live", "Livefeed-Age": "3", "Livefeed-Next": "100" };
/** Members that are no time. */
const NO_TIMES = ["x", "900", "", -1, -1e308, true, [900], {}, null];
/** JSON that is no message of the protocol. */
const BROKEN = [
  ...["", "{", "null", "5", '"heartbeat"', "[]", "{}", '{"type":5,"path":"/feed"}', '{"type":"heartbeat"}'],
  ...[{ path: 5 }, { path: null }, { path: ["/feed"] }, { state: ["live"] }, { state: {} }, { state: null }].map(heartbeat),
  ...[{ version: 5 }, { sequence: { toString: 1 } }, { reason: 5 }, { reason: ["x"] }].map(heartbeat),
  ...[{ overlay: 5 }, { overlay: {} }, { overlay: null }, { overlay: [5] }, { overlay: ["/a", null] }].map(heartbeat),
  ...[{ detail: { toString: 1, valueOf: 1 } }, { status: ["503"] }].map((more) => heartbeat({ type: "refused", ...more })),
];

function heartbeat(more) {
  return JSON.stringify({ ...HEARTBEAT, ...more });
}

afterEach(() => mock.restoreAll());

/** Asks a server once that answers with these fields; gives the pause in ms, the line and the message. */
async function poll(fields, status = 200) {
  const line = new Line(["poll"], "line", { fetch: async () => new Response(TEXT, { status, headers: { ...FIELDS, ...fields } }) });
  const messages = [];
  const feed = { have: null, urlOf: () => "http://h/feed", deliver: async (message) => messages.push(message), fail() {} };
  return { pause: await ask(line, feed, new AbortController(), false), line, message: messages[0] };
}

/** Begins a stream of one document without a connection. */
function begin() {
  const line = new Line(["websocket", "poll"], "line", {});
  const delivered = [];
  const feed = { path: "/feed", deliver: async (message) => Boolean(delivered.push(message)), notify() {}, error: null };
  line.feeds.add(feed);
  const end = new AbortController();
  const stream = new Stream(line, end);
  return { line, feed, stream, delivered, signal: end.signal };
}

/** Makes timers that never fire; gives their times in ms. */
function timers() {
  const times = [];
  mock.method(globalThis, "setTimeout", (_, ms) => times.push(ms));
  return times;
}

test("a poll that names no time, or several, is followed by the next one after a tick", async () => {
  for (const next of ["abc", "900, 900", "", "-5", "Infinity", "1e308", "NaN", "0x10", "9".repeat(400)]) {
    const { pause, line } = await poll({ "Livefeed-Next": next });
    assert.ok(pause >= 1000 && pause <= 1100, `${next}: ${pause}`);
    assert.equal(line.tick, 1000, next);
  }
});

test("no answer silences polls for more than an hour", async () => {
  for (const fields of [{ "Livefeed-Next": "2592000000" }, { "Retry-After": "99999999999" }]) {
    const { pause, message } = await poll(fields);
    assert.ok(pause >= HOUR_MS && pause <= HOUR_MS + 6000, `${pause}`);
    assert.ok(message.next <= HOUR_MS);
  }
  const { pause } = await poll({ "Retry-After": "x" });
  assert.ok(pause <= 1100);
});

test("an age that is none is unknown, and a lifetime that is none is no limit", async () => {
  for (const wrong of ["x", "3, 3", "-3", ""]) {
    const { message } = await poll({ "Livefeed-Age": wrong, "Livefeed-Lifetime": wrong, Age: wrong });
    assert.ok(!(message.age >= 0), wrong);
    assert.ok(!(message.lifetime >= 0), wrong);
    assert.equal(message.next, 100);
  }
  const { message } = await poll({ Age: "2", "Livefeed-Lifetime": "5000" });
  assert.deepEqual([message.age, message.next, message.lifetime], [5000, NaN, 3000]);
});

test("members that are no times are left out, and long ones shortened", () => {
  for (const wrong of NO_TIMES) {
    const names = ["age", "next", "lifetime", "retry", "waiting", "heartbeat"];
    const message = readMessage(heartbeat(Object.fromEntries(names.map((name) => [name, wrong]))));
    for (const name of names) assert.equal(message[name], undefined, `${name}: ${JSON.stringify(wrong)}`);
  }
  const long = readMessage(heartbeat({}).replace("{", '{"lifetime":1e999,"retry":1e308,').replace('"next":100', '"next":1e999'));
  assert.deepEqual([long.next, long.lifetime, long.retry], [HOUR_MS, 366 * 86_400_000, HOUR_MS]);
});

test("a waiting time that is none, or a reason that is broken, is not shown", async () => {
  for (const wrong of ["x", "3, 3", "-3", ""]) {
    const { message } = await poll({ "Livefeed-Waiting": wrong });
    assert.ok(!(message.waiting >= 0), wrong);
    assert.equal(message.reason, null);
  }
  const { message } = await poll({ "Livefeed-Waiting": "5", "Livefeed-Reason": '"a \\"b\\" %C3%BC%25"' });
  assert.deepEqual([message.waiting, message.reason], [5000, 'a "b" \u00fc%']);
  for (const wrong of ["x", '"x', '"%"']) await assert.rejects(poll({ "Livefeed-Reason": wrong }), wrong);
});

test("a field without a value says that there is nothing", async () => {
  const { message } = await poll({ "Livefeed-Waiting": "", "Livefeed-Reason": "", "Livefeed-Overlay": "", "Livefeed-Lifetime": "" });
  assert.ok(!message.reason);
  assert.deepEqual(message.overlay, []);
  assert.ok(Number.isNaN(message.waiting) && Number.isNaN(message.lifetime));
});

test("a list of overlaid values that is broken is an error, and not an empty list", async () => {
  const { message } = await poll({ "Livefeed-Overlay": '"/a", "/caf%C3%A9%2C"' });
  assert.deepEqual(message.overlay, ["/a", "/caf\u00e9,"]);
  assert.deepEqual((await poll({})).message.overlay, []);
  for (const wrong of ["x", '"x', '"%"', '"/a",']) await assert.rejects(poll({ "Livefeed-Overlay": wrong }), wrong);
});

test("a message that is none ends the stream, and one of an unknown type does not", async () => {
  timers();
  for (const text of BROKEN) {
    const { stream, delivered, signal } = begin();
    // Other tabs do not get it either.
    stream.relay = (each) => delivered.push(each);
    await stream.receive(text);
    assert.deepEqual([signal.aborted, delivered], [true, []], text);
  }
  const { stream, signal } = begin();
  await stream.receive('{"type":"news","path":5}');
  await stream.receive(heartbeat({}));
  assert.equal(signal.aborted, false);
});

test("no timer of a stream is longer than timers can be, or has no time", async () => {
  const times = timers();
  for (const wrong of [...NO_TIMES, 1e308, 30 * 86_400_000]) {
    const { stream, line } = begin();
    await stream.receive(heartbeat({ next: wrong, heartbeat: wrong }));
    await stream.receive(heartbeat({ type: "refused", status: 503, retry: wrong }));
    assert.ok(line.tick >= 1000 && line.tick <= 60_000, JSON.stringify(wrong));
  }
  // The two that are times make a timer for the next request as well.
  assert.equal(times.length, 2 * (NO_TIMES.length + 2) + 2);
  for (const ms of times) assert.ok(ms >= 1000 && ms <= LONGEST_MS, `${ms}`);
});

test("a stream is given up after two ticks, or two heartbeats if these are rarer", async () => {
  const times = timers();
  const { stream, line } = begin();
  const cases = [
    [{ next: 1000 }, 4000],
    [{ next: 1000, heartbeat: 3000 }, 8000],
    // Another document on the same connection has one at each tick.
    [{ next: 1000 }, 6000],
    [{ next: 8000, heartbeat: 3000 }, 18_000],
    [{ next: 1000, heartbeat: 30 * 86_400_000 }, HOUR_MS + 62_000],
  ];
  for (const [named, ms] of cases) {
    await stream.receive(heartbeat(named));
    assert.equal(times.at(-1), ms, JSON.stringify(named));
  }
  assert.equal(line.tick, 60_000);
});

test("a document with a lifetime of a month is shown", async () => {
  const times = timers();
  const feed = follow("http://127.0.0.1/feed", { fetch: () => new Promise(() => {}) });
  const month = readMessage(heartbeat({ type: "document", text: TEXT, lifetime: 30 * 86_400_000, next: 30 * 86_400_000 }));
  await feed.deliver(month, performance.now(), 0);
  assert.deepEqual([feed.text, feed.state], [TEXT, "live"]);
  for (const ms of times) assert.ok(ms >= 0 && ms <= LONGEST_MS, `${ms}`);
  feed.close();
});

/** Reads an event stream of these chunks; gives the delay and the texts that came by it. */
async function read(chunks) {
  const texts = [];
  const body = new ReadableStream({
    start(controller) {
      for (const each of chunks) controller.enqueue(new TextEncoder().encode(each));
      controller.close();
    },
  });
  const fetch = async () => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  const first = { path: "/feed", have: null, urlOf: () => "http://h/feed.sse" };
  const stream = { wanted: [first], line: { options: { fetch } }, receive: async (text) => texts.push(text) };
  return [await events(stream, new AbortController().signal), texts];
}

test("an event stream that names no time is followed by the next one as if it named none, and never after more than an hour", async () => {
  for (const retry of ["abc", "-5", "", " ", "1e3", "Infinity", "5 5"]) {
    assert.deepEqual(await read([`retry: ${retry}\n`, "data:{}\n\n"]), [undefined, ["{}"]], retry);
  }
  for (const retry of ["31536000000", "9".repeat(400)]) {
    const [delay] = await read([`retry: ${retry}\n`]);
    assert.ok(delay >= HOUR_MS && delay <= HOUR_MS + 250, `${delay}`);
  }
  const [delay] = await read(["retry:", " 50\r\n"]);
  assert.ok(delay >= 50 && delay <= 300);
});

test("a line of an event stream comes in pieces, and ends the stream when it is too long", async () => {
  assert.deepEqual(await read(["da", "ta:{", '"n"', ":1}\n\nda", "ta:2\n", "data:3"]), [undefined, ['{"n":1}', "2"]]);
  const [, texts] = await read([...Array(33).fill("x".repeat(1 << 20)), "\ndata:{}\n"]);
  assert.deepEqual(texts, []);
});

test("a WebSocket with messages that are none is given up, and polls go on", async () => {
  for (const text of BROKEN.slice(0, 10)) {
    class Broken {
      constructor() {
        queueMicrotask(() => {
          this.onopen();
          this.onmessage({ data: heartbeat({}) });
          this.onmessage?.({ data: text });
        });
      }
      send() {}
      close() {}
    }
    const fetch = async () => new Response(TEXT, { headers: FIELDS });
    const feed = follow("http://h/feed", { transports: ["websocket"], WebSocket: Broken, fetch });
    try {
      while (feed.transport !== "poll") await new Promise((resolve) => feed.subscribe(resolve));
      assert.deepEqual([feed.text, feed.state], [TEXT, "live"], text);
    } finally {
      feed.close();
    }
  }
});
