// Promises a file of places that is read again when it changes, in memory that all worker threads of a node look into: one copy, and a change holds in all of
// them. A file that is none is not taken, and what was read before stands. Trusts geo-file.ts to read it. Specified in docs/policy-signals.md "Place".
import { readFileSync, statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { type GeoFile, openGeoFile, type Place } from "./geo-file.ts";

export const geoBytesMax = 1024 ** 3;
/** Looked at so often for a change. */
const lookMs = 1_000;

/** Who is told of bytes that were read anew. */
type Told = (bytes: SharedArrayBuffer) => void;

/** Bytes that may be replaced while they are looked into. Throws for bytes that are no MaxMind DB. */
export class SharedGeo implements GeoFile {
  #file: GeoFile;

  constructor(bytes: SharedArrayBuffer) {
    this.#file = openGeoFile(Buffer.from(bytes));
  }

  /** Throws for bytes that are no MaxMind DB; those before stand then. */
  use(bytes: SharedArrayBuffer): void {
    this.#file = openGeoFile(Buffer.from(bytes));
  }

  find(address: string): Place | null {
    return this.#file.find(address);
  }
}

interface Logging {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export class GeoSource implements GeoFile {
  readonly #path: string;
  readonly #shared: SharedGeo;
  #bytes: SharedArrayBuffer;
  /** What tells one state of the file from another: of the last try, whether or not it could be read. */
  #seen: string;
  readonly #told: Told[] = [];

  /** Throws an Error that says what is wrong for a file that cannot be read, is too large, or is no MaxMind DB. */
  constructor(path: string) {
    this.#path = path;
    const found = statSync(path);
    // Before its bytes: a change while they are read is seen at the next look.
    this.#seen = stateOf(found);
    assertSize(found.size);
    this.#bytes = sharedBytes(readFileSync(path));
    this.#shared = new SharedGeo(this.#bytes);
  }

  /** As last read. */
  get bytes(): SharedArrayBuffer {
    return this.#bytes;
  }

  find(address: string): Place | null {
    return this.#shared.find(address);
  }

  /** `told` hears of bytes that were read anew. */
  onChange(told: Told): void {
    this.#told.push(told);
  }

  /** Looks for changes until it is told to stop. */
  follow(logger: Logging): () => void {
    let isLooking = false;
    const timer = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      void this.look(logger).finally(() => {
        isLooking = false;
      });
    }, lookMs).unref();
    return () => clearInterval(timer);
  }

  /** Reads the file where it has changed. Never rejects. */
  async look(logger: Logging): Promise<void> {
    try {
      const found = await stat(this.#path);
      const state = stateOf(found);
      if (state === this.#seen) return;
      this.#seen = state;
      assertSize(found.size);
      const bytes = sharedBytes(await readFile(this.#path));
      this.#shared.use(bytes);
      this.#bytes = bytes;
      for (const told of this.#told) told(bytes);
      logger.info({ file: this.#path }, "the file of places was read again");
    } catch (error) {
      const err = error instanceof Error ? error.message : String(error);
      const isUnfound = error instanceof Error && "syscall" in error && error.syscall === "stat";
      // Once for each state of it: a file that is away is not told of every second.
      if (!isUnfound || this.#seen !== err) logger.warn({ file: this.#path, err }, unread);
      if (isUnfound) this.#seen = err;
    }
  }
}

const unread = "the file of places could not be read again: the one before stands; put a whole MaxMind DB in its place";

const stateOf = ({ mtimeMs, size, ino }: { mtimeMs: number; size: number; ino: number }): string =>
  `${mtimeMs} ${size} ${ino}`;

function assertSize(size: number): void {
  if (size > geoBytesMax) throw new Error(`it is larger than ${geoBytesMax} bytes`);
}

function sharedBytes(bytes: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(bytes.length);
  new Uint8Array(shared).set(bytes);
  return shared;
}
