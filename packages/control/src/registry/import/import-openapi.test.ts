import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { stringify } from "yaml";
import { memoryEstateIo } from "../config/estate-io.ts";
import { formatFinding } from "../config/finding.ts";
import { loadEstateFrom } from "../config/load.ts";
import { formatYaml } from "../format/format-yaml.ts";
import { reportLines } from "./import-report.ts";
import { importSource } from "./import-source.ts";
import type { ImportChoice, Imported } from "./openapi/import-openapi.ts";
import { parseSource } from "./source-document.ts";

type Files = Readonly<Record<string, string>>;

function importFrom(files: Files, choice: ImportChoice = {}, file = "api.yaml"): Imported {
  const result = importSource({ io: memoryEstateIo(files, () => 0), file, choice });
  assert.ok("files" in result, "finding" in result ? formatFinding(result.finding) : "");
  return result;
}

function refusal(text: string): string {
  const result = importSource({ io: memoryEstateIo({ "api.yaml": text }, () => 0), file: "api.yaml", choice: {} });
  assert.ok("finding" in result, "it is refused");
  return formatFinding(result.finding);
}

/** A description with these paths; what else is given stands beside them. */
function described(paths: object, more: object = {}): Files {
  const api = {
    openapi: "3.1.0",
    info: { title: "Billing" },
    servers: [{ url: "https://billing.example" }],
    paths,
    ...more,
  };
  return { "api.yaml": stringify(api) };
}

function textOf({ files }: Imported, file: string): string {
  return files.find((one) => one.file === file)?.text ?? assert.fail(`${file} is written`);
}

function said({ report }: Imported, outcome: "mapped" | "changed" | "not-mapped"): readonly string[] {
  return report.entries
    .filter((entry) => entry.outcome === outcome)
    .map(({ line, what, why }) => `${line} ${what}: ${why}`);
}

/** What was written is an estate without errors, in the one layout; its operations by name. */
function operationsOf(imported: Imported): Readonly<Record<string, string>> {
  const { estate, findings } = loadEstateFrom(
    memoryEstateIo(Object.fromEntries(imported.files.map(({ file, text }) => [file, text])), () => 0),
  );
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  for (const { file, text } of imported.files.filter((one) => one.file.startsWith("systems/")))
    assert.deepEqual(formatYaml({ file, kind: "system", text }), { text });
  const provider = estate.environments[0]?.systems.find(({ operations }) => operations.length > 0);
  return Object.fromEntries((provider?.operations ?? []).map(({ name, method, path }) => [name, `${method} ${path}`]));
}

/** The schema of the one operation `op`, in OpenAPI of a version. */
function schemaOf(schema: object, version = "3.0.3", components: object = {}): { schema: unknown; imported: Imported } {
  const post = { operationId: "op", requestBody: { required: true, content: { "application/json": { schema } } } };
  const imported = importFrom(described({ "/x": { post } }, { openapi: version, components: { schemas: components } }));
  operationsOf(imported);
  const file = imported.files.find((one) => one.file === "schemas/op.json");
  return { schema: file === undefined ? null : JSON.parse(file.text), imported };
}

