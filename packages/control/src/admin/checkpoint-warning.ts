// Promises a sentence for each checkpoint that was refused, with what to do. Trusts audit/store.ts. Specified in docs/audit.md "Checkpoints kept elsewhere".
import type { LogFindingCode } from "@sallyport/kernel/witness/finding.ts";
import type { CheckpointRefusalCode, RefusedCheckpoint } from "../audit/store.ts";
import type { LogFindingRow } from "../audit/witness-store.ts";

const said: Readonly<Record<CheckpointRefusalCode, string>> = {
  "foreign-origin": "is of a log that is not this node's",
  "bad-signature": "is not signed by the key it names",
  "key-changed": "is signed by another key than the node's first",
  "rolled-back": "is shorter than the one kept here: leaves were taken back",
  forked: "has another root than the one kept here at the same size: leaves were changed",
  "too-many-origins": "is of one more origin than a node may have",
  "broken-chain": "is of an origin that does not begin where the one before it ended",
  "bad-records": "stands over records that are not this node's to write",
};

const contradicts: Readonly<Record<LogFindingCode, string>> = {
  "rolled-back": "is shorter than what {} cosigned: an older copy was put back, or leaves at its end are gone",
  forked: "has two roots for one size, by what {} cosigned: leaves were changed, or two copies ran",
  "split-view": "has other leaves than {} cosigned: it was put back and went on, or two copies run",
  restored: "was ended by a restore that went on from before what {} cosigned: the records in between are gone",
  "witness-rolled-back": "was cosigned by {} further than that witness remembers: the witness was put back",
  "key-changed": "is signed by another key than when {} cosigned it first",
};

/** For `status`: what a witness saw is no guess, and stays until somebody has looked. */
export function logFindingWarning({ code, origin, witness, at }: LogFindingRow): string {
  const when = new Date(at).toISOString();
  return `log ${origin} ${contradicts[code].replace("{}", witness)} (${code}, ${when}); evidence: sallyport audit findings`;
}

/** For `status`. The origin is the node's text, printable by parse-up.ts. */
export function checkpointWarning({ node, code, origin, at }: RefusedCheckpoint): string {
  const when = new Date(at).toISOString();
  return `${node}: a checkpoint of ${origin} ${said[code]} (${code}, ${when}); secure its log, then sallyport gateway revoke ${node}`;
}
