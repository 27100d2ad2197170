// Promises that the decision inputs of all crossings of one batch are sealed once, and that each leaf names the reference that holds its own.
// Trusts the log to call when the batch leaves, and control to read from a reference only the crossing it asked for. Byte-exact in docs/formats/leaf.md.
import { hash } from "node:crypto";
import type { LogHandle, PutRecord } from "@sallyport/kernel/log/port.ts";
import type { RecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { type Cast, printCast } from "@sallyport/protocol/audit/leaf-mold.ts";
import { batchContext, type ReferenceBatch } from "@sallyport/protocol/audit/reference.ts";

/** Crossings sealed together, and characters of their inputs: whoever asks for one is sent the reference of all. */
export const sealedTogetherMax = 128;
export const sealedCharactersMax = 65_536;

/** A leaf whose `inputs` are not known before they are sealed. */
export type UnsealedLeaf = Extract<Leaf, { readonly t: "crossing" | "intent" }> & { inputs: string | null };

type Told = Parameters<PutRecord>[2];

interface Gathered {
  readonly leaf: UnsealedLeaf | Cast;
  readonly told: Told;
}

export class SealedRecords {
  readonly #log: Pick<LogHandle, "gather">;
  readonly #place: ReferenceBatch;
  readonly #sealer: RecipientSealer;
  #open: Gathered[] = [];
  #text = "";
  #ready: { readonly leaves: readonly Gathered[]; readonly reference: Uint8Array }[] = [];
  #called = false;

  constructor(log: Pick<LogHandle, "gather">, place: ReferenceBatch, sealer: RecipientSealer) {
    this.#log = log;
    this.#place = place;
    this.#sealer = sealer;
  }

  /** `inputs` is the JSON of what only control may read; it names the crossing. `told` hears when the leaf is durable, or why it cannot be. */
  add(leaf: UnsealedLeaf | Cast, inputs: string, told: Told): void {
    if (this.#open.length === sealedTogetherMax || this.#text.length + inputs.length > sealedCharactersMax)
      this.#seal();
    this.#text = this.#open.length === 0 ? inputs : `${this.#text},${inputs}`;
    this.#open.push({ leaf, told });
    if (this.#called) return;
    this.#called = true;
    this.#log.gather(this.#prepare);
  }

  /** Forgets the sealing key; what was added before is still recorded. */
  end(): void {
    this.#seal();
    this.#sealer.forget();
  }

  readonly #prepare = (put: PutRecord): void => {
    this.#called = false;
    this.#seal();
    const ready = this.#ready;
    this.#ready = [];
    for (const { leaves, reference } of ready) {
      const inputs = hash("sha256", reference, "hex");
      for (const { leaf, told } of leaves) {
        let printed: string;
        try {
          printed = print(leaf, inputs);
        } catch (fault) {
          told.reject(fault instanceof Error ? fault : new Error(String(fault)));
          continue;
        }
        put(printed, reference, told);
      }
    }
  };

  #seal(): void {
    const leaves = this.#open;
    if (leaves.length === 0) return;
    const text = `[${this.#text}]`;
    this.#open = [];
    this.#text = "";
    try {
      const reference = this.#sealer.seal(batchContext(this.#place), Buffer.from(text, "utf8"));
      this.#ready.push({ leaves, reference });
    } catch (fault) {
      for (const { told } of leaves) told.reject(fault instanceof Error ? fault : new Error(String(fault)));
    }
  }
}

function print(leaf: UnsealedLeaf | Cast, inputs: string): string {
  if ("mold" in leaf) return printCast(leaf, inputs);
  leaf.inputs = inputs;
  return printLeafText(leaf);
}
