// Promises a checkpoint of an origin's folder only when the given key signed it; else what is wrong with it. Trusts the key alone.
// Specified in docs/formats/leaf.md "Checkpoints".
import { join } from "node:path";
import { splitCheckpoints, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { cosignedFile } from "./checkpoint-files.ts";
import { readWhole } from "./disk.ts";
import { noteCrypto } from "./log-crypto.ts";
import type { OriginRules, SignedRoot } from "./verify-report.ts";

export type ReadSigned =
  | { readonly kind: "signed"; readonly root: SignedRoot }
  /** Nothing is there, and nothing need be. */
  | { readonly kind: "none" }
  | { readonly kind: "wrong"; readonly file: string; readonly message: string };

/** `head` or `checkpoint` of an origin; a bare copy need have no `head`. */
export function readSigned(
  { disk, directory, origin, key, isBare }: Pick<OriginRules, "disk" | "directory" | "origin" | "key" | "isBare">,
  name: "head" | "checkpoint",
): ReadSigned {
  const file = join(directory, name);
  const bytes = readWhole(disk, file);
  if (bytes === null && name === "head" && isBare) return { kind: "none" };
  if (bytes === null) return { kind: "wrong", file, message: `${name} is missing: nothing says how long this log was` };
  return judged({ directory, origin, key }, name, bytes.toString("utf8"));
}

/** Every note that witnesses cosigned. */
export function readCosigned(rules: Pick<OriginRules, "disk" | "directory" | "origin" | "key">): readonly ReadSigned[] {
  const text = readWhole(rules.disk, join(rules.directory, cosignedFile))?.toString("utf8") ?? "";
  return splitCheckpoints(text).map((note) => judged(rules, cosignedFile, note));
}

function judged(
  { directory, origin, key }: Pick<OriginRules, "directory" | "origin" | "key">,
  name: string,
  note: string,
): ReadSigned {
  const file = join(directory, name);
  const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys: [key] });
  if (verdict.kind === "ok") return { kind: "signed", root: { ...verdict.checkpoint, from: file } };
  const why = {
    malformed: "is not a checkpoint",
    unsigned: "is not signed by the given key",
    "bad-signature": "carries a wrong signature of the given key",
    "foreign-origin": "belongs to another origin",
  }[verdict.why];
  return { kind: "wrong", file, message: `${name} ${why}` };
}
