// Adds up the seats of the parties that the reader chooses.

import { arrange, element, write } from "./dom.js";
import { format, strings } from "./strings.js";

const words = strings.election;

export class Coalition {
  constructor() {
    this.chosen = new Set();
    this.buttons = new Map();
    this.choices = element("div", { class: "choices" });
    this.result = element("output");
    this.fill = element("div", { class: "stack", "aria-hidden": "true" });
    this.element = element(
      "div",
      { class: "coalition", role: "group", "aria-labelledby": "coalition" },
      element("h3", { id: "coalition" }, words.coalition),
      this.choices,
      this.fill,
      element("p", {}, this.result),
    );
  }

  update(night) {
    this.night = night;
    arrange(this.choices, night.parties.map((party) => this.button(party)));
    this.show();
  }

  button(party) {
    let button = this.buttons.get(party.key);
    if (button === undefined) {
      button = element("button", { type: "button", "aria-pressed": "false", onclick: () => this.turn(party.key) }, element("span", { class: "swatch" }), party.name);
      this.buttons.set(party.key, button);
    }
    button.firstChild.style.background = party.color;
    return button;
  }

  turn(key) {
    if (!this.chosen.delete(key)) this.chosen.add(key);
    this.buttons.get(key).setAttribute("aria-pressed", String(this.chosen.has(key)));
    this.show();
  }

  show() {
    const { parties, seats } = this.night;
    const chosen = parties.filter((party) => this.chosen.has(party.key));
    const sum = chosen.reduce((total, party) => total + party.seats, 0);
    const missing = seats.majority - sum;
    const verdict = missing > 0 ? words.noMajority(missing) : words.overMajority(-missing);
    write(this.result, chosen.length === 0 ? words.coalitionHint : `${words.seatsIn(sum)}, ${verdict}`);
    this.fill.hidden = chosen.length === 0;
    this.fill.replaceChildren(
      ...chosen.map((party) => {
        const part = element("span");
        part.style.inlineSize = `${(100 * party.seats) / seats.total}%`;
        part.style.background = party.color;
        return part;
      }),
      element("span", { class: "half" }),
    );
  }
}
