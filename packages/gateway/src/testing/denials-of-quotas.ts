// Promises one refusal for each code of what is counted outside a gateway's memory, beside its nearest allow. Trusts three-ways.ts to judge them.
// Specified in docs/limits.md.
import type { QuotaLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import { DataPlaneFault } from "../idempotency/data-plane.ts";
import type { OwnBench } from "./denials-at-the-door.ts";
import { marketplace } from "./marketplace-estate.ts";
import type { TestEstate } from "./test-estate.ts";

/** The marketplace where only the integration of orders has these quotas, and nothing else limits it. */
function withQuotas(...quotas: readonly QuotaLimit[]): (url: string) => TestEstate {
  return (url) => {
    const base = marketplace(url);
    const integrations = base.integrations.map((one) => ({
      ...one,
      limits: [],
      ...(one.from === "orders" ? { quotas } : {}),
    }));
    return { ...base, integrations };
  };
}

const ofClient = (max: number): QuotaLimit => ({ per: "client", max, period: "day", timeZone: "UTC" });

export const quotaDenials = {
  "quota-exhausted": {
    bench: { estate: withQuotas(ofClient(1)) },
    case: {
      what: "the second crossing of a day that allows one; another caller is not touched",
      status: 429,
      stage: "limit",
      async prepare(bench) {
        await bench.orders.send(bench.invoice);
      },
      refused: (bench) => bench.orders.send(bench.invoice),
      allowed: (bench) => bench.portal.send(bench.invoice),
    },
  },
  "limit-unavailable": {
    bench: {
      estate: withQuotas(ofClient(1_000)),
      changes: {
        dataStore: { dialect: "sqlite", open: () => Promise.reject(new DataPlaneFault("a disk that is not there")) },
      },
    },
    case: {
      what: "a crossing with a quota while the data-plane store is away; what has none goes on",
      status: 503,
      stage: "limit",
      refused: (bench) => bench.orders.send(bench.invoice),
      allowed: (bench) => bench.portal.send(bench.invoice),
    },
  },
} satisfies Record<string, OwnBench>;
