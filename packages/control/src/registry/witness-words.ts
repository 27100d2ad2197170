// Promises who witnesses, in sentences, so that no change of it passes a plan unseen. Pure. Trusts the estate to be loaded. docs/cli/plan.md.
import type { OutsideWitnessConfig, WitnessedLogConfig, WitnessesConfig } from "./config/estate.ts";
import type { TrustChange } from "./trust-words.ts";

/** Where a plan says what concerns the installation itself. */
const environment = "sallyport";

/** What differs between what an estate holds and what is wanted of it, in ascending order of object. */
export function witnessChanges(held: WitnessesConfig, wanted: WitnessesConfig | undefined): readonly TrustChange[] {
  const [before, after] = [witnessWords(held), witnessWords(wanted)];
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((about): TrustChange[] => {
    const [old, now] = [before.get(about) ?? null, after.get(about) ?? null];
    if (old === now) return [];
    const change = old === null ? "added" : now === null ? "removed" : "changed";
    return [{ environment, about, change, before: old, after: now }];
  });
}

/** By object: `witness/notary`, `witnessed-log/partner`, `witnesses/quorum`. */
export function witnessWords(said: WitnessesConfig | undefined): ReadonlyMap<string, string> {
  if (said === undefined) return new Map();
  const { quorum, outside, logs } = said;
  return new Map([
    ...outside.map((one) => [`witness/${one.id}`, outsideWords(one)] as const),
    ...logs.map((one) => [`witnessed-log/${one.id}`, logWords(one)] as const),
    ...(outside.length === 0
      ? []
      : [
          [
            "witnesses/quorum",
            `a checkpoint is witnessed once ${quorum === "all" ? outside.length : quorum} of ${outside.length} outside witnesses cosigned it`,
          ] as const,
        ]),
  ]);
}

function outsideWords({ id, url, key, allowPrivate }: OutsideWitnessConfig): string {
  const place = allowPrivate ? `${url}, private addresses too` : url;
  return `checkpoints are taken to ${id} (${place}), whose cosignatures verify with ${key}`;
}

function logWords({ id, key, everyYear }: WitnessedLogConfig): string {
  return `control cosigns the log ${id} signed with ${key}${everyYear ? ", in every year" : ""}`;
}
