import assert from "node:assert/strict";
import { test } from "node:test";
import type { ObservedReport, ObservedRow } from "@sallyport/control/observe/observed-report.ts";
import { formatTable } from "../terminal.ts";
import { observedWords } from "./observe.ts";

const row: ObservedRow = {
  environment: "production",
  system: "billing",
  operation: "billing:(undeclared)",
  mode: "observe",
  caller: "orders",
  addressClass: "private",
  code: "operation-undeclared",
  stage: "route",
  count: 3,
  firstMs: 1_795_305_600_000,
  lastMs: 1_795_305_601_000,
  examples: ["gw-1-0"],
  next: [],
  shapes: ["GET /v1/a"],
  fix: { says: "declare in systems/billing.yaml:" },
};

const report = (groups: readonly ObservedRow[]): ObservedReport => ({
  shadows: [],
  sinceMs: 1_795_305_600_000,
  nodes: [],
  systems: [
    {
      environment: "production",
      system: "billing",
      observeUntilMs: null,
      passthroughUntilMs: null,
      allowed: 1,
      wouldDeny: 3,
      ready: false,
      why: "3 would be denied",
    },
  ],
  groups,
});

test("forged-line attack: a line feed in what a caller or a fix says does not begin a line of the report", () => {
  const feed = "\nbilling  -  -  9  0  yes";
  const plain = observedWords(report([row]), formatTable);
  const forged = observedWords(
    report([{ ...row, shapes: [`GET /v1/a${feed}`], fix: { says: `declare in systems/billing.yaml:${feed}` } }]),
    formatTable,
  );
  assert.equal(forged.join("\n").split("\n").length, plain.length);
  assert.equal(forged.filter((line) => line.includes("\\u000a")).length, 2);
});
