// The seats of a parliament as dots in a half circle, from left to right.

import { arrange, element, graphic, write } from "./dom.js";
import { placesOf } from "./places.js";
import { format, strings } from "./strings.js";

const words = strings.election;
const NOBODY = "var(--line)";

export class Hemicycle {
  constructor() {
    this.total = -1;
    this.dots = [];
    this.picture = graphic("svg", { class: "hemicycle", viewBox: "-106 -106 212 118", role: "img" });
    this.seats = element("ul", { class: "legend" });
    this.entries = new Map();
    this.element = element("div", {}, this.picture, this.seats);
  }

  update({ parties, seats }) {
    if (seats.total !== this.total) this.lay(seats.total);
    let at = 0;
    for (const party of parties) {
      for (const end = Math.min(at + party.seats, this.dots.length); at < end; at++) this.paint(at, party.color);
    }
    for (; at < this.dots.length; at++) this.paint(at, NOBODY);
    write(this.middle, format.whole(seats.majority));
    const list = parties.map((party) => `${party.name} ${format.whole(party.seats)}`).join(", ");
    this.picture.setAttribute("aria-label", words.hemicycle(list));
    arrange(this.seats, parties.map((party) => this.entry(party)));
  }

  lay(total) {
    this.total = total;
    const { places, size } = placesOf(total);
    this.dots = places.map(({ x, y }) => graphic("circle", { cx: (100 * x).toFixed(2), cy: (-100 * y).toFixed(2), r: (100 * size).toFixed(2) }));
    this.middle = graphic("text", { x: "0", y: "-2", class: "majority" });
    this.picture.replaceChildren(
      graphic("line", { x1: "0", y1: "-106", x2: "0", y2: "-36", class: "middle" }),
      ...this.dots,
      graphic("text", { x: "0", y: "-20", class: "caption" }, strings.election.majorityMark),
      this.middle,
    );
  }

  paint(place, color) {
    const dot = this.dots[place];
    if (dot.dataset.color === color) return;
    dot.dataset.color = color;
    dot.style.fill = color;
  }

  entry(party) {
    let entry = this.entries.get(party.key);
    if (entry === undefined) {
      const swatch = element("span", { class: "swatch" });
      const name = element("span", { class: "name" });
      const seats = element("strong");
      const change = element("span", { class: "change" });
      entry = { item: element("li", {}, swatch, name, seats, change), swatch, name, seats, change };
      this.entries.set(party.key, entry);
    }
    entry.swatch.style.background = party.color;
    write(entry.name, party.name);
    write(entry.seats, format.whole(party.seats));
    const before = party.before.seats;
    write(entry.change, Number.isFinite(before) ? format.change(party.seats - before) : "");
    return entry.item;
  }
}
