// Promises that equal values of one kind meet within one epoch and environment, and that nobody without the key can test a guess.
// Trusts the key it is given. Specified in docs/formats/seal.md, Pseudonyms.
import { createHmac, hkdfSync } from "node:crypto";
import { printContext, printText } from "@sallyport/protocol/seal/context.ts";

const label = new TextEncoder().encode("sallyport/pseudonym/v1");
const keyLabel = new TextEncoder().encode("sallyport/pseudonym-key/v1");
const pseudonymBytes = 16;
const epochForm = /^[a-z0-9-]{1,16}$/;

/** `<epoch>:<22 base64url>`. `key` has 32 bytes; `domain` names the kind of value. Throws TypeError for an epoch outside [a-z0-9-]{1,16}. */
export function pseudonymize(key: Uint8Array, epoch: string, domain: string, value: string): string {
  if (!epochForm.test(epoch)) throw new TypeError("an epoch is [a-z0-9-]{1,16}");
  const mac = createHmac("sha256", key).update(label);
  mac.update(printText(epoch)).update(printText(domain)).update(printText(value));
  return `${epoch}:${mac.digest().subarray(0, pseudonymBytes).toString("base64url")}`;
}

export interface PseudonymScope {
  readonly tenant: string;
  readonly environment: string;
  /** Four digits. */
  readonly year: string;
}

/** The 32-byte pseudonym key of one tenant, environment and year. `root` is version 1 of the purpose key `pseudonym-<year>`. */
export function derivePseudonymKey(root: Uint8Array, scope: PseudonymScope): Uint8Array {
  const { tenant, environment, year } = scope;
  if (!/^[0-9]{4}$/.test(year)) throw new TypeError("a pseudonym year has four digits");
  const info = Buffer.concat([keyLabel, printContext({ tenant, environment, year })]);
  return new Uint8Array(hkdfSync("sha512", root, new Uint8Array(0), info, 32));
}
