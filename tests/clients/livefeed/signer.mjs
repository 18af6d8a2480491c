// Signs statements as livefeed does.

import { createHash, generateKeyPairSync, sign } from "node:crypto";

export class Signer {
  /** What the statements say in place of the truth. */
  lies = {};

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    this.key = privateKey;
    const { kty, crv, x } = publicKey.export({ format: "jwk" });
    this.keys = { keys: [{ kty, crv, x }] };
    this.id = createHash("sha256").update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest("base64url");
  }

  /** Gives the member `signed` of a message. */
  sign(facts) {
    const now = Math.floor(Date.now() / 1000);
    const { text, sequence, state, feed = "feed", created = now, lasts = 8, id = this.id, alg = "ed25519", tag = "livefeed" } = {
      ...facts,
      ...this.lies,
    };
    const digest = createHash("sha256").update(text).digest("base64");
    const statement = `feed="${feed}", sequence="${sequence}", sha-256=:${digest}:, state=${state}, at="2026-11-23T20:15:07.004Z"`;
    const parameters = `("livefeed-statement");created=${created};expires=${created + lasts};keyid="${id}";alg="${alg}";tag="${tag}"`;
    const base = `"livefeed-statement": ${statement}\n"@signature-params": ${parameters}`;
    return { statement, parameters, signature: sign(null, Buffer.from(base), this.key).toString("base64") };
  }
}

/** Gives the fields of an answer. */
export function fieldsOf({ statement, parameters, signature }) {
  return {
    "Livefeed-Statement": statement,
    "Signature-Input": `proxy=("date");created=1, livefeed=${parameters}`,
    Signature: `proxy=:AA==:, livefeed=:${signature}:`,
  };
}
