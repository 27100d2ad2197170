// Promises that what is kept as a node's checkpoint is of that node's own log and signed by the key it names.
// Trusts the channel, which has proven the node, and the store for what came before. Specified in docs/audit.md "Checkpoints kept elsewhere".
import { noteCrypto, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { NodeAddress } from "../gateways/hub.ts";
import type { CheckpointRefusalCode } from "./store.ts";

export interface SentCheckpoint {
  readonly origin: string;
  readonly note: string;
  /** Verifier key of the origin, as C2SP signed-note prints it. */
  readonly key: string;
}

export type CheckpointJudgement =
  | { readonly kind: "proven"; readonly logKey: string }
  | { readonly kind: "refused"; readonly code: CheckpointRefusalCode };

const originPrefix = /^[a-z0-9][a-z0-9.-]{0,252}$/;

/** Is the origin one of the node's own log? */
export function isOriginOf(address: NodeAddress, origin: string): boolean {
  // The prefix is a host name of the operator's choice (docs/formats/leaf.md "Origins"); what follows says whose log it is.
  const [prefix = "", ...path] = origin.split("/");
  const own = [address.tenant, address.environment, address.node, "gateway"].join("/");
  return originPrefix.test(prefix) && path.slice(0, -1).join("/") === own && /^2[0-9]{3}$/.test(path.at(-1) ?? "");
}

/** Whose log, and who signed: never throws. `logKey` is the raw public key, base64, the same in every year of a log. */
export function judgeCheckpoint(address: NodeAddress, { origin, note, key }: SentCheckpoint): CheckpointJudgement {
  if (!isOriginOf(address, origin)) return { kind: "refused", code: "foreign-origin" };
  const verifier = parseVerifierKey(sha256, key);
  if (verifier === null) return { kind: "refused", code: "bad-signature" };
  const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys: [verifier] });
  if (verdict.kind === "ok") return { kind: "proven", logKey: Buffer.from(verifier.publicKey).toString("base64") };
  return { kind: "refused", code: verdict.why === "foreign-origin" ? "foreign-origin" : "bad-signature" };
}
