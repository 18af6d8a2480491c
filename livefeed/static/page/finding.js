// The matches of a search in a document.

import { isBranch, isObject, preview } from "./exact.js";

const MOST = 1000;

// Gives the paths of all matches, at most 1000 of them.
export function find(value, words) {
  const wanted = words.toLowerCase();
  const found = [];
  look(value, []);
  return found;

  function look(inner, path) {
    if (found.length >= MOST) return;
    const name = path.at(-1);
    const named = typeof name === "string" && name.toLowerCase().includes(wanted);
    if (named || (!isBranch(inner) && preview(inner, Infinity).toLowerCase().includes(wanted))) found.push(path);
    if (!isBranch(inner)) return;
    for (const [key, child] of isObject(inner) ? inner : inner.entries()) look(child, [...path, key]);
  }
}
