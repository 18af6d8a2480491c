// The form by which an editor puts a value over that of the source.

import { element, write } from "../page/dom.js";
import { isBranch, Numeral, parse } from "../page/exact.js";
import { DeniedError } from "./access.js";
import { Picker } from "./picker.js";
import { sentences } from "./preview.js";
import { strings } from "./strings.js";

const ACTIONS = ["set", "add", "remove"];
const MOST_REASON = 200;
// Characters of a value that a report has as a whole.
const MOST_SHOWN = 256;
// A preview is asked for when the reader has stopped typing, and again while the form is open.
const TYPING_MS = 350;
const PREVIEW_AGE_MS = 3000;

const field = (id, more = {}) => element("input", { id, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...more });

// Gives a scalar as JSON.
export const jsonOf = (value) => (value instanceof Numeral ? value.text : JSON.stringify(value));

export function isJson(text) {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

export class Editing {
  // run: gives a command, and a promise of whether it succeeded. clear: asks whether all entries are to go.
  // failed: called if the token does not fit any more.
  constructor(access, run, clear, failed) {
    Object.assign(this, { access, run, failed });
    this.report = null;
    this.turn = 0; // the number of the last preview: the answer to an earlier one comes too late
    this.timer = null;
    this.previewedAt = -Infinity;
    this.present = null; // the JSON of the source's value, if it is known
    const words = strings.editing;
    const typed = () => this.type();
    this.action = element("select", { id: "edit-action", onchange: () => this.choose() }, ...ACTIONS.map((action) => element("option", { value: action }, words.actions[action])));
    this.pointer = field("edit-pointer", { class: "code", oninput: typed, "aria-describedby": "edit-pointer-hint edit-pointer-error" });
    this.value = field("edit-value", { class: "code", oninput: typed, "aria-describedby": "edit-value-error" });
    this.expect = field("edit-expect", { class: "code", oninput: typed, "aria-describedby": "edit-expect-hint edit-expect-error" });
    this.reason = field("edit-reason", { maxlength: String(MOST_REASON), spellcheck: "true", autocapitalize: "sentences" });
    this.errors = new Map(["pointer", "value", "expect"].map((name) => [name, element("p", { id: `edit-${name}-error`, class: "error", role: "status" })]));
    this.quote = element("button", { type: "button", hidden: true, onclick: () => this.takeAsText() }, "");
    this.now = element("button", { type: "button", hidden: true, onclick: () => this.expectPresent() }, "");
    this.picker = new Picker(access, (pointer, value) => this.fill(pointer, value), failed);
    this.outcome = element("div", { class: "preview", role: "status" });
    this.go = element("button", { class: "main" }, "");
    this.clear = element("button", { type: "button", class: "danger", onclick: clear }, words.clear);
    const row = (id, label, input, ...more) => element("div", { class: "field" }, element("label", { for: id }, label), element("div", {}, input, ...more));
    const hint = (id, text) => element("p", { id, class: "note" }, text);
    this.valueRow = row("edit-value", words.value, this.value, this.errors.get("value"), this.quote);
    this.expectRow = row("edit-expect", words.expect, this.expect, this.now, hint("edit-expect-hint", words.expectHint), this.errors.get("expect"));
    this.element = element(
      "form",
      { class: "edit", "aria-labelledby": "edit-title", novalidate: true, onsubmit: (event) => this.submit(event) },
      element("h4", { id: "edit-title" }, words.title),
      row("edit-action", words.action, this.action),
      row("edit-pointer", words.pointer, this.pointer, hint("edit-pointer-hint", words.pointerHint), this.errors.get("pointer"), this.picker.element),
      this.valueRow,
      this.expectRow,
      row("edit-reason", words.reason, this.reason),
      this.outcome,
      element("p", { class: "choices" }, this.go, this.clear),
    );
    this.choose();
  }

  update(report) {
    if (report.feed !== this.report?.feed) {
      this.report = report;
      this.empty();
    }
    this.report = report;
    this.picker.update(report);
    this.clear.hidden = !report.overlay?.length;
    if (this.isOpen && this.outcome.childElementCount > 0 && performance.now() - this.previewedAt > PREVIEW_AGE_MS) this.preview();
  }

  get isOpen() {
    return this.element.checkVisibility?.() ?? true;
  }

  empty() {
    clearTimeout(this.timer);
    this.turn++;
    for (const input of [this.pointer, this.value, this.expect, this.reason]) input.value = "";
    this.action.value = "set";
    this.choose();
  }

  // Fills in the pointer that the reader has chosen, and the value that is there, to be changed.
  fill(pointer, value) {
    this.pointer.value = pointer;
    this.expect.value = "";
    if (this.action.value === "add") this.action.value = "set";
    this.value.value = value === undefined || isBranch(value) ? "" : jsonOf(value);
    this.choose();
    const next = this.action.value === "remove" ? this.go : this.value;
    next.focus();
    next.select?.();
    this.element.scrollIntoView({ block: "nearest" });
  }

  // Fills in an entry that is there, to be changed. The report has only the beginning of a long text.
  take({ pointer, action, value, expected, reason }) {
    this.action.value = action;
    this.pointer.value = pointer;
    const texts = [[this.value, value], [this.expect, expected], [this.reason, reason]];
    for (const [input, text] of texts) input.value = text === null || text.length > MOST_SHOWN ? "" : text;
    this.choose();
    const next = action === "remove" ? this.expect : this.value;
    next.focus();
    next.select();
  }

  choose() {
    const action = this.action.value;
    this.valueRow.hidden = action === "remove";
    // The server refuses an expected value of a member that may not be there.
    this.expectRow.hidden = action === "add";
    write(this.go, strings.editing.go[action]);
    this.type();
  }

  takeAsText() {
    this.value.value = JSON.stringify(this.value.value.trim());
    this.value.focus();
    this.type();
  }

  expectPresent() {
    this.expect.value = this.present;
    this.expect.focus();
    this.type();
  }

  get arguments() {
    const action = this.action.value;
    const value = action === "remove" ? "" : this.value.value.trim();
    const expect = action === "add" ? "" : this.expect.value.trim();
    return { pointer: this.pointer.value.trim(), ...(value === "" ? {} : { value }), ...(expect === "" ? {} : { expect }) };
  }

  type() {
    clearTimeout(this.timer);
    this.turn++;
    this.say([]);
    this.learn(null);
    if (this.pointer.value.trim() !== "") this.timer = setTimeout(() => this.preview(), TYPING_MS);
    else this.check(false);
  }

  // Shows what is wrong with the fields; gives the first wrong one, or null.
  // isWhole: whether a field that is empty is wrong as well.
  check(isWhole) {
    const words = strings.editing;
    const { pointer, value, expect } = this.arguments;
    const found = {
      pointer: pointer === "" ? (isWhole ? words.noPointer : "") : pointer.startsWith("/") ? "" : words.noSlash,
      value: value === undefined ? (isWhole && this.action.value !== "remove" ? words.noValue : "") : isJson(value) ? "" : words.notJson,
      expect: expect === undefined || isJson(expect) ? "" : words.notJson,
    };
    for (const [name, why] of Object.entries(found)) {
      write(this.errors.get(name), why);
      this[name].setAttribute("aria-invalid", String(why !== ""));
    }
    this.quote.hidden = value === undefined || found.value === "";
    if (!this.quote.hidden) write(this.quote, words.asText(JSON.stringify(value)));
    return Object.keys(found).find((name) => found[name] !== "") ?? null;
  }

  // Asks livefeed what the command would do.
  async preview() {
    const turn = ++this.turn;
    const { arguments: more, report } = this;
    const action = this.action.value;
    if (report === null || this.check(false) !== null || more.pointer === "") return;
    if (action !== "remove" && more.value === undefined) return;
    this.previewedAt = performance.now();
    try {
      const answer = await this.access.command("overlay", { feed: report.feed, action, ...more, preview: true });
      if (turn !== this.turn) return;
      this.learn(answer.overlay.find(({ pointer }) => pointer === more.pointer));
      this.say(sentences(answer, more.pointer, this.report.overlay ?? []));
    } catch (error) {
      if (turn !== this.turn) return;
      if (error instanceof DeniedError) this.failed(error);
      else this.say([{ text: error.message, tone: "bad" }]);
    }
  }

  // Takes note of the source's value, if there is one and the report has all of it.
  learn(entry) {
    const [place, another] = entry?.places ?? [];
    const isKnown = place !== undefined && another === undefined && place.hidden !== null && isJson(place.hidden);
    this.present = isKnown ? place.hidden : null;
    this.now.hidden = !isKnown || this.expect.value.trim() !== "";
    if (isKnown) write(this.now, strings.editing.present(place.hidden));
  }

  say(lines) {
    const now = lines.map(({ text, tone }) => `${tone} ${text}`).join("\n");
    if (now === this.said) return;
    this.said = now;
    const title = lines.length === 0 ? [] : [element("h5", {}, strings.preview.title)];
    this.outcome.replaceChildren(...title, ...lines.map(({ text, tone }) => element("p", { "data-tone": tone }, text)));
  }

  async submit(event) {
    event.preventDefault();
    const wrong = this.check(true);
    if (wrong !== null) {
      this[wrong].focus();
      return;
    }
    const { feed } = this.report;
    const reason = this.reason.value.trim();
    const isDone = await this.run(this.action.value, { ...this.arguments, reason });
    if (isDone && this.report.feed === feed) this.empty();
  }
}
