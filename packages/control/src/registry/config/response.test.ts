// What `response` of an operation, `redact` of a grant and `data` of an integration may say, and what a gateway is told.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LabelNode } from "@sallyport/protocol/snapshot/response-rule.ts";
import { formatFinding } from "./finding.ts";
import { labelSchemas } from "./label-schema.ts";
import { integrationFile, load, soundEstate } from "./sound-estate.ts";

const schema = `{ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "taxId": { "type": "string", "x-data-class": "pii" } } }`;

function estate(response: string, more: Readonly<Record<string, string>> = {}) {
  return {
    ...soundEstate(),
    "systems/answer.json": schema,
    "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create: POST /v1/create\n  customer.read:\n    match: GET /v1/customers/{id}\n    response: ${response}\n`,
    ...more,
  };
}

const errorsOf = (files: Readonly<Record<string, string>>) =>
  load(files)
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");

function operationOf(files: Readonly<Record<string, string>>) {
  const [environment] = load(files).estate.environments;
  return environment?.systems
    .find(({ id }) => id === "billing")
    ?.operations.find(({ name }) => name === "customer.read");
}

test("a response rule reaches the estate with schemas by status, labels and defaults, and its labels raise the classification", () => {
  const files = estate('{ schema: answer.json, statuses: { "404": { type: object } }, redact: [$.notes] }');
  assert.equal(errorsOf(files), "");
  const operation = operationOf(files);
  assert.deepEqual(operation?.response, {
    schemas: {
      "2XX": { type: "object", required: ["id"], properties: { id: { type: "string" }, taxId: { type: "string" } } },
      "404": { type: "object" },
    },
    contentType: "application/json",
    bytesMax: 1_048_576,
    redact: ["$.notes"],
    undeclared: "keep",
    labels: [{ members: { id: 1, taxid: 2 }, scalar: false }, {}, { classes: ["pii"] }],
  });
  assert.equal(operation.classification, "confidential");
  assert.equal(operationOf(estate("{ statuses: { default: { type: object } } }"))?.response?.labels, undefined);
});

test("what a grant redacts and an integration may read reach the estate", () => {
  const more = integrationFile("data: [pii, secret]\noperations:\n  customer.read: { redact: [$.taxId] }\n");
  const files = estate("{ schema: answer.json }", more);
  assert.equal(errorsOf(files), "");
  const integration = load(files).estate.environments[0]?.integrations.find(({ id }) => id === "second");
  assert.deepEqual(
    [integration?.data, integration?.operations],
    [["pii", "secret"], [{ name: "customer.read", redact: ["$.taxId"] }]],
  );
});

test("attack: what is said of answers that nobody reads is refused: messages of gRPC and of a WebSocket", () => {
  for (const [operation, message] of [
    ["match: POST /b.V1/Watch\n    protocol: grpc", "messages of gRPC are passed on unread"],
    ["match: GET /v1/watch\n    websocket: {}", "messages of a WebSocket are passed on unread"],
  ] as const) {
    const files = {
      ...soundEstate(),
      "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create: POST /v1/create\n  customer.watch:\n    ${operation}\n`,
    };
    const granted = (redact: string) => integrationFile(`operations:\n  customer.watch: ${redact}\n`);
    assert.ok(errorsOf({ ...files, ...granted("{ redact: [$.taxId] }") }).includes(message), message);
    assert.equal(errorsOf({ ...files, ...granted("{}") }), "");
  }
});

test("what could not be held is an error with its place and the fix", () => {
  for (const [response, message] of [
    ["{ schema: none.json }", "no such file"],
    ["{ schema: answer.json, statuses: { 2XX: { type: object } } }", "`schema` says what successful answers are"],
    ['{ statuses: { "99": { type: object } } }', "the key is not accepted"],
    ["{ size: 9MiB }", "larger than an answer that is held may be"],
    ["{ redact: [$] }", "the whole answer"],
    ["{ redact: [taxId] }", "not a JSONPath"],
    ["{ redact: ['$[?@.a]'] }", "not in this version"],
    ["{ contentType: text/csv, redact: [$.a] }", "only JSON is looked into"],
    ["{ contentType: text/csv, schema: answer.json }", "only JSON is looked into"],
    ["{ undeclared: drop }", "no schema declares anything"],
    ["{ mode: report }", "mode"],
    [
      "{ schema: { $dynamicRef: '#x', $dynamicAnchor: x, properties: { a: { x-data-class: pii } } } }",
      "labels stand in a schema with references that cannot be followed",
    ],
  ] as const) {
    const said = errorsOf(estate(response));
    assert.ok(said.includes(message), `${response}: ${said}`);
  }
  const csv = integrationFile("operations:\n  customer.read: { redact: [$.a] }\n");
  assert.match(errorsOf(estate("{ contentType: text/csv }", csv)), /the answers are text\/csv/);
});

