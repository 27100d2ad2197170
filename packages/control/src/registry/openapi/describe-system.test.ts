// What a system takes from its OpenAPI description, where each value says it came from, and the ways a description could do harm.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { showObject } from "../../explain/show-object.ts";
import { originWords, shownRows } from "../../explain/shown.ts";
import { diffEstates } from "../config/diff.ts";
import { memoryEstateIo } from "../config/estate-io.ts";
import { formatFinding } from "../config/finding.ts";
import { loadEstate } from "../config/load.ts";
import { load } from "../config/sound-estate.ts";

type Files = Readonly<Record<string, string>>;

const description = `openapi: 3.1.0
info: { title: Billing, version: "1" }
paths:
  /v1/invoices:
    post:
      operationId: createInvoice
      summary: Make an invoice
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: "#/components/schemas/NewInvoice" }
      responses:
        "201":
          description: made
          content: { application/json: { schema: { $ref: "#/components/schemas/Invoice" } } }
        default:
          description: no
          content: { application/problem+json: { schema: { type: object, required: [title] } } }
    get:
      operationId: listInvoices
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: state, in: query, schema: { type: array, items: { $ref: "#/components/schemas/State" } } }
        - { name: filter, in: query, style: deepObject, schema: { type: object } }
        - { name: session, in: cookie, schema: { type: string } }
      responses:
        "200": { description: all, content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/Invoice" } } } } }
        "204": { description: none }
  /v1/invoices/{invoice-id}:
    parameters:
      - { name: invoice-id, in: path, required: true, schema: { type: string, maxLength: 36 } }
    get:
      operationId: getInvoice
      responses:
        "200": { description: one, content: { application/json: { schema: { $ref: "#/components/schemas/Invoice" } } } }
    delete:
      operationId: deleteInvoice
      responses: { "204": { description: gone } }
components:
  schemas:
    State: { type: string, enum: [open, paid] }
    NewInvoice:
      type: object
      required: [amount, id]
      properties:
        id: { type: string, readOnly: true }
        amount: { type: integer, minimum: 1 }
        note: { type: string, format: email }
    Invoice:
      type: object
      required: [id, secret]
      properties:
        id: { type: string }
        taxId: { type: string, x-data-class: pii }
        secret: { type: string, writeOnly: true }
        parent: { $ref: "#/components/schemas/Invoice" }
`;

const system = (operations: string) =>
  `system: billing\nopenapi: ../openapi/billing.yaml\nurl: https://billing.example\noperations:\n${operations}`;
const three =
  "  invoice.create: { operationId: createInvoice }\n  invoice.list: { operationId: listInvoices }\n  invoice.read: { operationId: getInvoice }\n";

function estate(operations = three, text = description, more: Files = {}): Files {
  return { "systems/billing.yaml": system(operations), "openapi/billing.yaml": text, ...more };
}

const errorsOf = (files: Files) =>
  load(files)
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");

const operationsOf = (files: Files) => load(files).estate.environments[0]?.systems[0]?.operations ?? [];
const operationOf = (files: Files, name: string) => operationsOf(files).find((one) => one.name === name);

