// Promises the leaves of one event from the archived log of its node, found by the time its id was made, without an index and without stopping others.
// Trusts held-log.ts for what is signed. Ids: docs/formats/leaf.md "Forms".
import { basename } from "node:path";
import { setImmediate as breathe } from "node:timers/promises";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { LeafType } from "@sallyport/protocol/audit/leaf-form.ts";
import { peekLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { archivedLogs } from "./archived-logs.ts";

/** A record may stand so much before what its id says: clocks step, and records of one batch have times of their own. */
const earlierMs = 60_000;
/** A record is written at most so long after its id was made; what lasts longer has an intent first, which is. */
const laterMs = 900_000;
const readMax = 2_048;
/** Records gone through at most. */
const lookedAtMax = 4_000_000;
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Leaves of a crossing behind which more of it may come. */
const goesOn: ReadonlySet<LeafType> = new Set(["intent", "progress", "payload", "unkept"]);

/** Milliseconds since the epoch at which the ULID at the end of an event id was made; null when there is none. */
export function timeOfEvent(id: string): number | null {
  const ulid = /([0-7][0-9A-HJKMNP-TV-Z]{25})$/.exec(id)?.[1];
  if (ulid === undefined) return null;
  let time = 0;
  for (const character of ulid.slice(0, 10)) time = time * 32 + alphabet.indexOf(character);
  return time;
}

/** All records of an event in the archived log of a node, in order; none when the archive has none. Throws LogFault as HeldRecords does. */
export async function findArchived(archive: string, node: string, id: string): Promise<readonly FoundRecord[]> {
  const directories = archivedLogs(archive).filter((directory) => basename(directory) === node);
  const time = timeOfEvent(id);
  if (directories.length === 0 || time === null) return [];
  const held = openHeldLogs({ directories: () => directories });
  try {
    const found: FoundRecord[] = [];
    // An intent of December may have its outcome in January's origin.
    for (const origin of (await held.origins()).toSorted((a, b) => a.year - b.year)) {
      if (origin.year < new Date(time - earlierMs).getUTCFullYear()) continue;
      if (await findIn(held, origin, { id, time, found })) break;
    }
    return found;
  } finally {
    await held.close();
  }
}

interface Looking {
  readonly id: string;
  readonly time: number;
  readonly found: FoundRecord[];
}

/** True: all there can be was found. */
async function findIn(held: HeldRecords, { origin, size }: HeldOrigin, looking: Looking): Promise<boolean> {
  const { id, time, found } = looking;
  let next = await firstSince(held, { origin, size }, time - earlierMs);
  for (let lookedAt = 0; next < size && lookedAt < lookedAtMax; ) {
    const records = await held.read(origin, next, readMax);
    if (records.length === 0) break;
    for (const record of records) {
      const text = Buffer.from(record.leaf).toString("latin1");
      const head = peekLeaf(text);
      if (head?.id === id) found.push(record);
      if (head?.id === id && !goesOn.has(head.t)) return true;
      if (found.length === 0 && atOf(text) > time + laterMs) return true;
    }
    next += records.length;
    lookedAt += records.length;
    await breathe();
  }
  return false;
}

/** About the first record made at or after a time: records follow each other in time but for small differences. */
export async function firstSince(
  held: HeldRecords,
  { origin, size }: Pick<HeldOrigin, "origin" | "size">,
  time: number,
): Promise<number> {
  let from = 0;
  for (let to = size; from < to; ) {
    const middle = Math.floor((from + to) / 2);
    const [record] = await held.read(origin, middle, 1);
    if (record !== undefined && atOf(Buffer.from(record.leaf).toString("latin1")) < time) from = middle + 1;
    else to = middle;
  }
  return from;
}

export const atOf = (text: string): number => Number(/,"at":([0-9]{1,15}),/.exec(text)?.[1] ?? 0);
