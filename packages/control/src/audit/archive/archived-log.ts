// Promises one node's archived log: one key for ever, origins that name the end of the one before, and of each origin only what archived-origin.ts
// takes. Trusts archive.ts, which has proven the node and the signature of a checkpoint. Described in docs/audit.md "The archive".
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { type OriginPlace, originOfYear, parseOriginName, yearFolders } from "@sallyport/kernel/log/origin.ts";
import { readVerifierKey, verifierKeyFile } from "@sallyport/kernel/log/seam.ts";
import { replaceSettled, type SettlingDisk } from "@sallyport/kernel/log/settling-disk.ts";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { type Checkpoint, printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { type NoteVerifier, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { ArchiveRefusalCode } from "@sallyport/protocol/channel/archive.ts";
import { ArchivedOrigin } from "./archived-origin.ts";
import { judgeRecords, type Shipment } from "./judge-records.ts";

/** A checkpoint of the node's own origin, signed by `publicKey`. */
export interface ProvenCheckpoint extends Checkpoint {
  readonly note: string;
  readonly publicKey: Uint8Array;
}

export type Taken =
  | { readonly kind: "held"; readonly size: number; readonly signed: number }
  | { readonly kind: "refused"; readonly code: ArchiveRefusalCode; readonly why: string };

export interface ArchivedLogOptions {
  readonly disk: SettlingDisk;
  /** `<data>/archive/<tenant>/<environment>/<node>` */
  readonly directory: string;
  /** Levels of the directory above that may have to be made. */
  readonly root: string;
  readonly segmentBytesMax?: number;
}

const held = ({ size, signed }: ArchivedOrigin): Taken => ({ kind: "held", size, signed });
const refused = (code: ArchiveRefusalCode, why: string): Taken => ({ kind: "refused", code, why });

export class ArchivedLog {
  readonly #options: ArchivedLogOptions;
  #key: NoteVerifier | null = null;
  /** By year. */
  readonly #origins = new Map<number, ArchivedOrigin>();
  /** By year: how far a signed checkpoint reaches; nothing is taken beyond. */
  readonly #claimed = new Map<number, number>();

  private constructor(options: ArchivedLogOptions) {
    this.#options = options;
  }

  /** Opens what is archived of a node; nothing is made. Throws LogFault `log-corrupt` or `log-key` naming the file. */
  static async open(options: ArchivedLogOptions): Promise<ArchivedLog> {
    const log = new ArchivedLog(options);
    const { disk, directory } = options;
    log.#key = readVerifierKey(disk, directory);
    for (const year of yearFolders(disk.list(directory))) await log.#openYear(year);
    return log;
  }

  origins(): readonly ArchivedOrigin[] {
    return [...this.#origins.values()];
  }

  /** Takes a checkpoint: the newest where all of its leaves are here, else the promise of more. Throws LogFault as ArchivedOrigin does. */
  async take(checkpoint: ProvenCheckpoint): Promise<Taken> {
    const place = parseOriginName(checkpoint.origin);
    if (place === null) return refused("foreign-origin", "the origin has no year");
    const key = await this.#pin(checkpoint);
    if (!sameBytes(key.publicKey, checkpoint.publicKey)) return refused("key-changed", "another log key");
    if (originOfYear(key.name, place.year) !== checkpoint.origin)
      return refused("foreign-origin", "another log's name");
    const newest = Math.max(...this.#origins.keys());
    if (place.year < newest && !this.#origins.has(place.year))
      return refused("broken-chain", `the origin of ${newest} is here already`);
    const origin = await this.#openYear(place.year);
    if (checkpoint.size < origin.signed) return refused("rolled-back", `${origin.signed} leaves were signed before`);
    if (checkpoint.size < origin.size) await origin.cut();
    this.#claimed.set(place.year, checkpoint.size);
    if (checkpoint.size > origin.size) return held(origin);
    if (checkpoint.size === origin.signed && origin.checkpoint !== null)
      return sameBytes(origin.checkpoint.root, checkpoint.root) ? held(origin) : refused("forked", "another root");
    const outcome = await origin.prove(checkpoint, checkpoint.note);
    return outcome === "held"
      ? held(origin)
      : refused("forked", `${checkpoint.size} leaves do not give the signed root`);
  }

  /** Takes leaves that a checkpoint was signed over. What is not due is not taken: the answer says what is. Throws as `take`. */
  async append(name: string, shipment: Shipment): Promise<Taken> {
    const place = parseOriginName(name);
    const origin = place === null ? undefined : this.#origins.get(place.year);
    if (place === null || origin === undefined || origin.origin !== name) return { kind: "held", size: 0, signed: 0 };
    const { from, count, entries } = shipment;
    if (from !== origin.size || from + count > (this.#claimed.get(place.year) ?? 0)) return held(origin);
    const judged = judgeRecords(shipment, place);
    if (judged.kind === "refused") return refused("bad-records", judged.why);
    const broken = judged.firstLeaf === null ? null : this.#chainFault(judged.firstLeaf, name, place);
    if (broken !== null) return refused("broken-chain", broken);
    await origin.append(entries, judged.hashes);
    return held(origin);
  }

  /** Does the first leaf name its own origin, and the end of the one archived before it? A log of another node before a restore is not here to ask. */
  #chainFault(text: string, name: string, { year }: OriginPlace): string | null {
    const leaf = parseLeaf(Buffer.from(text, "latin1"));
    if (leaf.t !== "origin" || leaf.origin !== name) return "the first leaf names another origin";
    const before = this.origins()
      .filter((origin) => yearOf(origin) < year)
      .sort((a, b) => yearOf(a) - yearOf(b))
      .at(-1);
    if (before === undefined) return null;
    const last = before.checkpoint;
    const body = last === null ? "" : printCheckpointBody(last.origin, last.size, last.root);
    const isNext =
      last !== null &&
      leaf.previousOrigin === before.origin &&
      leaf.previousSize === last.size &&
      leaf.previous === createHash("sha256").update(body).digest("hex");
    return isNext ? null : `the first leaf does not name the end of ${before.origin}`;
  }

  /** The key of the first checkpoint is the key for ever. */
  async #pin({ origin, publicKey }: ProvenCheckpoint): Promise<NoteVerifier> {
    if (this.#key !== null) return this.#key;
    const { disk, directory, root } = this.#options;
    const missing: string[] = [];
    for (let path = directory; path.length >= root.length; path = dirname(path)) missing.unshift(path);
    for (const path of missing) {
      disk.makeDirectory(path);
      await disk.settleDirectory(dirname(path));
    }
    const text = `${printVerifierKey(sha256, origin, publicKey)}\n`;
    await replaceSettled(disk, join(directory, verifierKeyFile), Buffer.from(text));
    const key = readVerifierKey(disk, directory);
    if (key === null) throw new LogFault("log-key", `${directory} does not keep the verifier key written to it`);
    this.#key = key;
    return key;
  }

  async #openYear(year: number): Promise<ArchivedOrigin> {
    const known = this.#origins.get(year);
    if (known !== undefined) return known;
    const { disk, directory, segmentBytesMax } = this.#options;
    if (this.#key === null)
      throw new LogFault("log-key", `${join(directory, verifierKeyFile)} is missing from the archive; put it back`);
    const origin = await ArchivedOrigin.open({
      disk,
      directory: join(directory, String(year)),
      origin: originOfYear(this.#key.name, year),
      publicKey: this.#key.publicKey,
      ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
    });
    this.#origins.set(year, origin);
    return origin;
  }
}

const yearOf = ({ origin }: ArchivedOrigin): number => Number(origin.slice(origin.lastIndexOf("/") + 1));
