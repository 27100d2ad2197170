// For tests: promises every test of the archive on a directory, PostgreSQL, and a bucket with and without Object Lock, each place its own and gone afterwards.
// Trusts forEachDialect's PostgreSQL and the fake bucket of s3-fake.test-support.ts.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import pg from "pg";
import { createDialer } from "../../dial/dialer.ts";
import { Secret } from "../../seal/secret.ts";
import { testServer } from "../../store/for-each-dialect.ts";
import { openDirectoryArchive } from "../directory.ts";
import type { ArchiveStore } from "../port.ts";
import { openPostgresArchive } from "../postgres.ts";
import { openS3Archive } from "../s3.ts";
import { type FakeS3, startFakeS3 } from "./s3-fake.test-support.ts";

/** One place, opened as often as asked: each time as another process would. */
export interface TestArchive {
  open(): Promise<ArchiveStore>;
  /** Changes the bytes of an object behind the archive's back. */
  tamper(name: string, bytes: Uint8Array): Promise<void>;
  /** Moves the clock of the archive, and of the place where it has one. */
  setNow(now: number): void;
}

export const startMs = Date.UTC(2026, 10, 30);

/** Runs `suite` once per back-end, inside a `describe` of its name. `place()` gives an empty archive; call it inside tests. */
export function forEachArchive(suite: (name: string, place: () => Promise<TestArchive>) => void): void {
  const closers: (() => Promise<void>)[] = [];
  const opened = async (store: Promise<ArchiveStore>): Promise<ArchiveStore> => {
    const archive = await store;
    closers.push(() => archive.close());
    return archive;
  };
  after(async () => {
    for (const close of closers.reverse()) await close();
  });
  describe("directory", () =>
    suite("directory", async () => {
      const directory = mkdtempSync(join(tmpdir(), "sallyport-archive-"));
      closers.push(async () => rmSync(directory, { recursive: true, force: true }));
      const clock = { now: () => now };
      let now = startMs;
      return {
        open: () => opened(openDirectoryArchive({ directory, clock })),
        tamper: async (name, bytes) => (await import("node:fs")).writeFileSync(join(directory, name), bytes),
        setNow: (next) => {
          now = next;
        },
      };
    }));
  describe("postgres", () => {
    let server: Awaited<ReturnType<typeof testServer>> | undefined;
    before(async () => {
      server = await testServer();
    });
    after(async () => {
      for (const close of closers.splice(0).reverse()) await close();
      await server?.stop();
    });
    suite("postgres", async () => {
      if (server === undefined) throw new Error("place() before the suite's before hook");
      const { url } = server;
      const schema = `test_${randomBytes(8).toString("hex")}`;
      let now = startMs;
      const query = async (text: string, values: unknown[]) => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        await client.query(text, values);
        await client.end();
      };
      closers.push(() => query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`, []));
      return {
        open: () => opened(openPostgresArchive({ url, schema, clock: { now: () => now } })),
        tamper: (name, bytes) =>
          query(`UPDATE ${schema}.archive_object SET content = $2 WHERE name = $1`, [name, Buffer.from(bytes)]),
        setNow: (next) => {
          now = next;
        },
      };
    });
  });
  for (const objectLock of ["compliance", "none"] as const)
    describe(`s3, object lock ${objectLock}`, () =>
      suite(`s3-${objectLock}`, async () => {
        const fake = await startFakeS3({ objectLock: objectLock === "compliance", now: startMs, pageMax: 3 });
        closers.push(() => fake.close());
        return {
          open: () => opened(openFake(fake, objectLock)),
          tamper: async (name, bytes) => void fake.plant(`logs/${name}`, bytes),
          setNow: (next) => {
            fake.now = next;
          },
        };
      }));
}

/** An archive below `logs/` of the fake bucket. */
export function openFake(
  fake: FakeS3,
  objectLock: "compliance" | "none",
  bounds: { readonly timeoutMs?: number } = {},
): Promise<ArchiveStore> {
  const { endpoint, bucket, region, accessKeyId, secretAccessKey } = fake;
  return openS3Archive({
    place: { endpoint, bucket, region, prefix: "logs/", allowPrivate: true },
    credentials: { accessKeyId, secretAccessKey: Secret.fromText(secretAccessKey) },
    dialer: createDialer(),
    clock: { now: () => fake.now },
    objectLock,
    retryDelayMs: 1,
    ...bounds,
  });
}
