// `opa` of an operation: what is read, and what is refused with place and fix.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const load = (opa: readonly string[]) => {
  const lines = ["invoice.read:", "  match: GET /v1/invoices/{id}", "  opa:", ...opa.map((line) => `    ${line}`)];
  const system = `system: billing\nurl: http://billing.internal\noperations:\n${lines.map((line) => `  ${line}\n`).join("")}`;
  return loadEstateFrom(memoryEstateIo({ "systems/billing.yaml": system }, () => Date.UTC(2026, 10, 30)));
};
const opaOf = (opa: readonly string[]) => load(opa).estate.environments[0]?.systems[0]?.operations[0]?.opa;
const errorsOf = (opa: readonly string[]) =>
  load(opa).findings.flatMap(({ severity, line, message }) => (severity === "error" ? [`${line}: ${message}`] : []));

test("where it listens, its rule and its time are read, with the defaults of the page", () => {
  assert.deepEqual(opaOf(["url: https://opa.acme.internal:8181", "path: sallyport/invoices/allow"]), {
    url: "https://opa.acme.internal:8181",
    path: "sallyport/invoices/allow",
    timeoutMs: 500,
    allowPrivate: false,
  });
  const local = ["url: http://127.0.0.1:8181", "path: a", "timeout: 50ms", "allowPrivate: true"];
  assert.deepEqual(errorsOf(local), []);
  assert.equal(opaOf(local)?.timeoutMs, 50);
});

const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["a private address without a word", ["url: http://127.0.0.1:8181", "path: a"], /^7: the URL leads to a private/],
  ["a path with dots", ["url: https://opa.example", "path: a/../b"], /^8: /],
  ["a path that begins with a slash", ["url: https://opa.example", "path: /a"], /^8: /],
  ["no path", ["url: https://opa.example"], /path/],
  ["a url with a path", ["url: https://opa.example/v1", "path: a"], /^7: a URL with a path/],
  ["longer than a caller waits", ["url: https://opa.example", "path: a", "timeout: 6s"], /^9: out of range/],
  ["a way to fail open", ["url: https://opa.example", "path: a", "failOpen: true"], /unknown key `failOpen`/],
];
for (const [what, opa, said] of refused)
  test(`refused: ${what}`, () => {
    assert.match(errorsOf(opa).join("\n"), said);
    assert.equal(opaOf(opa), undefined, "the system is not served");
  });
