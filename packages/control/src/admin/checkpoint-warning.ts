// Promises a sentence for each checkpoint that was refused, with what to do. Trusts audit/store.ts. Specified in docs/audit.md "Checkpoints kept elsewhere".
import type { CheckpointRefusalCode, RefusedCheckpoint } from "../audit/store.ts";

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

/** For `status`. The origin is the node's text, printable by parse-up.ts. */
export function checkpointWarning({ node, code, origin, at }: RefusedCheckpoint): string {
  const when = new Date(at).toISOString();
  return `${node}: a checkpoint of ${origin} ${said[code]} (${code}, ${when}); secure its log, then sallyport gateway revoke ${node}`;
}
