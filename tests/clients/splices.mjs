// Applies splices with the code for browsers, and says how long it took.
//
// Standard input is a JSON array of cases: old (base64), splices (JSON as text), maxBytes, repeat.
// The output is a JSON array: of each the result (base64), or the name of the error; and the median time in ms of
// applying the splices, and of reading the result as a browser does (text, and JSON.parse if it is JSON).

import { readFileSync } from "node:fs";
import { applySplices } from "../../clients/js/src/splices.js";


const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const decoder = new TextDecoder();

function answer({ old, splices, maxBytes, repeat = 1 }) {
  const bytes = new Uint8Array(Buffer.from(old, "base64"));
  const elements = JSON.parse(splices);
  const times = [];
  const readTimes = [];
  let result;
  for (let turn = 0; turn < repeat; turn++) {
    const start = performance.now();
    try {
      result = applySplices(bytes, elements, maxBytes);
    } catch (error) {
      return { error: error.name };
    }
    const end = performance.now();
    times.push(end - start);
    if (repeat > 1) {
      JSON.parse(decoder.decode(result));
      readTimes.push(performance.now() - end);
    }
  }
  return { result: Buffer.from(result).toString("base64"), ms: median(times), readMs: median(readTimes) };
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(answer)));