test("a description becomes one system with its operations, their schemas and data classes, exactly", () => {
  const imported = importFrom(
    {
      "api.yaml": `openapi: 3.0.3
info: { title: Invoice Service }
servers: [{ url: "https://invoices.example/api/" }]
paths:
  /v1/invoices:
    post:
      operationId: createInvoice
      summary: "Create one #now"
      requestBody: { required: true, content: { application/json: { schema: { $ref: "#/components/schemas/Invoice" } } } }
    get:
      operationId: invoices/list
      responses: { "200": { content: { application/json: { schema: { $ref: "#/components/schemas/Invoice" } } } } }
  /v1/invoices/{invoice-id}:
    delete: { x-data-class: payment }
components:
  schemas:
    Invoice: { type: object, properties: { mail: { type: string, x-data-class: pii }, parent: { $ref: "#/components/schemas/Invoice" } } }
`,
    },
    { consumer: "orders" },
  );
  assert.equal(
    textOf(imported, "systems/invoice-service.yaml"),
    `# Imported from OpenAPI; what that changed is in import-report.md.
system: invoice-service
description: Invoice Service
url: https://invoices.example/api
operations:
  create-invoice:
    match: POST /v1/invoices
    description: "Create one #now"
    body: { schema: ../schemas/create-invoice.json }
  invoices.list:
    match: GET /v1/invoices
    data: [pii]
  v1.invoices.by-invoice-id.delete:
    match: DELETE /v1/invoices/{invoice_id}
    data: [payment]
`,
  );
  assert.deepEqual(JSON.parse(textOf(imported, "schemas/create-invoice.json")), {
    $ref: "#/$defs/Invoice",
    $defs: {
      Invoice: {
        type: "object",
        properties: { mail: { type: "string", "x-data-class": "pii" }, parent: { $ref: "#/$defs/Invoice" } },
      },
    },
  });
  assert.match(textOf(imported, "systems/orders.yaml"), /operations: \[invoices\.list\]/);
  assert.equal(Object.keys(operationsOf(imported)).length, 3);
  assert.deepEqual(said(imported, "mapped"), [
    "3 server https://invoices.example/api/: url https://invoices.example/api",
    "6 POST /v1/invoices: operation create-invoice",
    "10 GET /v1/invoices: operation invoices.list",
    "14 DELETE /v1/invoices/{invoice_id}: operation v1.invoices.by-invoice-id.delete",
  ]);
  assert.deepEqual(said(imported, "not-mapped"), []);
});

test("Swagger 2, other versions and files of no known kind are refused with the line and what to do", () => {
  assert.match(refusal('swagger: "2.0"\npaths: {}\n'), /api\.yaml:1:1 error .*Swagger 2 is not read.*convert/);
  assert.match(refusal("openapi: 4.0.0\n"), /OpenAPI 4\.0\.0 is not read/);
  assert.match(refusal("hello: world\n"), /neither OpenAPI nor a declarative Kong file/);
  assert.match(refusal("openapi: 3.1.0\nopenapi: 3.1.0\n"), /api\.yaml:2:1 .*twice/);
  assert.match(refusal("- a\n"), /not a map/);
});

test("names: equal ones are numbered in the order of the source, missing ones come from the path, and both are reported", () => {
  const get = (operationId?: string) => ({ get: { ...(operationId === undefined ? {} : { operationId }) } });
  const files = described({
    "/a": get("list"),
    "/b": get("List"),
    "/c": get("list"),
    "/d/{x}/e": get(),
    "/f": get("取得"),
    "/g": get("3D"),
    "/h": get("Users_GetById"),
  });
  const imported = importFrom(files);
  assert.deepEqual(operationsOf(imported), {
    list: "GET /a",
    "list-2": "GET /b",
    "list-3": "GET /c",
    "d.by-x.e.get": "GET /d/{x}/e",
    "f.get": "GET /f",
    "n3-d": "GET /g",
    "users-get-by-id": "GET /h",
  });
  assert.equal(said(imported, "changed").filter((line) => line.includes("another operation has the name")).length, 2);
  assert.deepEqual(importFrom(files), imported, "the same source gives the same estate");
});

test("paths: a parameter inside a segment is widened only onto what no other path has; wildcards and queries are left out", () => {
  const get = { get: {} };
  const imported = importFrom(
    described({
      "/files/{id}.json": get,
      "/users/{id}": get,
      "/users/{id}:cancel": get,
      "/wild/{path*}": get,
      "/tail/{+path}": get,
      "/q?action=x": get,
      "no-slash": get,
      "/a//b": get,
      "/pair/{a}-{b}": get,
      "/same/{id}/{id}": get,
      "/caf%C3%A9": get,
      "/slash/": get,
      "/slash": get,
    }),
  );
  assert.deepEqual(Object.values(operationsOf(imported)).sort(), [
    "GET /files/{id}",
    "GET /pair/{a_b}",
    "GET /same/{id}/{id_2}",
    "GET /slash",
    "GET /users/{id}",
  ]);
  const lost = said(imported, "not-mapped").join("\n");
  for (const path of [
    "/users/{id}:cancel",
    "/wild/{path*}",
    "/tail/{+path}",
    "/q?action=x",
    "no-slash",
    "/a//b",
    "/slash/",
    "/caf%C3%A9",
  ])
    assert.ok(lost.includes(`path ${path}:`), path);
  assert.match(said(imported, "changed").join("\n"), /path \/files\/\{id\}\.json: a parameter is a whole segment/);
});

