// The registry's promises about applied objects, on both dialects.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type ControlCommands, commands as table, together } from "../commands.ts";
import type { ApplyOutcome, ApplyRequest } from "./apply-commands.ts";
import type { WantedObject } from "./decide-apply.ts";
import { registryCommands } from "./store.ts";

const commands = new URL("../commands.ts", import.meta.url);
const environment = "production";

const object = (name: string, content: unknown = { name }, where = environment): WantedObject => {
  const [kind = "", id = ""] = name.split("/");
  const json = JSON.stringify(content);
  return { environment: where, kind, id, json, hash: createHash("sha256").update(json).digest("hex") };
};
const request = (objects: readonly WantedObject[], more: Partial<ApplyRequest> = {}): ApplyRequest => ({
  tenant: "main",
  actor: "config:acme",
  managedBy: "config:acme",
  approvals: { production: "none" },
  objects,
  ...more,
});
const applied = (outcome: ApplyOutcome) => {
  assert.ok(outcome.kind === "applied", JSON.stringify(outcome));
  const { created, changed, removed, proposed } = outcome;
  return { created, changed, removed, proposed };
};
const nothing = { created: [], changed: [], removed: [], proposed: [] };

test("no two capabilities have a command of the same name", () => {
  assert.deepEqual(Object.keys(together(registryCommands, {})), Object.keys(registryCommands));
  assert.throws(
    () => together(table, { getObject: registryCommands.getObject }),
    /two capabilities have a command named getObject/,
  );
});

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let now = 0;
  beforeEach(async () => {
    now = 1_800_000_000_000;
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => now } });
  });
  const stateOf = async (id: string) =>
    (await store.run("getObject", { tenant: "main", environment, kind: "integration", id }))?.state;
  const records = async () => (await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1_000 })).rows;
  const suspend = (id: string, absent = true) =>
    store.run("suspendIntegration", {
      tenant: "main",
      environment,
      id,
      actor: "operator:root",
      reason: "leak",
      absent,
    });
  const activate = (id: string, actor = "operator:root") =>
    store.run("activateIntegration", { tenant: "main", environment, id, actor, reason: "checked" });
  const revocations = async () =>
    (await store.run("readRevocations", { tenant: "main", environment, from: 0 })).entries;

  describe("apply", () => {
    test("a second apply of the same objects writes nothing but that it was ordered", async () => {
      const objects = [object("system/billing"), object("integration/a-to-b")];
      assert.deepEqual(applied(await store.run("applyObjects", request(objects))), {
        ...nothing,
        created: ["production/integration/a-to-b", "production/system/billing"],
      });
      const before = await store.run("outboxBacklog", null);
      const listed = await store.run("listObjects", { tenant: "main", environment: null, kind: null });
      now += 60_000;
      assert.deepEqual(applied(await store.run("applyObjects", request(objects))), nothing);
      assert.equal((await store.run("outboxBacklog", null)).count, before.count + 1);
      const last = (await records()).at(-1);
      assert.deepEqual(
        [last?.action, last?.object, last?.facts],
        ["estate.apply", "estate/acme", { step: "unchanged", objects: 2 }],
      );
      assert.deepEqual(await store.run("listObjects", { tenant: "main", environment: null, kind: null }), listed);
    });

    test("what changed is changed, what is gone is removed, each with its own record", async () => {
      await store.run("applyObjects", request([object("system/a"), object("system/b"), object("system/c")]));
      const first = (await records()).length;
      const outcome = await store.run("applyObjects", request([object("system/a"), object("system/b", { other: 1 })]));
      assert.deepEqual(applied(outcome), {
        ...nothing,
        changed: ["production/system/b"],
        removed: ["production/system/c"],
      });
      assert.deepEqual(
        (await records()).slice(first).map((row) => [row.action, row.object, row.actor, row.facts.step]),
        [
          ["estate.apply", "system/b", "config:acme", "change"],
          ["estate.apply", "system/c", "config:acme", "remove"],
        ],
      );
    });

    test("an object of another manager is a conflict that names both, and nothing of the apply is kept", async () => {
      await store.run("applyObjects", request([object("system/shared")], { managedBy: "api", actor: "operator:root" }));
      const outcome = await store.run(
        "applyObjects",
        request([object("system/mine"), object("system/shared", { stolen: true })]),
      );
      assert.deepEqual(outcome, {
        kind: "conflict",
        conflicts: [{ environment, kind: "system", id: "shared", managedBy: "api", wantedBy: "config:acme" }],
      });
      assert.deepEqual(
        (await store.run("listObjects", { tenant: "main", environment: null, kind: null })).map(({ id }) => id),
        ["shared"],
      );
    });

    test("an apply never touches another tenant or manager", async () => {
      await store.run("applyObjects", request([object("system/a")], { tenant: "other" }));
      await store.run("applyObjects", request([object("system/b")], { managedBy: "config:second" }));
      assert.deepEqual(applied(await store.run("applyObjects", request([]))), nothing);
      assert.equal((await store.run("listObjects", { tenant: "other", environment: null, kind: null })).length, 1);
      assert.equal((await store.run("listObjects", { tenant: "main", environment: null, kind: null })).length, 1);
    });

    test("content that does not match its hash is refused", async () => {
      await assert.rejects(store.run("applyObjects", request([{ ...object("system/a"), json: '{"swapped":1}' }])), {
        code: "command-failed",
      });
      await assert.rejects(store.run("applyObjects", request([object("system/a"), object("system/a", 2)])), {
        code: "command-failed",
      });
    });

    test("two nodes that apply the same estate at once make every object once", async () => {
      const objects = Array.from({ length: 20 }, (_, index) => object(`system/s${index}`));
      const outcomes = await Promise.all([1, 2, 3].map(() => store.run("applyObjects", request(objects))));
      assert.deepEqual(
        outcomes.map((outcome) => applied(outcome).created.length).toSorted((a, b) => a - b),
        [0, 0, 20],
      );
    });
  });

  describe("states", () => {
    test("a suspension survives re-apply, removal and re-adding", async () => {
      const objects = [object("integration/a-to-b")];
      await store.run("applyObjects", request(objects));
      assert.equal(await stateOf("a-to-b"), "active");
      assert.deepEqual(await suspend("a-to-b"), { kind: "done", state: "suspended", changed: true });
      await store.run("applyObjects", request([object("integration/a-to-b", { changed: true })]));
      assert.equal(await stateOf("a-to-b"), "suspended");
      await store.run("applyObjects", request([]));
      assert.equal(await stateOf("a-to-b"), undefined);
      await store.run("applyObjects", request(objects));
      assert.equal(await stateOf("a-to-b"), "suspended");
      assert.deepEqual(await activate("a-to-b"), { kind: "done", state: "active", changed: true });
    });

    test("an id may be cut off before it exists", async () => {
      assert.deepEqual(await suspend("later", false), { kind: "not-found" }, "not by a slip");
      assert.deepEqual(await revocations(), []);
      await suspend("later");
      await store.run("applyObjects", request([object("integration/later")]));
      assert.equal(await stateOf("later"), "suspended");
    });

    test("a suspension, its record and its revocation are one transaction; a second one writes that it was ordered", async () => {
      await store.run("applyObjects", request([object("integration/a-to-b")]));
      const before = (await records()).length;
      await suspend("a-to-b");
      assert.deepEqual(await suspend("a-to-b"), { kind: "done", state: "suspended", changed: false });
      const [record, again, ...others] = (await records()).slice(before);
      assert.deepEqual(others, []);
      assert.deepEqual(again?.facts, { from: "suspended", to: "suspended", reason: "leak" });
      assert.equal(record?.action, "integration.suspend");
      assert.deepEqual(record?.facts, { from: "active", to: "suspended", reason: "leak" });
      assert.deepEqual(
        (await revocations()).map(({ seq, kind, value, notBefore }) => ({ seq, kind, value, notBefore })),
        [{ seq: 1, kind: "integration", value: "a-to-b", notBefore: now }],
      );
    });

    test("revocation sequences have no gap, however many acts run at once", async () => {
      const ids = Array.from({ length: 12 }, (_, index) => `i${index}`);
      await Promise.all(ids.map((id) => suspend(id)));
      assert.deepEqual(
        (await revocations()).map(({ seq }) => seq),
        ids.map((_, index) => index + 1),
      );
    });

    test("retired is final: neither activation nor re-adding brings it back", async () => {
      await store.run("applyObjects", request([object("integration/old")]));
      await store.run("retireIntegration", {
        tenant: "main",
        environment,
        id: "old",
        actor: "operator:root",
        reason: "ended",
      });
      assert.equal((await activate("old")).kind, "refused");
      await store.run("applyObjects", request([]));
      await store.run("applyObjects", request([object("integration/old")]));
      assert.equal(await stateOf("old"), "retired");
    });

    test("what is not there cannot be activated or retired", async () => {
      assert.deepEqual(await activate("nobody"), { kind: "not-found" });
    });

    test("states are listed with who decided and why, also for objects that are gone", async () => {
      await suspend("gone");
      assert.deepEqual(await store.run("listStates", { tenant: "main", environment }), [
        { kind: "integration", id: "gone", state: "suspended", actor: "operator:root", reason: "leak", changedAt: now },
      ]);
    });
  });

  describe("approval", () => {
    const strict = (objects: readonly WantedObject[], actor = "operator:alice") =>
      request(objects, { approvals: { production: "operator" }, actor });
    const approve = (wanted: WantedObject | { readonly removal: WantedObject }, actor = "operator:bob") => {
      const { environment, kind, id } = "removal" in wanted ? wanted.removal : wanted;
      const hash = "removal" in wanted ? "removal" : wanted.hash;
      return store.run("approveObjects", { tenant: "main", actor, approvals: [{ environment, kind, id, hash }] });
    };
    const get = (id: string, kind = "system") => store.run("getObject", { tenant: "main", environment, kind, id });

    test("a new object waits as proposed until somebody else approves what they saw", async () => {
      const wanted = object("system/billing");
      assert.deepEqual(applied(await store.run("applyObjects", strict([wanted]))), {
        ...nothing,
        proposed: ["production/system/billing"],
      });
      assert.equal((await get("billing"))?.state, "proposed");
      assert.deepEqual(await approve(wanted, "operator:alice"), {
        kind: "refused",
        object: "production/system/billing",
        why: "own-request",
      });
      assert.deepEqual(await approve(object("system/billing", "else")), {
        kind: "refused",
        object: "production/system/billing",
        why: "other-content",
      });
      assert.equal((await approve(wanted)).kind, "approved");
      assert.equal((await get("billing"))?.state, "active");
      assert.deepEqual(await approve(wanted), {
        kind: "refused",
        object: "production/system/billing",
        why: "nothing-proposed",
      });
    });

    test("the approved content stays in force while a change waits", async () => {
      const first = object("system/billing", { url: "https://one" });
      const second = object("system/billing", { url: "https://two" });
      await store.run("applyObjects", request([first]));
      await store.run("applyObjects", strict([second]));
      const waiting = await get("billing");
      assert.equal(waiting?.state, "active");
      assert.equal(waiting?.json, first.json);
      assert.deepEqual(waiting?.pending, { hash: second.hash, json: second.json, proposedBy: "operator:alice" });
      assert.deepEqual(applied(await store.run("applyObjects", strict([second]))), nothing);
      await approve(second);
      assert.equal((await get("billing"))?.json, second.json);
      assert.equal((await get("billing"))?.pending, null);
    });

    test("content swapped after it was proposed needs its own approval", async () => {
      await store.run("applyObjects", request([object("system/billing", 1)]));
      const seen = object("system/billing", 2);
      await store.run("applyObjects", strict([seen]));
      await store.run("applyObjects", strict([object("system/billing", 3)]));
      assert.deepEqual(await approve(seen), {
        kind: "refused",
        object: "production/system/billing",
        why: "other-content",
      });
    });

    test("a removal waits too: taking a policy away can give access", async () => {
      const policy = object("policy-file/regions.cedar");
      await store.run("applyObjects", request([policy]));
      assert.deepEqual(applied(await store.run("applyObjects", strict([]))), {
        ...nothing,
        proposed: ["production/policy-file/regions.cedar"],
      });
      assert.equal((await get("regions.cedar", "policy-file"))?.state, "active");
      await approve({ removal: policy });
      assert.equal(await get("regions.cedar", "policy-file"), null);
    });

    test("a file cannot relax the rule it is under; an operator can, and it is recorded", async () => {
      await store.run("applyObjects", strict([]));
      const outcome = await store.run("applyObjects", request([object("system/sneaky")]));
      assert.deepEqual(outcome.kind === "applied" && [outcome.proposed, outcome.approvalKept], [
        ["production/system/sneaky"],
        ["production"],
      ]);
      // Dropping the environment from the estate does not drop its rule.
      await store.run("applyObjects", request([object("system/again")], { approvals: {} }));
      assert.equal((await get("again"))?.state, "proposed");
      await store.run("setApproval", { tenant: "main", environment, rule: "none", actor: "operator:bob" });
      await store.run("applyObjects", request([object("system/free")]));
      assert.equal((await get("free"))?.state, "active");
      assert.ok((await records()).some((row) => row.action === "estate.approval" && row.actor === "operator:bob"));
    });

    test("suspending and reactivating does not get around the approval", async () => {
      const wanted = object("integration/a-to-b");
      await store.run("applyObjects", strict([wanted]));
      await suspend("a-to-b");
      assert.equal((await activate("a-to-b", "operator:alice")).kind, "refused");
      // Neither does lifting a suspension while the object is away.
      await store.run("applyObjects", strict([]));
      await activate("a-to-b", "operator:alice");
      await store.run("applyObjects", strict([wanted]));
      assert.equal(await stateOf("a-to-b"), "proposed");
      assert.deepEqual(await activate("a-to-b", "operator:bob"), { kind: "done", state: "active", changed: true });
    });
  });
});
