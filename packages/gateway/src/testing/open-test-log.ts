// Promises the real audit log of kernel/log in the calling thread, behind the port the gateway knows. Trusts the real disk.
// A deployment opens the log in a thread of its own; what is appended and how is the same code.
import { mkdirSync } from "node:fs";
import { Log } from "@sallyport/kernel/log/log.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { environment, region, tenant } from "./test-estate.ts";

/** A log that a test can fill up. */
export interface TestLog extends LogHandle {
  /** While true every append is refused as from a full queue. */
  full: boolean;
}

export async function openTestLog(directory: string): Promise<TestLog> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  const log = Log.open({ disk: realDisk(), directory, identity, now: () => Date.now() });
  const handle: TestLog = {
    full: false,
    origin: log.origin,
    async append(leaf, reference) {
      if (handle.full) throw Object.assign(new Error("the queue is full"), { code: "log-full" });
      const { first, refused } = log.append([reference === undefined ? { leaf } : { leaf, reference }]);
      const [no] = refused;
      if (no !== undefined) throw Object.assign(new Error("refused"), { code: no.code });
      return { index: first };
    },
    checkpoint: async () => log.checkpoint(),
    find: async (id) => log.find(id),
    size: () => log.size,
    close: async () => log.close(),
  };
  return handle;
}
