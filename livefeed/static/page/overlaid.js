// The values that an editor has put in place of those of the source: a line that names them, and a mark at each one.

import { element, write } from "./dom.js";
import { named } from "./pointers.js";
import { strings } from "./strings.js";

// Gives the keys and indices that lead to a value, as far as the document has them.
function pathOf(value, pointer) {
  const path = [];
  for (const token of pointer.split("/").slice(1)) {
    const key = Array.isArray(value) ? Number(token) : token.replaceAll("~1", "/").replaceAll("~0", "~");
    value = value instanceof Map ? value.get(key) : Array.isArray(value) ? value[key] : undefined;
    if (value === undefined) break;
    path.push(key);
  }
  return path;
}

export class Overlaid {
  constructor(tree) {
    this.tree = tree;
    this.paths = [];
    this.marked = [];
    this.element = element("p", { class: "overlaid", role: "region", "aria-label": strings.overlaidTitle, hidden: true });
    // What is unfolded has its marks at once.
    tree.element.addEventListener("toggle", () => this.mark(), true);
  }

  // pointers: those of the document; empty if an earlier version is shown, whose pointers nobody knows any more.
  update(pointers, value) {
    write(this.element, pointers.length === 0 ? "" : strings.overlaid(pointers.map((pointer) => named(value, pointer))));
    this.element.hidden = pointers.length === 0;
    this.paths = pointers.map((pointer) => pathOf(value, pointer));
    this.mark();
  }

  mark() {
    const shown = this.paths.map((path) => this.tree.nearest(path)).filter((each) => each !== null);
    for (const each of this.marked) {
      if (shown.includes(each)) continue;
      delete each.dataset.overlaid;
      each.removeAttribute("title");
    }
    for (const each of shown) {
      each.dataset.overlaid = "";
      each.title = strings.overlaidValue;
    }
    this.marked = shown;
  }
}
