// The index keeps up with 20,000 records a second, with edge figures and findings beside it, on either store: as a ratio to parsing the JSON of the same
// leaves in the same run, so that a busy machine slows both and only slower folds are red. `bench follow` and `bench search` take the figures themselves.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import pg from "pg";
import { FindingsFold } from "../../watch/findings-fold.ts";
import { EdgesFold } from "../edges/edges-fold.ts";
import type { IndexStore } from "./index-store.ts";
import { PostgresIndex } from "./postgres-index.ts";
import { leafTextOf, readLeaf } from "./record-terms.ts";
import { originOf, recordsOf, seeded, startMs, trafficLeaf } from "./records.test-support.ts";
import { SearchFold } from "./search-fold.ts";
import { ports } from "./search-index.test-support.ts";
import { SqliteIndex } from "./sqlite-index.ts";

/** Records that the follower hands over at once, and a block of the index. */
const batch = 2_048;
const turns = 24;
/** The JSON of a leaf takes 1.4 us on the machine that the promise was measured on, so 20,000 records a second of one processor are 36 times as much. */
const jsonPerRecord = 20;
const now = () => startMs + 86_400_000;
const bounds = { now, bytesMax: 1e12, keepMs: 1e12 };
const directory = mkdtempSync(join(tmpdir(), "search-rates-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Microseconds of processor for each record of a batch. */
async function cpuOf(work: () => unknown): Promise<number> {
  const began = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / batch;
}

/** Of several turns the lowest: what neighbours take of a core only makes a turn dearer, never cheaper. The first two load the code. */
const lowest = (all: readonly number[]) => Math.min(...all.slice(2));

function keepsUp(freshStore: () => IndexStore): void {
  test("a record costs index, edge figures and findings together at most twenty times the parsing of its JSON", {
    timeout: 300_000,
  }, async () => {
    const search = await SearchFold.open(freshStore(), { ...ports, now });
    const edges = new EdgesFold({ directory: mkdtempSync(join(directory, "edges-")), owner: "c", now });
    const call = async (service: string) => (service === "watch.read" ? { places: [], states: [] } : null);
    const records = { origins: async () => [], read: async () => [] };
    const findings = new FindingsFold("findings", { call, records, now, fault: assert.ifError });
    await findings.places();
    const random = seeded(1);
    const origin = originOf("gw-1");
    const parsing: number[] = [];
    const folding: number[] = [];
    for (let from = 0; from < turns * batch; from += batch) {
      const made = recordsOf(
        Array.from({ length: batch }, (_, n) => trafficLeaf(from + n, random, "gw-1")),
        from,
      );
      const texts = made.map(({ leaf }) => leafTextOf(leaf));
      parsing.push(await cpuOf(() => texts.map((text) => JSON.parse(text))));
      folding.push(
        await cpuOf(async () => {
          const taken = { origin, records: made, leaves: made.map(({ leaf }) => readLeaf(leaf)) };
          for (const fold of [search, edges, findings]) await fold.take(taken);
        }),
      );
    }
    for (const fold of [search, edges, findings]) await fold.close();
    const [own, json] = [lowest(folding), lowest(parsing)];
    assert.ok(own <= jsonPerRecord * json, `a record costs ${own} us, the parsing of its JSON ${json} us`);
  });
}

describe("on SQLite", () => {
  keepsUp(() => new SqliteIndex({ directory: join(directory, "index"), owner: "control-1", ...bounds }));
});

describe("on PostgreSQL", () => {
  const schema = `rates_${randomBytes(6).toString("hex")}`;
  let server: Awaited<ReturnType<typeof testServer>>;
  before(async () => {
    server = await testServer();
  });
  after(async () => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.end();
    await server.stop();
  });
  keepsUp(() => new PostgresIndex({ url: server.url, schema, ...bounds }));
});
