// Promises everything a gateway counts limits with, put together once and closed together. Trusts its options. Specified in docs/limits.md.
import type { DataPlane } from "../idempotency/data-plane.ts";
import type { GatewayOptions } from "../ports.ts";
import type { Estate } from "../snapshot/estate.ts";
import { memoryKey } from "../workers/node-memory.ts";
import { SharedLock } from "../workers/shared-lock.ts";
import { allocateRateTable, lockedRateTable, openRateTable, type RateLimiter, rateTableSlots } from "./gcra.ts";
import { Quotas } from "./quotas.ts";
import { SharedLimits } from "./shared-limits.ts";

export interface Limits {
  readonly limiter: RateLimiter;
  readonly quotas: Quotas;
  readonly shared: SharedLimits;
}

export function openLimits(options: GatewayOptions, dataPlane: DataPlane): Limits {
  const { clock, logger, random, limitsStore, node } = options;
  return {
    limiter: openLimiter(options),
    quotas: new Quotas(dataPlane, { logger, monotonic: () => clock.monotonic() }),
    shared: new SharedLimits({
      store: limitsStore ?? null,
      logger,
      self: `${node}.${Buffer.from(random.bytes(6)).toString("hex")}`,
      keys: () => dataPlane.keys,
    }),
  };
}

function openLimiter({ tables, random, worker }: GatewayOptions): RateLimiter {
  if (worker === undefined)
    return openRateTable(allocateRateTable(tables?.rateSlots ?? rateTableSlots), random.bytes(32));
  const { memory } = worker;
  return lockedRateTable(openRateTable(memory.rates, memoryKey(memory, "rates")), new SharedLock(memory.rateLock));
}

/** Before the data-plane store is closed. */
export async function closeLimits({ quotas, shared }: Limits): Promise<void> {
  await Promise.all([quotas.close(), shared.close()]);
}

/** Does anything in it need the place where gateways count together? */
export function needsSharedLimits({ integrations }: Pick<Estate, "integrations">): boolean {
  return integrations.some(({ limits, concurrency = [] }) =>
    [...limits, ...concurrency].some(({ across }) => across !== undefined),
  );
}
