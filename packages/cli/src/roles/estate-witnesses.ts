// Promises the outside witnesses that control names for its estate, parsed strictly and kept on disk, so that a gateway goes on asking them while
// control is away. Trusts the channel, which proves control. Specified in docs/formats/join.md "Witnesses".
import { join } from "node:path";
import { type Disk, makeDirectoriesDurably, readWhole, replaceDurably } from "@sallyport/kernel/log/disk.ts";
import { type OutsideWitness, refuseWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { outsideWitnessesMax } from "@sallyport/kernel/witness/outside-set.ts";

/** `outside` of what control says; null: it says nothing of them, or nothing that can be read. */
export function parseNamedWitnesses(said: unknown): readonly OutsideWitness[] | null {
  const list = typeof said === "object" && said !== null && "outside" in said ? said.outside : null;
  if (!Array.isArray(list)) return null;
  const parsed = list.slice(0, outsideWitnessesMax).map(parseOne);
  return parsed.every((one) => one !== null) ? parsed : null;
}

function parseOne(value: unknown): OutsideWitness | null {
  if (typeof value !== "object" || value === null) return null;
  const { url, key, allowPrivate } = value as Readonly<Record<string, unknown>>; // members are checked one by one
  if (typeof url !== "string" || typeof key !== "string" || typeof allowPrivate !== "boolean") return null;
  return refuseWitness({ url, key }) === null ? { url, key, allowPrivate } : null;
}

export class EstateWitnesses {
  readonly #disk: Disk;
  readonly #folder: string;
  #kept: string;

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
    this.#kept = readWhole(disk, this.#path)?.toString("utf8") ?? "";
  }

  get #path(): string {
    return join(this.#folder, "outside.json");
  }

  /** What was kept last; nothing when it cannot be read: control says it again. */
  read(): readonly OutsideWitness[] {
    try {
      return parseNamedWitnesses(JSON.parse(this.#kept)) ?? [];
    } catch {
      return [];
    }
  }

  /** False: that is what is kept. */
  keep(outside: readonly OutsideWitness[]): boolean {
    const text = `${JSON.stringify({ outside })}\n`;
    if (text === this.#kept) return false;
    makeDirectoriesDurably(this.#disk, this.#folder);
    replaceDurably(this.#disk, this.#path, Buffer.from(text));
    this.#kept = text;
    return true;
  }
}
