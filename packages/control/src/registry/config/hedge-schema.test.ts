// What may be said of second attempts, what it becomes for gateways, and where it is refused (docs/resilience.md "Hedging").
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const systemWith = (lines: string) => ({
  ...soundEstate(),
  "systems/billing.yaml": `system: billing\nurl: https://billing.acme.example\n${lines}\n`,
});
const hedgesOf = (lines: string): Record<string, HedgeRule | undefined> => {
  const { estate, findings } = load(systemWith(lines));
  const system = estate.environments[0]?.systems.find(({ id }) => id === "billing");
  assert.ok(system !== undefined, findings.map(formatFinding).join("\n"));
  return Object.fromEntries(system.operations.map(({ name, hedge }) => [name, hedge]));
};
const saidOf = (lines: string): string => load(systemWith(lines)).findings.map(formatFinding).join("\n");

const pay = `
  payment.make: { match: POST /v1/payments, idempotency: { key: required, provider: honours } }`;

test("nothing is hedged unless it is written", () => {
  assert.deepEqual(hedgesOf("operations:\n  invoice.read: GET /v1/invoices/{id}"), { "invoice.read": undefined });
});

test("of a system it holds for reads, and each operation says its own or `none`", () => {
  const hedges = hedgesOf(`hedge: { after: p95 }
operations:
  invoice.read: GET /v1/invoices/{id}
  invoice.create: POST /v1/invoices
  report.read: { match: GET /v1/reports, hedge: { after: 200ms, budget: 5% } }
  export.read: { match: GET /v1/export, hedge: none }${pay}`);
  assert.deepEqual(hedges, {
    "export.read": undefined,
    "invoice.create": undefined,
    "invoice.read": { after: { share: 0.95 }, budget: 0.1 },
    "payment.make": undefined,
    "report.read": { after: { ms: 200 }, budget: 0.05 },
  });
});

test("an effect is hedged only where it says so itself and its provider honours keys", () => {
  const rule = "hedge: { after: p99 }";
  const operations = "operations:\n  payment.make: { match: POST /v1/payments";
  const honours = `${operations}, idempotency: { key: required, provider: honours }, ${rule} }`;
  assert.deepEqual(hedgesOf(honours), { "payment.make": { after: { share: 0.99 }, budget: 0.1 } });
  for (const own of ["", ", idempotency: required"])
    assert.match(saidOf(`${operations}${own}, ${rule} }`), /effect \(POST\) that would happen twice/);
});

for (const [lines, said] of [
  ["hedge: { after: 1ms }\nretries: none\noperations: {}", /tried once/],
  ["hedge: { after: 1ms }\nretries: { attempts: 1 }\noperations: {}", /tried once/],
  ["hedge: { after: p50 }\noperations: {}", /not a duration/],
  ["hedge: { after: 2m }\noperations: {}", /out of range/],
  ["hedge: { after: 1ms, budget: 60% }\noperations: {}", /out of range/],
  ["hedge: {}\noperations: {}", /after/],
  [
    'operations:\n  live.read: { match: GET /v1/live, websocket: { origins: ["https://a.example"] }, hedge: { after: 1ms } }',
    /of a WebSocket/,
  ],
  [
    "operations:\n  file.put: { match: PUT /v1/file, body: { as: opaque, contentType: text/plain }, idempotency: { key: required, provider: honours }, hedge: { after: 1ms } }",
    /of an opaque body/,
  ],
  [
    "hedge: { after: 1ms }\noperations:\n  a.b: { match: POST /a.B/C, protocol: grpc }",
    /`hedge` of a system with gRPC/,
  ],
] as const)
  test(`refused: ${JSON.stringify(lines)}`, () => assert.match(saidOf(lines), said));
