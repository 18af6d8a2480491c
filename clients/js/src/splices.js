/** The largest document in bytes that splices may make. */
const MOST_BYTES = 1 << 28;

const encoder = new TextEncoder();

/**
 * Applies splices: texts, lengths and distances, as docs/reference/protocol.md describes them.
 *
 * The caller compares the SHA-256 of the result with the version.
 *
 * @param {Uint8Array} old The document that the splices were made from.
 * @param {(string | number)[]} splices
 * @param {number} [maxBytes] The largest size of the result.
 * @returns {Uint8Array} The new document.
 * @throws {RangeError} If the splices are malformed, copy from outside of the document, or make more than maxBytes.
 */
export function applySplices(old, splices, maxBytes = MOST_BYTES) {
  const parts = [];
  let at = 0;
  let size = 0;
  let isDistance = false;
  for (const splice of splices) {
    const isText = typeof splice === "string";
    if (isDistance && !isText) at += splice;
    else {
      // A negative offset would count from the end.
      const part = isText ? encoder.encode(splice) : old.subarray(at < 0 ? Infinity : at, at + splice);
      at += part.length;
      size += part.length;
      if ((!isText && part.length !== splice) || size > maxBytes) throw new RangeError("splices");
      parts.push(part);
    }
    isDistance = !isText && !isDistance;
  }
  const result = new Uint8Array(size);
  size = 0;
  for (const part of parts) {
    result.set(part, size);
    size += part.length;
  }
  return result;
}