test("OpenAPI 3.0 schemas mean the same in 2020-12: nullable, exclusive bounds, siblings of a $ref, readOnly", () => {
  const { schema } = schemaOf(
    {
      type: "object",
      required: ["id", "cents", "ref"],
      properties: {
        id: { type: "string", readOnly: true },
        cents: { type: "integer", minimum: 0, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false },
        kind: { type: "string", enum: ["a", "b"], nullable: true },
        child: { allOf: [{ $ref: "#/components/schemas/Child" }], nullable: true },
        ref: { $ref: "#/components/schemas/Child", minLength: 5 },
      },
      example: { id: 1 },
      discriminator: { propertyName: "kind" },
    },
    "3.0.3",
    { Child: { type: "string", maxLength: 3 } },
  );
  const validate = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true }).compile(Object(schema));
  for (const [good, value] of [
    [true, { cents: 1, ref: "ab" }],
    [true, { cents: 9, kind: null, child: null, ref: "" }],
    [false, { cents: 0, ref: "a" }],
    [false, { cents: 10, ref: "a" }],
    [false, { cents: 1, ref: "a", kind: "c" }],
    [false, { cents: 1, ref: "abcd" }],
    [false, { cents: 1, ref: "a", child: "abcd" }],
    [false, { cents: 1 }],
  ] as const)
    assert.equal(validate(value), good, JSON.stringify(value));
});

test("what a schema says that a gateway does not check is taken out and reported, and the rest still holds", () => {
  const { schema, imported } = schemaOf({
    type: "object",
    additionalProperties: false,
    properties: {
      mail: { type: "string", format: "email" },
      code: { type: "string", pattern: "^(a+)+$", maxLength: 20 },
      free: { type: "string", pattern: "^a$" },
      fine: { type: "string", pattern: "^[A-Z]{3}$", maxLength: 3, format: "uuid" },
      tags: { type: "array", uniqueItems: true },
    },
    patternProperties: { "^x-": {} },
    minProperties: 1,
    unheardOf: 1,
  });
  assert.deepEqual(schema, {
    type: "object",
    properties: {
      mail: { type: "string" },
      code: { type: "string", maxLength: 20 },
      free: { type: "string" },
      fine: { type: "string", pattern: "^[A-Z]{3}$", maxLength: 3, format: "uuid" },
      tags: { type: "array" },
    },
    minProperties: 1,
  });
  const changed = said(imported, "changed").join("\n");
  for (const why of [
    "format `email`",
    "a pattern that could stop",
    "a pattern without `maxLength`",
    "`uniqueItems` without",
    "`patternProperties` are not",
    "`unheardOf` is not",
  ])
    assert.ok(changed.includes(why), why);
});

test("attack: a `$ref` to another host, out of the folder, to nothing or around in a circle gives no schema, is reported, and reads nothing", () => {
  const reads: string[] = [];
  for (const [reference, why] of [
    ["https://evil.example/schema.json", /another host/],
    ["//evil.example/x", /another host/],
    ["file:///etc/passwd", /another host/],
    ["../../../etc/passwd", /out of the folder/],
    ["/etc/passwd", /out of the folder/],
    ["%2e%2e/secret.yaml", /out of the folder/],
    ["other.yaml#/nothing", /leads to nothing/],
    ["absent.yaml", /no such file/],
    ["#/components/schemas/Nope", /leads to nothing/],
    ["#anchor", /names an anchor/],
  ] as const) {
    const post = {
      operationId: "op",
      requestBody: { required: true, content: { "application/json": { schema: { $ref: reference } } } },
    };
    const files = { ...described({ "/x": { post } }), "other.yaml": "a: {}\n" };
    const io = memoryEstateIo(files, () => 0);
    const result = importSource({
      io: {
        ...io,
        read: (file, most) => {
          reads.push(file);
          return io.read(file, most);
        },
      },
      file: "api.yaml",
      choice: {},
    });
    assert.ok("files" in result);
    assert.equal(
      result.files.some(({ file }) => file.startsWith("schemas/")),
      false,
      reference,
    );
    assert.match(said(result, "not-mapped").join("\n"), why);
  }
  assert.deepEqual([...new Set(reads)].sort(), ["absent.yaml", "api.yaml", "other.yaml"]);
  const circle = importFrom({
    ...described({ "/x": { $ref: "#/paths/~1y" }, "/y": { $ref: "#/paths/~1x" }, "/z": { $ref: "#/paths/~1z" } }),
  });
  assert.equal(said(circle, "not-mapped").filter((line) => /circle|itself/.test(line)).length, 3);
});

