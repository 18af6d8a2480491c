// The values of a document with their pointers, as a reader looks for them.

import { identityOf, scalarKey } from "../page/changes.js";
import { isBranch, isObject, preview } from "../page/exact.js";
import { pointerOf } from "../page/pointers.js";

// Gives the values in which all words are found, in their pointer or in themselves, as {pointer, value}: at most `most`
// of them, and whether there are more. A value is one without others in it. An element of an array is named by the member
// that tells it apart, so that the pointer leads to it also when the array is in another order.
export function leaves(value, words, most) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  let isCut = false;
  look(value, []);
  return { found, isCut };

  function look(inner, path) {
    if (isCut) return;
    if (!isBranch(inner) || (isObject(inner) ? inner.size : inner.length) === 0) {
      take(inner, path);
      return;
    }
    if (isObject(inner)) {
      for (const [key, child] of inner) look(child, [...path, key]);
      return;
    }
    const identity = identityOf(inner);
    for (const [place, child] of inner.entries()) {
      look(child, [...path, identity === null ? place : { member: identity, value: scalarKey(child.get(identity)) }]);
    }
  }

  function take(inner, path) {
    // The document itself is no value of it.
    if (path.length === 0) return;
    const pointer = pointerOf(path);
    const text = `${pointer} ${preview(inner, Infinity)}`.toLowerCase();
    if (!wanted.every((word) => text.includes(word))) return;
    if (found.length === most) isCut = true;
    else found.push({ pointer, value: inner });
  }
}
