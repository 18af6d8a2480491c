// The search in a document: names and values, without regard to upper and lower case.

import { element, reducedMotion, write } from "./dom.js";
import { isBranch, isObject, preview } from "./exact.js";
import { strings } from "./strings.js";

const MOST = 1000;
const PAUSE_MS = 150;

// Gives the paths of all matches, at most 1000 of them.
export function find(value, words) {
  const wanted = words.toLowerCase();
  const found = [];
  look(value, []);
  return found;

  function look(inner, path) {
    if (found.length >= MOST) return;
    const name = path.at(-1);
    const named = typeof name === "string" && name.toLowerCase().includes(wanted);
    if (named || (!isBranch(inner) && preview(inner, Infinity).toLowerCase().includes(wanted))) found.push(path);
    if (!isBranch(inner)) return;
    for (const [key, child] of isObject(inner) ? inner : inner.entries()) look(child, [...path, key]);
  }
}

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
    shown?.scrollIntoView({ block: "center", behavior: reducedMotion.matches ? "auto" : "smooth" });
  }

  mark(shown) {
    this.marked?.classList.remove("found");
    shown?.classList.add("found");
    this.marked = shown;
  }
}