test("files beside the description are read: schemas, bodies and paths, with cycles across files", () => {
  const imported = importFrom(
    {
      "api/main.yaml": stringify({
        openapi: "3.1.0",
        info: { title: "Many" },
        servers: [{ url: "http://many.internal" }],
        paths: { "/x": { $ref: "../parts/paths.yaml#/x" } },
      }),
      "parts/paths.yaml": stringify({
        x: { post: { operationId: "op", requestBody: { $ref: "bodies.json" } } },
      }),
      "parts/bodies.json": JSON.stringify({
        required: true,
        content: { "application/json": { schema: { $ref: "schemas.yaml#/A" } } },
      }),
      "parts/schemas.yaml": stringify({
        A: { type: "object", properties: { b: { $ref: "#/B" } } },
        B: { type: "object", properties: { a: { $ref: "schemas.yaml#/A" } } },
      }),
    },
    {},
    "api/main.yaml",
  );
  assert.deepEqual(JSON.parse(textOf(imported, "schemas/op.json")).$defs.B.properties.a, { $ref: "#/$defs/A" });
  assert.deepEqual(operationsOf(imported), { op: "POST /x" });
});

test("attack: an alias bomb, deep nesting, `__proto__` and an alias inside its own anchor end as findings, quickly", () => {
  let bomb = "openapi: 3.0.0\nx0: &x0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (let level = 1; level <= 9; level += 1) bomb += `x${level}: &x${level} [${`*x${level - 1}, `.repeat(10)}]\n`;
  const before = process.cpuUsage();
  assert.match(refusal(bomb), /more than 2000000 values/);
  assert.match(refusal(`openapi: 3.0.0\na: ${"[".repeat(20_000)}`), /nested|not valid/);
  assert.match(refusal(`openapi: 3.0.0\na: ${"[".repeat(200)}${"]".repeat(200)}\n`), /nested deeper than 100/);
  assert.match(refusal("openapi: 3.0.0\n__proto__: { a: 1 }\n"), /not accepted/);
  assert.match(refusal("openapi: 3.0.0\na: &a [*a]\n"), /nested deeper|an alias of nothing|alias/);
  const { user } = process.cpuUsage(before);
  assert.ok(user < 20_000_000, `${user / 1e6} s of processor time`);
});

test("attack: a description of twenty thousand keys is read in seconds, and one that comes back is found, a merge key too", () => {
  const before = process.cpuUsage();
  const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1\n`).join("");
  assert.ok("root" in parseSource("keys.yaml", keys));
  assert.ok(process.cpuUsage(before).user < 6_000_000, "each key is compared with all before it");
  for (const text of ["a: 1\n'a': 2\n", "x: { 1: a, '1': b }\n", "a: &a { b: 1 }\nc:\n  <<: *a\n  <<: *a\n"]) {
    const parsed = parseSource("twice.yaml", text);
    assert.ok("finding" in parsed && /twice/.test(parsed.finding.message), text);
  }
});

test("attack: texts of a description cannot become keys, comments, secrets or lines of the report", () => {
  const evil = "x\nallowPrivate: true\n# y \u0000\u001b[2J";
  const jwt = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4IiwiYSI6MX0.${"a".repeat(20)}`;
  const imported = importFrom(
    described(
      { "/a": { get: { operationId: evil, summary: evil } }, "/b": { get: { operationId: "b", summary: jwt } } },
      { info: { title: evil } },
    ),
  );
  assert.deepEqual(Object.values(operationsOf(imported)).sort(), ["GET /a", "GET /b"]);
  const all = imported.files.map(({ text }) => text).join("");
  assert.doesNotMatch(all, /^allowPrivate|\u0000|\u001b|eyJ/m);
});

