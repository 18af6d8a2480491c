// The connection to the feed, its cost, and a switch between the ways of the data.

import { follow } from "../livefeed.js";
import { element, write } from "./dom.js";
import { strings } from "./strings.js";

const TRANSPORTS = ["websocket", "events", "long-poll", "poll"];

// The addresses of the feed and of the library, whatever path the server is mounted at.
export function addresses(name) {
  return { feed: new URL(name, document.baseURI).href, library: new URL("-/livefeed.js", document.baseURI).href };
}

export const connect = (url, listener) => follow(url, { onChange: listener, onState: listener });

export class Connection {
  constructor(feed) {
    this.feed = feed;
    this.versions = 0;
    this.before = 0; // bytes before the second version: a document, and no update
    this.facts = new Map(
      ["transport", "received", "perVersion", "size", "verified"].map((name) => [name, element("dd")]),
    );
    this.buttons = new Map(
      TRANSPORTS.map((name) => [
        name,
        element("button", { type: "button", "aria-pressed": "false", onclick: () => this.use(name) }, strings.transports[name]),
      ]),
    );
    this.element = element(
      "div",
      { class: "connection" },
      element("dl", {}, ...[...this.facts].map(([name, value]) => element("div", {}, element("dt", {}, strings[name]), value))),
      element("div", { class: "choices", role: "group", "aria-label": strings.switchTransport }, ...this.buttons.values()),
    );
  }

  use(name) {
    this.feed.use(name);
    this.versions = 0;
    this.update(false);
  }

  // isNew: whether a version has come.
  update(isNew) {
    const { feed } = this;
    if (isNew) {
      if (this.versions === 0) this.before = feed.bytes;
      this.versions++;
    }
    const size = feed.text == null ? 0 : new Blob([feed.text]).size;
    const each = this.versions > 1 ? Math.round((feed.bytes - this.before) / (this.versions - 1)) : null;
    const none = feed.line === "closed" ? strings.transportClosed : strings.transportNone;
    this.say("transport", strings.transports[feed.transport] ?? none);
    this.say("received", strings.receivedOf(feed.bytes, this.versions));
    this.say("perVersion", each === null || size === 0 ? "–" : strings.ofDocument(each, (100 * each) / size));
    this.say("size", size === 0 ? "–" : strings.documentSize(size));
    this.say("verified", feed.text == null ? "–" : feed.verified ? strings.isVerified : strings.notVerified);
    for (const [name, button] of this.buttons) button.setAttribute("aria-pressed", String(feed.transport === name));
  }

  say(name, text) {
    write(this.facts.get(name), text);
  }
}
