// The contract of a store, on both dialects.
import assert from "node:assert/strict";
import { before, beforeEach, describe, test } from "node:test";
import { StoreFault, type StoreFaultCode } from "../fault.ts";
import { forEachDialect } from "../for-each-dialect.ts";
import type { SqlValue, Statement, Store } from "../port.ts";
import type { ContractCommands } from "./commands.ts";

const commands = new URL("./commands.ts", import.meta.url);

function faultCode(code: StoreFaultCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreFault, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

forEachDialect((dialect, open) => {
  let store: Store<ContractCommands>;
  const fresh = async () => {
    store = await open<ContractCommands>({ commands });
  };
  const sql = (text: string, ...params: SqlValue[]): Statement => ({ sql: text, params });

  describe("transactions", () => {
    beforeEach(fresh);

    test("a command that throws leaves nothing behind, neither change nor record", async () => {
      await store.run("increment", { name: "a" });
      await assert.rejects(store.run("increment", { name: "a", throwAfter: true }), (error) => {
        assert.ok(error instanceof StoreFault);
        assert.equal(error.code, "command-failed");
        assert.match(error.internal, /increment.*the body refuses/);
        assert.doesNotMatch(error.public, /refuses/);
        return true;
      });
      assert.equal(await store.run("counter", "a"), 1);
      assert.equal((await store.run("outboxBacklog", null)).count, 1);
    });

    test("a failing command never harms the others of its batch", async () => {
      const runs = Array.from({ length: 40 }, (_, index) =>
        store.run("increment", { name: `n${index}`, throwAfter: index % 4 === 0 }),
      );
      const settled = await Promise.allSettled(runs);
      assert.deepEqual(
        settled.map((result) => result.status === "fulfilled"),
        runs.map((_, index) => index % 4 !== 0),
      );
      for (let index = 0; index < 40; index += 1)
        assert.equal(await store.run("counter", `n${index}`), index % 4 === 0 ? 0 : 1);
    });

    test("50 parallel increments of one counter count exactly 50", async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => store.run("increment", { name: "hot" })));
      assert.deepEqual(
        answers.toSorted((a, b) => a - b),
        Array.from({ length: 50 }, (_, index) => index + 1),
      );
      assert.equal(await store.run("counter", "hot"), 50);
      assert.equal((await store.run("outboxBacklog", null)).count, 50);
    });

    test("a command sees everything that was acknowledged before it started", async () => {
      for (let index = 1; index <= 20; index += 1) {
        await store.run("addNote", `note ${index}`);
        assert.equal((await store.run("notes", null)).length, index);
      }
      assert.deepEqual(
        await store.run("notes", null),
        Array.from({ length: 20 }, (_, index) => `note ${index + 1}`),
      );
    });

    test("of many inserts of one replay id exactly one succeeds", async () => {
      const answers = await Promise.all(
        Array.from({ length: 32 }, () => store.run("seeOnce", { key: "jti-1", until: 1 })),
      );
      assert.equal(answers.filter((first) => first).length, 1);
      assert.equal(await store.run("seeOnce", { key: "jti-1", until: 2 }), false);
      assert.equal(await store.run("seeOnce", { key: "jti-2", until: 2 }), true);
    });

    test("a broken constraint is a fault of its own code and undoes the whole command", async () => {
      const list = [sql("INSERT INTO note (body) VALUES (?)", "x"), sql("INSERT INTO child (parent) VALUES (?)", 9)];
      await assert.rejects(store.run("statements", list), faultCode("constraint"));
      assert.deepEqual(await store.run("notes", null), []);
    });
  });

  describe("values", () => {
    before(fresh);

    const samples: readonly (readonly [string, "t" | "i" | "r" | "b", SqlValue])[] = [
      ["an empty text", "t", ""],
      ["unicode beyond the basic plane", "t", "é 漢 😀 \u202e e\u0301"],
      ["quotes, backslashes and placeholders", "t", `'"\\ ? $1 :a @b -- /* ; %`],
      ["JSON, untouched", "t", '{"b": 1,"a":[ ]}'],
      ["the largest exact number", "i", Number.MAX_SAFE_INTEGER],
      ["a bigint beyond it", "i", 2n ** 53n + 1n],
      ["the smallest 64-bit integer", "i", -(2n ** 63n)],
      ["the largest 64-bit integer", "i", 2n ** 63n - 1n],
      ["zero", "i", 0],
      ["a fraction", "r", 0.1],
      ["a whole number in a real column", "r", 3],
      ["a very small real", "r", 5e-324],
      ["an empty blob", "b", new Uint8Array()],
      ["all bytes", "b", Uint8Array.from({ length: 256 }, (_, index) => index)],
      ["null", "b", null],
    ];
    for (const [what, column, value] of samples)
      test(`${what} reads back as it was written`, async () => {
        const empty = { t: null, i: null, r: null, b: null };
        assert.deepEqual(await store.run("roundTrip", { ...empty, [column]: value }), { ...empty, [column]: value });
      });

    test("a bigint that a number holds exactly comes back as a number", async () => {
      assert.deepEqual((await store.run("roundTrip", { t: null, i: 42n, r: null, b: null }))?.i, 42);
    });

    test("counts, sums and integer division are the same numbers", async () => {
      assert.deepEqual(await store.run("computed", null), {
        count: 2,
        total: 3,
        half: 3,
        text: "it's ? not",
        "a ?": "x",
      });
    });

    const refused: readonly (readonly [string, unknown])[] = [
      ["a NUL in a text", "a\0b"],
      ["half a surrogate pair", "\ud800"],
      ["NaN", Number.NaN],
      ["infinity", Number.POSITIVE_INFINITY],
      ["an integer beyond 64 bits", 2n ** 63n],
      ["undefined", undefined],
      ["a boolean", true],
      ["an object", { toString: () => "x" }],
    ];
    for (const [what, value] of refused)
      test(`refuses ${what} instead of changing it silently`, async () => {
        // as: the type forbids it; a caller without types may still try. A function property is dropped by cloning.
        const list = [sql("INSERT INTO note (body) VALUES (?)", (typeof value === "object" ? {} : value) as SqlValue)];
        await assert.rejects(store.run("statements", list), faultCode("bad-value"));
        assert.deepEqual(await store.run("notes", null), []);
      });

    test("a value of the wrong type for its column is refused, and not quoted in the message", async () => {
      const list = [sql("INSERT INTO counter (name, value) VALUES ('x', ?)", "canary-secret")];
      await assert.rejects(store.run("statements", list), (error) => {
        assert.ok(error instanceof StoreFault);
        assert.ok(["bad-value", "constraint"].includes(error.code), error.code);
        assert.doesNotMatch(`${error.message} ${error.stack}`, /canary/);
        return true;
      });
    });

    test("texts sort by their bytes, whatever the server's language", async () => {
      await fresh();
      for (const body of ["b", "a", "B", "ä", "_", "Z", "😀", "\uff5e"]) await store.run("addNote", body);
      assert.deepEqual(await store.run("sortedNotes", null), ["B", "Z", "_", "a", "b", "ä", "\uff5e", "😀"]);
    });

    test("every run has one time and fresh ascending ids", async () => {
      const fixed = await open<ContractCommands>({
        commands,
        clock: { now: () => 1_800_000_000_000, monotonic: () => 0 },
      });
      const first = await fixed.run("now", null);
      const second = await fixed.run("now", null);
      assert.equal(first.now, 1_800_000_000_000);
      assert.equal(new Set([...first.ids, ...second.ids]).size, 4);
      assert.deepEqual(first.ids, first.ids.toSorted());
      for (const id of first.ids) assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    });
  });

  describe("attacks", () => {
    before(fresh);

    test("SQL injection through a parameter stores the text and does nothing else", async () => {
      const attack = "x'); DROP TABLE note; --";
      await fresh();
      await store.run("addNote", attack);
      await store.run("increment", { name: attack });
      assert.deepEqual(await store.run("notes", null), [attack]);
      assert.equal(await store.run("counter", "x' OR '1'='1"), 0);
    });

    const statements: readonly (readonly [string, string])[] = [
      ["a second statement behind a semicolon", "SELECT 1; DELETE FROM note"],
      ["a second statement behind a comment", "SELECT 1; -- x\nDELETE FROM note"],
      ["COMMIT inside a command", "COMMIT"],
      ["a pragma", "PRAGMA synchronous = OFF"],
      ["a changed setting", "SET synchronous_commit = off"],
      ["a dropped table", "DROP TABLE note"],
      ["an attached file", "ATTACH DATABASE '/tmp/x' AS x"],
      ["a comment that hides the verb", "/* SELECT */ DROP TABLE note"],
    ];
    for (const [what, text] of statements)
      test(`refuses ${what}`, async () => {
        await assert.rejects(store.run("statements", [sql(text)]), faultCode("bad-statement"));
      });

    test("refuses too few and too many parameters", async () => {
      await assert.rejects(
        store.run("statements", [sql("INSERT INTO note (body) VALUES (?)")]),
        faultCode("bad-statement"),
      );
      await assert.rejects(
        store.run("statements", [sql("INSERT INTO note (body) VALUES (?)", "a", "b")]),
        faultCode("bad-statement"),
      );
    });

    test("a name out of Object.prototype is no command", async () => {
      // as: not a key of the table; an HTTP route with a table of names might still pass it.
      for (const name of ["toString", "__proto__", "constructor", "nothing"])
        await assert.rejects(store.run(name as "notes", null), faultCode("unknown-command"));
    });
  });

  describe("records", () => {
    beforeEach(fresh);

    test("a command that changes rows and records nothing is undone", async () => {
      await assert.rejects(store.run("forgetsRecord", "a"), faultCode("audit-missing"));
      assert.equal(await store.run("counter", "a"), 0);
    });

    test("a command that records another act than its own is undone", async () => {
      await assert.rejects(store.run("recordOther", "a"), faultCode("audit-missing"));
      assert.equal(await store.run("counter", "a"), 0);
      assert.equal((await store.run("outboxBacklog", null)).count, 0);
    });

    test("attack: a record under a word the command does not declare is undone with its change, bookkeeping or not", async () => {
      await store.run("recordBoth", "a");
      await store.run("sweepRecords", "quiet");
      await store.run("sweepRecords", "found");
      assert.equal((await store.run("outboxBacklog", null)).count, 2);
      await assert.rejects(store.run("recordBoth", "stray"), faultCode("audit-undeclared"));
      await assert.rejects(store.run("sweepRecords", "stray"), faultCode("audit-undeclared"));
      assert.equal(await store.run("counter", "stray"), 0);
      assert.equal((await store.run("outboxBacklog", null)).count, 2);
    });

    test("a command with audit: null cannot change anything: it runs read-only", async () => {
      await assert.rejects(store.run("readThatWrites", "a"), faultCode("read-wrote"));
      assert.equal(await store.run("counter", "a"), 0);
    });

    test("a command that found nothing to change needs no record", async () => {
      assert.equal(await store.run("unchanged", "nobody"), null);
    });

    test("a refusal may be recorded although nothing changed", async () => {
      await store.run("recordOnly", "a");
      assert.equal((await store.run("outboxBacklog", null)).count, 1);
    });

    if (dialect === "postgres")
      test("a change hidden in WITH needs its record too", async () => {
        const hidden = sql("WITH gone AS (INSERT INTO note (body) VALUES ('x') RETURNING body) SELECT body FROM gone");
        const strict = await open<typeof import("./strict-commands.ts").commands>({
          commands: new URL("./strict-commands.ts", import.meta.url),
        });
        await assert.rejects(strict.run("statements", [hidden]), faultCode("audit-missing"));
      });
  });

  describe("answers", () => {
    beforeEach(fresh);

    test("what cannot be copied between threads is refused, in and out", async () => {
      // as: a function is no Statement list.
      await assert.rejects(store.run("statements", (() => 1) as never), faultCode("not-cloneable"));
      await assert.rejects(store.run("returnsFunction", null), faultCode("not-cloneable"));
      assert.equal(await store.run("counter", "still works"), 0);
    });

    test("what cannot be copied fails alone: its neighbours are carried out and answered", async () => {
      const before = await store.run("notes", null);
      const settled = await Promise.allSettled([
        store.run("addNote", "first"),
        // as: a function is no Statement list.
        store.run("statements", (() => 1) as never),
        store.run("returnsFunction", null),
        store.run("addNote", "last"),
      ]);
      assert.deepEqual(
        settled.map((result) => (result.status === "rejected" ? result.reason.code : "done")),
        ["done", "not-cloneable", "not-cloneable", "done"],
      );
      assert.deepEqual(await store.run("notes", null), [...before, "first", "last"]);
    });

    test("more waiting commands than the bound are refused at once", async () => {
      const small = await open<ContractCommands>({ commands, pendingMax: 5 });
      const settled = await Promise.allSettled(Array.from({ length: 8 }, () => small.run("addNote", "x")));
      assert.deepEqual(
        settled.map((result) => (result.status === "rejected" ? result.reason.code : "done")),
        ["done", "done", "done", "done", "done", "store-busy", "store-busy", "store-busy"],
      );
    });

    test("close waits for what was accepted and refuses what comes later", async () => {
      const place = open.newPlace();
      const first = await open<ContractCommands>({ commands, place });
      const accepted = first.run("addNote", "in time");
      const closing = first.close();
      await assert.rejects(first.run("addNote", "late"), faultCode("store-closed"));
      await Promise.all([accepted, closing, first.close()]);
      const second = await open<ContractCommands>({ commands, place });
      assert.deepEqual(await second.run("notes", null), ["in time"]);
    });
  });
});
