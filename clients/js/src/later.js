// What a line needs after its first document. It is loaded beside that, which does not wait for it.

export { readList } from "./messages.js";
export { watchPage } from "./page.js";
export { applySplices } from "./splices.js";
export { Stream } from "./stream.js";
