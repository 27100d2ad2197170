// The words of administrative records: page, table, routes and commands say the same, in every direction.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { actionsOf } from "@sallyport/kernel/store/decide-audit.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { adminRoutes } from "../api.ts";
import { commands } from "../commands.ts";
import { type ActionRow, auditActions, undeclared } from "./audit-actions.ts";

const table: Readonly<Record<string, ActionRow>> = auditActions;
const wordsOf = (way: ActionRow["way"]) =>
  Object.entries(table).flatMap(([word, row]) => (row.way === way ? [word] : []));
const all = Object.entries<CommandTable[string]>(commands);

test("every word a store command may record is in the table as an outbox word, and every outbox word is some command's", () => {
  const recorded = new Set(all.flatMap(([, { audit }]) => actionsOf(audit)));
  assert.ok(recorded.size > 50);
  assert.deepEqual([...recorded].sort(), wordsOf("outbox"));
});

test("every route is in the table, a change as outbox and a read as read, and every read word is some route's", () => {
  for (const { action, audit } of adminRoutes)
    assert.equal(table[action]?.way, audit === "outbox" ? "outbox" : "read", action);
  const reads = adminRoutes.flatMap(({ action, audit }) => (audit === "appended" ? [action] : []));
  assert.deepEqual([...reads].sort(), wordsOf("read"));
});

test("a command that may not record says why nobody has to answer for its rows, in words", () => {
  for (const [name, { audit }] of all)
    if (typeof audit === "object" && audit !== null && "bookkeeping" in audit)
      assert.match(audit.bookkeeping, /^\S+ (\S+ )?\S+/, name);
});

test("the table of docs/audit-actions.md is the table of the code, word for word", () => {
  const page = readFileSync(new URL("../../../../docs/audit-actions.md", import.meta.url), "utf8");
  const cell = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word);
  const rows = [
    ...page.matchAll(/^\| `([a-z.-]+)` \| (outbox|read|appended) \| ([^|]*) \| ([^|]*) \| ([^|]+) \|$/gm),
  ].map(([, action, way, objects = "", facts = "", says = ""]) => {
    assert.ok(says.trim().length > 10, `${action} is explained`);
    return [action, way, cell(objects), cell(facts)];
  });
  assert.deepEqual(
    rows,
    Object.entries(table).map(([action, { way, objects, facts }]) => [action, way, objects, facts]),
  );
});

test("words are in the form of the log, in alphabetical order, and their facts and objects named once", () => {
  assert.deepEqual(Object.keys(table), Object.keys(table).sort());
  for (const [action, { objects, facts }] of Object.entries(table)) {
    assert.match(action, /^(?=.{1,127}$)[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*$/);
    for (const object of objects) assert.match(object, /^[a-z][a-z0-9-]*$/);
    assert.ok(objects.length > 0 && new Set(objects).size === objects.length, action);
    assert.equal(new Set(facts).size, facts.length, action);
  }
});

test("what a record says beyond its row is named: a word, a kind of object, a fact; `constructor` is no word", () => {
  const kept = { action: "key.kill", object: "ring/main/production", facts: { gone: "k", reason: "leaked" } };
  assert.deepEqual(undeclared(kept), []);
  assert.deepEqual(undeclared({ ...kept, object: "user/usr_1", facts: { mail: "a@b.c" } }), [
    "object user",
    "fact mail",
  ]);
  for (const action of ["key.melt", "constructor", "__proto__"])
    assert.deepEqual(undeclared({ ...kept, action }), [`action ${action}`]);
});

test("every kind of object that an apply writes may stand in its record", () => {
  for (const kind of ["environment", "system", "integration", "trust", "issuer", "policy", "witnesses"])
    assert.deepEqual(undeclared({ action: "estate.apply", object: `${kind}/one`, facts: {} }), [], kind);
});
