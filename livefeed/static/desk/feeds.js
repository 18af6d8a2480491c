// The list of all feeds, each with its state, and how long a version has been waiting.

import { arrange, element, write } from "../page/dom.js";
import { moment, strings } from "./strings.js";
import { nextOf } from "./timed.js";

class Item {
  constructor(name) {
    this.badge = element("span", { class: "badge" });
    this.note = element("span", { class: "flag" });
    this.link = element("a", { href: `#${encodeURIComponent(name)}` }, element("span", { class: "name" }, name), this.badge, this.note);
    this.element = element("li", {}, this.link);
  }

  update(feed, elapsed, isChosen, due) {
    this.badge.dataset.state = feed.state;
    write(this.badge, strings.states[feed.state] ?? String(feed.state));
    const notes = [];
    if (feed.waiting) notes.push(strings.waits((feed.waiting.for_s ?? 0) + elapsed));
    if (feed.alarms?.length) notes.push(strings.alarms(feed.alarms.length));
    if (due) notes.push(due.failed ? strings.timed.flagFailed : strings.timed.flag(moment(due.at)));
    write(this.note, notes.join(", "));
    if (isChosen) this.link.setAttribute("aria-current", "true");
    else this.link.removeAttribute("aria-current");
  }
}

export class Feeds {
  constructor() {
    this.items = new Map();
    this.list = element("ul");
    this.none = element("p", { class: "note", hidden: true }, strings.noFeeds);
    this.element = element("nav", { class: "card feeds", "aria-labelledby": "feeds-title" }, element("h2", { id: "feeds-title" }, strings.feeds), this.list, this.none);
  }

  // elapsed: the seconds since the report was made. due: what is to happen at a time.
  update(feeds, elapsed, chosen, due) {
    for (const name of this.items.keys()) if (!feeds.some((feed) => feed.name === name)) this.items.delete(name);
    const shown = feeds.map((feed) => {
      let item = this.items.get(feed.name);
      if (item === undefined) this.items.set(feed.name, (item = new Item(feed.name)));
      item.update(feed, elapsed, feed.name === chosen, nextOf(due, feed.name));
      return item.element;
    });
    arrange(this.list, shown);
    this.none.hidden = feeds.length > 0;
  }
}
