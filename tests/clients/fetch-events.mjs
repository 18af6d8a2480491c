// Follows server-sent events, with the package @microsoft/fetch-event-source, as its README does: each message is JSON.

import { fetchEventSource } from "@microsoft/fetch-event-source";

import { print, url } from "./lines.mjs";

// The package is made for pages, and asks whether its page is hidden.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

await fetchEventSource(url, {
  async onopen(response) {
    print("open", { status: response.status, type: response.headers.get("Content-Type") });
  },
  onmessage({ id, event, data }) {
    print("message", { id, name: event, value: JSON.parse(data) });
  },
  onclose() {
    print("close");
  },
  onerror(error) {
    print("error", { message: error.message });
    throw error;
  },
});
