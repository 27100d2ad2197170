import assert from "node:assert/strict";
import { test } from "node:test";
import type { SystemConfig } from "@sallyport/control/registry/config/estate.ts";
import type { OperationConfig } from "@sallyport/control/registry/config/operation-config.ts";
import { CommandEnd } from "../exit.ts";
import { buildRequest } from "./build-request.ts";

const operation: OperationConfig = {
  name: "invoice.pay",
  declaredAt: "systems/billing.yaml:4",
  method: "POST",
  path: "/v1/invoices/{id}/payments",
  classification: "internal",
  authorize: "grant",
  attributes: {},
  body: { content: "json", contentType: "application/json" },
  bodyBytesMax: 1024,
  timeoutMs: 1_000,
  businessErrors: [],
  offline: "bound",
};
const { body: _, ...bodyless } = operation;
const read: OperationConfig = { ...bodyless, name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" };
const system: SystemConfig = {
  id: "billing",
  owner: "team:default",
  zone: "internal",
  region: "default",
  public: { path: "/billing", strip: true },
  clients: [],
  certificates: [],
  attributes: {},
  operations: [operation, read],
  declaredAt: { file: "systems/billing.yaml", line: 1, column: 1 },
};

const built = (words: readonly string[], on = operation, more: { headers?: string[]; body?: Uint8Array } = {}) =>
  buildRequest({ system, operation: on }, { words, headers: more.headers ?? [], body: more.body ?? null });

test("arguments fill the path first, then the JSON body; := is JSON and == is the query", () => {
  const { method, target, body } = built(["id=7", "amount:=12", "note=a=b", "dry==true"]);
  assert.deepEqual([method, target], ["POST", "/billing/v1/invoices/7/payments?dry=true"]);
  assert.deepEqual(JSON.parse(String(body)), { amount: 12, note: "a=b" });
});

test("where the operation takes no body the rest is the query, and a name may repeat", () => {
  const { target, body } = built(["id=7", "tag=a", "tag=b c"], read);
  assert.deepEqual([target, body], ["/billing/v1/invoices/7?tag=a&tag=b+c", null]);
});

test("members of a form are written as a form, and a name may repeat", () => {
  const form = { ...operation, body: { content: "form", contentType: "application/x-www-form-urlencoded" } } as const;
  const { target, body } = built(["id=7", "note=a&b=c d", "tag=x", "tag=y"], form);
  assert.deepEqual([target, body], ["/billing/v1/invoices/7/payments", "note=a%26b%3Dc%20d&tag=x&tag=y"]);
});

test("attack: a value cannot leave its path segment", () => {
  assert.equal(built(["id=../../admin?x#y"], read).target, "/billing/v1/invoices/..%2F..%2Fadmin%3Fx%23y");
  for (const id of ["", ".", ".."]) assert.throws(() => built([`id=${id}`], read), CommandEnd);
});

test("the public host and a prefix of / are the estate's", () => {
  const own: SystemConfig = { ...system, public: { path: "/", strip: true, host: "api.acme.example" } };
  const { target, headers } = buildRequest(
    { system: own, operation: read },
    { words: ["id=1"], headers: [], body: null },
  );
  assert.deepEqual([target, headers["host"]], ["/v1/invoices/1", "api.acme.example"]);
});

test("what the arguments cannot mean is refused with the way to write it", () => {
  const wrong: readonly (readonly [() => unknown, RegExp, RegExp])[] = [
    [() => built([]), /needs id/, /add id=<value>/],
    [() => built(["id=1", "id=2"]), /given twice/, /once/],
    [() => built(["id"]), /not an argument/, /name=value/],
    [() => built(["id=1", "amount:=x"]), /is not JSON/, /amount=x/],
    [() => built(["id=1", "a=1", "a=2"]), /given twice/, /makes a list/],
    [() => built(["id=1"], read, { body: new Uint8Array(1) }), /takes no body/, /leave @file/],
    [() => built(["id=1", "a=1"], operation, { body: new Uint8Array(1) }), /members of one: a/, /one of them/],
    [() => built(["id=1"], read, { headers: ["x"] }), /not a header/, /Name: value/],
    [
      () => built(["id=1"], read, { headers: ["Authorization: Bearer x"] }),
      /Authorization is not yours/,
      /leave it out/,
    ],
    [() => built(["id=1"], read, { headers: ["X: a\r\nDPoP: b"] }), /not a header/, /Name: value/],
  ];
  for (const [act, message, fix] of wrong)
    assert.throws(act, (error) => error instanceof CommandEnd && message.test(error.message) && fix.test(error.fix));
});
