// Promises a store of named commands on SQLite or PostgreSQL: one transaction each, resolved only when durable, recorded when it changes state.
// Trusts the database and the commands module it is given. Specified in docs/store.md.
import { randomBytes } from "node:crypto";
import type { Clock, Random } from "../ports.ts";
import { type DirectoryPorts, systemDirectoryPorts } from "./directory.ts";
import type { PendingSteps } from "./migration.ts";
import type { CommandTable, Store } from "./port.ts";
import { openPostgresStore } from "./postgres.ts";
import { openSqliteStore } from "./sqlite.ts";

interface CommonOptions {
  /** URL of a module that exports `commands: CommandTable` and `migrations: readonly Migration[]`; imported in the writer thread too. */
  readonly commands: URL;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Commands waiting at once before `store-busy`; default 10,000. */
  readonly pendingMax?: number;
  /** `refuse`: data that is behind this program is not brought forward; for a command beside a process that may be an older one. Default `apply`. */
  readonly pendingSteps?: PendingSteps;
}

export interface SqlitePlace {
  /** Database file; its directory is made (0700) when missing. */
  readonly path: string;
  /** Bound of the file's size; default: the disk. */
  readonly databaseBytesMax?: number;
  /** For tests: what statfs would say. */
  readonly directory?: DirectoryPorts;
}

export interface PostgresPlace {
  /** `postgres://user:password@host:port/database`; a server on another machine is always verified. */
  readonly url: string;
  /** Default `sallyport`. Made when missing. */
  readonly schema?: string;
  /** Default 10. */
  readonly connectionsMax?: number;
  /** Defaults: connect 5,000, statement 30,000, lock 10,000. */
  readonly connectTimeoutMs?: number;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
}

export type StorePlace = SqlitePlace | PostgresPlace;
export type OpenStoreOptions = CommonOptions & StorePlace;

const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
const systemRandom: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };

/** Opens, checks and migrates the store. Throws StoreFault with a code of docs/store.md; every message names the place and the fix. */
export function openStore<T extends CommandTable>(options: OpenStoreOptions): Promise<Store<T>> {
  const common = {
    commands: options.commands,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    pendingMax: options.pendingMax ?? 10_000,
    pendingSteps: options.pendingSteps ?? "apply",
  };
  if ("path" in options) {
    const bound = options.databaseBytesMax === undefined ? {} : { databaseBytesMax: options.databaseBytesMax };
    return openSqliteStore<T>({
      ...common,
      ...bound,
      path: options.path,
      directory: options.directory ?? systemDirectoryPorts,
    });
  }
  const {
    connectionsMax = 10,
    connectTimeoutMs = 5_000,
    statementTimeoutMs = 30_000,
    lockTimeoutMs = 10_000,
  } = options;
  return openPostgresStore<T>({
    ...common,
    url: options.url,
    schema: options.schema ?? "sallyport",
    limits: { connectionsMax, connectTimeoutMs, statementTimeoutMs, lockTimeoutMs },
  });
}
