// Promises what a log's own process needs to have its checkpoints witnessed: the published trees, proofs out of their tiles, and a place for
// cosigned checkpoints. Reads beside the log thread, writes only `cosigned`. Trusts the log's directory. Specified in docs/formats/leaf.md "Checkpoints".
import { join } from "node:path";
import {
  type Checkpoint,
  parseCheckpointBody,
  splitCheckpoints,
  verifyCheckpoint,
} from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseNote, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { consistencyProof, rangeHash, type TreeSource } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader } from "@sallyport/protocol/audit/tiles.ts";
import { cosignedFile } from "../log/checkpoint-files.ts";
import { readTileFile } from "../log/derived.ts";
import { type Disk, readWhole, replaceDurably } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import type { OpenedLog } from "../log/log-client.ts";
import { noteCrypto, sha256, verifierFor } from "../log/log-crypto.ts";
import { yearFolders } from "../log/origin.ts";

/** A published checkpoint of one origin. */
export interface PublishedTree extends Checkpoint {
  readonly note: string;
  /** The folder of its year. */
  readonly folder: string;
}

/** One stays until a newer one has every line it has. */
export const cosignedNotesMax = 16;

export class OwnLog {
  readonly #log: Pick<OpenedLog, "checkpoint" | "verifierKey" | "publish">;
  readonly #disk: Disk;
  readonly #directory: string;

  constructor(log: Pick<OpenedLog, "checkpoint" | "verifierKey" | "publish">, disk: Disk, directory: string) {
    this.#log = log;
    this.#disk = disk;
    this.#directory = directory;
  }

  /** C2SP verifier key of the present origin. */
  get verifierKey(): string {
    return this.#log.verifierKey;
  }

  /** The key of this log under the name of one of its origins. */
  verifier(origin: string): NoteVerifier {
    const key = parseVerifierKey(sha256, this.#log.verifierKey);
    if (key === null) throw new LogFault("log-key", "the log's own verifier key cannot be read");
    return verifierFor(origin, key.publicKey);
  }

  /** A fresh checkpoint of the present origin, and before it the last one of the year before, so that its tail is witnessed too. */
  async trees(): Promise<readonly PublishedTree[]> {
    const newest = this.#tree(await this.#log.checkpoint());
    const before = yearFolders(this.#disk.list(this.#directory)).filter((year) => year < yearOfOrigin(newest.origin));
    const folder = before.at(-1);
    const last =
      folder === undefined ? null : readWhole(this.#disk, join(this.#directory, String(folder), "checkpoint"));
    return last === null ? [newest] : [this.#tree(last.toString("utf8")), newest];
  }

  #tree(note: string): PublishedTree {
    const checkpoint = parseCheckpointBody(parseNote(note)?.text ?? "");
    if (checkpoint === null) throw new LogFault("log-corrupt", `a checkpoint in ${this.#directory} cannot be read`);
    return { ...checkpoint, note, folder: join(this.#directory, String(yearOfOrigin(checkpoint.origin))) };
  }

  #source({ folder, size }: PublishedTree): TreeSource {
    return { sha256, read: tileHashReader(sha256, size, (tile) => readTileFile(this.#disk, folder, tile)) };
  }

  /** RFC 6962 §2.1.2, from `older` leaves to the tree. Throws RangeError when a tile is missing. */
  proof(tree: PublishedTree, older: number): readonly Uint8Array[] {
    return consistencyProof(this.#source(tree), older, tree.size);
  }

  /** The root of its first `size` leaves. */
  rootAt(tree: PublishedTree, size: number): Uint8Array {
    return rangeHash(this.#source(tree), 0, size);
  }

  /** Is the note a checkpoint of this origin that this log's key signed? */
  ownCheckpoint(origin: string, note: string): Checkpoint | null {
    const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys: [this.verifier(origin)] });
    return verdict.kind === "ok" ? verdict.checkpoint : null;
  }

  /** Cosigned checkpoints of an origin's folder, the oldest first. */
  cosigned(folder: string): readonly string[] {
    const bytes = readWhole(this.#disk, join(folder, cosignedFile));
    return bytes === null ? [] : splitCheckpoints(bytes.toString("utf8"));
  }

  /** Keeps a cosigned checkpoint, durable when it resolves, and publishes it where it still is the newest. */
  async keep(tree: PublishedTree, note: string): Promise<void> {
    const kept = withCosigned(this.cosigned(tree.folder), note);
    replaceDurably(this.#disk, join(tree.folder, cosignedFile), Buffer.from(kept.map((text) => `${text}\n`).join("")));
    await this.#log.publish(note);
  }
}

const yearOfOrigin = (origin: string) => Number(origin.slice(origin.lastIndexOf("/") + 1));

/** The notes to keep once `note` is there: one goes when the new one has every line it has (by name and key id). */
export function withCosigned(notes: readonly string[], note: string): readonly string[] {
  const lines = signersOf(note);
  const others = notes.filter((older) => ![...signersOf(older)].every((signer) => lines.has(signer)));
  return [...others, note].slice(-cosignedNotesMax);
}

function signersOf(note: string): Set<string> {
  const signatures = parseNote(note)?.signatures ?? [];
  return new Set(signatures.map(({ name, keyId }) => `${name} ${Buffer.from(keyId).toString("hex")}`));
}
