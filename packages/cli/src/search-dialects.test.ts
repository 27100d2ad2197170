// A running control plane indexes its records beside its store, whichever that is, and finds them again after its index was made anew.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RecordsPage } from "@sallyport/control/audit/search/search-actions.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { Bench } from "./control-bench.test-support.ts";
import { until } from "./installation.test-support.ts";

forEachDialect((dialect, open) => {
  let bench: Bench;
  before(async () => {
    bench = new Bench(open);
    await bench.start();
    await bench.apply(soundEstate());
  });
  after(() => bench.stop());

  test(`control on ${dialect} finds its records, also over a restart and a rebuild`, { timeout: 120_000 }, async () => {
    const where = { action: ["estate.apply"], object: ["system/billing"] };
    const found = async () => {
      const { hits } = await bench.call<RecordsPage>("POST", "/v1/audit/records", { where });
      return hits.map(({ origin, index, leafHash }) => [origin, index, leafHash]);
    };
    await until("the apply is found", async () => (await found()).length > 0);
    const first = await found();
    await bench.stop();
    await bench.start();
    await until("it is found after a restart", async () => (await found()).length > 0);
    assert.deepEqual(await found(), first);
    await bench.call("POST", "/v1/audit/index/rebuild", {});
    await until("it is found in the index that was made anew", async () => (await found()).length > 0);
    assert.deepEqual(await found(), first);
    assert.equal(existsSync(join(bench.data, "search")), dialect === "sqlite", "one index, beside the store");
  });
});
