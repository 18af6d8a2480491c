// The state of the data, its age, and the time until the next version. Only changes of the state are announced.

import { element, graphic, write } from "./dom.js";
import { strings } from "./strings.js";

const TICK_MS = 250;
const SAME_MS = 1500; // two ages of the same document differ by less
const KNOWN = new Set(["live", "stale", "held", "ended", "expired", "withdrawn"]);
const AROUND = 2 * Math.PI * 7; // the circumference of the ring

// States whose document is shown. A state that this page does not know is never shown as live.
const SHOWN = new Set(["live", "stale", "held", "ended"]);

// States in which no next version is due.
const RESTING = new Set(["ended", "withdrawn"]);

// Whether a page may show the document that it has.
export const isShown = (feed) => feed.text != null && SHOWN.has(feed.state);

// Gives what the page says of a feed: the state of the data, or what is wrong with the line.
export function condition(feed) {
  if (feed.error?.status === 401 && feed.text == null) return "protected";
  if (feed.line === "offline") return "offline";
  if (KNOWN.has(feed.state)) {
    if (feed.state === "stale" && feed.text == null) return "waiting";
    return feed.state;
  }
  if (feed.state === undefined || feed.state === null) return feed.line === "connecting" ? "connecting" : "waiting";
  return String(feed.state);
}

export class StateLine {
  constructor(feed, title) {
    this.feed = feed;
    this.since = null; // when the last document was confirmed, by the reader's clock
    this.title = title;
    this.said = null;
    this.longest = 0;
    this.badge = element("span", { class: "badge", id: "state" });
    this.age = element("span", { id: "age" });
    this.left = element("span", { id: "next" });
    this.arc = graphic("circle", { class: "arc", cx: "9", cy: "9", r: "7", "stroke-dasharray": String(AROUND) });
    const ring = graphic(
      "svg",
      { class: "ring", viewBox: "0 0 18 18", "aria-hidden": "true" },
      graphic("circle", { class: "track", cx: "9", cy: "9", r: "7" }),
      this.arc,
    );
    this.ring = ring;
    this.version = element("span", { id: "version", class: "quiet" });
    this.element = element("p", { class: "state" }, this.badge, this.age, ring, this.left, this.version);
    this.sentence = element("p");
    this.waits = element("p", { class: "waits" });
    this.why = element("p", { class: "why" });
    this.explanation = element("div", { class: "explanation" }, this.sentence, this.waits, this.why);
    this.announcer = element("div", { role: "status", class: "hidden" });
    this.timer = setInterval(() => this.tick(), TICK_MS);
    document.addEventListener("visibilitychange", () => this.tick());
  }

  update() {
    const now = condition(this.feed);
    this.badge.dataset.state = now;
    write(this.badge, strings.states[now] ?? now);
    const explanation = this.explain(now);
    write(this.sentence, explanation);
    const { reason } = this.feed;
    write(this.why, now !== "offline" && reason ? strings.reason(reason) : "");
    if (now !== this.said) {
      // The first state is no news.
      if (this.said !== null) write(this.announcer, strings.announcement(this.title(), strings.states[now] ?? now, explanation));
      this.said = now;
    }
    write(this.version, this.feed.version && isShown(this.feed) ? strings.version(this.feed.version) : "");
    this.tick();
  }

  explain(now) {
    const age = this.feed.age();
    if (now === "held" && this.feed.waiting() === null) return strings.heldAlone;
    if (now !== "stale" || age === null) return strings.explanations[now] ?? strings.unknownState(now);
    const since = Date.now() - age;
    // Another second of the same moment is no news.
    if (this.since === null || Math.abs(since - this.since) > SAME_MS) this.since = since;
    return strings.staleSince(new Date(this.since));
  }

  // Counts up for how long a newer version has been waiting.
  showWaiting() {
    const waiting = isShown(this.feed) && this.feed.line !== "offline" ? this.feed.waiting() : null;
    write(this.waits, waiting === null ? "" : strings.waiting(waiting / 1000));
    const parts = [this.sentence, this.waits, this.why];
    for (const part of parts) part.hidden = part.textContent === "";
    this.explanation.hidden = parts.every((part) => part.hidden);
  }

  tick() {
    if (document.hidden) return;
    this.showWaiting();
    const age = this.feed.age();
    // Nobody confirms a document that has ended.
    const known = isShown(this.feed) && this.feed.state !== "ended";
    const seconds = Math.floor((age ?? 0) / 1000);
    write(this.age, !known ? "" : age === null ? strings.ageUnknown : seconds < 2 ? strings.fresh : strings.age(seconds));
    const next = RESTING.has(this.feed.state) || this.feed.line === "offline" ? null : this.feed.next();
    this.ring.toggleAttribute("hidden", next === null);
    if (next === null) {
      write(this.left, "");
      return;
    }
    const left = Math.max(0, next);
    this.longest = Math.max(this.longest * 0.98, left, 1000);
    this.arc.setAttribute("stroke-dashoffset", String(AROUND * (1 - left / this.longest)));
    write(this.left, this.longest > 2500 ? strings.next(Math.ceil(left / 1000)) : "");
  }
}
