// Promises a disk in memory that, at a crash, loses or tears whatever no finished sync covers: the harshest reading of POSIX, from a seed.
// Trusts nothing. Used by the crash suite; what the log may rely on is what survives here (docs/audit.md "What is durable when").
import { dirname } from "node:path";
import type { Disk, DiskFile } from "./disk.ts";

/** Thrown by every act from the moment the power is gone. */
export class PowerLost extends Error {}

type FileChange =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: "truncate"; readonly size: number };

interface Content {
  bytes: Buffer;
  size: number;
}

interface Inode {
  readonly kind: "file";
  readonly durable: Content;
  readonly current: Content;
  unsynced: FileChange[];
}

interface Directory {
  readonly kind: "directory";
  readonly durable: Map<string, Node>;
  readonly current: Map<string, Node>;
  /** Each is one act (a rename changes two names at once) and happens wholly or not at all. */
  unsynced: ReadonlyMap<string, Node | null>[];
}

type Node = Inode | Directory;

export interface LossyDiskOptions {
  /** A number in [0, 1); seeded by the test. */
  readonly random: () => number;
  /** Bytes of all files together; the test may make it smaller or larger at any time with `capacity`. */
  readonly capacityBytes?: number;
  /** A broken disk for the suite's own test: `sync` of these files returns without covering anything. */
  readonly syncDoesNothing?: (path: string) => boolean;
}

const sectorBytes = 512;
/** What was begun and has not finished: beyond it a test forgot to let them. */
const begunMax = 65_536;

/** A seeded disk. `crash` gives the disk as the next start finds it. */
export class LossyDisk implements Disk {
  readonly #options: LossyDiskOptions;
  #root: Directory = newDirectory();
  #held = new Set<string>();
  #actsLeft = Number.POSITIVE_INFINITY;
  #generation = 0;
  /** Syncs and writes under way; each finishes, as the test says, at any time or never. */
  #begun: { readonly finish: () => void; readonly done: (error: Error | null) => void }[] = [];
  /** What the next sync throws, for tests of failing disks. What it was to cover may be lost, and no later sync covers it. */
  failNextSync: Error | null = null;
  capacity: number;
  /** Counts finished file syncs. */
  syncs = 0;

