// Promises the files of one index in order, each the next of the one before, all of this installation: what breaks the chain ends it, and what was
// behind is taken from the log again. Trusts index-file.ts. Described in docs/audit-search.md "How it is kept".
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type FileHead, IndexFile } from "./index-file.ts";

/** Sealed files held open at once, beside the one that grows. */
const openFilesMax = 12;
const nameForm = /^([0-9]{8})\.sqlite$/;
const noFile = "";

/** What is known of a sealed file without opening it. */
export interface SealedFile {
  readonly head: FileHead;
  readonly records: number;
  readonly minAt: number;
  readonly maxAt: number;
  readonly bytes: number;
}

export class IndexFiles {
  readonly #directory: string;
  readonly #owner: string;
  readonly #open = new Map<number, IndexFile>();
  readonly sealed: SealedFile[] = [];
  #current: IndexFile;
  /** Counts how often files were given up: whoever keeps places asks for them again. */
  restarts = 0;

  constructor(directory: string, owner: string) {
    this.#directory = directory;
    this.#owner = owner;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#current = this.#openChain();
  }

  get current(): IndexFile {
    return this.#current;
  }

  #path(number: number): string {
    return join(this.#directory, `${String(number).padStart(8, "0")}.sqlite`);
  }

  #numbers(): number[] {
    return readdirSync(this.#directory)
      .flatMap((name) => nameForm.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** Opens what hangs together, removes what does not, and returns the file that grows. */
  #openChain(): IndexFile {
    const numbers = this.#numbers();
    let last: IndexFile | null = null;
    for (const [at, number] of numbers.entries()) {
      const file = this.#openNext(number, last, at === 0);
      if (file === null) {
        for (const gone of numbers.slice(at)) this.#remove(gone);
        break;
      }
      if (last !== null) this.#keepSealed(last);
      last = file;
    }
    if (last === null) return this.#create({ number: 1, previous: noFile, before: 0, floor: 1 });
    if (!this.#reachesFloor(last)) {
      last.close();
      return this.#startOver();
    }
    if (!last.isSealed()) return last;
    this.#keepSealed(last);
    return this.#follow(last);
  }

  /** Whether the oldest file is the one it should be; what was to be removed before it is. */
  #reachesFloor(last: IndexFile): boolean {
    const floor = last.floor();
    while ((this.sealed[0]?.head.number ?? floor) < floor) this.#dropOldest();
    return (this.sealed[0]?.head.number ?? last.head.number) === floor;
  }

  #startOver(): IndexFile {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
    this.sealed.length = 0;
    for (const number of this.#numbers()) this.#remove(number);
    return this.#create({ number: 1, previous: noFile, before: 0, floor: 1 });
  }

  /** Null: it cannot be read, is of another installation, or is not the one that comes next. */
  #openNext(number: number, last: IndexFile | null, isFirst: boolean): IndexFile | null {
    let file: IndexFile;
    try {
      file = IndexFile.open(this.#path(number));
    } catch {
      return null;
    }
    const { head } = file;
    const follows =
      last === null
        ? isFirst
        : last.isSealed() && head.previous === last.head.id && head.number === last.head.number + 1;
    if (follows && head.owner === this.#owner && head.number === number) return file;
    file.close();
    return null;
  }

  #keepSealed(file: IndexFile): void {
    const { head, blocks } = file;
    this.sealed.push({
      head,
      records: blocks.reduce((sum, { count }) => sum + count, 0),
      minAt: Math.min(...blocks.map(({ minAt }) => minAt)),
      maxAt: Math.max(...blocks.map(({ maxAt }) => maxAt)),
      bytes: statSync(file.path).size,
    });
    this.#hold(file);
  }

  #hold(file: IndexFile): void {
    this.#open.set(file.head.number, file);
    while (this.#open.size > openFilesMax) {
      const [oldest] = this.#open.values();
      if (oldest === undefined) return;
      this.#open.delete(oldest.head.number);
      oldest.close();
    }
  }

  #create(head: Pick<FileHead, "number" | "previous" | "before"> & { readonly floor: number }): IndexFile {
    this.#remove(head.number);
    return IndexFile.create(this.#path(head.number), {
      ...head,
      id: randomBytes(16).toString("hex"),
      owner: this.#owner,
    });
  }

  /** The file behind a sealed one, with its places. */
  #follow(last: IndexFile): IndexFile {
    const records = last.blocks.reduce((sum, { count }) => sum + count, 0);
    const { number, id, before } = last.head;
    const file = this.#create({ number: number + 1, previous: id, before: before + records, floor: last.floor() });
    file.begin(last.origins(), last.openIntents());
    return file;
  }

  /** Ends the file that grows and begins the next. */
  turn(): void {
    const full = this.#current;
    const next = this.#follow(full);
    full.seal();
    this.#keepSealed(full);
    this.#current = next;
  }

  /** A file by its number, opened when it is not. Throws where it is damaged or gone. */
  file(number: number): IndexFile {
    if (number === this.#current.head.number) return this.#current;
    const held = this.#open.get(number);
    if (held !== undefined) {
      // Used last, closed last.
      this.#open.delete(number);
      this.#open.set(number, held);
      return held;
    }
    const file = IndexFile.open(this.#path(number));
    this.#hold(file);
    return file;
  }

  /** Gives up this file and everything behind it. */
  giveUp(number: number): void {
    this.close();
    for (const gone of this.#numbers()) if (gone >= number) this.#remove(gone);
    this.sealed.length = 0;
    this.restarts += 1;
    this.#current = this.#openChain();
  }

  /** Removes the oldest sealed files while all together are larger than this, or end before that time. */
  trim(bytesMax: number, oldestAt: number): void {
    let bytes = this.sealed.reduce((sum, file) => sum + file.bytes, 0);
    for (
      let file = this.sealed[0];
      file !== undefined && (bytes > bytesMax || file.maxAt < oldestAt);
      file = this.sealed[0]
    ) {
      bytes -= file.bytes;
      // First said, then done: a file that is missing without this is one that somebody took away.
      this.#current.setFloor(file.head.number + 1);
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const number = this.sealed.shift()?.head.number;
    if (number === undefined) return;
    this.#open.get(number)?.close();
    this.#open.delete(number);
    this.#remove(number);
  }

  #remove(number: number): void {
    for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(`${this.#path(number)}${end}`, { force: true });
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
    this.#current.close();
  }
}
