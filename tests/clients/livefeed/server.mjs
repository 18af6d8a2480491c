// A server of one feed that does as a test says: over real sockets, with the messages of livefeed.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { fieldsOf } from "./signer.mjs";

export const versionOf = (text) => createHash("sha256").update(text).digest("hex").slice(0, 32);

const signedOf = ({ signer, text, number, state }) => signer?.sign({ text, sequence: `1.${number}`, state });

/** Resolves as soon as a condition holds; it is checked when the feed, or the server, has done something. */
export async function until(feed, condition) {
  const limit = AbortSignal.timeout(15_000);
  while (!condition()) {
    limit.throwIfAborted();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, 20);
      const unsubscribe = feed.subscribe(() => {
        clearTimeout(timer);
        unsubscribe();
        resolve();
      });
    });
  }
}

export class Server {
  state = "live";
  /** Why, and for how many ms a newer document waits; undefined if it is not said. */
  reason = undefined;
  waiting = undefined;
  /** Pointers to overlaid values; undefined if there are none. */
  overlay = undefined;
  /** Signs what is sent; see signer.mjs. Nothing is signed without it. */
  signer = null;
  requests = [];
  streams = new Set();
  /** Answers a request, or a handshake, in place of the usual answer; gives whether it did. */
  override = () => false;
  received = [];
  number = 0;

  static async start(text) {
    const server = new Server();
    server.set(text);
    server.sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "livefeed.delta.v2" });
    server.http = createServer((request, response) => server.answer(request, response));
    server.http.on("upgrade", (request, socket, head) => server.upgrade(request, socket, head));
    await server.listen(0);
    return server;
  }

  async listen(port) {
    this.http.listen(port, "127.0.0.1");
    await once(this.http, "listening");
    this.port = this.http.address().port;
    this.url = `http://127.0.0.1:${this.port}/feed`;
  }

  async close() {
    for (const socket of this.sockets.clients) socket.terminate();
    this.http.close();
    this.http.closeAllConnections();
    await once(this.http, "close");
  }

  set(text) {
    this.text = text;
    this.number += 1;
  }

  get version() {
    return versionOf(this.text);
  }

  facts(path = "/feed") {
    return {
      path,
      version: this.version,
      sequence: `1.${this.number}`,
      state: this.state,
      at: "2026-11-23T20:15:07.004Z",
      age: 200,
      next: 300,
      lifetime: 300_000,
      reason: this.reason,
      waiting: this.waiting,
      overlay: this.overlay,
      signed: signedOf(this),
    };
  }

  message(have) {
    if (have === this.version) return { type: "heartbeat", ...this.facts() };
    return { type: "document", ...this.facts(), text: this.text };
  }

  push(message) {
    const text = JSON.stringify(message);
    for (const stream of this.streams) stream(text);
  }

  answer(request, response) {
    this.requests.push(request);
    if (this.override(request, response)) return;
    const url = new URL(request.url, this.url);
    if (url.pathname === "/feed.sse") {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      const send = (text) => response.write(`data:${text}\n\n`);
      this.streams.add(send);
      response.on("close", () => this.streams.delete(send));
      response.write("retry: 50\n");
      send(JSON.stringify(this.message(url.searchParams.get("have"))));
      return;
    }
    const fields = {
      ETag: `"${this.version}"`,
      "Livefeed-Version": this.version,
      "Livefeed-Sequence": `1.${this.number}`,
      "Livefeed-State": this.state,
      "Livefeed-Age": "3",
      "Livefeed-Next": "100",
      "Livefeed-Lifetime": "300000",
    };
    if (this.reason) fields["Livefeed-Reason"] = JSON.stringify(encodeURI(this.reason));
    if (this.overlay) fields["Livefeed-Overlay"] = this.overlay.map((each) => JSON.stringify(encodeURI(each))).join(", ");
    if (this.waiting !== undefined) fields["Livefeed-Waiting"] = String(Math.floor(this.waiting / 1000));
    const signed = signedOf(this);
    if (signed) Object.assign(fields, fieldsOf(signed));
    const isNewest = request.headers["if-none-match"] === `"${this.version}"`;
    response.writeHead(isNewest ? 304 : 200, fields);
    response.end(isNewest ? undefined : this.text);
  }

  upgrade(request, socket, head) {
    this.requests.push(request);
    if (this.override(request, socket)) return;
    this.sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const send = (text) => webSocket.send(text);
      this.streams.add(send);
      webSocket.on("close", () => this.streams.delete(send));
      webSocket.on("message", (data) => {
        const message = JSON.parse(data);
        this.received.push(message);
        if (message.follow === "/feed") send(JSON.stringify(this.message(message.have)));
      });
      send(JSON.stringify(this.message(new URL(request.url, this.url).searchParams.get("have"))));
    });
  }

  /** The kinds of the requests until now, in order. */
  get kinds() {
    return this.requests.map(({ url, headers }) =>
      headers.upgrade ? "websocket" : url.includes(".sse") ? "events" : headers.prefer ? "long-poll" : "get",
    );
  }
}
