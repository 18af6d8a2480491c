// The values of the document that watchers see, of which one is chosen.

import { arrange, element, write } from "../page/dom.js";
import { preview } from "../page/exact.js";
import { Version } from "../page/version.js";
import { DeniedError } from "./access.js";
import { leaves } from "./leaves.js";
import { strings } from "./strings.js";

// More are found by words, and not by scrolling.
const MOST_VALUES = 100;
// A document of this size is read within a tenth of a second. The pointer into a larger one is typed.
const MOST_BYTES = 4_000_000;

// A line of the list. It stays when the document changes, so that a click on it is not lost.
class Line {
  constructor(pointer, choose) {
    this.value = undefined;
    this.text = element("span", { class: "value" });
    this.button = element("button", { type: "button", class: "leaf", onclick: () => choose(pointer, this.value) }, element("code", {}, pointer), " ", this.text);
    this.element = element("li", {}, this.button);
  }

  update(value) {
    this.value = value;
    write(this.text, preview(value));
  }
}

export class Picker {
  // choose: called with a pointer and the value there. failed: called if the token does not fit any more.
  constructor(access, choose, failed) {
    Object.assign(this, { access, choose, failed });
    this.name = null;
    this.report = null;
    this.document = null;
    this.isLoading = false;
    this.lines = new Map();
    this.words = element("input", { id: "find-value", type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "off", oninput: () => this.draw() });
    this.note = element("p", { class: "note", role: "status" });
    this.list = element("ul", { class: "leaves" });
    this.scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": strings.picker.list, hidden: true }, this.list);
    this.element = element(
      "details",
      { class: "picker", ontoggle: () => this.load() },
      element("summary", {}, strings.picker.title),
      element("p", { class: "find" }, element("label", { for: "find-value" }, strings.picker.find), this.words),
      this.note,
      this.scroll,
    );
  }

  update(report) {
    if (report.feed !== this.name) {
      this.name = report.feed;
      this.document = null;
      this.words.value = "";
      this.lines.clear();
      this.list.replaceChildren();
      this.scroll.hidden = true;
    }
    this.report = report;
    this.load();
  }

  // Loads the document if the list is open, and has another version than before.
  async load() {
    const { report, name } = this;
    if (!this.element.open || this.isLoading || report === null) return;
    const side = report.shown ? "shown" : "waiting";
    const of = report[side];
    if (!of || of.bytes > MOST_BYTES) {
      this.scroll.hidden = true;
      write(this.note, of ? strings.picker.tooLarge(of.bytes) : strings.picker.none);
      return;
    }
    if (this.document?.version === of.version) return;
    this.isLoading = true;
    try {
      const { version, text } = await this.access.document(`${encodeURIComponent(name)}/${side}`);
      if (name !== this.name) return;
      this.document = new Version(version, text);
      this.draw();
    } catch (error) {
      if (error instanceof DeniedError) this.failed(error);
      else if (name === this.name) write(this.note, strings.picker.notLoaded(error.message));
    } finally {
      this.isLoading = false;
    }
  }

  draw() {
    const value = this.document?.value;
    if (value === undefined) {
      if (this.document !== null) write(this.note, strings.unreadable);
      return;
    }
    const { found, isCut } = leaves(value, this.words.value, MOST_VALUES);
    const pointers = new Set(found.map(({ pointer }) => pointer));
    for (const pointer of this.lines.keys()) if (!pointers.has(pointer)) this.lines.delete(pointer);
    const shown = found.map(({ pointer, value: inner }) => {
      let line = this.lines.get(pointer);
      if (line === undefined) this.lines.set(pointer, (line = new Line(pointer, this.choose)));
      line.update(inner);
      return line.element;
    });
    arrange(this.list, shown);
    this.scroll.hidden = found.length === 0;
    write(this.note, strings.picker.found(found.length, isCut));
  }
}