describe("what an operation takes from the description", () => {
  test("match, parameters, body and answers, and its labels raise the classification", () => {
    assert.equal(errorsOf(estate()), "");
    const create = operationOf(estate(), "invoice.create");
    assert.deepEqual([create?.method, create?.path], ["POST", "/v1/invoices"]);
    assert.deepEqual(create?.body, {
      content: "json",
      contentType: "application/json",
      schema: {
        $defs: {
          NewInvoice: {
            properties: { amount: { minimum: 1, type: "integer" }, id: { type: "string" }, note: { type: "string" } },
            // What only answers carry is not asked of a request.
            required: ["amount"],
            type: "object",
          },
        },
        $ref: "#/$defs/NewInvoice",
      },
    });
    assert.deepEqual(Object.keys(create?.response?.schemas ?? {}), ["201", "default"]);
    assert.equal(create?.classification, "confidential");
    const { $defs } = (create?.response?.schemas["201"] ?? {}) as { $defs: { Invoice: { required: string[] } } };
    assert.deepEqual($defs.Invoice.required, ["id"], "what only requests carry is not asked of an answer");
  });

  test("parameters are fields with a type, and a name of the path is the one of the match", () => {
    assert.deepEqual(operationOf(estate(), "invoice.list")?.parameters?.fields, [
      { in: "query", name: "limit", type: "integer" },
      { in: "query", name: "state", type: "string", list: "repeated" },
    ]);
    const read = operationOf(estate(), "invoice.read");
    assert.equal(read?.path, "/v1/invoices/{invoice_id}");
    assert.deepEqual(read?.parameters?.fields, [{ in: "path", name: "invoice_id", type: "string" }]);
  });

  test("a status that is described without a schema has none, also beside `default`", () => {
    const text = description.replace(
      '"204": { description: none }',
      '"204": { description: none }\n        default: { description: no, content: { application/json: { schema: { type: object } } } }',
    );
    const { schemas } = operationOf(estate(three, text), "invoice.list")?.response ?? { schemas: {} };
    assert.deepEqual(Object.keys(schemas).sort(), ["200", "3XX", "4XX", "5XX"]);
  });

  test("what is written holds: a match behind a base path, a body, no answers", () => {
    const own =
      '  a:\n    operationId: getInvoice\n    match: GET /api/v1/invoices/{n}\n    description: Mine\n    response: none\n    parameters: { "path:n": { schema: { type: integer } } }\n  b: { operationId: createInvoice, body: none }\n';
    assert.equal(errorsOf(estate(own)), "");
    const a = operationOf(estate(own), "a");
    assert.deepEqual([a?.path, a?.response], ["/api/v1/invoices/{n}", undefined]);
    assert.deepEqual(a?.parameters?.fields, [{ in: "path", name: "n", type: "integer" }]);
    assert.equal(operationOf(estate(own), "b")?.body, undefined);
  });

  test("OpenAPI 3.0: `nullable` and exclusive bounds mean what they mean there", () => {
    const text = description
      .replace("openapi: 3.1.0", "openapi: 3.0.3")
      .replace(
        "amount: { type: integer, minimum: 1 }",
        "amount: { type: integer, minimum: 1, exclusiveMinimum: true, nullable: true }",
      );
    const schema = operationOf(estate(three, text), "invoice.create")?.body?.schema;
    assert.match(JSON.stringify(schema), /"amount":\{"exclusiveMinimum":1,"type":\["integer","null"\]\}/);
  });

  test("of one estate with itself nothing differs, and one member of the description is one change", () => {
    assert.deepEqual(diffEstates(load(estate()).estate, load(estate()).estate).objects, []);
    const changed = load(estate(three, description.replace("maximum: 100", "maximum: 50"))).estate;
    assert.deepEqual(
      diffEstates(load(estate()).estate, changed).objects.map(({ object, members }) => [object, members]),
      [["system/billing", ["operations"]]],
    );
  });
});

