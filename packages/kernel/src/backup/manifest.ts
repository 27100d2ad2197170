// Promises the shapes of what a backup says of itself, and that nothing else is read as one. Pure. Specified in docs/formats/backup.md "Records".
import { BackupFault } from "./fault.ts";

export const backupVersion = 1;

/** The first record: enough to know what the rest is. */
export interface BackupHead {
  readonly v: 1;
  /** ULID. */
  readonly id: string;
  /** Milliseconds since the epoch: the store's rows are those of a moment after it. */
  readonly createdAt: number;
  /** Version of the program that made it. */
  readonly product: string;
  readonly tenant: string;
  /** The control node it was made at. */
  readonly node: string;
  /** `all`: control and gateway below one --data; `control`: control alone. */
  readonly layout: "all" | "control";
  readonly dialect: "sqlite" | "postgres";
  /** Migrations the store had had. */
  readonly schema: readonly BackupStep[];
}

export interface BackupStep {
  readonly capability: string;
  readonly version: number;
  readonly checksum: string;
}

export interface BackupPart {
  readonly name: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Where one origin of a log ended in this backup. */
export interface BackupLogEnd {
  /** Part name up to the year, for example `control-log/2026`. */
  readonly folder: string;
  readonly origin: string;
  readonly size: number;
  /** Base64, as in a checkpoint. */
  readonly root: string;
}

export interface BackupManifest extends BackupHead {
  readonly finishedAt: number;
  /** Highest epoch of any group. */
  readonly epoch: number;
  /** Rows by table, in the order they are in. */
  readonly tables: Readonly<Record<string, number>>;
  readonly parts: readonly BackupPart[];
  readonly logs: readonly BackupLogEnd[];
}

/** Parts a backup may have; a name is also a path below a directory, so nothing else is taken. */
export const partForm =
  /^(?:store|kek\.key|(?:control|gateway)-log\/(?:before\/){0,16}(?:log\.vkey|[1-9][0-9]{3}\/(?:checkpoint|wal\/[0-9]{16}\.wal)))$/;

/** Where an origin lies; it becomes part of a path too. */
export const logFolderForm = /^(?:control|gateway)-log\/(?:before\/){0,16}[1-9][0-9]{3}$/;

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= 1_024;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function each(list: unknown, holds: (one: Readonly<Record<string, unknown>>) => boolean): boolean {
  return Array.isArray(list) && list.every((one) => typeof one === "object" && one !== null && holds(one));
}

/** The head record. Faults: `backup-newer`, `backup-malformed`. */
export function parseHead(text: string): BackupHead {
  const value = parseObject(text);
  const { v, id, createdAt, product, tenant, node, layout, dialect, schema } = value;
  if (typeof v === "number" && v > backupVersion)
    throw new BackupFault(
      "backup-newer",
      `this backup has format ${v} (made by ${String(product).slice(0, 40)}), this program knows format ${backupVersion}: use the program that made it, or a newer one`,
    );
  const texts = [id, product, tenant, node].every(isText);
  const known = (layout === "all" || layout === "control") && (dialect === "sqlite" || dialect === "postgres");
  const steps = each(
    schema,
    (step) => isText(step["capability"]) && isCount(step["version"]) && isText(step["checksum"]),
  );
  if (v !== backupVersion || !texts || !isCount(createdAt) || !known || !steps)
    throw new BackupFault("backup-malformed", "the first record is not the head of a backup of format 1");
  // as: every member was looked at above.
  return value as unknown as BackupHead;
}

/** The manifest record. Faults: `backup-malformed`. */
export function parseManifest(text: string): BackupManifest {
  const value = parseObject(text);
  parseHead(text);
  const { finishedAt, epoch, tables, parts, logs } = value;
  const ok =
    isCount(finishedAt) &&
    isCount(epoch) &&
    typeof tables === "object" &&
    tables !== null &&
    Object.values(tables).every(isCount) &&
    each(parts, ({ name, size, sha256 }) => isText(name) && partForm.test(name) && isCount(size) && isText(sha256)) &&
    each(
      logs,
      ({ folder, ...end }) =>
        isText(folder) &&
        logFolderForm.test(folder) &&
        isText(end["origin"]) &&
        isCount(end["size"]) &&
        isText(end["root"]),
    );
  if (!ok) throw new BackupFault("backup-malformed", "the manifest is not one of format 1");
  // as: every member was looked at above.
  return value as unknown as BackupManifest;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return Object.fromEntries(Object.entries(value));
  } catch {
    // Said below.
  }
  throw new BackupFault("backup-malformed", "a record is not a JSON object");
}

/** The text that is signed: which backup, and all of it through its manifest. Never the form of a checkpoint, whose second line is a number. */
export function signedText(id: string, manifestSha256: string): string {
  return `sallyport-backup/v1\n${id}\n${manifestSha256}\n`;
}
