// The last versions: a slider over them, and the differences between any two.

import { differences } from "./changes.js";
import { element, write } from "./dom.js";
import { preview } from "./exact.js";
import { pointerOf } from "./pointers.js";
import { format, strings } from "./strings.js";

const MOST = 120; // versions
const MOST_CHARACTERS = 16_000_000;
const MOST_DIFFERENCES = 300;

export class History {
  // show: called with a kept version, or with null to return to the newest one.
  constructor(show) {
    this.show = show;
    this.kept = []; // versions, the oldest first
    this.characters = 0;
    this.at = null; // the version that is shown; null for the newest
    this.other = null; // the version to compare with; null for the newest, or for the one before it
    this.slider = element("input", { type: "range", id: "history-at", min: "0", max: "0", value: "0", oninput: () => this.choose() });
    this.where = element("output", { for: "history-at" });
    this.compare = element("input", { type: "checkbox", id: "history-compare", onchange: () => this.refresh() });
    this.second = element("input", { type: "range", id: "history-other", min: "0", max: "0", value: "0", oninput: () => this.chooseOther() });
    this.secondWhere = element("output", { for: "history-other" });
    this.note = element("p", { class: "note" }, strings.historyEmpty);
    this.count = element("p", { class: "note" });
    this.rows = element("tbody");
    this.differences = element(
      "div",
      { class: "differences" },
      this.count,
      element(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": strings.historyCompare },
        element(
          "table",
          {},
          element("thead", {}, element("tr", {}, ...["path", "before", "after"].map((name) => element("th", { scope: "col" }, strings.columns[name])))),
          this.rows,
        ),
      ),
    );
    this.secondRow = element("p", { class: "slider" }, element("label", { for: "history-other" }, strings.historyOther), this.second, this.secondWhere);
    this.element = element(
      "div",
      { class: "history" },
      this.note,
      element("p", { class: "slider" }, element("label", { for: "history-at" }, strings.historySlider), this.slider, this.where),
      element("p", {}, this.compare, " ", element("label", { for: "history-compare" }, strings.historyCompare)),
      this.secondRow,
      this.differences,
    );
    this.bannerText = element("span");
    this.banner = element(
      "p",
      { class: "banner", hidden: true },
      this.bannerText,
      " ",
      element("button", { type: "button", onclick: () => this.toNewest() }, strings.backToLive),
    );
    this.refresh();
  }

  add(version) {
    this.kept.push(version);
    this.characters += version.text.length;
    while (this.kept.length > 2 && (this.kept.length > MOST || this.characters > MOST_CHARACTERS)) {
      // The versions that somebody looks at go last.
      const oldest = this.kept.findIndex((one) => one !== this.at && one !== this.other);
      this.characters -= this.kept[oldest].text.length;
      this.kept.splice(oldest, 1);
    }
    this.refresh();
  }

  clear() {
    this.kept = [];
    this.characters = 0;
    this.other = null;
    this.toNewest();
  }

  toNewest() {
    this.at = null;
    this.refresh();
    this.show(null);
  }

  choose() {
    const place = Number(this.slider.value);
    const at = place >= this.kept.length - 1 ? null : this.kept[place];
    const moved = at !== this.at;
    this.at = at;
    this.refresh();
    if (moved) this.show(at);
  }

  chooseOther() {
    this.other = this.kept[Number(this.second.value)] ?? null;
    this.refresh();
  }

  refresh() {
    const last = this.kept.length - 1;
    this.note.hidden = last > 0;
    for (const slider of [this.slider, this.second, this.compare]) slider.disabled = last < 1;
    this.slider.max = this.second.max = String(Math.max(0, last));
    const place = this.at === null ? Math.max(0, last) : this.kept.indexOf(this.at);
    const otherPlace = Math.max(0, this.other === null ? (this.at === null ? last - 1 : last) : this.kept.indexOf(this.other));
    this.place(this.slider, this.where, place);
    this.place(this.second, this.secondWhere, otherPlace);
    this.banner.hidden = this.at === null;
    if (this.at !== null) write(this.bannerText, strings.historyShown(...this.when(this.at)));
    const comparing = this.compare.checked && last > 0;
    this.secondRow.hidden = this.differences.hidden = !comparing;
    if (comparing) this.showDifferences(this.kept[Math.min(place, otherPlace)], this.kept[Math.max(place, otherPlace)]);
  }

  place(slider, where, place) {
    slider.value = String(place);
    const text = place >= this.kept.length - 1 ? strings.historyLive : strings.historyAt(...this.when(this.kept[place]));
    slider.setAttribute("aria-valuetext", text);
    write(where, text);
  }

  when(one) {
    return [(performance.now() - one.at) / 1000, format.time(one.time)];
  }

  showDifferences(old, fresh) {
    if (this.shownPair?.[0] === old && this.shownPair[1] === fresh) return;
    this.shownPair = [old, fresh];
    const found = differences(old.value, fresh.value, MOST_DIFFERENCES);
    write(this.count, strings.differencesOf(found.length, MOST_DIFFERENCES));
    this.rows.replaceChildren(
      ...found.map(({ path, kind, before, after }) =>
        element(
          "tr",
          { class: kind },
          element("th", { scope: "row" }, pointerOf(path) || "/"),
          element("td", {}, kind === "added" ? strings.added : preview(before)),
          element("td", {}, kind === "removed" ? strings.removed : preview(after)),
        ),
      ),
    );
  }
}
