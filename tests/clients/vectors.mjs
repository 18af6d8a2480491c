// Runs vectors.json, the contract for clients in other languages, with the client for pages, and prints OK.
//
// The first argument is the file. A case that fails ends the program with its name.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { delayOfClose } from "../../clients/js/src/closes.js";
import { Item } from "../../clients/js/src/item.js";
import { isAbout } from "../../clients/js/src/messages.js";
import { delayOfAnswer } from "../../clients/js/src/slots.js";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const texts = Object.fromEntries(vectors.documents.map(({ version, text }) => [version, text]));

async function begin(have) {
  const items = {};
  for (const [path, version] of Object.entries(have)) {
    items[path] = new Item();
    const message = { type: "document", version, state: "live", text: texts[version] };
    if (version !== null) assert.ok(await items[path].take(message), path);
  }
  return items;
}

async function step(items, { message, shown, sends }, name) {
  const sent = [];
  for (const [each, item] of Object.entries(items)) {
    const isOwn = isAbout(message, each);
    if (isOwn !== undefined && !(await item.take(message, isOwn)) && isOwn) sent.push({ follow: each, have: null });
  }
  assert.deepEqual(sent, sends, name);
  for (const { path, text, state, version } of shown) {
    const item = items[path];
    assert.equal(item.state, state, name);
    assert.equal(item.text, text, name);
    assert.equal(item.version, version, name);
  }
}

for (const each of [...vectors.messages, ...vectors.sequences]) {
  const items = await begin(each.have);
  for (const one of each.steps ?? [each]) await step(items, one, each.name);
}

for (const { code, reason, status, retry_after, delay_ms } of vectors.slots) {
  let delay;
  if (code !== undefined) delay = delayOfClose(code, reason);
  else if (retry_after) delay = delayOfAnswer(retry_after);
  else continue;
  const name = `${code ?? status} ${reason ?? retry_after}`;
  if (delay_ms === null) assert.equal(delay, Infinity, name);
  else assert.ok(delay_ms[0] <= delay && delay <= delay_ms[1], `${name}: ${delay}`);
}

console.log("OK");
