// Promises the ladder of controls whose cost is measured one after another: each rung is the one before it and one control more.
// Trusts the test-bed to compile it. Names of rungs are what RESULTS.md and the report say.
import { defaultResilience } from "@sallyport/control/registry/config/read-resilience.ts";
import type { TestEstate, TestOperation } from "@sallyport/gateway/testing/test-estate.ts";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { bearerClient, upstreamContent } from "./roles.ts";

type Grant = Partial<IntegrationObject>;

/** What a rung adds: to the operation, to the integration that grants it, to where its system is served. */
interface Added {
  readonly operation?: Partial<TestOperation>;
  readonly grant?: Grant;
  readonly resilience?: true;
}

export interface Rung extends Added {
  readonly name: string;
  /** Absent: as the rung before it. Each method has a ladder of its own. */
  readonly method?: "GET" | "POST";
  /** Each request has an idempotency key of its own. */
  readonly keys?: true;
  /** Content of its answers, from here on; absent: the upstream's. */
  readonly expected?: string;
}

const wide = { rate: 1_000_000, periodMs: 1_000, burst: 1_000_000 };
const invoiceSchema = {
  type: "object",
  required: ["amount", "customer"],
  additionalProperties: false,
  properties: { amount: { type: "integer", minimum: 1 }, customer: { type: "string", maxLength: 64 } },
};
const answerSchema = {
  type: "object",
  required: ["id", "amount", "currency"],
  properties: {
    ...{ id: { type: "string" }, amount: { type: "integer" }, currency: { enum: ["EUR", "USD"] } },
    ...{ customer: { type: "string" }, state: { type: "string" }, due: { type: "string" } },
  },
};
const regionPolicy = (operation: string) =>
  `forbid(principal, action == Action::"billing:${operation}", resource) unless { principal.region == "eu" };`;
const amountPolicy = (operation: string) =>
  `forbid(principal, action == Action::"billing:${operation}", resource) when { resource.amount > 100000 };`;

export const rungs: readonly Rung[] = [
  { name: "read: identity, grant, durable record", method: "GET" },
  {
    name: "+ two rates",
    grant: {
      limits: [
        { per: "client", ...wide },
        { per: "integration", ...wide },
      ],
    },
  },
  { name: "+ Cedar, an attribute of the caller", operation: { cedar: regionPolicy("invoice.read") } },
  { name: "+ retries and breaker", resilience: true },
  { name: "+ a bound on what is under way", grant: { concurrency: [{ per: "client", max: 10_000 }] } },
  {
    name: "+ a quota per day",
    grant: { quotas: [{ per: "client", max: 1_000_000_000, period: "day", timeZone: "UTC" }] },
  },
  { name: "+ answers against a schema", operation: { response: { schemas: { "200": answerSchema } } } },
  {
    name: "+ a field taken out",
    expected: upstreamContent.replace('"customer":"c-1042",', ""),
    operation: { response: { schemas: { "200": answerSchema }, redact: ["$.customer"] } },
  },
  {
    name: "+ Cedar again, an attribute of the answer",
    operation: {
      attributes: { amount: { from: "response", name: "$.amount", type: "long" } },
      cedar: `${regionPolicy("invoice.read")}\n${amountPolicy("invoice.read")}`,
    },
  },
  {
    name: "effect: identity, grant, intent and outcome",
    method: "POST",
    operation: { body: { content: "opaque", contentType: "application/json" } },
  },
  {
    name: "+ content against a schema",
    operation: { body: { content: "json", contentType: "application/json", schema: invoiceSchema } },
  },
  {
    name: "+ Cedar, an attribute of the content",
    operation: {
      attributes: { amount: { from: "body", name: "$.amount", type: "long" } },
      cedar: amountPolicy("invoice.create"),
    },
  },
  {
    name: "+ an idempotency key",
    keys: true,
    operation: { changes: { idempotency: { key: "required", ttlMs: 600_000 } } },
  },
];

/** The rungs of the ladder up to and with this one. */
function ladder(at: number): readonly Rung[] {
  const all = rungs.slice(0, at + 1);
  return all.slice(all.findLastIndex(({ method }) => method !== undefined));
}

export function methodOf(at: number): "GET" | "POST" {
  return ladder(at)[0]?.method ?? "GET";
}

export function expectedOf(at: number): string | undefined {
  return ladder(at).findLast(({ expected }) => expected !== undefined)?.expected;
}

/** billing at `url` with all controls of the ladder up to this rung. */
export function featureEstate(url: string, at: number): TestEstate {
  const all = ladder(at);
  const isRead = methodOf(at) === "GET";
  const plain: TestOperation = isRead
    ? { name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" }
    : { name: "invoice.create", method: "POST", path: "/v1/invoices" };
  const operation = Object.assign({}, plain, ...all.map((rung) => rung.operation ?? {})) as TestOperation;
  const grant = Object.assign({}, ...all.map((rung) => rung.grant ?? {})) as Grant;
  const resilience = all.some((rung) => rung.resilience) ? defaultResilience(1) : {};
  return {
    systems: [
      {
        ...{ id: "billing", url, operations: [operation] },
        changes: { upstream: { url, allowPrivate: true, resilience } },
      },
      { id: "orders", clients: [bearerClient], attributes: { region: "eu" } },
    ],
    integrations: [
      {
        ...{ id: "orders-to-billing", from: "orders", to: "billing", proof: ["bearer"] },
        ...{ operations: [{ name: operation.name }], ...grant },
      },
    ],
  };
}
