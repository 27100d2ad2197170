// A name that nothing bears is said, with the one that was probably meant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownNames } from "./unknown-names.ts";

const declared = {
  caller: new Set(["orders", "portal"]),
  system: new Set(["billing", "orders", "portal"]),
  client: new Set(["orders"]),
  integration: new Set(["orders-to-billing"]),
  environment: new Set(["production", "staging"]),
};

test("a name with a slip in it is said with the nearest one; names that are declared, and pseudonyms, are not", () => {
  const asked = {
    caller: ["ordrs", "orders", "2026:abcdefghijklmnopqrstuQ"],
    system: ["biling"],
    integration: ["orders-to-biling", "orders-to-billing"],
    environment: ["produciton"],
    outcome: ["denid"],
  };
  assert.deepEqual(
    unknownNames(asked, declared).map(({ field, value, nearest }) => `${field} ${value}: ${nearest}`),
    [
      "caller ordrs: orders",
      "system biling: billing",
      "integration orders-to-biling: orders-to-billing",
      "environment produciton: production",
    ],
  );
});

test("a name that is like nothing is said without a guess", () => {
  assert.deepEqual(unknownNames({ client: ["warehouse"] }, declared), [
    { field: "client", value: "warehouse", nearest: null },
  ]);
  assert.deepEqual(unknownNames({}, declared), []);
});
