// "This token leaked": from the string to who used it, at a real control plane and a real gateway in processes of their own.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FoldRunner } from "@sallyport/control/audit/follow/fold-runner.ts";
import { OriginWatch } from "@sallyport/control/audit/follow/origin-watch.ts";
import { pause } from "@sallyport/control/audit/follow/pause.ts";
import { SharedBatches } from "@sallyport/control/audit/follow/shared-batches.ts";
import type { RecordsPage } from "@sallyport/control/audit/search/search-actions.ts";
import { type SearchAnswer, SearchFold } from "@sallyport/control/audit/search/search-fold.ts";
import { SqliteIndex } from "@sallyport/control/audit/search/sqlite-index.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { prove } from "@sallyport/kernel/log/prove.ts";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const everything = { from: 0, to: 8.64e15, after: null, limit: 100 } as const;

test("a leaked token: its issuance is found by the whole string, every use by the same pseudonym, and each hit is proven", {
  timeout: 120_000,
}, async () => {
  const installation = await Installation.open();
  try {
    installation.writeEstate();
    await installation.startControl();
    installation.trustRoots();
    await installation.startGateway();
    const { fetch, token } = installation.caller();
    for (let n = 0; n < 3; n += 1) assert.equal((await fetch("/billing/v1/invoices/in-1")).status, 200);
    const leaked = join(installation.root, "leaked.txt");
    writeFileSync(leaked, await token());

    const search = async (...words: string[]) =>
      runBinary(["audit", "search", ...words, "--json", "--operator", installation.operatorKey]);
    let hit:
      | { leaf: { token: string; t: string }; names: Record<string, string>; index: number; origin: string }
      | undefined;
    await until("the issuance is indexed", async () => {
      const { exit, out } = await search("--token", leaked);
      if (exit !== 0) return false;
      hit = JSON.parse(out).records.find((record: { leaf: { t: string } }) => record.leaf.t === "issuance");
      return hit !== undefined;
    });
    assert.ok(hit !== undefined);
    assert.ok(Object.values(hit.names).includes("orders"), "names stand where control knows them");

    // Control's own records of what was just asked: the token by its digest alone.
    const operator = installation.operator();
    const searched = async () =>
      operator.call<RecordsPage>("POST", "/v1/audit/records", { where: { action: ["record.search"] } });
    await until("the search is on record", async () => (await searched()).hits.length > 0);
    const everyRecord = JSON.stringify(await operator.call("POST", "/v1/audit/records", {}));
    assert.equal(everyRecord.includes(readFileSync(leaked, "utf8")), false);

    const held = await gatewayRecords(installation, hit.leaf.token);
    assert.ok(held.length >= 3, `${held.length} crossings with the token`);
    const [one] = held;
    assert.ok(one !== undefined);
    const log = join(installation.data("gateway"), "log");
    const receipt = prove(log, { index: one.index });
    assert.equal(Buffer.from(receipt.leaf).toString("latin1"), one.leaf);
  } finally {
    await installation.close();
  }
});

/** The gateway's own log, read as a follower reads it. */
async function gatewayRecords(installation: Installation, token: string) {
  const directory = join(installation.data("gateway"), "log");
  const records = openHeldLogs({ directories: () => [directory], fault: (fault) => assert.fail(fault.internal) });
  const watch = new OriginWatch(records, pause);
  const options = {
    directory: join(installation.root, "search"),
    owner: "test",
    now: Date.now,
    bytesMax: 1e12,
    keepMs: 1e12,
  };
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  const clock = { now: Date.now, monotonic: () => performance.now(), turn };
  const fold = await SearchFold.open(new SqliteIndex(options), clock);
  const runner = new FoldRunner(fold, { batches: new SharedBatches(records), watch, now: Date.now, pause, turn });
  try {
    let answer: SearchAnswer | null = null;
    await until("the gateway's records are indexed", async () => {
      answer = await fold.answer({
        ask: "search",
        search: { ...everything, filters: [{ field: "token", values: [token] }] },
      });
      return answer.kind === "page" && answer.page.hits.length >= 3;
    });
    const found = answer as SearchAnswer | null;
    return found?.kind === "page" ? found.page.hits : [];
  } finally {
    await runner.close();
    await watch.close();
    await records.close();
  }
}
