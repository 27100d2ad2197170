// Promises an archive in a directory, best on another machine's disk: an object is there whole or not at all, also after a power cut.
// Trusts fsync and hard links of the file system, and this program alone to keep what is retained. Described in docs/archive.md "A directory".
import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errorCode } from "../log/disk.ts";
import { realDisk } from "../log/real-disk.ts";
import type { Clock } from "../ports.ts";
import { contentHash } from "./content-hash.ts";
import { ArchiveFault } from "./fault.ts";
import { type FileActs, realFileActs } from "./file-acts.ts";
import { listFolder } from "./list-folder.ts";
import { type ArchiveStore, assertContent, assertName, assertPrefix, type Keeping, listMax } from "./port.ts";

export interface DirectoryArchiveOptions {
  /** Exists. */
  readonly directory: string;
  readonly clock: Pick<Clock, "now">;
  /** For tests: a disk that loses what was not synced. */
  readonly acts?: FileActs;
}

const swapAttemptsMax = 100;
const swapDelayMs = 20;
const none: Keeping = { retainUntil: null, held: false };

/** Opens an archive in a directory. Rejects with ArchiveFault `archive-unreachable` where there is none, `archive-unsuitable` where files cannot be linked. */
export async function openDirectoryArchive(options: DirectoryArchiveOptions): Promise<ArchiveStore> {
  const { directory, clock } = options;
  const acts = options.acts ?? realFileActs;
  const files = new ArchiveFiles(directory, acts);
  await files.assertSuitable();
  return {
    kind: "directory",
    place: directory,
    put: (name, bytes, keeping) => files.guarded(() => put(files, name, bytes, keeping)),
    get: (name, range) => files.guarded(() => get(files, name, range)),
    stat: (name) => files.guarded(() => stat(files, name)),
    list: ({ prefix, after = "", max }) => {
      assertPrefix(prefix);
      return files.guarded(() => listFolder(directory, { prefix, after, max: Math.min(max, listMax) }));
    },
    swap: (name, change) => files.guarded(() => swap(files, name, change)),
    retain: (name, until) =>
      files.guarded(async () => files.extend(name, { ...none, retainUntil: until }, await files.keeping(name))),
    hold: (name, held) => files.guarded(async () => files.writeKeeping(name, { ...(await files.keeping(name)), held })),
    remove: (name) => files.guarded(() => remove(files, name, clock.now())),
    health: () => files.guarded(async () => ({ freeBytes: await acts.freeBytes(directory), keptBy: "program" })),
    close: async () => undefined,
  };
}

async function put(files: ArchiveFiles, name: string, bytes: Uint8Array, keeping: Keeping): Promise<"stored" | "same"> {
  assertName(name);
  assertContent(bytes);
  // Before the object: from its first moment on nothing removes it.
  await files.makeFolders(name);
  await files.extend(name, keeping, await files.keeping(name));
  if (await files.create(name, bytes)) return "stored";
  const there = await files.read(name);
  if (there === null || !Buffer.from(there).equals(bytes))
    throw new ArchiveFault(
      "archive-differs",
      `${files.path(name)} holds other bytes than those to be archived under this name; it was left as it is. Two logs archive under one name, or the file was changed: sallyport audit fetch and audit verify say which`,
    );
  // A crash may have come between its name and the sync of its folder.
  await files.settle(name);
  return "same";
}

async function get(
  files: ArchiveFiles,
  name: string,
  range?: { readonly from: number; readonly length: number },
): Promise<Uint8Array | null> {
  assertName(name);
  return files.read(name, range);
}

async function stat(files: ArchiveFiles, name: string) {
  assertName(name);
  const bytes = await files.read(name);
  if (bytes === null) return null;
  return { bytes: bytes.length, sha256: (await contentHash(bytes)).toString("hex"), ...(await files.keeping(name)) };
}

/** The lock falls with the process that holds it, so a crash blocks nobody. */
async function swap(
  files: ArchiveFiles,
  name: string,
  change: { readonly expected: Uint8Array | null; readonly next: Uint8Array },
): Promise<boolean> {
  assertName(name);
  assertContent(change.next);
  await files.makeFolders(name);
  const unlock = await files.lock(name);
  try {
    const there = await files.read(name);
    const isExpected =
      there === null || change.expected === null
        ? there === change.expected
        : Buffer.from(there).equals(change.expected);
    if (!isExpected) return false;
    await files.replace(files.path(name), change.next);
    return true;
  } finally {
    unlock();
  }
}

async function remove(files: ArchiveFiles, name: string, now: number): Promise<"removed" | "absent"> {
  assertName(name);
  if ((await files.read(name, { from: 0, length: 0 })) === null) return "absent";
  const { retainUntil, held } = await files.keeping(name);
  if (held) throw new ArchiveFault("archive-held", `${files.path(name)} is under a legal hold`);
  if (retainUntil !== null && retainUntil > now)
    throw new ArchiveFault(
      "archive-retained",
      `${files.path(name)} is retained until ${new Date(retainUntil).toISOString()}`,
    );
  await files.unlink(name);
  return "removed";
}

class ArchiveFiles {
  readonly #directory: string;
  readonly #acts: FileActs;

  constructor(directory: string, acts: FileActs) {
    this.#directory = directory;
    this.#acts = acts;
  }

