// Migrations on both dialects: forward only, each once, all or nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreFault } from "../fault.ts";
import { forEachDialect } from "../for-each-dialect.ts";
import { decideMigrations, type Migration } from "../migration.ts";
import type { ContractCommands } from "./commands.ts";

const module = (name: string) => new URL(`./${name}.ts`, import.meta.url);
const commands = module("commands");

forEachDialect((_dialect, open) => {
  test("opening the same data again applies nothing and keeps everything", async () => {
    const place = open.newPlace();
    const first = await open<ContractCommands>({ commands, place });
    await first.run("addNote", "kept");
    await first.close();
    const second = await open<ContractCommands>({ commands, place });
    assert.deepEqual(await second.run("notes", null), ["kept"]);
  });

  test("four nodes that start at once on empty data all come up, and every step is applied once", async () => {
    const place = open.newPlace();
    const stores = await Promise.all(Array.from({ length: 4 }, () => open<ContractCommands>({ commands, place })));
    await Promise.all(stores.map((store, index) => store.run("addNote", `from ${index}`)));
    const [first] = stores;
    assert.equal((await first?.run("notes", null))?.length, 4);
  });

  test("a newer program brings the data forward", async () => {
    const place = open.newPlace();
    await (await open<ContractCommands>({ commands, place })).close();
    const newer = await open<ContractCommands>({ commands: module("newer-commands"), place });
    assert.equal(await newer.run("statements", [{ sql: "INSERT INTO colour (name) VALUES (?)", params: ["red"] }]), 1);
  });

  test("an older program on newer data is refused, and both versions are named", async () => {
    const place = open.newPlace();
    await (await open<ContractCommands>({ commands: module("newer-commands"), place })).close();
    await assert.rejects(open<ContractCommands>({ commands, place }), (error) => {
      assert.ok(error instanceof StoreFault);
      assert.equal(error.code, "schema-newer");
      assert.match(error.internal, /version 3 of contract.*knows version 2/);
      return true;
    });
  });

  test("a released migration that was edited is refused", async () => {
    const place = open.newPlace();
    await (await open<ContractCommands>({ commands, place })).close();
    await assert.rejects(open<ContractCommands>({ commands: module("edited-commands"), place }), {
      code: "schema-changed",
    });
  });

  test("a migration that fails half way leaves the data as it was", async () => {
    const place = open.newPlace();
    const before = await open<ContractCommands>({ commands, place });
    await before.run("addNote", "kept");
    await before.close();
    await assert.rejects(open<ContractCommands>({ commands: module("broken-commands"), place }), {
      code: "bad-statement",
    });
    const after = await open<ContractCommands>({ commands, place });
    assert.deepEqual(await after.run("notes", null), ["kept"]);
    await assert.rejects(after.run("statements", [{ sql: "SELECT name FROM colour", params: [] }]), {
      code: "bad-statement",
    });
  });

  test("a module that is missing or holds no commands is refused by name", async () => {
    await assert.rejects(open({ commands: module("no-such-file") }), { code: "bad-commands-module" });
    await assert.rejects(open({ commands: new URL("../event-id.ts", import.meta.url) }), {
      code: "bad-commands-module",
    });
  });
});

test("each capability counts its own versions from 1, without gaps", () => {
  const step = (capability: string, version: number): Migration => ({ capability, version, name: "x", up: () => [] });
  assert.equal(decideMigrations([step("a", 1), step("b", 1), step("a", 2)], [], "sqlite").length, 3);
  for (const list of [[step("a", 2)], [step("a", 1), step("a", 1)], [step("a", 1), step("a", 3)], [step("a", 0)]])
    assert.throws(() => decideMigrations(list, [], "sqlite"), { code: "bad-commands-module" });
  assert.throws(() => decideMigrations([step("a", 1)], [{ capability: "gone", version: 1, checksum: "" }], "sqlite"), {
    code: "schema-newer",
  });
});