describe("what is said of it", () => {
  test("show names the file and line of the description for whatever came from there", () => {
    const io = memoryEstateIo(estate(), () => Date.parse("2026-11-22T00:00:00Z"));
    const rows = new Map(
      shownRows(showObject(io, "billing:invoice.create", "production").shown).map(({ key, value, from }) => [
        key,
        [value, originWords(from)],
      ]),
    );
    assert.deepEqual(rows.get("match"), ["POST /v1/invoices", "openapi/billing.yaml:5"]);
    assert.deepEqual(rows.get("body.schema"), ["#/components/schemas/NewInvoice", "openapi/billing.yaml:12"]);
    assert.deepEqual(rows.get("operationId"), ["createInvoice", "systems/billing.yaml:5"]);
    assert.deepEqual(rows.get("timeout"), ["10s", "default"]);
  });

  test("what is described and not served, and what is described and not checked, are notes with their places", () => {
    const notes = load(estate()).sources.environments.get("production")?.descriptions.get("billing");
    assert.deepEqual(
      notes?.uncovered.map(({ at, message }) => [at.line, message]),
      [[37, "`deleteInvoice` (DELETE /v1/invoices/{invoice-id})"]],
    );
    const said = notes?.unchecked.map(({ message }) => message).join("\n") ?? "";
    for (const word of ["deepObject", "only those of path, query and header", "the format `email`"])
      assert.ok(said.includes(word), said);
    const covered = load(estate(`${three}  x: DELETE /api/v1/invoices/{id}\n`));
    assert.deepEqual(covered.sources.environments.get("production")?.descriptions.get("billing")?.uncovered, []);
  });

  test("what cannot be taken over is an error with file, line and fix", () => {
    for (const [files, pattern] of [
      [
        estate("  a: { operationId: getInvoise }\n"),
        /systems\/billing.yaml:5:21 error .*no such operation in openapi\/billing.yaml\. Fix: did you mean `getInvoice`/,
      ],
      [
        estate("  a:\n    operationId: getInvoice\n    match: POST /x\n"),
        /systems\/billing.yaml:7:12 error .*`getInvoice` is GET/,
      ],
      [estate("  a:\n    operationId: getInvoice\n    match: GET /v2/x/{y}\n"), /`getInvoice` is GET/],
      [
        estate(three, description.replace("listInvoices", "getInvoice")),
        /two operations have the operationId `getInvoice`/,
      ],
      [
        estate(three, description.replace('/NewInvoice" }', '/Gone" }')),
        /openapi\/billing.yaml:12:\d+ error .*`invoice.create` cannot take the schema of the request body from here: the `\$ref` leads to nothing/,
      ],
      [
        estate(three, description.replace("openapi: 3.1.0", "openapi: 2.0.0")),
        /openapi\/billing.yaml:1:1 error .*OpenAPI 2\.0\.0 is not read/,
      ],
      [
        { "systems/billing.yaml": system(three) },
        /systems\/billing.yaml:2:10 error \$\.openapi: openapi\/billing.yaml: no such file/,
      ],
      [
        { "systems/billing.yaml": "system: billing\nurl: https://b.example\noperations:\n  a: { operationId: x }\n" },
        /`operationId`, but the system names no description/,
      ],
      [
        {
          "systems/billing.yaml":
            "system: billing\nurl: https://b.example\noperations:\n  a: { description: A thing }\n",
        },
        /`match` is missing/,
      ],
    ] as const)
      assert.match(errorsOf(files), pattern);
  });
});

