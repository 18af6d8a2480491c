// A copy of the document that is kept by the messages of livefeed.delta.v1.

import jsonpatch from "fast-json-patch";

export class Copy {
  // What the client has already, if anything: a version and the document's text.
  constructor({ version = null, text = "null" } = {}) {
    this.version = version;
    this.document = JSON.parse(text);
  }

  // Takes a message, and gives what to print of it.
  take(text) {
    const message = JSON.parse(text);
    if (message.type === "snapshot") {
      this.document = message.data;
    } else if (message.type === "patch") {
      if (message.from !== this.version) {
        throw new Error(`a patch from ${message.from} for ${this.version}`);
      }
      const validate = true;
      this.document = jsonpatch.applyPatch(this.document, message.patch, validate).newDocument;
    } else if (message.type === "heartbeat" && message.version !== this.version) {
      throw new Error(`a heartbeat of ${message.version} for ${this.version}`);
    }
    this.version = message.version;
    return { type: message.type, version: this.version, state: message.state, document: this.document };
  }
}
