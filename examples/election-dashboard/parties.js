/** The table of the parties, with the differences to the last election and to the version before. */

import { color, flash, make, number, put, signed } from "./elements.js";

export class Parties {
  #body;
  #choose;
  #rows = new Map();
  #together = new Set();

  /**
   * @param body The body of the table.
   * @param choose Is called with the keys of the parties that are ticked.
   */
  constructor(body, choose) {
    this.#body = body;
    this.#choose = choose;
  }

  /** Draws the parties of a document, and what has changed since the version before. */
  draw({ parties }, changes) {
    const most = Math.max(...parties.flatMap(({ percent, before }) => [percent, before.percent]));
    for (const party of parties) {
      const row = this.#rows.get(party.key) ?? this.#add(party);
      const { percent, seats, votes, before } = party;
      put(row.seats, number(seats));
      put(row.seatsBefore, `(${signed(seats - before.seats)})`);
      put(row.percent, number(percent, 1));
      put(row.percentBefore, `(${signed(percent - before.percent, 1)})`);
      put(row.votes, number(votes));
      row.bar.style.setProperty("--share", `${(100 * percent) / most}%`);
      row.bar.style.setProperty("--before", `${(100 * before.percent) / most}%`);
      this.#tell(row, changes.parties.get(party.key), changes.isNew);
    }
  }

  #tell(row, change, isNew) {
    put(row.votesChange, change?.votes && !isNew ? signed(change.votes) : "");
    if (change?.seats) flash(row.seats);
  }

  #add({ key, name, color: ownColor }) {
    const tick = make("input", { type: "checkbox", "aria-label": name });
    tick.addEventListener("change", () => {
      if (tick.checked) this.#together.add(key);
      else this.#together.delete(key);
      this.#choose(this.#together);
    });
    const cells = {
      seats: make("b"),
      seatsBefore: make("small"),
      percent: make("b"),
      percentBefore: make("small"),
      votes: make("span"),
      votesChange: make("small", { className: "since" }),
      bar: make("div", { className: "bar" }),
    };
    const row = make(
      "tr",
      {},
      make("td", {}, tick),
      make("th", { scope: "row" }, make("span", { className: "chip" }), name),
      make("td", { className: "number" }, cells.seats, " ", cells.seatsBefore),
      make("td", { className: "number" }, cells.percent, " ", cells.percentBefore),
      make("td", { className: "number votes" }, cells.votesChange, " ", cells.votes),
      make("td", { className: "wide" }, cells.bar),
    );
    row.style.setProperty("--party", color(ownColor));
    this.#body.append(row);
    this.#rows.set(key, cells);
    return cells;
  }
}
