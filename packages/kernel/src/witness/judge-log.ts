// Promises whether a log's newest origin has a checkpoint that meets a trust policy, and how much of the log that covers. Trusts the policy and the
// log's verifier key; whether the leaves give the checkpoint's root, verification says (verify.ts takes the notes). Specified by C2SP tlog-policy.
import { join } from "node:path";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { sameLog, splitCheckpoints } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { judgeByPolicy, type PolicyVerdict, type TlogPolicy } from "@sallyport/protocol/audit/tlog-policy.ts";
import { cosignedFile } from "../log/checkpoint-files.ts";
import { type Disk, readWhole } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import { noteCrypto, sha256, verifierFor } from "../log/log-crypto.ts";
import { yearFolders } from "../log/origin.ts";

/** More than any policy names: whatever meets it is worth more than whatever does not. */
const cosignersMax = 1_024;

/** Cosigned checkpoints of the newest year of a log directory, and the published one. */
export function cosignedNotes(disk: Disk, directory: string): readonly string[] {
  const year = yearFolders(disk.list(directory)).at(-1);
  return year === undefined ? [] : notesOfOrigin(disk, join(directory, String(year)));
}

/** Cosigned checkpoints in an origin's folder, and the published one. */
export function notesOfOrigin(disk: Disk, folder: string): readonly string[] {
  const read = (name: string) => readWhole(disk, join(folder, name))?.toString("utf8") ?? "";
  return [...splitCheckpoints(read(cosignedFile)), read("checkpoint")].filter((note) => note !== "");
}

/** A policy met by `threshold` of these witnesses, whatever log they cosigned. Throws TypeError for a key that is none. */
export function quorumPolicy(witnessKeys: readonly string[], threshold: number): TlogPolicy {
  const witnesses = new Map(
    witnessKeys.map((text) => {
      const key = parseWitnessKey(sha256, text);
      if (key === null) throw new TypeError("not the verifier key of a witness");
      return [key.name, { key, url: null }] as const;
    }),
  );
  const groups = new Map([["outside", { threshold, members: [...witnesses.keys()] }]]);
  return { logs: [], witnesses, groups, quorum: "outside" };
}

/**
 * The verdict of the largest checkpoint that meets the policy, else that of the one most witnesses cosigned; null when there is none. A `log` line of the policy
 * speaks for every year of its log. `now`: milliseconds since the epoch; a cosignature dated more than ten minutes later does not count. Throws LogFault `log-key` for a malformed key.
 */
export function judgeLog(
  policy: TlogPolicy,
  notes: readonly string[],
  { verifierKey, now }: { readonly verifierKey: string; readonly now: number },
): PolicyVerdict | null {
  const key = parseVerifierKey(sha256, verifierKey);
  if (key === null)
    throw new LogFault("log-key", "the verifier key is not an Ed25519 key of the form <origin>+<key id>+<base64>");
  const verdicts = notes.map((note) => {
    const origin = note.slice(0, note.indexOf("\n"));
    const isKnown =
      policy.logs.length === 0 ||
      policy.logs.some((log) => sameBytes(log.key.publicKey, key.publicKey) && sameLog(log.key.name, origin));
    const verifiers = isKnown && sameLog(key.name, origin) ? [verifierFor(origin, key.publicKey)] : [];
    return judgeByPolicy(noteCrypto, { ...policy, logs: [] }, note, { logs: verifiers, now });
  });
  const worth = (verdict: PolicyVerdict) =>
    verdict.kind === "ok" ? verdict.checkpoint.size : verdict.cosigned.size - cosignersMax;
  return verdicts.toSorted((a, b) => worth(a) - worth(b)).at(-1) ?? null;
}
