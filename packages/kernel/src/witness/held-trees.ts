// Promises what a witness cosigned, in one file per log, durable before the cosignature leaves, and held by one process at a time.
// Trusts the disk port's sync and rename. Specified in docs/formats/witness.md "A gateway's state".
import { join } from "node:path";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { originHash, type WitnessedTree } from "@sallyport/protocol/audit/witness-request.ts";
import { type Disk, makeDirectoriesDurably, readWhole, replaceDurably } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { WitnessedLog, WitnessState } from "./witness.ts";

/** Logs a gateway keeps: control nodes and their years. Beyond it a new log is not cosigned; none is forgotten. */
export const heldTreesMax = 256;

export class HeldTrees implements WitnessState {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #unlock: () => void;
  readonly #held = new Map<string, WitnessedLog>();

  /** Throws LogFault `log-locked` when another process holds the folder, `log-corrupt` naming a file that cannot be read: what was seen must not be forgotten. */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
    makeDirectoriesDurably(disk, folder);
    const lock = join(folder, "lock");
    const unlock = disk.lock(lock);
    if (unlock === null) throw new LogFault("log-locked", `${folder} is in use by another process (it holds ${lock})`);
    this.#unlock = unlock;
    try {
      for (const name of disk.list(folder)) if (/^[0-9a-f]{64}$/.test(name)) this.#read(name);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  #read(name: string): void {
    const path = join(this.#folder, name);
    const parsed = parseHeld(readWhole(this.#disk, path)?.toString("utf8") ?? "");
    if (parsed === null || originHash(sha256, parsed.origin) !== name)
      throw new LogFault(
        "log-corrupt",
        `${path} is not what this witness wrote; restore it, or remove it if the log it is of may be witnessed from its beginning again`,
      );
    this.#held.set(parsed.origin, parsed);
  }

  /** Every origin that is held, with what was cosigned last. */
  all(): ReadonlyMap<string, WitnessedLog> {
    return this.#held;
  }

  async find(origin: string): Promise<WitnessedLog | null> {
    return this.#held.get(origin) ?? null;
  }

  /** No await between the comparison and the durable write: two requests of one process cannot both win. */
  async replace(origin: string, last: WitnessedTree | null, next: WitnessedLog): Promise<boolean> {
    const held = this.#held.get(origin);
    const isSame = last === null ? held === undefined : held !== undefined && sameTree(held, last);
    if (!isSame || (held === undefined && this.#held.size >= heldTreesMax)) return false;
    const line = `${JSON.stringify({ v: 1, logKey: next.logKey, note: next.note })}\n`;
    replaceDurably(this.#disk, join(this.#folder, originHash(sha256, origin)), Buffer.from(line));
    this.#held.set(origin, next);
    return true;
  }

  close(): void {
    this.#unlock();
  }
}

export const sameTree = (a: WitnessedTree, b: WitnessedTree): boolean => a.size === b.size && sameBytes(a.root, b.root);

function parseHeld(text: string): (WitnessedLog & { readonly origin: string }) | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("v" in value) || value.v !== 1) return null;
    if (!("note" in value) || typeof value.note !== "string") return null;
    if (!("logKey" in value) || typeof value.logKey !== "string") return null;
    const checkpoint = parseCheckpointBody(parseNote(value.note)?.text ?? "");
    if (checkpoint === null) return null;
    const { origin, size, root } = checkpoint;
    return { origin, size, root, note: value.note, logKey: value.logKey };
  } catch {
    return null;
  }
}
