// Promises that of a batch everything is durable that is not listed as refused, and that on a full disk administrative records still fit.
// Trusts the origin's commit for durability. Specified in docs/audit.md "When the disk is full".
import { type SiftedBatch, siftBatch } from "./batch.ts";
import { errorCode } from "./disk.ts";
import type { LogFaultCode } from "./fault.ts";
import type { OriginLog } from "./origin-log.ts";
import { giveUpReserve, type ReserveRules } from "./reserve.ts";

export interface CommitResult {
  /** Index of the first accepted entry; the others follow in order without gaps. */
  readonly first: number;
  /** Entries that were not taken, by place in the batch, ascending. */
  readonly refused: readonly { readonly place: number; readonly code: LogFaultCode }[];
}

/** Appends entries in their stored encoding. Throws what the disk throws, but for a full one. */
export function commitBatch(
  log: OriginLog,
  rules: ReserveRules & { readonly intentsOpen: number },
  { bytes, count }: { readonly bytes: Buffer; readonly count: number },
): CommitResult {
  const { disk, directory, lowSpaceBytes, intentsOpen } = rules;
  const urgentOnly = disk.freeBytes(directory) < lowSpaceBytes;
  try {
    return write(log, siftBatch(bytes, count, { urgentOnly, intentsOpen }));
  } catch (error) {
    if (errorCode(error) !== "ENOSPC") throw error;
  }
  // Full all the same: only administrative records, and these may use the reserve.
  const urgent = siftBatch(bytes, count, { urgentOnly: true, intentsOpen });
  giveUpReserve(rules);
  try {
    return write(log, urgent);
  } catch (error) {
    if (errorCode(error) !== "ENOSPC") throw error;
    return { first: log.size, refused: Array.from({ length: count }, (_, place) => ({ place, code: "disk-full" })) };
  }
}

function write(log: OriginLog, { bytes, heads, refused }: SiftedBatch): CommitResult {
  if (heads.length === 0) return { first: log.size, refused };
  return { first: log.commit({ bytes, count: heads.length, heads }), refused };
}
