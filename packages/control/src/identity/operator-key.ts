// Promises the file by which one operator is that operator: made with a fresh key, and read for what it says, or refused by its name.
// Trusts whoever holds it; its public half must be registered or declared. The file, version 1: docs/identity.md "Operators".
import { createPrivateKey } from "node:crypto";
import { generateSigner, signerFromJwk } from "@sallyport/kernel/token-crypto.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";

export const operatorKeyFile = "operator.key.json";
export const keyFileBytesMax = 4096;

/** The bytes of a new key file of this operator, and the signer whose public half is to be registered or declared. */
export function freshKeyFile(
  operator: string,
  { issuer, pin }: Pick<OperatorKey, "issuer" | "pin">,
): { readonly file: Uint8Array; readonly signer: TokenSigner } {
  const { pem, signer } = generateSigner("ES256");
  const jwk = createPrivateKey(pem).export({ format: "jwk" });
  const text = JSON.stringify({ v: 1, operator, issuer, pin, kid: signer.kid, jwk }, null, 2);
  return { file: Buffer.from(`${text}\n`), signer };
}

export interface OperatorKey {
  readonly operator: string;
  /** `<admin url>/operators` */
  readonly issuer: string;
  /** SHA-256 of the admin listener's SubjectPublicKeyInfo, base64. */
  readonly pin: string;
  readonly signer: TokenSigner;
}

/** Reads an operator key file, for the CLI and for taking up one left by a crash. Throws TypeError naming the file when it is not one. */
export function parseKeyFile(bytes: Uint8Array, path: string): OperatorKey {
  const content = parseJsonObject(bytes);
  const { v, operator, issuer, pin, jwk } = content ?? {};
  if (
    v !== 1 ||
    typeof operator !== "string" ||
    typeof issuer !== "string" ||
    typeof pin !== "string" ||
    typeof jwk !== "object" ||
    jwk === null
  ) {
    throw new TypeError(
      `${path} is not an operator key file of version 1; name the right one (role all keeps it at control/${operatorKeyFile} below --data, role control at ${operatorKeyFile})`,
    );
  }
  return { operator, issuer, pin, signer: signerFromJwk({ ...jwk }) };
}
