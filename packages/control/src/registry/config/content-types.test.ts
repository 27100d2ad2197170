// What `body` of an operation may say of its content, and what a gateway is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const estate = (body: string, more: Readonly<Record<string, string>> = {}) => ({
  ...soundEstate(),
  "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n  x:\n    match: POST /v1/x\n    body: ${body}\n`,
  ...more,
});
const errorsOf = (body: string) =>
  load(estate(body))
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");
const bodyOf = (body: string, more = {}) =>
  load(estate(body, more))
    .estate.environments[0]?.systems.find(({ id }) => id === "billing")
    ?.operations.find(({ name }) => name === "x")?.body;

test("the content type says how it is read, and `as: opaque` that it is not", () => {
  for (const [contentType, content] of [
    ["application/json", "json"],
    ["application/merge-patch+json", "json"],
    ["application/x-www-form-urlencoded", "form"],
    ["application/xml", "xml"],
    ["text/xml", "xml"],
    ["application/soap+xml", "xml"],
    ["application/pdf", "opaque"],
    ["multipart/mixed", "opaque"],
  ])
    assert.deepEqual(bodyOf(`{ contentType: ${contentType} }`), { content, contentType });
  assert.deepEqual(bodyOf("{ contentType: application/xml, as: opaque, reason: Signed XML }"), {
    content: "opaque",
    contentType: "application/xml",
    reason: "Signed XML",
  });
});

test("a form's members are read by the types of its schema, behind references too", () => {
  const schema =
    '{ $ref: "#/$defs/F", $defs: { F: { type: object, properties: { a: { type: integer }, b: { type: array, items: { $ref: "#/$defs/S" } }, c: { $ref: "#/$defs/S" } } }, S: { type: string } } }';
  const body = bodyOf(`{ contentType: application/x-www-form-urlencoded, schema: ${schema} }`);
  assert.deepEqual(body?.fields, [
    { name: "a", type: "integer" },
    { name: "b", type: "string", list: true },
    { name: "c", type: "string" },
  ]);
  assert.match(
    errorsOf("{ contentType: application/x-www-form-urlencoded, schema: { properties: { a: { type: object } } } }"),
    /the member `a` of the form has no single plain type/,
  );
});

test("parts have types, bounds and a number, with those of the body where nothing is said", () => {
  const body = bodyOf(
    "{ contentType: multipart/form-data, size: 2MiB, parts: { scan: { type: application/pdf, required: true, most: 3 }, note: { size: 4KiB } } }",
  );
  assert.deepEqual(body?.parts, [
    { name: "note", types: [], bytesMax: 4096, required: false, most: 1 },
    { name: "scan", types: ["application/pdf"], bytesMax: 2_097_152, required: true, most: 3 },
  ]);
});

test("what is said of content that it is not is an error with its fix", () => {
  for (const [body, message] of [
    ["{ contentType: application/pdf, as: xml }", "application/pdf is not read as `xml`"],
    [
      "{ contentType: application/xml, schema: { type: object } }",
      "a schema for content that is neither JSON nor a form",
    ],
    ["{ as: opaque, schema: { type: object } }", "a schema for content that is neither JSON nor a form"],
    ["{ contentType: application/json, parts: { a: {} } }", "`parts` of content that is no multipart/form-data"],
    ["{ contentType: multipart/form-data }", "multipart/form-data without declared parts"],
    ["{ contentType: application/json, reason: None }", "a `reason`, but the content is looked into"],
    ["{ encoding: br }", "encoding"],
    ['{ contentType: multipart/form-data, parts: { "a\\"b": {} } }', "parts"],
  ] as const)
    assert.ok(errorsOf(body).includes(message), `${body}: ${errorsOf(body)}`);
});
