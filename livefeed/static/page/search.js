// The search in a document: names and values, without regard to upper and lower case.

import { element, movesLess, write } from "./dom.js";
import { find } from "./finding.js";
import { strings } from "./strings.js";

const PAUSE_MS = 150;

// A field for the search. `reveal` shows the value at a path, and gives its element.
export class Search {
  constructor(reveal) {
    this.reveal = reveal;
    this.value = null;
    this.matches = [];
    this.at = -1;
    this.marked = null;
    this.timer = null;
    this.field = element("input", {
      type: "search",
      id: "search",
      placeholder: strings.searchHint,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.later(),
      onkeydown: (event) => this.onKey(event),
    });
    this.result = element("output", { for: "search" });
    const button = (label, text, step) =>
      element("button", { type: "button", "aria-label": label, title: label, onclick: () => this.go(step) }, text);
    this.element = element(
      "form",
      { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
      element("label", { for: "search" }, strings.search),
      this.field,
      button(strings.previousMatch, "↑", -1),
      button(strings.nextMatch, "↓", 1),
      this.result,
    );
  }

  update(value) {
    this.value = value;
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), PAUSE_MS);
  }

  start() {
    this.matches = this.field.value === "" || this.value === null ? [] : find(this.value, this.field.value);
    this.at = -1;
    this.mark(null);
    if (this.field.value === "") write(this.result, "");
    else if (this.matches.length === 0) write(this.result, strings.matches(0, 0, ""));
    else this.go(1);
  }

  onKey(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.go(event.shiftKey ? -1 : 1);
  }

  go(step) {
    const count = this.matches.length;
    if (count === 0) return;
    this.at = (this.at + step + count) % count;
    const path = this.matches[this.at];
    write(this.result, strings.matches(this.at + 1, count, `/${path.join("/")}`));
    const shown = this.reveal(path);
    this.mark(shown);
    shown?.scrollIntoView({ block: "center", behavior: movesLess() ? "auto" : "smooth" });
  }

  mark(shown) {
    this.marked?.classList.remove("found");
    shown?.classList.add("found");
    this.marked = shown;
  }
}
