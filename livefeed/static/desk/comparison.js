// The document that watchers see and the one that waits, and what differs between them.

import { differences } from "../page/changes.js";
import { element, write } from "../page/dom.js";
import { preview } from "../page/exact.js";
import { named, pointerOf } from "../page/pointers.js";
import { Version } from "../page/version.js";
import { DeniedError } from "./access.js";
import { strings } from "./strings.js";

const MOST_DIFFERENCES = 300;
// Two documents of this size together are compared without being asked: it takes a tenth of a second.
const MOST_BYTES = 4_000_000;
// The characters of a whole document that are shown: more would stop the page for seconds.
const MOST_CHARACTERS = 500_000;

export class Comparison {
  // failed: called if the token does not fit any more. choose: called with the pointer of a difference, and its value.
  constructor(access, failed, choose) {
    this.access = access;
    this.choose = choose;
    this.failed = failed;
    this.name = null;
    this.kept = { shown: null, waiting: null };
    this.isLoading = false;
    this.isWanted = false; // whether large documents are compared as well
    this.drawn = "";
    this.note = element("p", { class: "note" });
    this.button = element("button", { type: "button", onclick: () => this.want(), hidden: true }, strings.compare);
    this.rows = element("tbody");
    const head = ["place", "shown", "waiting"].map((name) => element("th", { scope: "col" }, strings.columns[name]));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.rows);
    this.table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": strings.differencesTable, hidden: true }, table);
    this.texts = ["shown", "waiting"].map((one) => element("pre", { class: "raw scroll", tabindex: "0", "aria-label": strings[one] }));
    this.whole = element(
      "details",
      { hidden: true, ontoggle: () => this.drawWhole() },
      element("summary", {}, strings.whole),
      element("div", { class: "sides" }, ...this.texts),
    );
    this.element = element("section", { class: "card differences", "aria-labelledby": "differences-title" }, element("h3", { id: "differences-title" }, strings.differences), this.note, this.button, this.table, this.whole);
  }

  // The version that waits as it is shown here; null while none is.
  get seen() {
    return this.isReady && this.report?.waiting ? this.kept.waiting.version : null;
  }

  get isReady() {
    const { report, kept } = this;
    return kept.waiting !== null && kept.shown?.version === (report?.shown?.version ?? null) && this.drawn !== "";
  }

  want() {
    this.isWanted = true;
    this.load();
  }

  update(report) {
    if (report.feed !== this.name) {
      this.name = report.feed;
      this.kept = { shown: null, waiting: null };
      this.isWanted = false;
      this.clear();
    }
    this.report = report;
    this.element.hidden = !report.waiting;
    if (!report.waiting) {
      this.kept.waiting = null;
      this.clear();
    } else this.load();
  }

  clear() {
    this.drawn = "";
    this.rows.replaceChildren();
    this.table.hidden = this.whole.hidden = true;
    write(this.note, strings.loading);
  }

  // Loads what has another version than before, one after the other.
  async load() {
    const { report, name } = this;
    if (this.isLoading || !report?.waiting) return;
    const bytes = report.waiting.bytes + (report.shown?.bytes ?? 0);
    this.button.hidden = this.isWanted || bytes <= MOST_BYTES;
    if (!this.button.hidden) {
      this.clear();
      write(this.note, strings.tooLarge(bytes));
      return;
    }
    this.isLoading = true;
    try {
      for (const side of ["shown", "waiting"]) {
        const version = report[side]?.version ?? null;
        if (version === null) this.kept[side] = null;
        else if (this.kept[side]?.version !== version) {
          const found = await this.access.document(`${encodeURIComponent(name)}/${side}`);
          if (name === this.name) this.kept[side] = new Version(found.version, found.text);
        }
      }
      if (name === this.name && this.report?.waiting) this.draw();
    } catch (error) {
      if (error instanceof DeniedError) this.failed(error);
      else if (name === this.name) {
        this.clear();
        write(this.note, strings.notLoaded(error.message));
      }
    } finally {
      this.isLoading = false;
    }
  }

  draw() {
    const { shown, waiting } = this.kept;
    if (waiting === null) return;
    const { rule, pointer } = this.report.waiting;
    const drawn = [shown?.version, waiting.version, rule, pointer].join();
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const [old, fresh] = [shown?.value, waiting.value];
    this.whole.hidden = false;
    this.drawWhole();
    this.table.hidden = fresh === undefined || (shown !== null && old === undefined);
    if (this.table.hidden) {
      write(this.note, strings.unreadable);
      return;
    }
    const found = differences(old, fresh, MOST_DIFFERENCES).map((each) => ({ ...each, name: pointerOf(each.path) }));
    const refused = rule && pointer !== null && pointer !== undefined ? [named(fresh, pointer), named(old, pointer)] : [];
    const isRefused = ({ name }) => refused.some((one) => name === one || (name !== "" && one.startsWith(`${name}/`)));
    found.sort((one, other) => isRefused(other) - isRefused(one));
    write(this.note, strings.differencesOf(found.length, MOST_DIFFERENCES));
    this.table.hidden = found.length === 0;
    this.rows.replaceChildren(
      ...found.map((each) => {
        const mark = isRefused(each) ? [" ", element("strong", { class: "refused" }, strings.refused(rule))] : [];
        return element(
          "tr",
          { class: each.kind, "data-refused": mark.length > 0 },
          element("th", { scope: "row" }, this.pointerButton(each), ...mark),
          element("td", {}, each.kind === "added" ? strings.added : preview(each.before)),
          element("td", {}, each.kind === "removed" ? strings.removed : preview(each.after)),
        );
      }),
    );
  }

  // Gives the pointer of a difference, as a button that fills in the form for a value over the source's.
  pointerButton({ name, before, after }) {
    if (name === "") return "/";
    const press = () => this.choose(name, after ?? before);
    return element("button", { type: "button", class: "link", title: strings.correct, onclick: press }, name);
  }

  drawWhole() {
    if (!this.whole.open) return;
    for (const [index, side] of ["shown", "waiting"].entries()) write(this.texts[index], indented(this.kept[side]?.text ?? strings.nothingShown));
  }
}

// Breaks a document into lines, so that both sides can be read beside each other. Nothing else of it changes.
export function indented(text) {
  const pieces = text.slice(0, MOST_CHARACTERS).match(/"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let lines = "";
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  for (const [index, piece] of pieces.entries()) {
    const isEmpty = "]}".includes(piece) && "[{".includes(pieces[index - 1] ?? "x");
    if ("]}".includes(piece)) {
      depth = Math.max(0, depth - 1);
      if (!isEmpty) lines += line();
    }
    lines += piece;
    if ("[{".includes(piece)) {
      depth++;
      if (!"]}".includes(pieces[index + 1] ?? "x")) lines += line();
    } else if (piece === ",") lines += line();
    else if (piece === ":") lines += " ";
  }
  return text.length > MOST_CHARACTERS ? `${lines}\n…` : lines;
}
