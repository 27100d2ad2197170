// The decisions of the registry, without a store.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decideApply, type HeldObject, type WantedObject } from "./decide-apply.ts";
import { decideState, isOwnRequest, type ObjectState, type StateEvent, survivesRemoval } from "./decide-state.ts";

test("the table of states is complete, and nothing leads out of retired", () => {
  const expected: Readonly<Record<ObjectState, Readonly<Record<StateEvent, string>>>> = {
    proposed: { activate: "active", suspend: "suspended", retire: "retired" },
    active: { activate: "stays", suspend: "suspended", retire: "retired" },
    suspended: { activate: "active", suspend: "stays", retire: "retired" },
    retired: { activate: "refused", suspend: "refused", retire: "stays" },
  };
  for (const [from, row] of Object.entries(expected))
    for (const [event, wanted] of Object.entries(row)) {
      // as: keys of the literal above.
      const verdict = decideState(from as ObjectState, event as StateEvent);
      assert.equal(verdict.kind === "moves" ? verdict.to : verdict.kind, wanted, `${from} ${event}`);
    }
});

test("only a cut-off outlives the object", () => {
  assert.deepEqual((["proposed", "active", "suspended", "retired"] as const).filter(survivesRemoval), [
    "suspended",
    "retired",
  ]);
});

test("an own request is one somebody made and nobody approved", () => {
  assert.equal(isOwnRequest("operator:a", "operator:a"), true);
  assert.equal(isOwnRequest("operator:a", "operator:b"), false);
  assert.equal(isOwnRequest(null, "operator:a"), false);
});

const wanted = (id: string, hash = "1"): WantedObject => ({
  environment: "production",
  kind: "system",
  id,
  hash,
  json: "{}",
});
const held = (id: string, more: Partial<HeldObject> = {}): HeldObject => ({
  environment: "production",
  kind: "system",
  id,
  managedBy: "config:acme",
  hash: "1",
  pending: null,
  proposedBy: null,
  ...more,
});
const plan = (
  approval: "none" | "operator",
  heldObjects: readonly HeldObject[],
  wantedObjects: readonly WantedObject[],
) => {
  const decided = decideApply({
    managedBy: "config:acme",
    held: heldObjects,
    wanted: wantedObjects,
    approval: () => approval,
  });
  return decided.kind === "conflict"
    ? decided.conflicts
    : decided.steps.map(({ step, object }) => `${step} ${object.id}`);
};

test("without an approval rule an apply writes the difference and nothing else", () => {
  assert.deepEqual(plan("none", [held("a"), held("b"), held("c")], [wanted("a"), wanted("b", "2"), wanted("d")]), [
    "change b",
    "remove c",
    "create d",
  ]);
  assert.deepEqual(plan("none", [held("a")], [wanted("a")]), []);
});

test("with an approval rule every difference waits, also a removal", () => {
  assert.deepEqual(plan("operator", [held("a"), held("b"), held("c")], [wanted("a"), wanted("b", "2"), wanted("d")]), [
    "propose-change b",
    "propose-removal c",
    "propose d",
  ]);
});

test("what waits already is not proposed again, and going back withdraws it", () => {
  const waiting = held("a", { pending: { kind: "change", hash: "2" }, proposedBy: "operator:x" });
  assert.deepEqual(plan("operator", [waiting], [wanted("a", "2")]), []);
  assert.deepEqual(plan("operator", [waiting], [wanted("a", "3")]), ["propose-change a"]);
  assert.deepEqual(plan("operator", [waiting], [wanted("a", "1")]), ["withdraw a"]);
  const leaving = held("a", { pending: { kind: "removal" }, proposedBy: "operator:x" });
  assert.deepEqual(plan("operator", [leaving], []), []);
  assert.deepEqual(plan("operator", [leaving], [wanted("a")]), ["withdraw a"]);
});

test("what nobody approved yet may change and go freely: nobody is served by it", () => {
  const fresh = held("a", { proposedBy: "operator:x" });
  assert.deepEqual(plan("operator", [fresh], [wanted("a", "2")]), ["change a"]);
  assert.deepEqual(plan("operator", [fresh], []), ["remove a"]);
});

test("an object of another manager is a conflict that names both, and stays untouched when it is not wanted", () => {
  const foreign = held("a", { managedBy: "api" });
  assert.deepEqual(plan("none", [foreign], [wanted("a")]), [
    { environment: "production", kind: "system", id: "a", managedBy: "api", wantedBy: "config:acme" },
  ]);
  assert.deepEqual(plan("none", [foreign], []), []);
});
