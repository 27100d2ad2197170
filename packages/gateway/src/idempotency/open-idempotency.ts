// Promises what a gateway needs to have one effect per key, put together once. Trusts its options. Specified in docs/idempotency.md.
import type { GatewayOptions } from "../ports.ts";
import { DataPlane } from "./data-plane.ts";
import { KeyCounts } from "./key-counts.ts";
import { Writers } from "./writers.ts";

export interface Idempotency {
  readonly dataPlane: DataPlane;
  readonly keyCounts: KeyCounts;
  readonly writers: Writers;
}

export function openIdempotency(options: GatewayOptions): Idempotency {
  const { clock, random, logger, dataStore, logKeys, tables } = options;
  const dataPlane = new DataPlane({ identity: options, store: dataStore ?? null, clock, random, logger });
  dataPlane.useKey(logKeys?.dataKey);
  const jitter = () => (random.bytes(1)[0] ?? 0) / 256;
  return { dataPlane, keyCounts: new KeyCounts(tables?.keysPerCaller), writers: new Writers(dataPlane, jitter) };
}
