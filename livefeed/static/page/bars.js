// The parties by their votes, as bars, with the change since the last election.

import { arrange, element, write } from "./dom.js";
import { light } from "./sparks.js";
import { format, strings } from "./strings.js";

const words = strings.election;

export class Bars {
  constructor() {
    this.rows = new Map();
    this.body = element("tbody");
    const column = (text, extra = {}) => element("th", { scope: "col", ...extra }, text);
    this.element = element(
      "table",
      { class: "bars" },
      element(
        "thead",
        {},
        element("tr", {}, column(words.party), column(words.votes, { class: "number" }), column(words.share, { class: "number" }), column(words.change, { class: "number", title: words.changeHint })),
      ),
      this.body,
    );
  }

  update({ parties }) {
    const order = [...parties].sort((a, b) => b.votes - a.votes);
    const most = Math.max(1, ...parties.map((party) => Math.max(party.percent, party.before.percent)));
    arrange(this.body, order.map((party) => this.row(party, most)));
  }

  row(party, most) {
    let row = this.rows.get(party.key);
    if (row === undefined) this.rows.set(party.key, (row = new Row()));
    row.update(party, most);
    return row.element;
  }
}

class Row {
  constructor() {
    this.name = element("span", { class: "name" });
    this.fill = element("span", { class: "fill" });
    this.mark = element("span", { class: "mark" });
    this.votes = element("td", { class: "number" });
    this.share = element("td", { class: "number share" });
    this.change = element("td", { class: "number" });
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, this.fill, this.mark);
    this.element = element("tr", {}, element("th", { scope: "row" }, this.name, bar), this.votes, this.share, this.change);
    this.text = null;
  }

  update(party, most) {
    write(this.name, party.name);
    this.fill.style.inlineSize = `${(100 * party.percent) / most}%`;
    this.fill.style.background = party.color;
    this.mark.style.insetInlineStart = `${(100 * party.before.percent) / most}%`;
    write(this.votes, format.whole(party.votes));
    const text = format.percent(party.percent);
    if (this.text !== null && text !== this.text) light(this.share);
    this.text = text;
    write(this.share, text);
    const change = party.percent - party.before.percent;
    this.change.dataset.sign = party.votes === 0 ? "" : change < 0 ? "down" : "up";
    write(this.change, party.votes === 0 ? "–" : format.pointsChange(change));
  }
}
