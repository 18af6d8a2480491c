/** The seats of a parliament as a half circle, and whether some parties have a majority together. */

import { color, put } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";
const OUTER = 98;
const INNER = 42;

/** The largest number of seats that is drawn: a document with a wrong number must not stop the page. */
const MOST_SEATS = 2000;

function makeSvg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/**
 * Gives the places of seats in a half circle, from left to right.
 *
 * @param {number} count The number of seats.
 * @returns {{ places: [number, number][], radius: number }} Coordinates, and the radius of a seat.
 */
export function seatPlaces(count) {
  const rows = Math.max(1, Math.round(Math.sqrt(count / 3)));
  const gap = (OUTER - INNER) / Math.max(1, rows - 1);
  const radii = Array.from({ length: rows }, (_, row) => INNER + gap * row);
  const sum = radii.reduce((total, each) => total + each, 0);
  const found = [];
  let left = count;
  radii.forEach((radius, row) => {
    const isLast = row === rows - 1;
    const seats = isLast ? left : Math.round((count * radius) / sum);
    left -= seats;
    for (let seat = 0; seat < seats; seat += 1) {
      const turn = seats === 1 ? 0.5 : seat / (seats - 1);
      found.push({ turn, radius });
    }
  });
  found.sort((one, other) => one.turn - other.turn || other.radius - one.radius);
  const places = found.map(({ turn, radius }) => {
    const angle = Math.PI * (1 - turn);
    return [radius * Math.cos(angle), -radius * Math.sin(angle)];
  });
  return { places, radius: Math.min(gap, (Math.PI * sum) / count) * 0.42 };
}

export class Parliament {
  #svg;
  #text;
  #seats = [];
  #sum = makeSvg("text", { y: -10, class: "sum" });
  #of = makeSvg("text", { y: 2, class: "of" });
  #data;
  #together = new Set();

  /**
   * @param svg The element that is drawn into.
   * @param text The element that tells about the majority.
   */
  constructor(svg, text) {
    this.#svg = svg;
    this.#text = text;
  }

  /** Draws the seats of a document. */
  draw(data) {
    this.#data = data;
    const total = Math.min(Math.max(data.seats.total, 1), MOST_SEATS);
    if (this.#seats.length !== total) this.#place(total);
    const { parties } = data;
    const owners = parties.flatMap((party) => Array(Math.min(Math.max(party.seats, 0), total)).fill(party));
    this.#seats.forEach((seat, index) => {
      const owner = owners[index];
      seat.style.fill = owner ? color(owner.color) : "var(--line)";
      const isOut = this.#together.size > 0 && !this.#together.has(owner?.key);
      seat.classList.toggle("out", isOut);
    });
    this.#svg.setAttribute("aria-label", parties.map(({ name, seats }) => `${name} ${seats}`).join(", "));
    const chosen = parties.filter(({ key }) => this.#together.has(key));
    const sum = chosen.reduce((all, { seats }) => all + seats, 0);
    put(this.#sum, String(chosen.length > 0 ? sum : data.seats.majority));
    put(this.#of, chosen.length > 0 ? `of ${data.seats.majority}` : "for a majority");
    put(this.#text, textOf(data.seats, chosen, sum));
  }

  /** Shows whether parties have a majority together. */
  choose(together) {
    this.#together = together;
    if (this.#data) this.draw(this.#data);
  }

  #place(count) {
    const { places, radius } = seatPlaces(count);
    const r = radius.toFixed(2);
    this.#seats = places.map(([x, y]) => makeSvg("circle", { cx: x.toFixed(2), cy: y.toFixed(2), r }));
    this.#svg.replaceChildren(...this.#seats, this.#sum, this.#of);
  }
}

/** Says whether parties have a majority together. */
function textOf({ majority, total }, chosen, sum) {
  if (chosen.length === 0) return `${majority} of ${total} seats are a majority`;
  const result = sum < majority ? `${majority - sum} short of a majority` : "a majority";
  return `${chosen.map(({ name }) => name).join(" + ")}: ${sum} seats, ${result}`;
}
