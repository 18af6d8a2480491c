// Numbers that light up when they change, each with a line of its last values.

import { graphic, write } from "./dom.js";

const MOST = 40; // values of a line
const WIDTH = 60;
const HEIGHT = 16;

export class LiveNumber {
  // target: the element that shows the number. The line is put behind it.
  constructor(target) {
    this.target = target;
    this.values = [];
    this.text = null;
    this.line = null;
  }

  set(text, value) {
    if (text === this.text) {
      // The mark of a change lasts until the next version.
      delete this.target.dataset.changed;
      return;
    }
    const first = this.text === null;
    this.text = text;
    write(this.target, text);
    this.values.push(value);
    if (this.values.length > MOST) this.values.shift();
    if (first) return;
    this.target.dataset.changed = value >= this.values.at(-2) ? "up" : "down";
    light(this.target);
    this.draw();
  }

  draw() {
    if (this.line === null) {
      this.path = graphic("polyline", { fill: "none", "vector-effect": "non-scaling-stroke" });
      this.line = graphic(
        "svg",
        { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        this.path,
      );
      this.target.after(this.line);
    }
    this.path.setAttribute("points", points(this.values));
  }
}

// Starts the animation of a change anew. Two animations that are equal take turns, since a name that stays starts none.
export function light(target) {
  target.classList.toggle("lit-again", target.classList.contains("lit"));
  target.classList.toggle("lit", !target.classList.contains("lit-again"));
}

function points(values) {
  const least = Math.min(...values);
  const range = Math.max(...values) - least || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  return values
    .map((value, place) => `${(place * step).toFixed(1)},${(HEIGHT - 1 - ((value - least) / range) * (HEIGHT - 2)).toFixed(1)}`)
    .join(" ");
}
