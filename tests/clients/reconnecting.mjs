// Follows by WebSocket with a library that reconnects by itself, with many clients at a time, until it is ended.
//
// library: "reconnecting-websocket" or "partysocket", with their own settings
// count:   the number of clients
// rate:    how many of them begin per second
//
// It prints what each client experiences, with the time of the monotonic clock in seconds.

import PartySocket from "partysocket/ws";
import ReconnectingWebSocket from "reconnecting-websocket";
import WebSocket from "ws";

const url = process.argv[2];
const options = JSON.parse(process.argv[3]);
const LIBRARIES = {
  "reconnecting-websocket": ReconnectingWebSocket.default ?? ReconnectingWebSocket,
  partysocket: PartySocket.default ?? PartySocket,
};
const Library = LIBRARIES[options.library];

function print(client, event, fields = {}) {
  const at = Number(process.hrtime.bigint()) / 1e9;
  process.stdout.write(`${JSON.stringify({ client, event, at, ...fields })}\n`);
}

function follow(client) {
  const socket = new Library(url, [], { WebSocket });
  socket.addEventListener("open", () => print(client, "open"));
  socket.addEventListener("message", (event) => print(client, "document", { n: JSON.parse(event.data).n }));
  socket.addEventListener("close", (event) => print(client, "close", { code: event.code }));
  socket.addEventListener("error", (event) => print(client, "error", { text: event.message ?? "" }));
}

for (let client = 0; client < options.count; client += 1) {
  setTimeout(follow, (client / options.rate) * 1000, client);
}
