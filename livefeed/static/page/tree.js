// A document as a tree. It is changed in place, so that selection, scroll position and folding stay.
// Only what is unfolded is built: a document of a megabyte costs what is seen of it.

import { arrange, element, write } from "./dom.js";
import { isBranch, isObject, Numeral, preview } from "./exact.js";
import { light, LiveNumber } from "./sparks.js";
import { strings } from "./strings.js";
import { columnsOf, Table } from "./table.js";

const STEP = 100; // children that are shown at first, and more at each click
const TEXT = 2000; // characters of a text that are shown
const OPEN_DEPTH = 2; // branches above this depth are unfolded at first
const OPEN_SIZE = 30; // if they have no more children than this

const kindOf = (value) => {
  if (!isBranch(value)) return "leaf";
  if (Array.isArray(value) && columnsOf(value) !== null) return "table";
  return "branch";
};

function makeView(kind, label, depth) {
  if (kind === "leaf") return new Leaf(label);
  return kind === "table" ? new TableBranch(label, depth) : new Branch(label, depth);
}

// The tree of a whole document.
export class Tree {
  constructor() {
    this.element = element("div", { class: "tree" });
    this.view = null;
    this.kind = null;
  }

  update(value) {
    const kind = kindOf(value);
    if (kind !== this.kind) {
      this.kind = kind;
      this.view = kind === "branch" ? new Root() : makeView(kind, strings.root, 0);
      this.element.replaceChildren(this.view.element);
    }
    this.view.update(value);
  }

  clear() {
    this.kind = this.view = null;
    this.element.replaceChildren();
  }

  // Unfolds what hides a value, and gives the element that shows it.
  reveal(path) {
    return this.view?.reveal(path) ?? null;
  }

  // Gives the element of a value, or what hides it. Nothing is unfolded.
  nearest(path) {
    return this.view?.nearest(path) ?? null;
  }

  fold(open) {
    this.view?.fold?.(open, 0);
  }
}

class Leaf {
  constructor(label) {
    this.value = element("span", { class: "value" });
    this.element = element("div", { class: "leaf" }, element("span", { class: "key" }, String(label)), " ", this.value);
    this.number = null;
    this.text = null;
  }

  update(value) {
    const isNumber = value instanceof Numeral;
    this.value.dataset.kind = isNumber ? "number" : value === null ? "null" : typeof value;
    if (isNumber) {
      this.number ??= new LiveNumber(this.value);
      this.number.set(value.text, value.value);
      return;
    }
    if (this.number !== null) {
      this.number.line?.remove();
      this.number = null;
    }
    let text = String(value);
    if (text.length > TEXT) text = text.slice(0, TEXT) + strings.moreCharacters(text.length - TEXT);
    if (this.text !== null && text !== this.text) light(this.value);
    this.text = text;
    write(this.value, text);
  }

  reveal() {
    return this.element;
  }

  nearest() {
    return this.element;
  }
}

// The children of an object or array.
class Children {
  constructor(depth) {
    this.depth = depth;
    this.limit = STEP;
    this.children = new Map();
    this.list = element("ul");
    this.more = element("button", { type: "button", class: "more", hidden: true, onclick: () => this.grow(STEP) });
  }

  update(value) {
    this.value = value;
    const size = isObject(value) ? value.size : value.length;
    const items = [];
    const seen = new Set();
    for (const [key, inner] of isObject(value) ? value : value.entries()) {
      if (items.length === this.limit) break;
      items.push(this.child(key, inner));
      seen.add(key);
    }
    for (const key of this.children.keys()) if (!seen.has(key)) this.children.delete(key);
    arrange(this.list, items);
    this.more.hidden = size <= this.limit;
    if (!this.more.hidden) write(this.more, strings.more(Math.min(STEP, size - this.limit)));
  }

  child(key, value) {
    const kind = kindOf(value);
    let child = this.children.get(key);
    if (child?.kind !== kind) {
      const view = makeView(kind, key, this.depth);
      const item = child?.item ?? element("li");
      item.className = kind;
      item.replaceChildren(view.element);
      this.children.set(key, (child = { kind, view, item }));
    }
    child.view.update(value);
    return child.item;
  }

  grow(count) {
    this.limit += count;
    this.update(this.value);
  }

  reveal([key, ...rest]) {
    const keys = isObject(this.value) ? [...this.value.keys()] : [...this.value.keys()];
    const position = keys.indexOf(key);
    if (position >= this.limit) this.grow(position - this.limit + 1);
    const child = this.children.get(key);
    return child === undefined ? null : child.view.reveal(rest);
  }

  nearest([key, ...rest]) {
    return this.children.get(key)?.view.nearest(rest) ?? null;
  }

  fold(open, depth) {
    for (const { view } of this.children.values()) view.fold?.(open, depth + 1);
  }
}

class Root {
  constructor() {
    this.children = new Children(1);
    this.element = element("div", { class: "root" }, this.children.list, this.children.more);
  }

  update(value) {
    this.children.update(value);
  }

  reveal(path) {
    return path.length === 0 ? this.element : this.children.reveal(path);
  }

  nearest(path) {
    return path.length === 0 ? null : this.children.nearest(path);
  }

  fold(open, depth) {
    this.children.fold(open, depth);
  }
}

// What can be folded: its content is made when it is unfolded, and changed while it is.
class Folding {
  constructor(label, depth, count) {
    this.depth = depth;
    this.count = count;
    this.value = null;
    this.shown = null;
    this.note = element("span", { class: "note" });
    this.summary = element("summary", {}, element("span", { class: "key" }, String(label)), " ", this.note);
    this.element = element("details", { ontoggle: () => this.refresh() }, this.summary);
    this.fresh = true;
  }

  update(value) {
    this.value = value;
    const size = isObject(value) ? value.size : value.length;
    if (this.fresh) {
      this.fresh = false;
      this.element.open = this.opensAtFirst(size);
    }
    write(this.note, this.element.open ? this.count(size) : `${this.count(size)}: ${preview(value)}`);
    if (this.element.open) this.content().update(value);
  }

  refresh() {
    if (this.value !== null) this.update(this.value);
  }

  reveal(path) {
    if (path.length === 0) return this.summary;
    this.element.open = true;
    this.refresh();
    return this.content().reveal(path) ?? this.summary;
  }

  nearest(path) {
    const isShown = path.length > 0 && this.element.open && this.shown !== null;
    return (isShown ? this.shown.nearest(path) : null) ?? this.summary;
  }

  fold(open, depth) {
    if (depth > 3) return;
    this.element.open = open;
    this.refresh();
    if (this.shown !== null) this.shown.fold?.(open, depth);
  }
}

class Branch extends Folding {
  constructor(label, depth) {
    super(label, depth, strings.entries);
  }

  opensAtFirst(size) {
    return this.depth < OPEN_DEPTH && size <= OPEN_SIZE;
  }

  content() {
    if (this.shown === null) {
      this.shown = new Children(this.depth + 1);
      this.element.append(this.shown.list, this.shown.more);
    }
    return this.shown;
  }
}

class TableBranch extends Folding {
  constructor(label, depth) {
    super(label, depth, strings.rows);
    this.label = label;
  }

  opensAtFirst() {
    return this.depth < OPEN_DEPTH;
  }

  content() {
    if (this.shown === null) {
      this.shown = new Table(String(this.label));
      this.element.append(this.shown.element);
    }
    return this.shown;
  }
}
