// One version of a document. Its text is kept, and its value, which is many times as large, only as long as it is used.

import { parse } from "./exact.js";

const MOST = 3; // values that are kept: two that are compared, and the newest
const used = []; // the versions whose values are kept, the last used one last

export class Version {
  #value;

  constructor(version, text) {
    this.version = version;
    this.text = text;
    this.at = performance.now();
    this.time = new Date();
  }

  // The value; undefined if the document is too deep to be shown.
  get value() {
    const place = used.indexOf(this);
    if (place >= 0) used.splice(place, 1);
    else this.#value = read(this.text);
    used.push(this);
    if (used.length > MOST) used.shift().#value = undefined;
    return this.#value;
  }
}

function read(text) {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
