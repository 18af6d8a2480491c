/** The list of the last changes, the newest first. */

import { color, make } from "./elements.js";

/** The number of changes that stay in the list. */
const MOST = 8;

/**
 * Adds what has changed.
 *
 * @param list The list.
 * @param changes The result of `compare`. Those of a new night empty the list.
 * @param parties The parties of the document.
 */
export function showChanges(list, { notes, isNew }, parties) {
  if (isNew) list.replaceChildren();
  const colors = new Map(parties.map((party) => [party.key, color(party.color)]));
  const time = new Date().toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const items = notes.slice(0, MOST).map(({ party, text }) => {
    const item = make("li", {}, make("span", { className: "chip" }), make("span", {}, text), " ", make("time", {}, time));
    item.style.setProperty("--party", colors.get(party) ?? "var(--line)");
    return item;
  });
  list.prepend(...items);
  while (list.children.length > MOST) list.lastElementChild.remove();
  list.classList.toggle("empty", list.children.length === 0);
}
