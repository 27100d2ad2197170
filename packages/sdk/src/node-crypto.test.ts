import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { PublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { nodeCrypto } from "./node-crypto.ts";

const vectors = process.env.SALLYPORT_VECTORS ?? join(import.meta.dirname, "../../../../shared/vectors");
const skip = existsSync(join(vectors, "wycheproof"))
  ? false
  : `no vectors at ${vectors}/wycheproof (set SALLYPORT_VECTORS)`;

interface Suite {
  readonly testGroups: readonly {
    readonly publicKey: { readonly wx: string; readonly wy: string; readonly pk: string };
    readonly tests: readonly {
      readonly tcId: number;
      readonly msg: string;
      readonly sig: string;
      readonly result: string;
    }[];
  }[];
}

const base64url = (hex: string) => Buffer.from(hex.replace(/^0+/, "").padStart(64, "0"), "hex").toString("base64url");

const suites: readonly (readonly [string, number, (key: Suite["testGroups"][number]["publicKey"]) => PublicJwk])[] = [
  [
    "ecdsa_secp256r1_sha256_p1363_test.json",
    262,
    ({ wx, wy }) => ({ kty: "EC", crv: "P-256", x: base64url(wx), y: base64url(wy) }),
  ],
  [
    "ed25519_test.json",
    151,
    ({ pk }) => ({ kty: "OKP", crv: "Ed25519", x: Buffer.from(pk, "hex").toString("base64url") }),
  ],
];
for (const [file, count, jwkOf] of suites) {
  test(`a service that uses the SDK judges every vector of ${file} as Wycheproof does`, { skip }, () => {
    let seen = 0;
    // The vectors' own schema is the type; a mismatch shows in the count.
    const { testGroups } = JSON.parse(readFileSync(join(vectors, "wycheproof", file), "utf8")) as Suite;
    for (const { publicKey, tests } of testGroups) {
      const key = nodeCrypto.importKey(jwkOf(publicKey));
      assert.ok(key);
      for (const { tcId, msg, sig, result } of tests) {
        seen++;
        assert.equal(key.verify(Buffer.from(msg, "hex"), Buffer.from(sig, "hex")), result === "valid", `tcId ${tcId}`);
      }
    }
    assert.equal(seen, count);
  });
}
