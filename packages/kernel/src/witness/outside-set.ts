// Promises the outside witnesses a process asks, from two sources: those its operator named at its start, and those the estate names, which may change
// while it runs. Trusts both for URLs and keys. Specified in docs/witnesses.md "Witnesses in the estate".
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import type { Dialer } from "../dial/port.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { AskedWitness } from "./cosigning.ts";
import { type OutsideWitness, openHttpWitness, refuseWitness } from "./http-witness.ts";

/** Beside the gateways that control asks. */
export const outsideWitnessesMax = 8;

/** Why a witness of the estate is not asked. */
export interface WitnessConflict {
  /** Name in its key. */
  readonly name: string;
  readonly why: "other-place" | "other-key" | "other-name" | "too-many" | "unreadable";
}

export interface MergedWitnesses {
  readonly asked: readonly OutsideWitness[];
  readonly conflicts: readonly WitnessConflict[];
}

/** What was named at the start holds; of the estate's what goes with that. Pure. */
export function mergeWitnesses(
  fixed: readonly OutsideWitness[],
  configured: readonly OutsideWitness[],
): MergedWitnesses {
  const asked = [...fixed];
  const conflicts: WitnessConflict[] = [];
  for (const one of configured) {
    const why = conflictWith(asked, one);
    if (why === "agrees") continue;
    if (why === null) asked.push(one);
    else conflicts.push({ name: keyOf(one)?.name ?? one.url, why });
  }
  return { asked, conflicts };
}

function conflictWith(asked: readonly OutsideWitness[], one: OutsideWitness): WitnessConflict["why"] | "agrees" | null {
  const key = keyOf(one);
  if (key === null || refuseWitness(one) !== null) return "unreadable";
  for (const other of asked) {
    const known = keyOf(other);
    if (known === null) continue;
    const isSameKey = sameBytes(known.publicKey, key.publicKey);
    if (known.name === key.name)
      return isSameKey ? (placeOf(other) === placeOf(one) ? "agrees" : "other-place") : "other-key";
    if (isSameKey) return "other-name";
  }
  return asked.length >= outsideWitnessesMax ? "too-many" : null;
}

const keyOf = ({ key }: OutsideWitness) => parseWitnessKey(sha256, key);
const placeOf = ({ url }: OutsideWitness) => new URL(url).href.replace(/\/+$/, "");

const said: Readonly<Record<WitnessConflict["why"], string>> = {
  "other-place": "is named at the start with another URL, which holds",
  "other-key": "is named at the start with another key, which holds",
  "other-name": "has the key of another witness that is asked",
  "too-many": `is one more than the ${outsideWitnessesMax} that are asked`,
  unreadable: "cannot be read",
};

/** A sentence without its full stop. */
export const conflictWords = ({ name, why }: WitnessConflict): string => `the estate's witness ${name} ${said[why]}`;

/** The witnesses in use; what stays named keeps its connection and its pace. */
export class OutsideSet {
  readonly #dialer: () => Dialer;
  readonly #fixed: readonly OutsideWitness[];
  readonly #open = new Map<string, ReturnType<typeof openHttpWitness>>();
  #merged: MergedWitnesses;

  /** `dialer` is called when the first witness is opened. Throws TypeError for a fixed one that `refuseWitness` refuses. */
  constructor(dialer: () => Dialer, fixed: readonly OutsideWitness[]) {
    this.#dialer = dialer;
    this.#fixed = fixed;
    this.#merged = { asked: [], conflicts: [] };
    this.take([]);
  }

  /** What the estate names now. Names of those that are not asked any more, or otherwise than before. */
  take(configured: readonly OutsideWitness[]): readonly string[] {
    this.#merged = mergeWitnesses(this.#fixed, configured);
    const wanted = new Map(this.#merged.asked.map((one) => [textOf(one), one]));
    const ended = [...this.#open].filter(([text]) => !wanted.has(text));
    for (const [text, witness] of ended) {
      this.#open.delete(text);
      // Requests under way end as failures of a witness that is not asked any more.
      void witness.close().catch(() => undefined);
    }
    for (const [text, one] of wanted)
      if (!this.#open.has(text)) this.#open.set(text, openHttpWitness(this.#dialer(), one));
    return ended.map(([, { name }]) => name);
  }

  asked(): readonly AskedWitness[] {
    return [...this.#open.values()];
  }

  /** Of each that is asked, where and by which key. */
  get named(): readonly OutsideWitness[] {
    return this.#merged.asked;
  }

  get conflicts(): readonly WitnessConflict[] {
    return this.#merged.conflicts;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((one) => one.close()));
  }
}

/** Everything that decides where and how it is asked. */
const textOf = ({ url, key, allowPrivate }: OutsideWitness): string => JSON.stringify([url, key, allowPrivate]);
