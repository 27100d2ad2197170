// What a gateway is told of parameters, and that one which would not check them refuses the snapshot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { EstateObject, SystemObject } from "@sallyport/protocol/snapshot/objects.ts";
import { load, soundEstate } from "../registry/config/sound-estate.ts";
import { compileSnapshot } from "./compile-snapshot.ts";

function compiled(operation: string) {
  const files = {
    ...soundEstate(),
    "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n${operation}`,
  };
  const { estate, findings } = load(files);
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  const [environment] = estate.environments;
  assert.ok(environment);
  const now = Date.parse("2026-11-22T00:00:00Z");
  const { manifest, blobs } = compileSnapshot(
    {
      ...{
        environment,
        states: new Map(),
        tenant: "main",
        region: "eu",
        group: "edge",
        issuer: "https://id.example/main/production",
      },
      ...{
        epoch: 1,
        version: 1,
        now,
        lifetimeMs: 3_600_000,
        minKeySeq: 0,
        minRevocationSeq: 0,
        outsideKeys: new Map(),
      },
    },
    createSliceCompiler(),
  );
  const blob = <T>(name: string): T =>
    JSON.parse(new TextDecoder().decode(blobs.get(manifest.objects[name] ?? ""))) as T;
  return { needs: blob<EstateObject>("estate").needs, system: blob<SystemObject>("system/billing"), blob };
}

test("declared parameters are in `needs`, with their fields and one schema of all of them; none ask for nothing", () => {
  const { needs, system, blob } = compiled(
    "    parameters: { 'query:limit': { schema: { type: integer, maximum: 9 } } }\n",
  );
  assert.deepEqual(needs, ["parameters"]);
  const rule = system.operations.find(({ name }) => name === "invoice.read")?.parameters;
  assert.deepEqual(rule?.fields, [{ in: "query", name: "limit", type: "integer" }]);
  const { properties } = blob<{ properties: Record<string, unknown> }>(`schema/${rule?.schema}`);
  assert.deepEqual(properties["query"], { type: "object", properties: { limit: { type: "integer", maximum: 9 } } });
  assert.deepEqual(compiled("    undeclaredQuery: refuse\n").needs, ["parameters"]);
  assert.equal(compiled("").needs, undefined);
});
