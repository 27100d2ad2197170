// Promises the mover of a control plane, where an archive store is configured: nothing of it is loaded or opened before its first round.
// Trusts the configuration. Described in docs/archive.md.
import { yearOfOrigin } from "@sallyport/kernel/archive/log-source.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { ArchiveMover } from "./mover.ts";
import { openArchiveStore, placeWords } from "./open-store.ts";
import { sourcesBelow } from "./sources.ts";
import type { ArchiveStoreConfig } from "./store-file.ts";

export interface OpenMoverOptions {
  readonly dataDirectory: string;
  readonly archiveStore?: ArchiveStoreConfig | null;
  readonly clock: Pick<Clock, "now">;
  readonly fault: (error: unknown) => void;
}

export function openMover({ dataDirectory, archiveStore, clock, fault }: OpenMoverOptions): ArchiveMover | null {
  if (archiveStore === undefined || archiveStore === null) return null;
  const { place, everyMs, retentionYears } = archiveStore;
  const disk = realDisk();
  return new ArchiveMover({
    place: placeWords(place),
    open: () => openArchiveStore(place, clock),
    sources: () => sourcesBelow(disk, dataDirectory),
    keeping: async ({ origin }) => ({ retainUntil: retainedUntil(yearOfOrigin(origin), retentionYears), held: false }),
    disk,
    clock,
    everyMs,
    fault,
  });
}

/** The first moment at which a log of this year may go: the years are counted from its end, UTC. */
export function retainedUntil(year: number, retentionYears: number): number {
  return Date.UTC(year + 1 + retentionYears, 0, 1);
}
