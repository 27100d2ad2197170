// Promises what the folds of one checkout cost to take the records that lie in a data directory: processor time of this process, and time.
// Trusts the follower of that checkout, which runs as in control, to say how far it is. Started by bench/follow.ts, once per figure.
import { renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { Follower, FollowerOptions } from "@sallyport/control/audit/follow/follower.ts";
import type { FoldOrder } from "@sallyport/control/audit/follow/follower-messages.ts";

/** What a figure is taken of, as bench/follow.ts hands it over. */
export interface MeasureOptions {
  /** The checkout whose code is measured. */
  readonly checkout: string;
  /** Its log lies beside its place, as `log-to-come`. */
  readonly dataDirectory: string;
  readonly folds: readonly string[];
  /** Null: files. */
  readonly index: { readonly url: string; readonly schema: string } | null;
}

export interface Measured {
  readonly ms: number;
  readonly cpuMs: number;
}

const lookMs = 20;
const beginMs = 5_000;
const msMax = 600_000;

const options = JSON.parse(process.argv[2] ?? "") as MeasureOptions;
const moduleOf = (path: string): Promise<unknown> =>
  import(pathToFileURL(`${options.checkout}/packages/control/src/audit/follow/${path}`).href);
// The same names in either checkout; one that lacks them cannot be measured.
const { Follower: FollowerOf } = (await moduleOf("follower.ts")) as {
  Follower: new (options: FollowerOptions) => Follower;
};
const { ownOrders } = (await moduleOf("orders.ts")) as {
  ownOrders: (index: MeasureOptions["index"]) => readonly FoldOrder[];
};
let told = "";
/** Folds try again what failed: said, because it shows in the figures. */
const tell = (what: unknown) => {
  if (String(what) === told) return;
  told = String(what);
  process.stderr.write(`${told}\n`);
};
const follower = new FollowerOf({
  dataDirectory: options.dataDirectory,
  services: { "watch.read": async () => ({ places: [], states: [] }), "watch.take": async () => null },
  fault: tell,
});
await follower.order(ownOrders(options.index).filter(({ id }) => options.folds.includes(id)));
const cpu = process.cpuUsage();
const began = performance.now();
// Only now are there records: what it costs to load the program is not what is asked for.
renameSync(join(options.dataDirectory, "log-to-come"), join(options.dataDirectory, "log"));
for (let isBegun = false, isDone = false; !isDone; ) {
  await sleep(lookMs);
  const { folds, fault } = await follower.standing();
  for (const fold of folds) if (fold.fault !== null) tell(`${fold.id}: ${fold.fault}`);
  if (fault !== null) tell(fault);
  if (performance.now() - began > msMax) throw new Error("the folds did not catch up");
  const isBehind = folds.some(({ behind }) => behind > 0);
  // One that did everything between two looks has begun as well.
  isBegun ||= isBehind || performance.now() - began > beginMs;
  isDone = isBegun && !isBehind;
}
const used = process.cpuUsage(cpu);
const measured: Measured = { ms: performance.now() - began, cpuMs: (used.user + used.system) / 1_000 };
await follower.close();
process.stdout.write(`${JSON.stringify(measured)}\n`);
