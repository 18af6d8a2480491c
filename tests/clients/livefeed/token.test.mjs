// Protected feeds, against a server over real sockets.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocket } from "ws";
import { follow } from "../../../clients/js/src/livefeed.js";
import { withCookie, withToken } from "../../../clients/js/src/token.js";
import { follow as followSigned } from "../../../clients/js/src/verify.js";
import { Server } from "./server.mjs";
import { Signer } from "./signer.mjs";

let server;
let feed;
let good;
let seen;

const decoded = (name) => Buffer.from(name.replace("livefeed.bearer.", ""), "base64url").toString();

beforeEach(async () => {
  server = await Server.start('{"a":1}');
  good = "token-1";
  seen = [];
  server.override = (request, response) => {
    const { authorization, "sec-websocket-protocol": names } = request.headers;
    const token = names ? decoded(names.split(",")[1].trim()) : authorization?.replace("Bearer ", "");
    seen.push([names ? "websocket" : "get", token, request.url]);
    if (token === good) return false;
    if (response.writeHead) response.writeHead(401, { "WWW-Authenticate": "Bearer" }).end();
    else response.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    return true;
  };
});

afterEach(async () => {
  feed?.close();
  await server.close();
});

async function until(condition) {
  const limit = AbortSignal.timeout(15_000);
  while (!condition()) {
    limit.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a token is sent with each request, and in a subprotocol of the WebSocket", async () => {
  feed = follow(server.url, withToken("token-1", { WebSocket }));
  await until(() => feed.transport === "websocket" && feed.line === "open");
  assert.deepEqual(feed.data, { a: 1 });
  assert.ok(seen.some(([way]) => way === "get") && seen.some(([way]) => way === "websocket"));
  assert.ok(seen.every(([, token, url]) => token === "token-1" && !url.includes("token")));
});

test("a function gives another token when one is refused", async () => {
  const tokens = ["old", "token-1"];
  feed = follow(server.url, withToken(async () => tokens.length > 1 ? tokens.shift() : tokens[0], { WebSocket }));
  await until(() => feed.line === "open");
  assert.deepEqual(feed.data, { a: 1 });
});

test("a token that stays wrong is not sent again at once, and the error has its status", async () => {
  feed = follow(server.url, withToken("wrong", { WebSocket }));
  await until(() => feed.error !== null);
  assert.equal(feed.error.status, 401);
  assert.equal(seen.filter(([way]) => way === "get").length, 1);
  assert.equal(feed.text, null);
});

test("a function that fails is a server that is not there", async () => {
  const options = withToken(() => Promise.reject(new Error("signed out")), { WebSocket });
  const socket = new options.WebSocket("ws://127.0.0.1:1/", ["livefeed.delta.v2"]);
  const { code } = await new Promise((resolve) => {
    socket.onclose = resolve;
  });
  assert.equal(code, 1006);
  feed = follow(server.url, options);
  await until(() => feed.error !== null);
  assert.equal(feed.error.message, "signed out");
  assert.deepEqual(seen, []);
});

test("a WebSocket that is closed before there is a token is not opened", async () => {
  let give;
  const options = withToken(() => new Promise((resolve) => (give = resolve)), { WebSocket });
  const socket = new options.WebSocket(server.url.replace("http", "ws"), ["livefeed.delta.v2"]);
  socket.close();
  give("token-1");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(seen, []);
});

test("a page of another origin sends its cookies", async () => {
  const asked = [];
  const options = withCookie({ fetch: async (url, init) => asked.push([url, init]), share: true });
  await options.fetch("https://a.example/feed", { cache: "no-cache" });
  assert.deepEqual(asked, [["https://a.example/feed", { cache: "no-cache", credentials: "include" }]]);
  assert.equal(options.share, true);
});

test("a protected feed that is signed has both: the token goes out, and what comes back is verified", async () => {
  server.signer = new Signer();
  feed = followSigned(server.url, withToken("token-1", { WebSocket, verify: server.signer.keys }));
  await until(() => feed.transport === "websocket" && feed.line === "open");
  assert.deepEqual([feed.data, feed.signed], [{ a: 1 }, true]);
  assert.ok(seen.every(([, token]) => token === "token-1"));
});
