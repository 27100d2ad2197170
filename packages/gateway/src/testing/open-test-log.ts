// Promises the real audit log in its own thread, behind a handle that a test can make full. Trusts the real disk.
// Formats: docs/formats/leaf.md.
import { mkdirSync } from "node:fs";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import type { LogSeat } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import type { LogHandle, PutRecord } from "@sallyport/kernel/log/port.ts";
import { environment, region, tenant } from "./test-estate.ts";

export interface TestLog extends LogHandle {
  /** While true every append is refused as from a full queue. */
  full: boolean;
  /** Told of each leaf that has become durable. */
  durable: (leaf: Uint8Array) => void;
  /** Another thread's; what it appends is not told here. */
  seat(): LogSeat;
  /** C2SP verifier key of its origin. */
  readonly verifierKey: string;
}

export async function openTestLog(directory: string): Promise<TestLog> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  const log = await openLog({ directory, identity, checkpointIntervalMs: 0 });
  const put = (to: PutRecord): PutRecord => {
    return (printed, reference, told) => {
      const leaf = typeof printed === "string" ? Buffer.from(printed, "latin1") : printed;
      const resolve: typeof told.resolve = (receipt) => {
        handle.durable(leaf);
        told.resolve(receipt);
      };
      if (handle.full) told.reject(new LogFault("log-full", "a test filled the queue"));
      else to(leaf, reference, { resolve, reject: told.reject });
    };
  };
  const one = put((leaf, reference, { resolve, reject }) => {
    const bytes = typeof leaf === "string" ? Buffer.from(leaf, "latin1") : leaf;
    void log.append(bytes, reference).then(resolve, reject);
  });
  const handle: TestLog = {
    full: false,
    durable: () => {},
    verifierKey: log.verifierKey,
    origin: log.origin,
    append: (leaf, reference) => new Promise((resolve, reject) => one(leaf, reference, { resolve, reject })),
    gather: (prepare) => log.gather((to) => prepare(put(to))),
    checkpoint: () => log.checkpoint(),
    find: (id) => log.find(id),
    size: () => log.size(),
    seat: () => log.seat(),
    close: () => log.close(),
  };
  return handle;
}
