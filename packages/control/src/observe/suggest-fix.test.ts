// What is proposed for pasting is pasted here, into an estate that the loader then takes; whatever a caller wrote.
import assert from "node:assert/strict";
import { test } from "node:test";
import { problems } from "@sallyport/protocol/problem.ts";
import fc from "fast-check";
import { load, soundEstate } from "../registry/config/sound-estate.ts";
import { decideReady } from "./observed-report.ts";
import { operationLines, proposeOperations } from "./propose-operations.ts";
import { type DeclaredParts, type Denied, suggestFix } from "./suggest-fix.ts";

const estate = soundEstate();
const declared: DeclaredParts = {
  integrations: [{ id: "orders-to-billing", from: "orders", to: "billing", declaredAt: "systems/orders.yaml:4" }],
  operations: new Map([
    [
      "billing",
      [
        { name: "invoice.create", method: "POST", path: "/v1/invoices" },
        { name: "invoice.read", method: "GET", path: "/v1/invoices/{number}" },
      ],
    ],
    ["orders", []],
  ]),
};
const denied: Denied = {
  system: "billing",
  operation: "invoice.read",
  caller: "orders",
  code: "not-granted",
  facts: {},
  shapes: [],
  wanted: ["invoice.read"],
};
const errors = (files: Readonly<Record<string, string>>) =>
  load({ ...estate, ...files })
    .findings.filter(({ severity }) => severity === "error")
    .map(({ message }) => message);

test("a grant for a caller without one is a new file that loads as it stands", () => {
  const fix = suggestFix({ ...denied, caller: "portal", wanted: ["invoice.create", "invoice.read"] }, declared);
  assert.equal(fix.file, "integrations/portal-to-billing.yaml");
  const portal = "system: portal\nidentity: { client: portal, keys: [orders.jwks.json] }\n";
  assert.deepEqual(errors({ "systems/portal.yaml": portal, [fix.file ?? ""]: `${fix.yaml}\n` }), []);
});

test("a grant for a caller that has an integration names where it stands", () => {
  assert.equal(
    suggestFix(denied, declared).says,
    "add to the `operations` of orders-to-billing at systems/orders.yaml:4: invoice.read",
  );
});

test("a caller nobody can name gets a file with an identity and its grants, which loads once its key is there", () => {
  const fix = suggestFix({ ...denied, caller: null, code: "credentials-missing" }, declared);
  const files = {
    [fix.file ?? ""]: `${fix.yaml}\n`,
    "systems/new-caller.jwks.json": estate["systems/orders.jwks.json"] ?? "",
  };
  assert.deepEqual(errors(files), []);
});

test("what was undeclared when it was seen and is declared by now is not proposed a second time", () => {
  const seen = { ...denied, operation: "(undeclared)", caller: null };
  const shapes = ["HEAD /v1/invoices/{id}", "GET /v1/invoices/{id}"];
  const mended = suggestFix({ ...seen, shapes }, declared);
  assert.equal(mended.yaml, undefined);
  assert.match(mended.says, /systems\/billing\.yaml declares it by now/);
  const left = suggestFix({ ...seen, shapes: [...shapes, "GET /v1/refunds"] }, declared);
  assert.equal(left.yaml, "  refunds.list: GET /v1/refunds");
});

test("undeclared paths become operations that load below those that are there, and in a file that has none", () => {
  const shapes = [
    "GET /v1/customers/{id}",
    "HEAD /v1/customers/{id}",
    "POST /v1/customers",
    "GET /",
    "OPTIONS /v1/customers",
    "DELETE /api/v2/customers/{id}/notes/{id2}",
  ];
  const undeclared: Denied = {
    ...denied,
    operation: "(undeclared)",
    caller: null,
    code: "credentials-missing",
    shapes,
  };
  const below = suggestFix(undeclared, declared);
  assert.deepEqual(errors({ "systems/billing.yaml": `${estate["systems/billing.yaml"]}${below.yaml}\n` }), []);
  const fresh = suggestFix({ ...undeclared, system: "legacy" }, declared);
  assert.match(fresh.yaml ?? "", /^operations:\n/);
  assert.deepEqual(
    errors({ "systems/legacy.yaml": `system: legacy\nurl: http://legacy.internal\n${fresh.yaml}\n` }),
    [],
  );
  assert.deepEqual(
    proposeOperations(shapes).map(({ name, match }) => `${name} = ${match}`),
    [
      "customers.notes.delete = DELETE /api/v2/customers/{id}/notes/{id2}",
      "root.list = GET /",
      "customers.read = GET /v1/customers/{id}",
      "customers.options = OPTIONS /v1/customers",
      "customers.create = POST /v1/customers",
    ],
  );
});

