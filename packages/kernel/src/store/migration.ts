// Promises that a database is brought forward by the same numbered steps everywhere, each once, or not touched at all.
// Trusts the checksum written beside each step. Table `schema_version` is described in docs/store.md.
import { createHash } from "node:crypto";
import { StoreFault } from "./fault.ts";

export type Dialect = "sqlite" | "postgres";

/** What becomes of steps that the data has not had yet. */
export type PendingSteps = "apply" | "refuse";

/** Throws `schema-older` when steps are due and must not be taken. */
export function assertSteps(pending: readonly PendingMigration[], what: PendingSteps): void {
  const [first] = pending;
  if (what === "apply" || first === undefined) return;
  throw new StoreFault(
    "schema-older",
    `the data is behind this program (${first.capability} ${first.version}, ${first.name}): use the program that serves it, or start this one on it once`,
  );
}

/** Column types that behave the same on both dialects; `table` ends a CREATE TABLE. */
export interface ColumnTypes {
  /** Signed 64 bits. */
  readonly integer: string;
  readonly real: string;
  /** Compared and sorted by bytes of UTF-8. */
  readonly text: string;
  readonly blob: string;
  /** Primary key that only goes up. */
  readonly serial: string;
  readonly table: string;
}

export interface Migration {
  /** The capability whose tables these are; each counts its own versions from 1. */
  readonly capability: string;
  readonly version: number;
  readonly name: string;
  /** The statements, in order. Never change one that was released: write the next. */
  up(types: ColumnTypes): readonly string[];
}

export interface AppliedMigration {
  readonly capability: string;
  readonly version: number;
  readonly checksum: string;
}

export interface PendingMigration {
  readonly capability: string;
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly statements: readonly string[];
}

export function columnTypes(dialect: Dialect): ColumnTypes {
  return dialect === "sqlite"
    ? {
        integer: "INTEGER",
        real: "REAL",
        text: "TEXT",
        blob: "BLOB",
        serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
        table: "STRICT",
      }
    : {
        integer: "BIGINT",
        real: "DOUBLE PRECISION",
        text: 'TEXT COLLATE "C"',
        blob: "BYTEA",
        serial: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        table: "",
      };
}

/** Creates the table of steps; safe to run on every start. */
export function schemaVersionTable(dialect: Dialect): string {
  const t = columnTypes(dialect);
  return `CREATE TABLE IF NOT EXISTS schema_version (
    capability ${t.text} NOT NULL, version ${t.integer} NOT NULL, name ${t.text} NOT NULL, checksum ${t.text} NOT NULL,
    applied_at ${t.integer} NOT NULL, PRIMARY KEY (capability, version)) ${t.table}`;
}

function pendingOf(migration: Migration, dialect: Dialect): PendingMigration {
  const statements = migration.up(columnTypes(dialect));
  const checksum = createHash("sha256").update(JSON.stringify(statements)).digest("hex");
  return { capability: migration.capability, version: migration.version, name: migration.name, checksum, statements };
}

/**
 * Which steps are still to be applied, in order. Pure.
 * Throws `schema-newer` when the data is ahead of this program, `schema-changed` when an applied step differs from the program's,
 * `bad-commands-module` when a capability's versions are not 1, 2, 3, ...
 */
export function decideMigrations(
  known: readonly Migration[],
  applied: readonly AppliedMigration[],
  dialect: Dialect,
): PendingMigration[] {
  const latest = new Map<string, number>();
  for (const { capability, version } of known) {
    if (version !== (latest.get(capability) ?? 0) + 1)
      throw new StoreFault(
        "bad-commands-module",
        `migration ${capability} ${version} is out of order: versions are 1, 2, 3, ... per capability`,
      );
    latest.set(capability, version);
  }
  for (const { capability, version } of applied) {
    const ours = latest.get(capability) ?? 0;
    if (version > ours)
      throw new StoreFault(
        "schema-newer",
        `the data is at version ${version} of ${capability}, this program knows version ${ours}: start the newer program that wrote it, or restore a backup made by this one`,
      );
  }
  const checksums = new Map(applied.map((step) => [`${step.capability} ${step.version}`, step.checksum]));
  return known
    .map((migration) => pendingOf(migration, dialect))
    .filter(({ capability, version, name, checksum }) => {
      const there = checksums.get(`${capability} ${version}`);
      if (there !== undefined && there !== checksum)
        throw new StoreFault(
          "schema-changed",
          `migration ${capability} ${version} (${name}) was applied with other statements than this program has: a released migration must never be edited; use the program that made this data`,
        );
      return there === undefined;
    });
}