  constructor(options: LossyDiskOptions) {
    this.#options = options;
    this.capacity = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The power goes after this many further acts that change something. */
  losePowerAfter(acts: number): void {
    this.#actsLeft = acts;
  }

  /** Power comes back: only what was synced is sure to be there, the rest is there, torn, or gone as the seed says. */
  crash(): void {
    crashNode(this.#root, this.#options.random);
    this.#held = new Set();
    this.#actsLeft = Number.POSITIVE_INFINITY;
    this.#generation += 1;
    this.#begun = [];
  }

  /** How many syncs and writes are under way. */
  get begun(): number {
    return this.#begun.length;
  }

  /** Lets one of the syncs and writes under way finish and tells who began it: the oldest, or, with a number in [0, 1), any. */
  finishBegun(which = 0): void {
    const [begun] = this.#begun.splice(Math.floor(which * this.#begun.length), 1);
    if (begun === undefined) return;
    this.#act();
    let failure: Error | null = null;
    try {
      begun.finish();
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    begun.done(failure);
  }

  /** Everything as if it had been synced; for tests that tamper with a finished log. */
  files(): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    const visit = (directory: Directory, path: string) => {
      for (const [name, node] of directory.current) {
        if (node.kind === "directory") visit(node, `${path}/${name}`);
        else found.set(`${path}/${name}`, node.current.bytes.subarray(0, node.current.size));
      }
    };
    visit(this.#root, "");
    return found;
  }

  open(path: string, mode: "read" | "write"): DiskFile {
    const directory = this.#directory(dirname(path));
    const name = path.slice(path.lastIndexOf("/") + 1);
    let node = directory.current.get(name);
    if (node === undefined) {
      if (mode === "read") throw missing(path);
      this.#act();
      node = { kind: "file", durable: emptyContent(), current: emptyContent(), unsynced: [] };
      this.#rename(directory, new Map([[name, node]]));
    }
    if (node.kind !== "file") throw new Error(`${path} is a directory`);
    return this.#file(node, path);
  }

  #file(inode: Inode, path: string): DiskFile {
    const generation = this.#generation;
    const alive = () => {
      if (generation !== this.#generation) throw new PowerLost("the file was opened before the crash");
    };
    return {
      size: () => inode.current.size,
      read: (position, length) => {
        alive();
        return Buffer.from(inode.current.bytes.subarray(position, Math.min(position + length, inode.current.size)));
      },
      write: (position, bytes) => {
        alive();
        this.#takeRoom(inode, position + bytes.length);
        const change: FileChange = { kind: "write", position, bytes: Buffer.from(bytes) };
        inode.unsynced.push(change);
        applyChange(inode.current, change);
        // After the change: the power can go while it is under way, and then the crash decides how much of it is there.
        this.#act();
      },
      truncate: (size) => {
        alive();
        const change: FileChange = { kind: "truncate", size };
        inode.unsynced.push(change);
        applyChange(inode.current, change);
        this.#act();
      },
      sync: () => {
        alive();
        this.#act();
        this.#sync(inode, path);
      },
      close: () => undefined,
    };
  }

  #sync(inode: Inode, path: string, covered: ReadonlySet<FileChange> = new Set(inode.unsynced)): void {
    const failure = this.failNextSync;
    if (failure !== null) {
      this.failNextSync = null;
      inode.unsynced = inode.unsynced.filter((change) => !covered.has(change));
      for (const change of covered) loseOrKeep(inode.durable, change, this.#options.random);
      throw failure;
    }
    this.syncs += 1;
    if (this.#options.syncDoesNothing?.(path) === true) return;
    for (const change of inode.unsynced) if (covered.has(change)) applyChange(inode.durable, change);
    inode.unsynced = inode.unsynced.filter((change) => !covered.has(change));
  }

  list(directory: string): string[] {
    const node = this.#find(directory);
    return node?.kind === "directory" ? [...node.current.keys()].sort() : [];
  }

  makeDirectory(path: string): void {
    if (this.#find(path) !== undefined) return;
    this.#act();
    const name = path.slice(path.lastIndexOf("/") + 1);
    this.#rename(this.#directory(dirname(path)), new Map([[name, newDirectory()]]));
  }

  rename(from: string, to: string): void {
    this.#act();
    if (dirname(from) !== dirname(to)) throw new Error("the log renames within one directory only");
    const directory = this.#directory(dirname(from));
    const [fromName, toName] = [from, to].map((path) => path.slice(path.lastIndexOf("/") + 1));
    const node = directory.current.get(fromName ?? "");
    if (node === undefined) throw missing(from);
    this.#rename(
      directory,
      new Map<string, Node | null>([
        [fromName ?? "", null],
        [toName ?? "", node],
      ]),
    );
  }

  unlink(path: string): void {
    this.#act();
    const directory = this.#directory(dirname(path));
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (!directory.current.has(name)) throw missing(path);
    this.#rename(directory, new Map([[name, null]]));
  }

  syncDirectory(path: string): void {
    this.#act();
    const directory = this.#directory(path);
    for (const act of directory.unsynced) applyNames(directory.durable, act);
    directory.unsynced = [];
  }

  syncLater(path: string, done: (error: Error | null) => void): void {
    const node = this.#find(path);
    if (node?.kind !== "file") {
      done(missing(path));
      return;
    }
    // The harshest reading: only what was written before the call is covered.
    const covered = new Set(node.unsynced);
    this.#begin(() => this.#sync(node, path, covered), done);
  }

  writeLater(path: string, bytes: Uint8Array, done: (error: Error | null) => void): void {
    this.#begin(() => {
      const file = this.open(path, "write");
      file.write(0, bytes);
      file.truncate(bytes.length);
    }, done);
  }

  syncDirectoryLater(path: string, done: (error: Error | null) => void): void {
    const directory = this.#directory(path);
    const covered = new Set(directory.unsynced);
    this.#begin(() => {
      for (const act of directory.unsynced) if (covered.has(act)) applyNames(directory.durable, act);
      directory.unsynced = directory.unsynced.filter((act) => !covered.has(act));
    }, done);
  }

