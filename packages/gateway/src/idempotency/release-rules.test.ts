import assert from "node:assert/strict";
import { test } from "node:test";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";
import { releaseRules } from "./release-rules.ts";

test("a kept answer is not released again once its consumer may read other classes, or another field is taken out", () => {
  const rulesOf = (data?: readonly DataClass[], redact?: readonly string[]): string => {
    // The members that are read: an operation and a grant of it.
    const operation = { fullName: "crm:customer.create", object: { name: "customer.create" } } as CompiledOperation;
    const operations = [{ name: "customer.create", ...(redact === undefined ? {} : { redact }) }];
    const grant = {
      integration: { id: "shop-to-crm", operations, ...(data === undefined ? {} : { data }) },
    } as unknown as Grant;
    return Buffer.from(releaseRules(operation, grant)).toString("hex");
  };
  const before = rulesOf(["pii"]);
  assert.equal(rulesOf(["pii"]), before);
  for (const after of [rulesOf(), rulesOf([]), rulesOf(["pii", "secret"]), rulesOf(["pii"], ["$.taxId"])])
    assert.notEqual(after, before);
});
