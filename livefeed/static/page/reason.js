// Why a feed has no new document. The list of feeds says it, if the operator allows that.

import { strings } from "./strings.js";

const ASKING = new Set(["waiting", "stale", "expired"]);
const PAUSE_MS = 3000;
const LONGEST_MS = 60_000;
const ANSWER_MS = 10_000;

// Whether the server shows a fact to everybody: "figures" or "reasons".
export const isShownByServer = (fact) => document.body.dataset.shows.split(" ").includes(fact);

export class Reason {
  // changed: called when there is another text.
  constructor(name, changed) {
    this.name = name;
    this.changed = changed;
    this.text = "";
    this.asks = false; // whether the reason is wanted
    this.isAsking = false;
    this.failures = 0;
    this.timer = null;
    this.isAllowed = isShownByServer("reasons");
    document.addEventListener("visibilitychange", () => this.askNow());
  }

  // Asks for the reason as long as the feed is in such a condition.
  update(condition) {
    const asks = this.isAllowed && ASKING.has(condition);
    if (asks === this.asks) return;
    this.asks = asks;
    if (asks) this.askNow();
    else this.tell("");
  }

  askNow() {
    clearTimeout(this.timer);
    if (this.asks && !document.hidden && !this.isAsking) this.ask();
  }

  async ask() {
    let text = null;
    this.isAsking = true;
    try {
      const answer = await fetch("-/feeds.json", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
      const { feeds } = await answer.json();
      text = feeds.find((feed) => feed.name === this.name)?.reason ?? "";
      this.failures = 0;
    } catch {
      this.failures++;
    }
    this.isAsking = false;
    if (!this.asks) return;
    if (text !== null) this.tell(text === "" ? "" : strings.reason(text));
    clearTimeout(this.timer);
    const pause = Math.min(PAUSE_MS * 2 ** this.failures, LONGEST_MS);
    this.timer = setTimeout(() => this.askNow(), pause * (0.75 + Math.random() / 2));
  }

  tell(text) {
    if (text === this.text) return;
    this.text = text;
    this.changed();
  }
}
