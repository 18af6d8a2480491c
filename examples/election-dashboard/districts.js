/** The table of the districts: it can be sorted and searched, and rows that have just reported light up. */

import { color, flash, make, number, put } from "./elements.js";

/** Gives how far the first is ahead of the second, in percentage points; Infinity while no vote is counted. */
export function leadOf(votes) {
  const sum = votes.reduce((total, each) => total + each, 0);
  if (sum === 0) return Infinity;
  const [first, second = 0] = votes.toSorted((one, other) => other - one);
  return (100 * (first - second)) / sum;
}

const ORDERS = {
  name: (one, other) => one.name.localeCompare(other.name),
  counted: (one, other) => one.counted - other.counted,
  leader: (one, other) => (one.leader ?? "~").localeCompare(other.leader ?? "~"),
  lead: (one, other) => one.lead - other.lead || 0,
};

export class Districts {
  #body;
  #find;
  #found;
  #rows = new Map();
  #data;
  #order = { by: "lead", isDown: false };

  /**
   * @param body The body of the table, which has a head with buttons.
   * @param find The field with a part of a name.
   * @param found The element that tells how many districts are found.
   */
  constructor(body, find, found) {
    this.#body = body;
    this.#find = find;
    this.#found = found;
    find.addEventListener("input", () => this.#arrange());
    for (const head of body.parentElement.querySelectorAll("[data-sort]")) {
      head.querySelector("button").addEventListener("click", () => this.#sortBy(head));
    }
  }

  /** Draws the districts of a document, and lights up those that have reported since the version before. */
  draw(data, changes) {
    const parties = new Map(data.parties.map((party) => [party.key, party]));
    this.#data = data.districts.map((district) => ({ ...district, lead: leadOf(district.votes) }));
    for (const district of this.#data) {
      const row = this.#rows.get(district.name) ?? this.#add(district.name, data.parties);
      this.#fill(row, district, parties);
      if (changes.districts.has(district.name)) flash(row.element);
    }
    this.#arrange();
  }

  #fill(row, { counted, leader, before, lead, votes }, parties) {
    const party = parties.get(leader);
    const isGain = leader !== null && leader !== before;
    put(row.counted, `${number(counted, counted === 100 ? 0 : 1)} %`);
    put(row.leader, party ? party.name : "no votes yet");
    put(row.gain, isGain ? `gain from ${parties.get(before)?.name ?? before}` : "");
    put(row.lead, lead === Infinity ? "–" : number(lead, 1));
    row.element.style.setProperty("--party", party ? color(party.color) : "var(--line)");
    row.element.classList.toggle("complete", counted === 100);
    const sum = votes.reduce((total, each) => total + each, 0) || 1;
    row.shares.forEach((share, index) => (share.style.width = `${(100 * votes[index]) / sum}%`));
  }

  #add(name, parties) {
    const shares = parties.map((party) => {
      const share = make("span");
      share.style.background = color(party.color);
      return share;
    });
    const cells = { counted: make("span"), leader: make("span"), gain: make("small"), lead: make("span"), shares };
    cells.element = make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", { className: "number" }, cells.counted),
      make("td", {}, make("span", { className: "chip" }), cells.leader, " ", cells.gain),
      make("td", { className: "number" }, cells.lead),
      make("td", { className: "wide" }, make("div", { className: "shares", "aria-hidden": "true" }, ...shares)),
    );
    this.#rows.set(name, cells);
    return cells;
  }

  #sortBy(head) {
    const by = head.dataset.sort;
    this.#order = { by, isDown: this.#order.by === by && !this.#order.isDown };
    for (const each of head.parentElement.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", this.#order.isDown ? "descending" : "ascending");
    this.#arrange();
  }

  /** Puts the rows that are found into their order. Rows that stay where they are are not touched. */
  #arrange() {
    if (this.#data === undefined) return;
    const wanted = this.#find.value.trim().toLowerCase();
    const found = this.#data.filter(({ name }) => name.toLowerCase().includes(wanted));
    found.sort((one, other) => (this.#order.isDown ? -1 : 1) * ORDERS[this.#order.by](one, other));
    found.forEach(({ name }, index) => {
      const { element } = this.#rows.get(name);
      if (this.#body.children[index] !== element) this.#body.insertBefore(element, this.#body.children[index] ?? null);
    });
    while (this.#body.children.length > found.length) this.#body.lastElementChild.remove();
    put(this.#found, wanted ? `${found.length} of ${this.#data.length}` : "");
  }
}