test("a name that is taken gets a number", () => {
  const shapes = ["GET /v1/invoice", "GET /v2/invoice"];
  assert.deepEqual(
    proposeOperations(shapes, new Set(["invoice.list"])).map(({ name }) => name),
    ["invoice.list-2", "invoice.list-3"],
  );
});

test("names of things in one place of a path become a parameter once there are many of them", () => {
  const people = ["ada", "bob", "cyd", "dee", "eve", "fay", "gil", "hal"].map((name) => `GET /users/${name}/avatar`);
  assert.deepEqual(proposeOperations(people), [{ name: "users.avatar.list", match: "GET /users/{id}/avatar" }]);
  assert.equal(proposeOperations(people.slice(1)).length, 7);
});

test("injection attack: nothing a caller put into a path reaches the YAML but words of a path, and what is proposed always loads", () => {
  const hostile = [
    "GET /x\n  evil: GET /y",
    "GET /x: y",
    "GET /{a}{b}",
    "TRACE /x",
    "GET x",
    "GET //x",
    "GET /x/../y",
    "GET /*",
    "GET /x #y",
    `GET /${"x".repeat(41)}`,
  ];
  assert.deepEqual(proposeOperations(hostile), []);
  const segment = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9._~-]{1,12}$/),
    fc.constantFrom("{id}", "{id2}", "true", "null", "0x1F", "1.10", "~", "-", "..."),
    fc.string({ maxLength: 6 }),
  );
  const shape = fc
    .tuple(
      fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
      fc.array(segment, { maxLength: 5 }),
    )
    .map(([method, parts]) => `${method} /${parts.join("/")}`);
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 12 }), (shapes) => {
      const lines = operationLines(
        proposeOperations(shapes, new Set(declared.operations.get("billing")?.map(({ name }) => name))),
      );
      assert.deepEqual(
        errors({ "systems/billing.yaml": `${estate["systems/billing.yaml"]}${lines.join("\n")}\n` }),
        [],
      );
    }),
    { seed: 7, numRuns: 150 },
  );
});

test("every code that can pass has words of its own for what mends it, or leads to its page", () => {
  for (const code of Object.keys(problems)) {
    const { says } = suggestFix(
      { ...denied, code, facts: { detail: "d", why: "w", bound: "b", state: "proposed" } },
      declared,
    );
    assert.ok(says.length > 10 && !says.includes("undefined"), `${code}: ${says}`);
  }
});

test("ready to enforce is a yes only for traffic that was seen, whole, and would all be allowed", () => {
  const nodes = [{ node: "gw-1", environment: "production", sinceMs: 1, uncounted: 0 }];
  assert.equal(decideReady({ allowed: 5, wouldDeny: 0, nodes }).ready, true);
  assert.equal(decideReady({ allowed: 5, wouldDeny: 1, nodes }).ready, false);
  assert.match(decideReady({ allowed: 0, wouldDeny: 0, nodes }).why, /nothing was seen/);
  const away = [...nodes, { node: "gw-2", environment: "production", sinceMs: null, uncounted: 0 }];
  assert.deepEqual(decideReady({ allowed: 5, wouldDeny: 0, nodes: away }), {
    ready: false,
    why: "not known: gw-2 did not answer",
  });
  const full = [{ ...nodes[0], node: "gw-1", environment: "production", sinceMs: 1, uncounted: 3 }];
  assert.match(decideReady({ allowed: 5, wouldDeny: 0, nodes: full }).why, /no room/);
});
