// Promises the receipt of a crossing out of a log directory, under checkpoints that were published. Reads only; the log may be running.
// Trusts nothing it has not checked against a published checkpoint. Specified in docs/formats/receipt.md.
import { join } from "node:path";
import { printReceipt, type ReceiptPart } from "@sallyport/protocol/audit/receipt.ts";
import type { Disk } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import { yearFolders } from "../log/origin.ts";
import { realDisk } from "../log/real-disk.ts";
import { findInSegments } from "../log/segment-lookup.ts";
import { type CrossingLeaves, noLeaves, type PlacedRecord, withRecord } from "./crossing-leaves.ts";
import { proveLeaf, publishedCheckpoints } from "./prove-leaf.ts";

/** The receipt of a crossing that has ended; null while no checkpoint covers its leaves. Throws LogFault `log-corrupt`. */
export function receiptOfLeaves(disk: Disk, { decided, ended }: CrossingLeaves): string | null {
  if (decided === null || ended === null) return null;
  const parts: ReceiptPart[] = [];
  for (const placed of decided === ended ? [decided] : [decided, ended]) {
    const part = proven(disk, placed);
    if (part === null) return null;
    parts.push(part);
  }
  return printReceipt(parts);
}

function proven(disk: Disk, { folder, record }: PlacedRecord): ReceiptPart | null {
  const proof = proveLeaf({ disk, folder, record }, publishedCheckpoints(disk, folder));
  return proof === null ? null : { leaf: record.leaf, proof };
}

/**
 * The receipt of a crossing, wherever in the directory it lies; null where the log holds none of this id.
 * Throws LogFault `not-found` while it has not ended or its end is not covered; `log-corrupt` when the tiles do not lead to the root.
 */
export function makeReceipt(directory: string, crossing: string, disk: Disk = realDisk()): string | null {
  let leaves = noLeaves;
  for (const year of yearFolders(disk.list(directory))) {
    const folder = join(directory, String(year));
    const origin = publishedCheckpoints(disk, folder)[0]?.origin;
    if (origin === undefined) continue;
    for (const record of findInSegments({ disk, directory: folder, origin }, crossing))
      leaves = withRecord(leaves, { folder, record });
  }
  if (leaves.decided === null) return null;
  const receipt = receiptOfLeaves(disk, leaves);
  if (receipt === null)
    throw new LogFault(
      "not-found",
      leaves.ended === null
        ? `${crossing} has not ended: there is no receipt of it before`
        : `${crossing} has ended, but no published checkpoint covers that yet; try again in a moment`,
    );
  return receipt;
}