  #begin(finish: () => void, done: (error: Error | null) => void): void {
    if (this.#begun.length >= begunMax) throw new Error("nobody lets what is under way finish");
    this.#begun.push({ finish, done });
  }

  freeBytes(_path: string): number {
    return this.capacity === Number.POSITIVE_INFINITY ? this.capacity : Math.max(0, this.capacity - this.usedBytes());
  }

  lock(path: string): (() => void) | null {
    if (this.#held.has(path)) return null;
    const held = this.#held;
    held.add(path);
    return () => void held.delete(path);
  }

  usedBytes(): number {
    let used = 0;
    for (const bytes of this.files().values()) used += bytes.length;
    return used;
  }

  #takeRoom(inode: Inode, end: number): void {
    if (this.capacity === Number.POSITIVE_INFINITY || end <= inode.current.size) return;
    if (this.freeBytes("") < end - inode.current.size)
      throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
  }

  #act(): void {
    if (this.#actsLeft <= 0) throw new PowerLost("the power is gone");
    this.#actsLeft -= 1;
  }

  #rename(directory: Directory, act: ReadonlyMap<string, Node | null>): void {
    directory.unsynced.push(act);
    applyNames(directory.current, act);
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split("/")) {
      if (part === "") continue;
      if (node?.kind !== "directory") return undefined;
      node = node.current.get(part);
    }
    return node;
  }

  #directory(path: string): Directory {
    const node = this.#find(path);
    if (node?.kind !== "directory") throw missing(path);
    return node;
  }
}

const missing = (path: string) => Object.assign(new Error(`${path} is not there`), { code: "ENOENT" });
const emptyContent = (): Content => ({ bytes: Buffer.alloc(0), size: 0 });

function newDirectory(): Directory {
  return { kind: "directory", durable: new Map(), current: new Map(), unsynced: [] };
}

function applyNames(names: Map<string, Node>, act: ReadonlyMap<string, Node | null>): void {
  for (const [name, node] of act) {
    if (node === null) names.delete(name);
    else names.set(name, node);
  }
}

function applyChange(content: Content, change: FileChange): void {
  const end = change.kind === "truncate" ? change.size : change.position + change.bytes.length;
  if (end > content.bytes.length) {
    const grown = Buffer.alloc(Math.max(end, content.bytes.length * 2));
    content.bytes.copy(grown, 0, 0, content.size);
    content.bytes = grown;
  }
  if (change.kind === "truncate") {
    content.bytes.fill(0, change.size, Math.max(content.size, change.size));
    content.size = change.size;
    return;
  }
  change.bytes.copy(content.bytes, change.position);
  content.size = Math.max(content.size, end);
}

/** Of every unsynced act some part is there: a write whole, in part by sectors, or not at all; names by whole acts. */
function crashNode(node: Node, random: () => number): void {
  if (node.kind === "file") {
    for (const change of node.unsynced) loseOrKeep(node.durable, change, random);
    node.unsynced = [];
    node.current.bytes = Buffer.from(node.durable.bytes);
    node.current.size = node.durable.size;
    return;
  }
  for (const act of node.unsynced) if (random() < 0.5) applyNames(node.durable, act);
  node.unsynced = [];
  node.current.clear();
  for (const [name, child] of node.durable) {
    crashNode(child, random);
    node.current.set(name, child);
  }
}

function loseOrKeep(content: Content, change: FileChange, random: () => number): void {
  const fate = random();
  if (fate < 0.35) return;
  if (change.kind === "truncate" || fate < 0.65) applyChange(content, change);
  else tear(content, change.position, change.bytes, random);
}

function tear(content: Content, position: number, bytes: Buffer, random: () => number): void {
  if (random() < 0.5) {
    const length = Math.floor(random() * bytes.length);
    applyChange(content, { kind: "write", position, bytes: bytes.subarray(0, length) });
    return;
  }
  for (let at = 0; at < bytes.length; at += sectorBytes) {
    if (random() < 0.5) continue;
    applyChange(content, { kind: "write", position: position + at, bytes: bytes.subarray(at, at + sectorBytes) });
  }
}