test("attributes from the answer are for reads of JSON, and no payload is about whom an answer names", () => {
  const operations = (lines: string) => ({
    ...soundEstate(),
    "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    attributes: { owner: "response:$.customerId" }\n  invoice.create:\n    match: POST /v1/create\n${lines}`,
  });
  const { findings, estate } = load(operations(""));
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  const read = estate.environments[0]?.systems.find(({ id }) => id === "billing")?.operations.at(-1);
  assert.deepEqual(read?.attributes, { owner: { from: "response", name: "$.customerId", type: "string" } });
  for (const [lines, message] of [
    ['    attributes: { owner: "response:$.customerId" }\n', "the operation is an effect (POST)"],
    ['    attributes: { owner: "response:$..customerId" }\n', "not a JSONPath of member names"],
    [
      '  csv.read:\n    match: GET /v1/csv\n    response: { contentType: text/csv }\n    attributes: { owner: "response:$.a" }\n',
      "the answers are text/csv",
    ],
    [
      '  live.read:\n    match: GET /v1/live\n    websocket: {}\n    attributes: { owner: "response:$.a" }\n',
      "a WebSocket has none",
    ],
    [
      '    body: { schema: { type: object } }\n    payload: { keep: [request], subject: "response:$.id", days: 1 }\n',
      "a payload is about whom the request names",
    ],
    ["    outcome: { business-error-in: [{ path: error }] }\n", "not a JSONPath"],
  ] as const) {
    const said = errorsOf(operations(lines));
    assert.ok(said.includes(message), `${lines}: ${said}`);
  }
  const mapped = load(
    operations('    outcome: { business-error-in: [{ path: $.error }, { path: $.code, is: ["no", 7] }] }\n'),
  );
  const create = mapped.estate.environments[0]?.systems.find(({ id }) => id === "billing")?.operations[0];
  assert.deepEqual(create?.businessErrorsIn, [{ path: "$.error" }, { path: "$.code", is: ["no", 7] }]);
});

describe("labels", () => {
  const labelsOf = (...schemas: readonly unknown[]): readonly LabelNode[] => {
    const read = labelSchemas(schemas);
    assert.ok("labels" in read, JSON.stringify(read));
    return read.labels;
  };
  const pii = { type: "string", "x-data-class": "pii" };

  test("any branch, condition, pattern, tuple or reference that may hold for a place labels it", () => {
    const cases: readonly unknown[] = [
      { allOf: [{ properties: { a: pii } }] },
      { anyOf: [{ properties: { a: { type: "string" } } }, { properties: { a: pii } }] },
      { if: { properties: { b: {} } }, else: { properties: { a: pii } } },
      { dependentSchemas: { b: { properties: { a: pii } } } },
      { properties: { a: {} }, patternProperties: { "^a": pii } },
      { $ref: "#/$defs/x", $defs: { x: { properties: { a: { $ref: "#/$defs/y" } } }, y: pii } },
      { anyOf: [{ properties: { a: {} } }, { additionalProperties: pii }] },
      { properties: { A: pii, a: { type: "string" } } },
    ];
    for (const schema of cases) {
      const [root, ...rest] = labelsOf(schema);
      const at = root?.members?.["a"] ?? -1;
      assert.deepEqual(rest[at - 1]?.classes, ["pii"], JSON.stringify(schema));
    }
    for (const schema of [{ items: pii }, { prefixItems: [{}, pii] }, { contains: pii }, { unevaluatedItems: pii }])
      assert.deepEqual(labelsOf(schema)[1]?.classes, ["pii"], JSON.stringify(schema));
  });

  test("schemas of several statuses label one answer together", () => {
    assert.deepEqual(labelsOf({ properties: { a: {} } }, { properties: { a: pii, b: { "x-data-class": "secret" } } }), [
      { members: { a: 1, b: 2 }, scalar: false },
      { classes: ["pii"] },
      { classes: ["secret"] },
    ]);
  });

  test("a schema that leads back to itself ends, and one with too many places is refused", () => {
    const ring = {
      $ref: "#/$defs/n",
      $defs: { n: { type: "object", properties: { next: { $ref: "#/$defs/n" }, id: pii } } },
    };
    assert.equal(labelsOf(ring).length <= 3, true);
    const many = Object.fromEntries(
      Array.from({ length: 2_100 }, (_, i) => [`p${i}`, { type: "string", maxLength: i }]),
    );
    assert.ok("message" in labelSchemas([{ properties: many }]));
  });
});

test("what passes all the same is refused beside what is taken out, and reaches the estate where nothing is", () => {
  assert.equal(operationOf(estate("{ mismatch: report, long: pass }"))?.response?.long, "pass");
  assert.equal(operationOf(estate("{ mismatch: report }"))?.response?.mismatch, "report");
  for (const response of [
    "{ long: pass, redact: [$.a] }",
    "{ long: pass, schema: answer.json }",
    "{ long: pass, undeclared: drop, schema: { type: object } }",
  ])
    assert.match(errorsOf(estate(response)), /a long answer would pass with/);
});
