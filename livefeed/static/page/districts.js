// The table of all districts, which can be sorted and searched.

import { arrange, element, write } from "./dom.js";
import { light } from "./sparks.js";
import { format, strings } from "./strings.js";

const words = strings.election;
const COLUMNS = ["district", "countedShare", "leader", "second", "lead"];

export class Districts {
  constructor(choose) {
    this.choose = choose;
    this.sorted = { column: "countedShare", down: true };
    this.rows = new Map();
    this.headers = COLUMNS.map((column) =>
      element(
        "th",
        { scope: "col", class: column === "lead" || column === "countedShare" ? "number" : null },
        element("button", { type: "button", onclick: () => this.sort(column) }, words[column]),
      ),
    );
    this.body = element("tbody");
    this.filter = element("input", { type: "search", id: "filter", placeholder: words.filter, "aria-label": words.filter, autocomplete: "off", spellcheck: "false", oninput: () => this.draw() });
    this.element = element(
      "div",
      {},
      element("p", {}, this.filter),
      element(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": words.districts },
        element("table", {}, element("thead", {}, element("tr", {}, ...this.headers)), this.body),
      ),
    );
    this.showSorting();
  }

  update(night, chosen) {
    this.chosen = chosen;
    const parties = night.parties;
    this.facts = night.districts.map((district) => {
      const order = parties.map((party, place) => ({ party, votes: district.votes[place] })).sort((a, b) => b.votes - a.votes);
      const sum = district.votes.reduce((total, votes) => total + votes, 0);
      const share = (place) => (sum === 0 || !order[place] ? null : (100 * order[place].votes) / sum);
      return {
        district: district.name,
        countedShare: district.counted,
        leader: sum === 0 ? null : order[0].party,
        leaderShare: share(0),
        second: sum === 0 || order.length < 2 ? null : order[1].party,
        lead: sum === 0 || order.length < 2 ? null : share(0) - share(1),
        gain: district.leader && district.before && district.leader !== district.before,
      };
    });
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const { column, down } = this.sorted;
    const key = (fact) => fact[column]?.name ?? fact[column];
    const shown = this.facts
      .filter((fact) => fact.district.toLowerCase().includes(wanted))
      .sort((a, b) => compare(key(a), key(b), down) || format.compare(a.district, b.district));
    arrange(this.body, shown.map((fact) => this.row(fact)));
  }

  row(fact) {
    let row = this.rows.get(fact.district);
    if (row === undefined) this.rows.set(fact.district, (row = new Row(() => this.choose(fact.district))));
    row.update(fact, fact.district === this.chosen);
    return row.element;
  }

  sort(column) {
    const texts = column === "district" || column === "leader" || column === "second";
    this.sorted = { column, down: this.sorted.column === column ? !this.sorted.down : !texts };
    this.showSorting();
    this.draw();
  }

  showSorting() {
    for (const [place, header] of this.headers.entries()) {
      if (COLUMNS[place] === this.sorted.column) header.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
  }
}

// What is not known comes last in both directions.
function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (typeof a === "string" ? format.compare(a, b) : a - b) * (down ? -1 : 1);
}

class Row {
  constructor(choose) {
    this.name = element("button", { type: "button", class: "link", onclick: choose });
    this.counted = element("td", { class: "number" });
    this.first = new Candidate();
    this.second = new Candidate();
    this.lead = element("td", { class: "number" });
    this.element = element("tr", {}, element("th", { scope: "row" }, this.name), this.counted, this.first.element, this.second.element, this.lead);
    this.text = null;
  }

  update(fact, chosen) {
    write(this.name, fact.district);
    const text = format.percent(fact.countedShare);
    if (this.text !== null && this.text !== text) light(this.counted);
    this.text = text;
    write(this.counted, text);
    this.first.update(fact.leader, fact.leaderShare, fact.gain);
    this.second.update(fact.second, null, false);
    write(this.lead, fact.lead === null ? "–" : format.percent(fact.lead));
    this.element.classList.toggle("chosen", chosen);
  }
}

class Candidate {
  constructor() {
    this.swatch = element("span", { class: "swatch" });
    this.full = element("span", { class: "full" });
    this.short = element("abbr", { class: "short" });
    this.share = element("span", { class: "share" });
    this.gain = element("span", { class: "gain" }, words.gain);
    this.element = element("td", {}, this.swatch, this.full, this.short, this.share, this.gain);
  }

  update(party, share, gain) {
    this.swatch.hidden = party === null;
    if (party !== null) this.swatch.style.background = party.color;
    write(this.full, party === null ? "–" : party.name);
    write(this.short, party === null ? "–" : party.key);
    this.short.title = party === null ? "" : party.name;
    write(this.share, share === null ? "" : format.percent(share));
    this.gain.hidden = !gain;
  }
}
