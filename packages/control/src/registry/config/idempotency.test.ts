// What `idempotency`, `precondition` and `serialize` of an operation may say, and what a gateway is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const hourMs = 3_600_000;

function estate(keys: string, match = "PUT /v1/invoices/{id}") {
  const operation = `    match: ${match}\n    ${keys.split("\n").join("\n    ")}\n`;
  const own = "  invoice.read: GET /v1/invoices/{id}\n  invoice.create: POST /v1/create\n";
  return {
    ...soundEstate(),
    "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n${own}  invoice.change:\n${operation}`,
  };
}

function read(keys: string) {
  const { estate: loaded, findings } = load(estate(keys));
  const errors = findings.filter(({ severity }) => severity === "error");
  assert.deepEqual(errors, []);
  const systems = loaded.environments[0]?.systems.find(({ id }) => id === "billing");
  const found = systems?.operations.find(({ name }) => name === "invoice.change");
  return [found?.idempotency, found?.precondition, found?.serialize];
}

test("what an operation says of repeats, versions and writers reaches the estate with its defaults", () => {
  assert.deepEqual(read("timeout: 3s"), [undefined, undefined, undefined]);
  const day = { ttlMs: 24 * hourMs };
  assert.deepEqual(read("idempotency: optional")[0], { key: "optional", ...day });
  assert.deepEqual(read("idempotency: { key: required, ttl: 30d, provider: honours }")[0], {
    key: "required",
    ttlMs: 720 * hourMs,
    provider: "honours",
  });
  assert.deepEqual(read("idempotency: required\nprecondition: if-match-strong\nserialize: path:id"), [
    { key: "required", ...day },
    "if-match-strong",
    { from: "path", name: "id", type: "string" },
  ]);
});

test("what could not hold is an error with its place and the fix", () => {
  for (const [keys, message, match] of [
    ["idempotency: required", "GET has no effect to protect", "GET /v1/all/{id}"],
    ["precondition: if-match", "HEAD has no effect to protect", "HEAD /v1/all/{id}"],
    ["serialize: path:id", "OPTIONS has no effect to protect", "OPTIONS /v1/all/{id}"],
    ["serialize: path:name", "no such parameter in the path"],
    ["serialize: header:authorization", "never reaches the provider"],
    ["serialize: body:$.id", "takes no JSON", "DELETE /v1/invoices/{id}"],
    ["idempotency: always", "idempotency"],
    ["idempotency: { ttl: 48h }", "idempotency"],
    ["idempotency: { key: required, ttl: 9m }", "`10m` to `30d`"],
    ["idempotency: { key: required, ttl: 31d }", "`10m` to `30d`"],
    ["idempotency: { key: required, provider: ignores }", "provider"],
    ["precondition: if-none-match", "precondition"],
  ] as const) {
    const said = load(estate(keys, match)).findings.map(formatFinding).join("\n");
    assert.ok(said.includes(message), `${keys}: ${said}`);
  }
});
