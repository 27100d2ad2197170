// What a decision was made of: policies with their places, and the inputs they read, absent ones by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { decidedBy } from "./decided-by.ts";

const compiler = createSliceCompiler();
const text = `// first
@id("own")
forbid (principal, action, resource) unless { principal has region && resource.region == principal.region };
@id("other") forbid (principal, action, resource) when { context.zone == "edge" };
@id("later") @shadow("2026-11-30") forbid (principal, action, resource);
`;
const over = { files: [{ file: "policies/p.cedar", text }], compiler };
const decision = {
  principal: { id: "orders", attributes: {} },
  resource: { system: "billing", attributes: { region: "us", secret: "not read" } },
  context: { integration: "orders-to-billing", zone: "internal" },
};

test("the policy that decided, where it stands, what it read, and which attribute was missing", () => {
  assert.deepEqual(decidedBy({ decision, policies: ["own"] }, over), [
    { id: "own", place: "policies/p.cedar:2", read: { "principal.region": null, "resource.region": "us" } },
  ]);
});

test("a policy in shadow that would have changed it is named too, and reads nothing here", () => {
  const opened = { decision, policies: ["grant:orders-to-billing"], shadow: [{ policy: "later", would: "deny" }] };
  assert.deepEqual(decidedBy(opened, over), [{ id: "later", place: "policies/p.cedar:5", read: {} }]);
});

test("where nothing decided, nothing is there any more, or the record holds something else, there is nothing to say", () => {
  for (const opened of [
    null,
    {},
    { decision: null, policies: ["own"] },
    { decision, policies: ["gone"] },
    { decision, policies: 7, shadow: 7 },
  ])
    assert.deepEqual(decidedBy(opened, over), [], JSON.stringify(opened));
  assert.deepEqual(decidedBy({ decision, policies: ["own"] }, { ...over, files: [] }), []);
});
