// Promises the mover of a control plane, where an archive store is configured: nothing of it is loaded or opened before its first round.
// Trusts the configuration, and the control store for holds. Described in docs/archive.md.
import { yearOfOrigin } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";
import { decideHeld, placeOfOrigin, retainedUntil } from "./decide-hold.ts";
import { ArchiveMover } from "./mover.ts";
import { openArchiveStore, placeWords } from "./open-store.ts";
import { sourcesBelow } from "./sources.ts";
import type { ArchiveStoreConfig } from "./store-file.ts";

export interface OpenMoverOptions {
  readonly tenant: string;
  readonly dataDirectory: string;
  readonly archiveStore?: ArchiveStoreConfig | null;
  readonly clock: Pick<Clock, "now">;
  readonly fault: (error: unknown) => void;
}

/** Null where no archive store is configured. */
export function openMover(
  { tenant, dataDirectory, archiveStore, clock, fault }: OpenMoverOptions,
  store: Pick<Store<ControlCommands>, "run">,
): ArchiveMover | null {
  if (archiveStore === undefined || archiveStore === null) return null;
  const { place, everyMs, retentionYears } = archiveStore;
  const disk = realDisk();
  return new ArchiveMover({
    place: placeWords(place),
    open: () => openArchiveStore(place, clock),
    sources: () => sourcesBelow(disk, dataDirectory),
    // Kept from its first moment on, not from the next sweep.
    keeping: async ({ origin }) => ({
      retainUntil: retainedUntil(yearOfOrigin(origin), retentionYears),
      held: decideHeld(await store.run("listHolds", { tenant }), placeOfOrigin(origin)) !== null,
    }),
    sweep: async (archive) => {
      const { sweep } = await import("./sweep.ts");
      return sweep({ tenant, store, archive, retentionYears, clock, fault });
    },
    disk,
    clock,
    everyMs,
    fault,
  });
}