  path(name: string): string {
    return join(this.#directory, ...name.split("/"));
  }

  /** Dates and holds of an object lie beside it, in a file that lists never show. */
  #keepingPath(name: string): string {
    const path = this.path(name);
    return join(dirname(path), `.${path.slice(dirname(path).length + 1)}.keep`);
  }

  /** What the system says, as the fault it is. */
  async guarded<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw this.#faultOf(error);
    }
  }

  #faultOf(error: unknown): unknown {
    const code = errorCode(error);
    if (code === "" || error instanceof ArchiveFault) return error;
    if (code === "ENOSPC" || code === "EDQUOT")
      return new ArchiveFault("archive-full", `the volume of ${this.#directory} is full: make room there`, error);
    if (code === "EACCES" || code === "EPERM" || code === "EROFS")
      return new ArchiveFault(
        "archive-refused",
        `${this.#directory} cannot be written (${code}): check its owner, its mode and how it is mounted`,
        error,
      );
    return new ArchiveFault(
      "archive-unreachable",
      `${this.#directory} does not answer (${code}): is it mounted?`,
      error,
    );
  }

  async assertSuitable(): Promise<void> {
    const probe = join(this.#directory, `.probe-${randomBytes(8).toString("hex")}`);
    await this.guarded(async () => {
      await this.#acts.write(probe, Buffer.from("sallyport"));
      try {
        await this.#acts.link(probe, `${probe}-2`);
        await this.#acts.unlink(`${probe}-2`);
      } catch (error) {
        throw new ArchiveFault(
          "archive-unsuitable",
          `files in ${this.#directory} cannot be given a second name (${errorCode(error)}), which is how an object is created whole and only once: use a file system with hard links`,
          error,
        );
      } finally {
        await this.#acts.unlink(probe);
      }
    });
  }

  async makeFolders(name: string): Promise<void> {
    const folders = name.split("/").slice(0, -1);
    for (const [i] of folders.entries()) {
      const path = join(this.#directory, ...folders.slice(0, i + 1));
      if (await this.#acts.makeFolder(path)) await this.#acts.syncFolder(dirname(path));
    }
  }

  /** False when something has that name. */
  async create(name: string, bytes: Uint8Array): Promise<boolean> {
    const path = this.path(name);
    const staged = this.#stagedPath(path);
    await this.#acts.write(staged, bytes);
    try {
      await this.#acts.link(staged, path);
    } catch (error) {
      if (errorCode(error) === "EEXIST") return false;
      throw error;
    } finally {
      await this.#acts.unlink(staged);
    }
    await this.#acts.syncFolder(dirname(path));
    return true;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const staged = this.#stagedPath(path);
    await this.#acts.write(staged, bytes);
    await this.#acts.rename(staged, path);
    await this.#acts.syncFolder(dirname(path));
  }

  #stagedPath(path: string): string {
    return join(dirname(path), `.new-${randomBytes(8).toString("hex")}`);
  }

  read(name: string, range?: { readonly from: number; readonly length: number }): Promise<Uint8Array | null> {
    return this.#acts.read(this.path(name), range);
  }

  async settle(name: string): Promise<void> {
    await this.#acts.syncFile(this.path(name));
    await this.#acts.syncFolder(dirname(this.path(name)));
  }

  async unlink(name: string): Promise<void> {
    const path = this.path(name);
    await this.#acts.unlink(path);
    await this.#acts.syncFolder(dirname(path));
    await this.#acts.unlink(this.#keepingPath(name));
  }

  async keeping(name: string): Promise<Keeping> {
    assertName(name);
    const bytes = await this.#acts.read(this.#keepingPath(name));
    if (bytes === null) return none;
    const found = /^\{"retainUntil":(null|[0-9]{1,15}),"held":(true|false)\}\n$/.exec(
      Buffer.from(bytes).toString("latin1"),
    );
    // Damage must not free what it should keep.
    if (found === null)
      throw new ArchiveFault(
        "archive-damaged",
        `${this.#keepingPath(name)} does not say how long its object is kept; restore it from a backup, or write {"retainUntil":null,"held":true} into it`,
      );
    return { retainUntil: found[1] === "null" ? null : Number(found[1]), held: found[2] === "true" };
  }

  async extend(name: string, keeping: Keeping, there: Keeping): Promise<void> {
    const retainUntil = Math.max(keeping.retainUntil ?? 0, there.retainUntil ?? 0) || null;
    const held = keeping.held || there.held;
    if (retainUntil === there.retainUntil && held === there.held) return;
    await this.writeKeeping(name, { retainUntil, held });
  }

  async writeKeeping(name: string, { retainUntil, held }: Keeping): Promise<void> {
    const text = `{"retainUntil":${retainUntil},"held":${held}}\n`;
    await this.replace(this.#keepingPath(name), Buffer.from(text, "latin1"));
  }

  async lock(name: string): Promise<() => void> {
    const path = join(dirname(this.path(name)), ".swap");
    for (let attempt = 0; attempt < swapAttemptsMax; attempt += 1) {
      const unlock = realDisk().lock(path);
      if (unlock !== null) return unlock;
      await delay(swapDelayMs);
    }
    throw new ArchiveFault("archive-unreachable", `another process holds ${path}`);
  }
}
