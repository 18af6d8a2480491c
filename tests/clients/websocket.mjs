// Follows by WebSocket, with the package ws.
//
// protocols: the subprotocols that are offered
// deflate:   whether permessage-deflate is
// copy:      what is had already, for a client of livefeed.delta.v1
// send:      what is sent after so many messages
// count:     after so many, it closes with 1000

import WebSocket from "ws";

import { Copy } from "./copy.mjs";
import { options, print, url } from "./lines.mjs";

const copy = options.copy && new Copy(options.copy);
const socket = new WebSocket(url, options.protocols ?? [], { perMessageDeflate: options.deflate ?? false });
let connection;
let received = 0;

function go() {
  const text = options.send?.[received];
  if (text !== undefined) {
    socket.send(text);
  }
  if (received === options.count) {
    socket.close(1000);
  }
}

socket.on("upgrade", (response) => {
  connection = response.socket;
  print("upgrade", { headers: response.headers });
});
socket.on("open", () => {
  print("open", { protocol: socket.protocol, extensions: socket.extensions });
  go();
});
socket.on("message", (data, isBinary) => {
  received += 1;
  const text = data.toString();
  print("message", copy ? copy.take(text) : { text, isBinary, bytesRead: connection.bytesRead });
  go();
});
socket.on("close", (code, reason) => print("close", { code, reason: reason.toString() }));
socket.on("error", (error) => print("error", { message: error.message }));