describe("attack: a description", () => {
  test("attack: leads to another host, out of the estate, or to a link out of it", () => {
    const inBody = (ref: string) => description.replace('"#/components/schemas/NewInvoice"', JSON.stringify(ref));
    for (const [ref, why] of [
      ["https://evil.example/x.yaml#/a", "another host"],
      ["//evil.example/x.yaml", "another host"],
      ["file:///etc/passwd", "another host"],
      ["../../etc/passwd", "out of the folder"],
      ["%2e%2e/%2e%2e/etc/passwd", "out of the folder"],
      ["/etc/passwd", "out of the folder"],
    ] as const)
      assert.ok(errorsOf(estate(three, inBody(ref))).includes(why), ref);
    assert.match(
      errorsOf({ "systems/billing.yaml": system(three).replace("../openapi/billing.yaml", "../../billing.yaml") }),
      /leaves the estate directory/,
    );
    const dir = mkdtempSync(join(tmpdir(), "sallyport-openapi-"));
    try {
      const outside = join(dir, "outside.yaml");
      writeFileSync(outside, "Secret: { type: object }\n");
      mkdirSync(join(dir, "estate/systems"), { recursive: true });
      mkdirSync(join(dir, "estate/openapi"));
      writeFileSync(join(dir, "estate/systems/billing.yaml"), system(three));
      writeFileSync(join(dir, "estate/openapi/billing.yaml"), inBody("linked.yaml#/Secret"));
      symlinkSync(outside, join(dir, "estate/openapi/linked.yaml"));
      const found = loadEstate(join(dir, "estate"), { now: Date.now }).findings.map(formatFinding).join("\n");
      assert.match(found, /a symbolic link out of its folder/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("attack: is a bomb of aliases, of references, of depth, or larger than its bound", () => {
    const bomb = `openapi: 3.1.0\nx-a: &a [1,2,3,4,5,6,7,8,9,10]\n${Array.from({ length: 7 }, (_, n) => `x-${"bcdefgh"[n]}: &${"bcdefgh"[n]} [${Array.from({ length: 10 }, () => `*${"abcdefg"[n]}`)}]\n`).join("")}paths: {}\n`;
    assert.match(errorsOf(estate(three, bomb)), /more than 500000 values, aliases written out/);
    assert.match(errorsOf(estate(three, `openapi: 3.1.0\nx: ${"[".repeat(5_000)}${"]".repeat(5_000)}\n`)), /nested/);
    assert.match(
      errorsOf(estate(three, `openapi: 3.1.0\n# ${"x".repeat(4 * 1024 * 1024)}\n`)),
      /larger than 4194304 bytes/,
    );
    const far = description.replace('"#/components/schemas/NewInvoice"', '"far.yaml#/a"');
    const large = { "openapi/far.yaml": `a: { type: object }\n# ${"x".repeat(4 * 1024 * 1024)}\n` };
    assert.match(
      errorsOf(estate(three, far, large)),
      /leads to openapi\/far.yaml: the file is larger than 4194304 bytes/,
    );
    const circle = description.replace(
      "NewInvoice:\n      type: object",
      'NewInvoice: { $ref: "#/components/schemas/Other" }\n    Other: { $ref: "#/components/schemas/NewInvoice" }\n    Third:\n      type: object',
    );
    assert.doesNotThrow(() => load(estate(three, circle)));
    // Each definition holds the next one twice: written out it would have 2^200 places.
    const doubling = Array.from(
      { length: 200 },
      (_, n) =>
        `    D${n}: { type: object, properties: { a: { $ref: "#/components/schemas/D${n + 1}" }, b: { $ref: "#/components/schemas/D${n + 1}" } } }\n`,
    ).join("");
    const twice = description
      .replace("    State:", `${doubling}    D200: { type: string }\n    State:`)
      .replace('"#/components/schemas/State"', '"#/components/schemas/D0"')
      .replace('"#/components/schemas/NewInvoice"', '"#/components/schemas/D0"');
    assert.equal(errorsOf(estate(three, twice)), "");
  });

  test("attack: has keys that reach a prototype, and names that hide behind one another", () => {
    assert.match(
      errorsOf(estate(three, `${description}    __proto__: { type: string }\n`)),
      /a key that is not accepted/,
    );
    assert.match(
      errorsOf(estate(three, `${description}    State: { type: object }\n`)),
      /named twice|duplicate|twice/i,
    );
    const text = description.replace("name: limit,", "name: __proto__,");
    assert.deepEqual(
      operationOf(estate(three, text), "invoice.list")?.parameters?.fields.map(({ name }) => name),
      ["state"],
    );
  });

  test("attack: fills the snapshot with schemas past its bound", () => {
    const wide = `type: string, enum: [${Array.from({ length: 40_000 }, (_, n) => `value${n}`).join(", ")}]`;
    const paths = Array.from(
      { length: 24 },
      (_, n) =>
        `  /p${n}:\n    post:\n      operationId: p${n}\n      requestBody: { required: true, content: { application/json: { schema: { $ref: "#/components/schemas/Wide" } } } }\n      responses: { "204": { description: x } }\n`,
    ).join("");
    const text = `openapi: 3.1.0\npaths:\n${paths}components: { schemas: { Wide: { ${wide} } } }\n`;
    const operations = Array.from({ length: 24 }, (_, n) => `  p${n}: { operationId: p${n} }\n`).join("");
    assert.match(
      errorsOf(estate(operations, text)),
      /the schemas of the system are larger than 8388608 bytes together/,
    );
  });
});
