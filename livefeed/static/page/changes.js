// The differences between two values.

import { isBranch, isObject, Numeral, sameScalar } from "./exact.js";

const MOST = 500;
const IDENTITIES = ["id", "key", "code", "name"];

// Gives the member by which the objects of an array are told apart: each has it, and no two have the same.
export function identityOf(array) {
  if (array.length === 0 || !array.every(isObject)) return null;
  for (const name of IDENTITIES) {
    const values = array.map((item) => scalarKey(item.get(name)));
    if (!values.includes(null) && new Set(values).size === array.length) return name;
  }
  return null;
}

export function scalarKey(value) {
  if (typeof value === "string") return value;
  return value instanceof Numeral ? value.text : null;
}

// Gives the differences as {path, before, after, kind}, at most `most` of them. `path` is as in pointers.js.
// `kind` is "changed", "added" or "removed".
export function differences(before, after, most = MOST) {
  const found = [];
  compare([], before, after);
  return found;

  function add(path, kind, old, fresh) {
    if (found.length < most) found.push({ path, kind, before: old, after: fresh });
  }

  function compare(path, old, fresh) {
    if (found.length >= most) return;
    if (Array.isArray(old) && Array.isArray(fresh)) return compareArrays(path, old, fresh);
    if (isObject(old) && isObject(fresh)) return compareMaps(path, old, fresh, (key) => key);
    if (isBranch(old) || isBranch(fresh) || !sameScalar(old, fresh)) add(path, "changed", old, fresh);
  }

  function compareArrays(path, old, fresh) {
    const identity = identityOf(old);
    if (identity !== null && identity === identityOf(fresh)) {
      const byKey = (array) => new Map(array.map((item) => [scalarKey(item.get(identity)), item]));
      return compareMaps(path, byKey(old), byKey(fresh), (key) => ({ member: identity, value: key }));
    }
    const byPlace = (array) => new Map(array.entries());
    return compareMaps(path, byPlace(old), byPlace(fresh), (place) => place);
  }

  function compareMaps(path, old, fresh, name) {
    for (const [key, value] of old) {
      if (fresh.has(key)) compare([...path, name(key)], value, fresh.get(key));
      else add([...path, name(key)], "removed", value, undefined);
    }
    for (const [key, value] of fresh) {
      if (!old.has(key)) add([...path, name(key)], "added", undefined, value);
    }
  }
}
