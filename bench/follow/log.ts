// Promises a log of a busy gateway on disk, the same for the same seed: crossings, effects of two leaves, few denials, many callers and addresses.
// Trusts the log to write it. Used by bench/follow.ts.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  intent,
  outcome,
  recordsOf,
  seeded,
  trafficLeaf,
} from "@sallyport/control/audit/search/records.test-support.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";

/** Every eighth request is an effect. */
const effectEvery = 8;
const chunk = 2_048;

export interface BusyLog {
  /** Control's data directory, with the log in it. */
  readonly directory: string;
  append(records: number): Promise<void>;
  close(): Promise<void>;
}

/** A data directory whose log has the origin and the first records of `gw-1`; role `all`, so that its crossings count. */
export async function busyLog(directory: string, seed: number): Promise<BusyLog> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, "node-id"), "bench\n");
  const identity = { tenant: "main", environment: "production", region: "eu", node: "gw-1", version: "0.1.0" } as const;
  const log = await openLog({ directory: join(directory, "log"), identity: { ...identity, role: "all" } });
  const random = seeded(seed);
  let n = 0;
  const leavesOf = () => {
    n += 1;
    if (n % effectEvery > 0) return [trafficLeaf(n, random, "gw-1")];
    const caller = `caller-${Math.floor(random() ** 3 * 60)}`;
    const effect = { caller, operation: "billing:invoice.create", integration: `${caller}-to-billing` };
    return [intent(n, effect), outcome(n, effect)];
  };
  return {
    directory,
    append: async (records) => {
      for (let left = records; left > 0; left -= chunk) await appendAll(log, leavesOf, Math.min(left, chunk));
      await log.checkpoint();
    },
    close: () => log.close(),
  };
}

async function appendAll(log: OpenedLog, leavesOf: () => ReturnType<typeof intent>[], count: number): Promise<void> {
  const leaves = [];
  while (leaves.length < count) leaves.push(...leavesOf());
  await Promise.all(recordsOf(leaves).map(({ leaf }) => log.append(leaf)));
}
