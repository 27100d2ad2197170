// Promises the log most tests of logs look at: one production gateway, its key, the moments around a turn of the year, and a fresh lossy disk
// under it. Trusts nothing; nothing here is secret anywhere else.

import { Log, type LogOptions } from "./log.ts";
import { importLogKey } from "./log-crypto.ts";
import { LossyDisk, type LossyDiskOptions } from "./lossy-disk.ts";
import { sampleIdentity } from "./sample-leaves.ts";

/** Name of its log in the year of `november`. */
export const origin = "sallyport.local/main/production/gw-1/gateway/2026";
export const november = 1_795_305_600_000;
export const nextYear = 1_800_000_000_000;

const pkcs8Of = (seed: string) => Buffer.from(`302e020100300506032b657004220420${seed}`, "hex");
/** Its Ed25519 key, PKCS#8 DER. */
export const pkcs8 = pkcs8Of("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
export const key = importLogKey(pkcs8);
/** A key that is not its own. */
export const otherKey = importLogKey(pkcs8Of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));

/** Where that log stands: a disk, a clock that can be set, and options to open it with, again and again. */
export function lossyLog(more: Partial<LogOptions> = {}, diskOptions: Partial<LossyDiskOptions> = {}) {
  const disk = new LossyDisk({ random: () => 0.1, ...diskOptions });
  const clock = { now: november };
  const options: LogOptions & { readonly disk: LossyDisk } = {
    directory: "/log",
    identity: sampleIdentity,
    now: () => clock.now,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
    ...more,
    disk,
  };
  return { disk, clock, options, open: (extra: Partial<LogOptions> = {}) => Log.open({ ...options, ...extra }) };
}
