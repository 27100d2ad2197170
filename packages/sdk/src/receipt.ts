// Promises that a receipt of a crossing is checked offline, with nothing but keys or a policy that its holder was given before.
// Trusts those, and OpenSSL for Ed25519 and SHA-256. Specified in docs/formats/receipt.md and docs/receipts.md.
import { createHash, createPublicKey, verify } from "node:crypto";
import { type NoteCrypto, type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type ReceiptVerdict, verifyReceipt as verifyByTrust } from "@sallyport/protocol/audit/receipt.ts";
import { parsePolicy, type TlogPolicy } from "@sallyport/protocol/audit/tlog-policy.ts";

export type {
  ProvenCrossing,
  ProvenLeaf,
  ReceiptRefusal,
  ReceiptVerdict,
} from "@sallyport/protocol/audit/receipt.ts";
export type { DecidedRecord, EndedRecord } from "@sallyport/protocol/audit/receipt-leaf.ts";

export interface VerifyReceiptOptions {
  /** Verifier keys of gateways' logs (`<origin>+<key id>+<base64>`). Each is believed for every year of its log. */
  readonly keys?: readonly string[];
  /** Text of a C2SP tlog-policy file: logs, witnesses, and how many of them must have cosigned. */
  readonly policy?: string;
  /** Id of the crossing it has to be of; without it, look at `crossing` of the verdict. */
  readonly crossing?: string;
  /** Milliseconds since the epoch; default: this machine's clock. Cosignatures dated more than ten minutes later do not count. */
  readonly now?: number;
}

const crypto: NoteCrypto = {
  // The one-shot `hash` came with Node 20.12; this file runs on every 20.
  sha256: (bytes) => createHash("sha256").update(bytes).digest(),
  verifyEd25519: (publicKey, message, signature) => {
    const x = Buffer.from(publicKey).toString("base64url");
    return verify(null, message, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }), signature);
  },
};

/**
 * Is this the receipt of a crossing, as a log of these keys (or of this policy) signed it? Never throws for what the receipt says.
 * Throws TypeError for a key or a policy that is none, and where neither names a log.
 */
export function verifyReceipt(receipt: string, options: VerifyReceiptOptions): ReceiptVerdict {
  const keys = (options.keys ?? []).map(keyOf);
  const policy = options.policy === undefined ? null : policyOf(options.policy);
  if (keys.length === 0 && (policy === null || policy.logs.length === 0))
    throw new TypeError("Name whose logs to believe: `keys`, or a `policy` with a log line.");
  return verifyByTrust(crypto, receipt, {
    trust: { keys, policy },
    crossing: options.crossing ?? null,
    now: options.now ?? Date.now(),
  });
}

function keyOf(text: string): NoteVerifier {
  const key = parseVerifierKey(crypto.sha256, text);
  if (key === null)
    throw new TypeError(`Not the verifier key of a log, <origin>+<key id>+<base64>: ${text.slice(0, 80)}`);
  return key;
}

function policyOf(text: string): TlogPolicy {
  const parsed = parsePolicy(crypto.sha256, new TextEncoder().encode(text));
  if (parsed.kind === "malformed") throw new TypeError(`Not a tlog-policy, line ${parsed.line}: ${parsed.why}.`);
  return parsed.policy;
}
