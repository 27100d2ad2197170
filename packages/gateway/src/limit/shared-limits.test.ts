// Limits across gateways at a gateway that stands still, as on a machine with its hands full; with a real Redis they are tested in ../shared-limits.test.ts.
import assert from "node:assert/strict";
import { stat } from "node:fs";
import { test } from "node:test";
import type { DataKeys } from "../idempotency/data-keys.ts";
import type { LimitsConnection } from "./limits-store.ts";
import { SharedLimits } from "./shared-limits.ts";

test("a gateway that stood still for longer than it waits for the store reads what came meanwhile, and calls the store not lost", async () => {
  const heard = 1;
  const standMs = 1_200;
  const connection: LimitsConnection = {
    // The answer is there when the gateway moves again, and its time is over, too.
    run: () =>
      new Promise((resolve) => {
        setImmediate(() => {
          stat(import.meta.filename, () => resolve(heard));
          for (const from = performance.now(); performance.now() - from < standMs; );
        });
      }),
    release: () => undefined,
    onEnd: () => undefined,
    destroy: () => undefined,
  };
  const said = Promise.withResolvers<string>();
  const limits = new SharedLimits({
    store: { waitMs: 20, place: "redis.example:6379", connect: async () => connection },
    logger: { info: (_, text) => said.resolve(text), warn: () => undefined, error: (_, text) => said.resolve(text) },
    self: "gw-1",
    heard: new Int32Array(1),
    keys: () => ({ sharedLimitOf: (name: string) => name }) as DataKeys, // the only one of them that is asked for here
  });
  limits.want(true);
  assert.equal(await said.promise, "limits across gateways are shared");
  assert.deepEqual([limits.status().state, limits.gateways], ["shared", heard]);
  await limits.close();
});
