// Pointers to values, as rules and overlays write them: JSON Pointers in which {name=North} is the element of an array
// whose member is so. A path has names, indices, and such elements as {member, value}.

import { identityOf, scalarKey } from "./changes.js";
import { isObject } from "./exact.js";

const ESCAPES = { "~0": "~", "~1": "/", "~2": "*", "~3": "{", "~4": "=" };
const escaped = (text) => text.replaceAll("~", "~0").replaceAll("/", "~1");
const unescaped = (text) => text.replace(/~[0-4]/g, (escape) => ESCAPES[escape]);

function segmentOf(part) {
  if (typeof part === "object") {
    const value = part.value === "*" ? "~2" : escaped(part.value);
    return `{${escaped(part.member).replaceAll("=", "~4")}=${value}}`;
  }
  const name = escaped(String(part));
  return name === "*" ? "~2" : name.startsWith("{") ? `~3${name.slice(1)}` : name;
}

export const pointerOf = (path) => path.map((part) => `/${segmentOf(part)}`).join("");

// Gives a pointer with each element of an array by the member that tells it apart, as differences name it.
export function named(value, pointer) {
  const path = [];
  for (const token of pointer.split("/").slice(1)) {
    const [, member, wanted] = /^\{([^=]+)=(.*)\}$/.exec(token) ?? [];
    const identity = Array.isArray(value) ? identityOf(value) : null;
    let inner;
    if (isObject(value)) inner = value.get(unescaped(token));
    else if (Array.isArray(value)) {
      const isWanted = (item) => isObject(item) && String(scalarKey(item.get(unescaped(member)))) === unescaped(wanted);
      inner = member === undefined ? value[Number(token)] : value.find(isWanted);
    }
    if (identity !== null && inner !== undefined) path.push({ member: identity, value: scalarKey(inner.get(identity)) });
    else path.push(member === undefined || isObject(value) ? unescaped(token) : { member: unescaped(member), value: unescaped(wanted) });
    value = inner;
  }
  return pointerOf(path);
}
