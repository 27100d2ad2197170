// Promises where a sink stands in every origin, durable when `write` returns and never half written. Trusts the disk it is given.
// Specified in docs/export.md "Places".
import { type Disk, readWhole, replaceDurably } from "@sallyport/kernel/log/disk.ts";

export interface SinkPlace {
  /** Index of the first record that was neither sent nor left out. */
  readonly next: number;
  /** Index of the last that was sent; null: none was, or the place was moved since. */
  readonly last: number | null;
}

export interface SinkState {
  readonly places: ReadonlyMap<string, SinkPlace>;
  /** Why and since when nothing is sent; null: it is. */
  readonly paused: { readonly atMs: number } | null;
}

interface StoredState {
  readonly v: 1;
  readonly paused: { readonly atMs: number } | null;
  readonly origins: Readonly<Record<string, SinkPlace>>;
}

/** A place that cannot be read is not "nothing was sent": that would send everything again unasked. Throws with the fix; `removed` says what follows without it. */
export function readSinkState(
  disk: Disk,
  path: string,
  removed = "everything is sent again (receivers see the same origin and index twice)",
): SinkState {
  const bytes = readWhole(disk, path);
  if (bytes === null) return { places: new Map(), paused: null };
  try {
    return checked(JSON.parse(bytes.toString("utf8")));
  } catch (cause) {
    throw new Error(`${path} is not the place of a sink: put it back from a backup, or remove it and ${removed}`, {
      cause,
    });
  }
}

function checked(parsed: StoredState): SinkState {
  if (parsed.v !== 1) throw new Error("its version is not 1");
  const places = new Map(Object.entries(parsed.origins));
  for (const { next, last } of places.values()) {
    if (!Number.isSafeInteger(next) || next < 0) throw new Error("a place is no index");
    if (last !== null && (!Number.isSafeInteger(last) || last >= next))
      throw new Error("a place is before its last record");
  }
  return { places, paused: parsed.paused };
}

export function writeSinkState(disk: Disk, path: string, { places, paused }: SinkState): void {
  const stored: StoredState = { v: 1, paused, origins: Object.fromEntries(places) };
  replaceDurably(disk, path, Buffer.from(`${JSON.stringify(stored)}\n`));
}
