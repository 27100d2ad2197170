// Promises the log of one node out of an archive as the directory that `audit verify` reads: its years, and behind them the logs before a restore.
// Trusts nothing in the archive: what comes is written down as it is, and verification judges it. Names: docs/formats/archive.md.
import { join } from "node:path";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { writeCopied } from "../log/closed-copy.ts";
import type { Disk } from "../log/disk.ts";
import { originOfYear } from "../log/origin.ts";
import { beforeDepthMax, beforeFolder, verifierKeyFile } from "../log/seam.ts";
import { readFrame, segmentHeaderBytes } from "../log/segment.ts";
import { headOf } from "../log/segments.ts";
import { removedFile } from "../log/verify-removed.ts";
import { chainOf, checkpointName, keyName, listSegmentsFrom, removedName } from "./archived-log.ts";
import { ArchiveFault } from "./fault.ts";
import type { ArchiveStore } from "./port.ts";

/** One tree in an archive. */
export interface ArchivedTree {
  readonly origin: string;
  readonly size: number;
  readonly note: string;
}

export interface FetchedLog {
  readonly trees: readonly (ArchivedTree & { readonly directory: string; readonly segments: number })[];
  /** Verifier key that lies in the archive for the newest tree: worth what the archive is worth. */
  readonly verifierKey: string;
}

const originForm = /^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9-]*)+\/[0-9]{4}$/;
/** Objects looked at for the trees of an archive: one page of names for each tree. */
const treesMax = 100_000;

/** Every tree that has a checkpoint in the archive, by name. Goes from tree to tree, past their segments. */
export async function listArchivedTrees(store: ArchiveStore): Promise<readonly ArchivedTree[]> {
  const trees: ArchivedTree[] = [];
  let after = "";
  while (trees.length < treesMax) {
    const [first] = await store.list({ prefix: "", after, max: 1 });
    if (first === undefined) return trees;
    const origin = /^(.*)\/(?:checkpoint|log\.vkey|removed|wal\/[^/]*)$/.exec(first.name)?.[1] ?? "";
    if (!originForm.test(origin)) {
      after = first.name;
      continue;
    }
    const note = await store.get(checkpointName(origin));
    const size =
      note === null ? null : parseCheckpointBody(parseNote(Buffer.from(note).toString("utf8"))?.text ?? "")?.size;
    if (note !== null) trees.push({ origin, size: size ?? 0, note: Buffer.from(note).toString("utf8") });
    // Everything of this tree sorts before this name, which is none.
    after = `${origin}/wal0`;
  }
  return trees;
}

/** Fetches the log whose newest tree is `origin` into an empty directory. Rejects with ArchiveFault. */
export async function fetchLog(
  { store, disk }: { readonly store: ArchiveStore; readonly disk: Disk },
  origin: string,
  directory: string,
): Promise<FetchedLog> {
  const trees = await listArchivedTrees(store);
  const fetched: FetchedLog["trees"][number][] = [];
  let verifierKey = "";
  let newest: string | null = origin;
  let folder = directory;
  for (let depth = 0; newest !== null && depth < beforeDepthMax; depth += 1) {
    const name: string = newest;
    const years = trees.filter((tree) => originOfYear(tree.origin, 0) === originOfYear(name, 0) && tree.origin <= name);
    if (years.length === 0 && depth === 0)
      throw new ArchiveFault(
        "archive-refused",
        `${store.place} holds no log ${name}: sallyport audit archived lists those it holds`,
      );
    // The one before is not archived: verification says what its absence means.
    if (years.length === 0) break;
    disk.makeDirectory(folder);
    const key = await fetchKey(store, name);
    writeCopied(disk, folder, verifierKeyFile, Buffer.from(key));
    if (depth === 0) verifierKey = key.trim();
    let first: string | null = null;
    for (const tree of years) {
      const year = tree.origin.slice(tree.origin.lastIndexOf("/") + 1);
      const { segments, firstLeaf } = await fetchTree({ store, disk }, tree, { folder, year });
      first ??= firstLeaf;
      fetched.push({ ...tree, directory: join(folder, year), segments });
    }
    newest = previousOf(first, name);
    folder = join(folder, beforeFolder);
  }
  return { trees: fetched, verifierKey };
}

async function fetchKey(store: ArchiveStore, origin: string): Promise<string> {
  const key = await store.get(keyName(origin));
  if (key === null) throw new ArchiveFault("archive-damaged", `${keyName(origin)} is missing in ${store.place}`);
  return Buffer.from(key).toString("utf8");
}

async function fetchTree(
  { store, disk }: { readonly store: ArchiveStore; readonly disk: Disk },
  { origin, size, note }: ArchivedTree,
  { folder, year }: { readonly folder: string; readonly year: string },
): Promise<{ readonly segments: number; readonly firstLeaf: string | null }> {
  for (const name of ["head", "checkpoint"]) writeCopied(disk, folder, `${year}/${name}`, Buffer.from(note));
  const chain = chainOf(await listSegmentsFrom(store, origin, { from: 0 }), size);
  // A removal that was refused, or has only begun, has taken nothing yet.
  const removed = chain === null ? await store.get(removedName(origin)) : null;
  if (removed !== null) {
    writeCopied(disk, folder, `${year}/${removedFile}`, removed);
    return { segments: 0, firstLeaf: null };
  }
  if (chain === null)
    throw new ArchiveFault(
      "archive-damaged",
      `the segments of ${origin} in ${store.place} are no chain from leaf 0 to ${size}, which its checkpoint was signed over: one is missing`,
    );
  let firstLeaf: string | null = null;
  for (const segment of chain) {
    const bytes = await store.get(segment.name);
    if (bytes === null) throw new ArchiveFault("archive-damaged", `${segment.name} is missing in ${store.place}`);
    writeCopied(disk, folder, `${year}/wal/${String(segment.first).padStart(16, "0")}.wal`, bytes);
    if (segment.first === 0) firstLeaf = firstLeafOf(Buffer.from(bytes));
  }
  return { segments: chain.length, firstLeaf };
}

function firstLeafOf(bytes: Buffer): string | null {
  const frame = readFrame(bytes, segmentHeaderBytes, 0);
  if (typeof frame === "string") return null;
  const at = frame.entriesAt + 6;
  const end = at + bytes.readUInt16BE(frame.entriesAt);
  return headOf(bytes, at, end)?.t === "origin" ? bytes.toString("latin1", at, end) : null;
}

/** The tree before a restore, as the first leaf of the oldest year names it; null where it names none or one of the same log, whose year is gone. */
function previousOf(firstLeaf: string | null, origin: string): string | null {
  const previous = /"previousOrigin":"([a-z0-9./-]{1,512})"/.exec(firstLeaf ?? "")?.[1];
  if (previous === undefined || !originForm.test(previous)) return null;
  return originOfYear(previous, 0) === originOfYear(origin, 0) ? null : previous;
}
