// What finding an operation costs does not depend on how many systems there are: the whole request is measured by `bench -- cost --estate 300`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildRouter } from "./router.ts";

const operations = ["GET /v1/invoices/{id}", "POST /v1/invoices", "GET /v1/invoices/{id}/lines/{line}"].map((text) => {
  const [method = "", path = ""] = text.split(" ");
  return { method, path };
});
const systemsOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ id: i, public: { path: `/system-${i}`, strip: true }, operations }));

const findsPerWindow = 5_000;
const windows = 60;

/** Milliseconds of one window: each of three systems in turn, the last ones declared, and a path of nobody's. */
function windowOf(router: ReturnType<typeof buildRouter>, last: number): number {
  const paths = [last, last - 1, last - 2].map((i) => [`system-${i}`, "v1", "invoices", "7", "lines", "2"]);
  const nobody = ["system", "v1"];
  let found = 0;
  const started = performance.now();
  for (let i = 0; i < findsPerWindow; i++) {
    if (router.find("gateway.example", "GET", paths[i % 3] ?? []).operation !== null) found += 1;
    if (router.find("gateway.example", "GET", nobody).system !== null) found += 1;
  }
  const took = performance.now() - started;
  assert.equal(found, findsPerWindow);
  return took;
}

test("finding an operation among 300 systems costs what it costs among three", () => {
  const few = buildRouter(systemsOf(3));
  const many = buildRouter(systemsOf(300));
  const took = { few: Number.POSITIVE_INFINITY, many: Number.POSITIVE_INFINITY };
  // In turns, and the least of many short windows: other work on the machine falls on both, and out of both.
  for (let i = 0; i < windows; i++) {
    took.few = Math.min(took.few, windowOf(few, 2));
    took.many = Math.min(took.many, windowOf(many, 299));
  }
  // One after the other would be a hundred times as much.
  assert.ok(took.many < 2 * took.few, `${took.many.toFixed(2)} ms among 300, ${took.few.toFixed(2)} ms among three`);
});