test("servers: variables have their defaults, what has no host is said, and --upstream decides", () => {
  const paths = { "/x": { get: {} } };
  const url = (imported: Imported) => /^url: (.*)$/m.exec(textOf(imported, "systems/billing.yaml"))?.[1];
  const variable = { url: "https://{region}.x.example/v1", variables: { region: { default: "eu" } } };
  assert.equal(url(importFrom(described(paths, { servers: [variable] }))), "https://eu.x.example/v1");
  const none = importFrom(described(paths, { servers: [{ url: "/v1" }] }));
  assert.equal(url(none), "http://127.0.0.1:8080");
  assert.match(said(none, "changed").join("\n"), /no server with an absolute http or https URL/);
  assert.equal(url(importFrom(described(paths), { upstream: "http://10.0.0.1" })), "http://10.0.0.1");
});

test("a thousand operations become an estate that loads, in a file within its bound", () => {
  const paths = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [
      `/resource-${i}/{id}`,
      {
        get: { operationId: `readResource${i}`, summary: "x".repeat(190) },
        put: {
          operationId: `replaceResource${i}`,
          summary: "y".repeat(190),
          requestBody: { content: { "text/plain": {} } },
        },
      },
    ]),
  );
  const imported = importFrom(described(paths), { consumer: "orders" });
  assert.equal(Object.keys(operationsOf(imported)).length, 1_000);
  assert.match(said(imported, "not-mapped").join("\n"), /summaries: with the descriptions/);
});

test("what would make the file of a system too large is left out and said, operation by operation", () => {
  const paths = Object.fromEntries(
    Array.from({ length: 5_000 }, (_, i) => [
      `/${"long-segment-".repeat(6)}${i}/{id}`,
      { get: { operationId: `read${i}` } },
    ]),
  );
  const imported = importFrom(described(paths));
  const kept = Object.keys(operationsOf(imported)).length;
  const lost = said(imported, "not-mapped").filter((line) => line.includes("operation read")).length;
  assert.ok(kept > 1_000 && kept + lost === 5_000, `${kept} kept, ${lost} said`);
});

test("paths that end in a slash are counted in one line that says why and what to do, and nothing else is lost by them", () => {
  const imported = importFrom(
    described({ "/a/": { get: {} }, "/b/": { get: {} }, "/c/{d}/": { post: {} }, "/e": { get: {} } }),
  );
  assert.deepEqual(Object.values(operationsOf(imported)), ["GET /e"]);
  const lines = reportLines(imported.report).filter((line) => line.includes("ends in"));
  assert.deepEqual(lines, [
    "api.yaml:8 not-mapped path /a/ and 2 more: a path that ends in `/` is refused at the door, as it can be read in two ways." +
      " Fix: have the provider serve it without the `/` (frameworks have a setting for that), and declare that",
  ]);
});

test("operations with the same schema share a file, and what its definitions lose is said once", () => {
  const body = { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Note" } } } };
  const imported = importFrom(
    described(
      {
        "/a": { post: { operationId: "makeNote", requestBody: body } },
        "/b": { put: { operationId: "setNote", requestBody: body } },
      },
      {
        components: { schemas: { Note: { type: "object", properties: { at: { type: "string", format: "email" } } } } },
      },
    ),
  );
  assert.deepEqual(
    imported.files.map(({ file }) => file),
    ["systems/billing.yaml", "schemas/make-note.json"],
  );
  assert.equal(textOf(imported, "systems/billing.yaml").match(/schema: \.\.\/schemas\/make-note\.json/g)?.length, 2);
  assert.deepEqual(
    said(imported, "changed").map((line) => line.replace(/^\d+ /, "")),
    ["schema of make-note: the format `email` is not checked"],
  );
});
