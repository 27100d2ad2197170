// Promises one small port to wherever archived logs are kept for years: objects that are written once, one compare-and-swap, and nothing that goes
// before its time. Trusts the back-end behind it; all of them pass contract/contract.test.ts. Described in docs/archive.md, names in docs/formats/archive.md.

/** A run of frames with its header is at most this long; nothing larger is put. */
export const objectBytesMax = 33_554_432;
/** Objects of one page of a list. */
export const listMax = 1_000;
const nameCharactersMax = 700;
const nameForm = /^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9.-]*)*$/;

/** Names are folders and a file name, of small letters, digits, `.` and `-`: the same on every back-end, and never a way out of the archive. */
export function isArchiveName(name: string): boolean {
  return name.length <= nameCharactersMax && nameForm.test(name);
}

/** Throws TypeError: a name that is not one is a bug of the caller. */
export function assertName(name: string): void {
  if (!isArchiveName(name))
    throw new TypeError(`not the name of an archived object: ${JSON.stringify(name.slice(0, 80))}`);
}

/** A prefix is empty or ends with a slash. Throws TypeError. */
export function assertPrefix(prefix: string): void {
  if (prefix !== "" && !(prefix.endsWith("/") && isArchiveName(prefix.slice(0, -1))))
    throw new TypeError(`not the prefix of archived objects: ${JSON.stringify(prefix.slice(0, 80))}`);
}

/** Throws TypeError for more than `objectBytesMax`. */
export function assertContent(bytes: Uint8Array): void {
  if (bytes.length > objectBytesMax) throw new TypeError(`an archived object has at most ${objectBytesMax} bytes`);
}

/** How long an object must stay. */
export interface Keeping {
  /** Milliseconds since the epoch, whole seconds; null: no date. */
  readonly retainUntil: number | null;
  /** Under a legal hold. */
  readonly held: boolean;
}

export interface ArchivedObject extends Keeping {
  readonly bytes: number;
  /** Hexadecimal; of the bytes that lie there now, not of those that were sent. */
  readonly sha256: string;
}

export interface ListedObject {
  readonly name: string;
  readonly bytes: number;
}

export interface ArchiveHealth {
  /** Null where the place does not say. */
  readonly freeBytes: number | null;
  /** Who refuses to remove what is retained or held: the place itself, against everybody, or this program alone. */
  readonly keptBy: "place" | "program";
}

/** Everything rejects with ArchiveFault; a name, prefix or size that is not allowed throws TypeError. */
export interface ArchiveStore {
  readonly kind: "directory" | "postgres" | "s3";
  /** Where it is, for people; without a credential. */
  readonly place: string;
  /**
   * Creates an object, durable when it resolves. The same bytes again are `same`, and its keeping is only ever extended; other bytes reject with
   * `archive-differs`, and what is there stays.
   */
  put(name: string, bytes: Uint8Array, keeping: Keeping): Promise<"stored" | "same">;
  /** The bytes, or up to `length` of them from `from`; null when there is no such object. */
  get(name: string, range?: { readonly from: number; readonly length: number }): Promise<Uint8Array | null>;
  /** What lies there, hashed anew. */
  stat(name: string): Promise<ArchivedObject | null>;
  /** Objects whose names begin with `prefix` and come after `after`, in ascending order of their bytes; at most `max`, up to 1,000. */
  list(query: {
    readonly prefix: string;
    readonly after?: string;
    readonly max: number;
  }): Promise<readonly ListedObject[]>;
  /** Replaces an object only if it holds `expected` (null: is not there); false when it does not. Such an object has no keeping. */
  swap(name: string, change: { readonly expected: Uint8Array | null; readonly next: Uint8Array }): Promise<boolean>;
  /** Moves the date to a later one; an earlier one changes nothing. */
  retain(name: string, until: number): Promise<void>;
  /** Places a legal hold on an object, or lifts it. */
  hold(name: string, held: boolean): Promise<void>;
  /** Removes an object for good. Rejects with `archive-retained` or `archive-held`. */
  remove(name: string): Promise<"removed" | "absent">;
  health(): Promise<ArchiveHealth>;
  close(): Promise<void>;
}
