// Arrays of similar objects as tables, which can be sorted by each column.

import { identityOf, scalarKey } from "./changes.js";
import { arrange, element, write } from "./dom.js";
import { isBranch, isObject, Numeral, preview } from "./exact.js";
import { LiveNumber } from "./sparks.js";
import { format, strings } from "./strings.js";

const MOST_COLUMNS = 14;
const STEP = 100; // rows that are shown at first, and more at each click
const SAMPLE = 100; // rows that decide about the columns
const CELL = 120; // characters

// Gives the columns of an array, or null if its elements are too different for a table.
export function columnsOf(array) {
  if (array.length < 2 || !array.every(isObject)) return null;
  const sample = array.slice(0, SAMPLE);
  const counts = new Map();
  for (const item of sample) {
    for (const [key, value] of item) {
      if (isObject(value)) return null;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const shared = [...counts.values()].reduce((sum, count) => sum + count, 0) / (counts.size * sample.length);
  return counts.size > 0 && counts.size <= MOST_COLUMNS && shared >= 0.7 ? [...counts.keys()] : null;
}

export class Table {
  constructor(label) {
    this.limit = STEP;
    this.sorted = null; // {column, down}
    this.rows = new Map();
    this.columns = [];
    this.head = element("tr");
    this.body = element("tbody");
    this.more = element("button", { type: "button", class: "more", onclick: () => this.grow(STEP) });
    this.element = element(
      "div",
      { class: "table" },
      element(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": strings.table(label) },
        element("table", {}, element("thead", {}, this.head), this.body),
      ),
      this.more,
    );
  }

  update(array) {
    this.array = array;
    const columns = columnsOf(array) ?? this.columns;
    if (columns.join("\n") !== this.columns.join("\n")) this.setColumns(columns);
    this.identity = identityOf(array);
    const keys = array.map((item, place) => (this.identity ? scalarKey(item.get(this.identity)) : place));
    const order = this.order(array);
    const present = new Set(keys);
    for (const key of this.rows.keys()) if (!present.has(key)) this.rows.delete(key);
    const shown = order.slice(0, this.limit).map((place) => {
      let row = this.rows.get(keys[place]);
      if (row === undefined) this.rows.set(keys[place], (row = new Row(this.columns)));
      row.update(place, array[place]);
      return row.element;
    });
    arrange(this.body, shown);
    this.more.hidden = order.length <= this.limit;
    write(this.more, strings.more(Math.min(STEP, order.length - this.limit)));
  }

  setColumns(columns) {
    this.columns = columns;
    this.rows.clear();
    if (this.sorted !== null && !columns.includes(this.sorted.column)) this.sorted = null;
    this.headers = columns.map((column) => {
      const button = element("button", { type: "button", onclick: () => this.sort(column) }, column);
      return element("th", { scope: "col" }, button);
    });
    this.head.replaceChildren(...this.headers);
    this.showSorting();
  }

  sort(column) {
    const down = this.sorted?.column === column ? !this.sorted.down : typeof this.first(column) !== "string";
    this.sorted = { column, down };
    this.showSorting();
    this.update(this.array);
  }

  first(column) {
    return this.array.map((item) => item.get(column)).find((value) => value !== undefined && value !== null);
  }

  showSorting() {
    for (const [place, header] of this.headers.entries()) {
      const mine = this.sorted?.column === this.columns[place];
      if (mine) header.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
      header.classList.toggle("number", this.array !== undefined && this.first(this.columns[place]) instanceof Numeral);
    }
  }

  // Gives the places of the rows in the order in which they are shown.
  order(array) {
    const order = [...array.keys()];
    if (this.sorted === null) return order;
    const { column, down } = this.sorted;
    const sign = down ? -1 : 1;
    return order.sort((a, b) => sign * compare(array[a].get(column), array[b].get(column)) || a - b);
  }

  grow(count) {
    this.limit += count;
    this.update(this.array);
  }

  // Shows the row at a place, and gives the element that shows a member of it.
  reveal([place, column]) {
    const position = this.order(this.array).indexOf(place);
    if (position < 0) return null;
    if (position >= this.limit) this.grow(position - this.limit + 1);
    const key = this.identity ? scalarKey(this.array[place].get(this.identity)) : place;
    const row = this.rows.get(key);
    return row?.cells[this.columns.indexOf(column)]?.element ?? row?.element ?? null;
  }

  // Gives the cell of a member, or the row of an element, if they are shown.
  nearest([place, column]) {
    const key = this.identity ? scalarKey(this.array[place]?.get(this.identity)) : place;
    const row = this.rows.get(key);
    if (!row?.element.isConnected) return null;
    return row.cells[this.columns.indexOf(column)]?.element ?? row.cells[0]?.element ?? null;
  }
}

class Row {
  constructor(columns) {
    this.columns = columns;
    this.cells = columns.map(() => new Cell());
    this.element = element("tr", {}, ...this.cells.map((cell) => cell.element));
  }

  update(place, item) {
    for (const [number, column] of this.columns.entries()) this.cells[number].update(item.get(column));
  }
}

class Cell {
  constructor() {
    this.element = element("td");
    this.number = null;
  }

  update(value) {
    if (value instanceof Numeral) {
      if (this.number === null) {
        const target = element("span", { class: "number" });
        this.element.replaceChildren(target);
        this.element.className = "number";
        this.number = new LiveNumber(target);
      }
      this.number.set(value.text, value.value);
      return;
    }
    if (this.number !== null) {
      this.number = null;
      this.element.replaceChildren();
      this.element.className = "";
    }
    write(this.element, value === undefined ? "" : preview(value, CELL));
  }
}

// Numbers come before texts, and what is missing comes last or, downwards, first.
function compare(a, b) {
  if (a instanceof Numeral && b instanceof Numeral) return a.value - b.value;
  const rank = (value) => (value === undefined || value === null ? 3 : isBranch(value) ? 2 : value instanceof Numeral ? 0 : 1);
  return rank(a) - rank(b) || format.compare(preview(a ?? ""), preview(b ?? ""));
}
