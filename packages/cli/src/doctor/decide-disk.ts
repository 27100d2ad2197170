// Promises whether a disk is fit to be acknowledged from: durable writes fast enough, believable, with room left, on this machine. Pure.
// Trusts disk.ts, which measured. Specified in docs/cli/doctor.md "Checks".
import { type CheckResult, fail, good, warn } from "./check-result.ts";
import { bytesText, type DiskFacts, quantile } from "./disk.ts";

/** A crossing waits for one such write. */
const slowMs = 20;
const verySlowMs = 200;
/** No disk that we know ends a flush faster; a cache without a battery does, and loses it with the power. */
const unbelievableMs = 0.02;
const freeBytesMin = 512 * 1024 * 1024;
const freeBytesLow = 2 * 1024 * 1024 * 1024;
const freeInodesLow = 0.02;

export function decideDisk(facts: DiskFacts, directory: string): readonly CheckResult[] {
  return [decideSync(facts, directory), decideSpace(facts, directory), decideKind(facts, directory)];
}

function decideSync({ syncMs, inMemory }: DiskFacts, directory: string): CheckResult {
  const median = quantile(syncMs, 0.5);
  const worst = quantile(syncMs, 0.99);
  if (median === null || worst === null)
    return fail(
      "disk.sync",
      `no file could be written and synced in ${directory}`,
      "make it writable for this user (chown, or remount read-write)",
    );
  const measured = `fdatasync of 4 KiB: median ${median.toFixed(2)} ms, p99 ${worst.toFixed(2)} ms of ${syncMs.length}`;
  if (median < unbelievableMs && !inMemory)
    return warn(
      "disk.sync",
      `${measured}: faster than a disk can be`,
      "something acknowledges writes it has not kept (a write-back cache, nobarrier, eatmydata): switch it off, or the log can lose what it acknowledged",
    );
  if (worst > verySlowMs)
    return warn(
      "disk.sync",
      measured,
      "some writes wait long, and crossings with them: use a faster or less shared disk",
    );
  return median > slowMs
    ? warn("disk.sync", measured, "every crossing waits for its record: use a local SSD for --data")
    : good("disk.sync", measured);
}

function decideSpace({ freeBytes, totalBytes, freeInodes, totalInodes }: DiskFacts, directory: string): CheckResult {
  const inodes = totalInodes === 0 ? "" : `, ${Math.round((100 * freeInodes) / totalInodes)} % of inodes`;
  const measured = `${bytesText(freeBytes)} of ${bytesText(totalBytes)} free${inodes} in ${directory}`;
  const fix = "free some space, or move --data: without room nothing is recorded, so nothing passes";
  if (freeBytes < freeBytesMin) return fail("disk.space", measured, fix);
  const isLow = freeBytes < freeBytesLow || (totalInodes > 0 && freeInodes / totalInodes < freeInodesLow);
  return isLow ? warn("disk.space", measured, fix) : good("disk.space", measured);
}

function decideKind({ network, inMemory }: DiskFacts, directory: string): CheckResult {
  if (network !== null)
    return fail(
      "disk.kind",
      `${directory} is on ${network}`,
      "put --data on a local disk, or use PostgreSQL: locks and syncs are somebody's promise over a wire there",
    );
  if (inMemory)
    return warn(
      "disk.kind",
      `${directory} is in memory (tmpfs)`,
      "fine for a trial; for anything else put --data on a disk: everything here is gone with the machine",
    );
  return good("disk.kind", "a local file system");
}
