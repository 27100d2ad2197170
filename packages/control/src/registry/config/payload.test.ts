// What `payload` of an operation may say, and what a gateway is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const schema = `{ "type": "object", "properties": { "customerId": { "type": "string" }, "pin": { "type": "string", "x-data-class": "secret" } } }`;

function estate(payload: string, operation = "match: POST /v1/invoices\n    body:\n      schema: request.json") {
  const files = soundEstate();
  return {
    ...files,
    "systems/request.json": schema,
    "systems/dropped.json": `{ "type": "object", "x-data-class": "secret" }`,
    "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create: POST /v1/create\n  invoice.keep:\n    ${operation}\n    payload: ${payload}\n`,
  };
}

const findingsOf = (files: Readonly<Record<string, string>>) => load(files).findings.map(formatFinding).join("\n");

test("a payload rule reaches the estate with what each direction keeps, and what its schemas label raises the classification", () => {
  const { estate: loaded, findings } = load(
    estate("{ keep: [request, response], subject: body:$.customerId, days: 90, responseSchema: request.json }"),
  );
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  const operation = loaded.environments[0]?.systems
    .find(({ id }) => id === "billing")
    ?.operations.find(({ name }) => name === "invoice.keep");
  const projection = [{ members: { customerId: 1, pin: -1 }, scalar: false }, {}];
  assert.deepEqual(operation?.payload, {
    subject: { from: "body", name: "$.customerId", type: "string" },
    days: 90,
    bytesMax: 16_384,
    request: projection,
    response: projection,
  });
  assert.equal(operation.classification, "restricted");
});

test("labels that only the schema of the response has raise the classification too", () => {
  const files = estate(
    "{ keep: [response], subject: path:id, days: 90, responseSchema: request.json }",
    "match: GET /v1/kept/{id}",
  );
  const { estate: loaded, findings } = load(files);
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  const [operation] = (loaded.environments[0]?.systems ?? [])
    .flatMap(({ operations }) => operations)
    .filter(({ name }) => name === "invoice.keep");
  assert.equal(operation?.classification, "restricted");
});

test("what could keep nothing, or of nobody, is an error with its place and the fix", () => {
  const whole = "subject: body:$.customerId, days: 90";
  for (const [payload, message, operation] of [
    [`{ keep: [request], ${whole} }`, "the request has no schema", "match: POST /v1/invoices"],
    [`{ keep: [request], subject: path:id, days: 9 }`, "the request has no schema", "match: GET /v1/invoices/all/{id}"],
    [`{ keep: [response], ${whole} }`, "the response has no schema"],
    [`{ keep: [request], ${whole}, responseSchema: request.json }`, "the response is not kept"],
    [`{ keep: [response], ${whole}, responseSchema: none.json }`, "no such file"],
    [`{ keep: [request], subject: path:id, days: 90 }`, "no such parameter in the path"],
    [`{ keep: [request], subject: header:authorization, days: 90 }`, "never reaches the provider"],
    [`{ keep: [request], subject: "$.customerId", days: 90 }`, "not a source of an attribute"],
    [`{ keep: [request], subject: body:$.customerId }`, "days"],
    [`{ keep: [request], subject: body:$.customerId, days: 0 }`, "days"],
    [`{ keep: [], ${whole} }`, "keep"],
    [`{ keep: [request], ${whole}, size: 65KiB }`, "larger than a payload may be"],
    [`{ keep: [request], ${whole}, drop: [personal] }`, "drop"],
    [`{ keep: [response], ${whole}, responseSchema: dropped.json }`, "everything in it would be dropped"],
  ] as const) {
    const said = findingsOf(estate(payload, operation));
    assert.ok(said.includes(message), `${payload}: ${said}`);
    assert.match(said, /systems\/billing\.yaml:\d+/);
  }
});
