// Rows of one moment, from either dialect, into either dialect.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { commands } from "./contract/commands.ts";
import { exportStore } from "./export.ts";
import { forEachDialect, type StorePlace } from "./for-each-dialect.ts";
import { importPostgres, importSqlite, isSchemaEmpty, renameSchema } from "./import.ts";
import { openStore } from "./open.ts";
import type { SqlValue } from "./port.ts";
import { parseRows, printRow, printTable, rowsEnd } from "./rows.ts";

const url = new URL("./contract/commands.ts", import.meta.url);
type Commands = typeof commands;
const folder = mkdtempSync(join(tmpdir(), "sallyport-export-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const samples = [
  { id: "plain", t: "ä \u{1F600} 'quoted' \n", i: 42, r: 1.5, b: new Uint8Array([0, 1, 255]) },
  { id: "edges", t: "", i: 2n ** 63n - 1n, r: -0.25, b: new Uint8Array(0) },
  { id: "lowest", t: "x".repeat(70_000), i: -(2n ** 63n), r: 1e300, b: new Uint8Array(300_000).fill(7) },
  { id: "nothing", t: null, i: null, r: null, b: null },
] as const;

async function collect(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const bytes of content) pieces.push(bytes);
  return Buffer.concat(pieces);
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A row as text: bytes by their digest, big numbers exactly. */
const shown = (values: readonly SqlValue[]): string =>
  JSON.stringify(
    values.map((value) =>
      value instanceof Uint8Array ? hash("sha256", value) : `${typeof value} ${value}`.slice(0, 300),
    ),
  );

async function contentOf(content: AsyncIterable<Uint8Array>): Promise<Record<string, string[]>> {
  const rows: Record<string, string[]> = {};
  let table = "";
  for await (const event of parseRows(content)) {
    if (event.kind === "table") {
      table = event.table.name;
      rows[table] = [];
    } else rows[table]?.push(shown(event.values));
  }
  for (const list of Object.values(rows)) list.sort();
  return rows;
}

async function rowsOf(place: StorePlace): Promise<Record<string, string[]>> {
  const exported = await exportStore(place);
  try {
    return await contentOf(exported.content());
  } finally {
    await exported.close();
  }
}

forEachDialect((dialect, open) => {
  describe("export", () => {
    let place: StorePlace;
    const filled = async () => {
      place = open.newPlace();
      const store = await open<Commands>({ commands: url, place });
      for (const sample of samples) await store.run("roundTrip", sample);
      for (let i = 0; i < 500; i += 1) await store.run("increment", { name: `counter-${i % 7}` });
      return store;
    };

    test("every row, of every type, reads back the same on both dialects, and is the rows of one moment", async () => {
      const store = await filled();
      const exported = await exportStore(place);
      // After the moment: not in it, and not held up by it.
      await store.run("increment", { name: "counter-0" });
      const bytes = await collect(exported.content());
      await exported.close();
      assert.equal(exported.counts["sample"], 4);
      assert.equal(exported.counts["audit_outbox"], 500);
      assert.ok(
        exported.tables.findIndex(({ name }) => name === "parent") <
          exported.tables.findIndex(({ name }) => name === "child"),
        "what others refer to comes first",
      );
      const rows = await contentOf(pieces(bytes, 999));
      assert.deepEqual(
        // Without the id, which the command made.
        rows["sample"]?.map((row) => row.slice(row.indexOf(","))).sort(),
        samples.map(({ t, i, r, b }) => shown(["", t, i, r, b]).slice('["string "'.length)).sort(),
      );
      const from = { dialect: exported.dialect, schema: exported.schema };
      const options = { commands: url, from, now: 1 };
      const path = join(folder, `${dialect}.db`);
      assert.deepEqual(await importSqlite(path, { ...options, content: pieces(bytes, 1_000) }), { ...exported.counts });
      const targets: StorePlace[] = [{ path }];
      if ("url" in place) {
        const [staged, named] = [`staged_${process.pid}`, `named_${process.pid}`];
        await importPostgres({ url: place.url, schema: staged }, { ...options, content: pieces(bytes, 777) });
        assert.deepEqual(
          [await isSchemaEmpty(place.url, staged), await isSchemaEmpty(place.url, named)],
          [false, true],
        );
        await renameSchema(place.url, staged, named);
        targets.push({ url: place.url, schema: named });
      }
      for (const target of targets) {
        const copy = await openStore<Commands>({ commands: url, ...target });
        assert.deepEqual(await rowsOf(target), rows);
        assert.equal(await copy.run("counter", "counter-0"), 72, "71 or 72 of 500, and not the one after");
        // Counters of rows go on: nothing collides with what was put back.
        await copy.run("increment", { name: "counter-0" });
        await copy.close();
      }
    });

    test("rows of a table or a column this schema does not have, or without one it has, are refused whole", async () => {
      await filled();
      const exported = await exportStore(place);
      const bytes = await collect(exported.content());
      await exported.close();
      const from = { dialect: exported.dialect, schema: exported.schema };
      const attempt = (content: Buffer, file: string) =>
        importSqlite(join(folder, `${dialect}-${file}.db`), {
          commands: url,
          from,
          now: 1,
          content: pieces(content, 500),
        });
      const foreign = Buffer.concat([
        printTable({ name: "sqlite_master", columns: ["sql"] }),
        printRow(["x"]),
        rowsEnd,
      ]);
      await assert.rejects(attempt(foreign, "foreign"), { code: "bad-value" });
      const column = Buffer.concat([printTable({ name: "counter", columns: ["name", "rowid"] }), rowsEnd]);
      await assert.rejects(attempt(column, "column"), { code: "bad-value" });
      await assert.rejects(attempt(rowsEnd, "empty"), /lack the table/);
      await assert.rejects(attempt(bytes.subarray(0, -1), "cut"), { code: "bad-value" });
      await assert.rejects(attempt(Buffer.concat([bytes, rowsEnd]), "more"), { code: "bad-value" });
      await assert.rejects(attempt(Buffer.concat([bytes.subarray(0, -1), printRow(["a", "b"]), rowsEnd]), "odd"));
    });

    test("the schema of a newer program, or one whose steps were edited, is refused before a row is read", async () => {
      await filled();
      const exported = await exportStore(place);
      await exported.close();
      const steps = [...exported.schema];
      const newer = [...steps, { capability: "contract", version: 99, checksum: "00" }];
      const edited = steps.map((step) => (step.version === 2 ? { ...step, checksum: "00" } : step));
      for (const [schema, code] of [
        [newer, "schema-newer"],
        [edited, "schema-changed"],
      ] as const) {
        const from = { dialect: exported.dialect, schema };
        const path = join(folder, `${dialect}-${code}.db`);
        await assert.rejects(importSqlite(path, { commands: url, from, now: 1, content: pieces(rowsEnd, 1) }), {
          code,
        });
      }
    });

    test("a command beside a running process never brings its data forward", async () => {
      const old = open.newPlace();
      const older = new URL("./contract/older-commands.ts", import.meta.url);
      await open<Commands>({ commands: older, place: old });
      await assert.rejects(openStore({ commands: url, ...old, pendingSteps: "refuse" }), { code: "schema-older" });
      const same = await openStore({ commands: older, ...old, pendingSteps: "refuse" });
      await same.close();
    });
  });
});

test("a made-up length in the rows takes no memory", async () => {
  const head = printTable({ name: "note", columns: ["seq", "body"] });
  const huge = Buffer.from([0x52, 0x03, 0xff, 0xff, 0xff, 0xff]);
  await assert.rejects(
    (async () => {
      for await (const _row of parseRows(pieces(Buffer.concat([head, huge]), 7)));
    })(),
    { code: "bad-value" },
  );
});
