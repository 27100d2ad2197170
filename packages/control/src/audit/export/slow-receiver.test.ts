// attack: a receiver that accepts everything and never answers. It holds up no append, no other sink and no question about it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { Follower } from "../follow/follower.ts";
import { Exports } from "./exports.ts";
import type { SinkSettings } from "./sink-settings.ts";
import { everything, temporaryFolder } from "./testing/fold-on-disk.ts";
import { startReceiver } from "./testing/receivers.ts";

const records = 2_000;

function linesOf(path: string): number {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").length - 1 : 0;
}

test("attack: a sink accepts records and never answers; appends, the other sink and the list go on", {
  timeout: 120_000,
}, async () => {
  const folder = temporaryFolder();
  const asked = Promise.withResolvers<void>();
  const stuck = await startReceiver(() => {
    asked.resolve();
    return new Promise(() => undefined);
  });
  const log = await openLog({
    directory: join(folder.path, "log"),
    identity: {
      ...{ tenant: "main", environment: "sallyport", region: "default", node: "control-1" },
      ...{ role: "control", version: "0.1.0" },
    },
    checkpointIntervalMs: 0,
  });
  const follower = new Follower({ dataDirectory: folder.path, services: {}, fault: assert.ifError });
  const common = { format: "leaf", version: "1.5.0", named: false, filter: everything } as const;
  const copy = join(folder.path, "copy.ndjson");
  const sinks: readonly SinkSettings[] = [
    {
      ...{ name: "stuck", ...common },
      target: {
        ...{ to: "webhook", path: "/", key: new Uint8Array(32) },
        place: { origin: stuck.origin, allowPrivate: true, ca: stuck.ca, identity: null },
      },
    },
    { ...{ name: "copy", ...common }, target: { to: "file", path: copy, rotateBytes: 1_073_741_824, keep: 1 } },
  ];
  const exports: Exports = new Exports({
    ...{ sinks, follower, adminLog: { record: async () => undefined } },
    order: () => follower.order(exports.orders()),
  });
  try {
    await log.append(sampleLeaf("admin", 0));
    await log.checkpoint();
    await follower.order(exports.orders());
    await asked.promise;
    for (let n = 0; n < records; n += 1) await log.append(sampleLeaf("admin", n));
    await log.checkpoint();
    const behindOf = async (name: string) => (await exports.list()).find(({ sink }) => sink === name)?.behind ?? -1;
    // Bounded by the time of the test.
    while (linesOf(copy) < log.size()) await behindOf("copy");
    assert.equal(linesOf(copy), log.size());
    assert.equal(await behindOf("stuck"), log.size());
    assert.equal(stuck.requests.length, 1, "one request at a time");
  } finally {
    await stuck.close();
    await follower.close();
    await log.close();
    folder.remove();
  }
});
