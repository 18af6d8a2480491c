// Follows server-sent events, with the package eventsource.
//
// copy:  what is had already, for a client of ?delta=1
// count: after so many events, it closes

import { EventSource } from "eventsource";

import { Copy } from "./copy.mjs";
import { options, print, url } from "./lines.mjs";

const copy = options.copy && new Copy(options.copy);
let received = 0;

const source = new EventSource(url, {
  async fetch(address, init) {
    print("request", { lastEventId: init.headers["Last-Event-ID"] ?? null });
    return fetch(address, init);
  },
});
source.addEventListener("open", () => print("open"));
source.addEventListener("error", ({ code, message }) => print("error", { code, message, state: source.readyState }));
source.addEventListener("message", ({ data, lastEventId }) => {
  received += 1;
  print("message", { id: lastEventId, ...(copy ? copy.take(data) : { text: data }) });
  if (received === options.count) {
    source.close();
  }
});
