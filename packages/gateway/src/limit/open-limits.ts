// Promises everything a gateway counts limits with, put together once and closed together. Trusts its options. Specified in docs/limits.md.
import type { DataPlane } from "../idempotency/data-plane.ts";
import type { GatewayOptions } from "../ports.ts";
import type { Estate } from "../snapshot/estate.ts";
import { memoryKey } from "../workers/node-memory.ts";
import { SharedLock } from "../workers/shared-lock.ts";
import { allocateRateTable, lockedRateTable, openRateTable, type RateLimiter, rateTableSlots } from "./gcra.ts";
import { Quotas } from "./quotas.ts";
import { SharedLimits, type SharedLimitsPorts } from "./shared-limits.ts";

const selfBytes = 6;

export interface Limits {
  readonly limiter: RateLimiter;
  readonly quotas: Quotas;
  readonly shared: SharedLimits;
}

export function openLimits(options: GatewayOptions, dataPlane: DataPlane): Limits {
  const { clock, logger, limitsStore } = options;
  return {
    limiter: openLimiter(options),
    quotas: new Quotas(dataPlane, { logger, monotonic: () => clock.monotonic() }),
    shared: new SharedLimits({
      store: limitsStore ?? null,
      logger,
      ...asOneGateway(options),
      keys: () => dataPlane.keys,
    }),
  };
}

/** Every worker thread says the same of its node: all of them together have the share of one gateway. */
function asOneGateway({ node, random, worker }: GatewayOptions): Pick<SharedLimitsPorts, "self" | "heard"> {
  const run =
    worker === undefined ? random.bytes(selfBytes) : memoryKey(worker.memory, "limits").subarray(0, selfBytes);
  const heard = new Int32Array(worker?.memory.gatewaysHeard ?? new SharedArrayBuffer(4));
  return { self: `${node}.${Buffer.from(run).toString("hex")}`, heard };
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
