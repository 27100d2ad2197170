// Promises that what the store holds is kept as long as retention and holds say, and goes when both let it: recorded before the first byte, whole logs of a
// year, the last checkpoint left behind. Trusts the control store for holds. Described in docs/archive.md "Retention".
import { keyName, removedName } from "@sallyport/kernel/archive/archived-log.ts";
import { ArchiveFault } from "@sallyport/kernel/archive/fault.ts";
import { type ArchivedTree, listArchivedTrees } from "@sallyport/kernel/archive/fetch-log.ts";
import { type ArchiveStore, listMax } from "@sallyport/kernel/archive/port.ts";
import { yearOfOrigin } from "@sallyport/kernel/log/origin.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";
import { decideHeld, type LegalHold, placeOfOrigin, retainedUntil } from "./decide-hold.ts";
import type { SaidKeeping } from "./store.ts";

export interface SweepOptions {
  readonly tenant: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly archive: ArchiveStore;
  readonly retentionYears: number;
  readonly clock: Pick<Clock, "now">;
  /** A log that could not be kept or removed; the others go on, and this one is tried by the next sweep. */
  readonly fault: (error: unknown) => void;
}

/** A log in the store, and what becomes of it. */
export interface KeptLog {
  readonly origin: string;
  readonly leaves: number;
  readonly retainedUntil: number;
  /** Id of the hold that covers it; null: none. */
  readonly heldBy: string | null;
}

/** Goes once over every log of the store; resolves with those that are still there. Rejects when the store or the archive cannot be read at all. */
export async function sweep(options: SweepOptions): Promise<readonly KeptLog[]> {
  const { tenant, store, archive, retentionYears, clock, fault } = options;
  const holds = await store.run("listHolds", { tenant });
  const said = new Map((await store.run("listSaid", null)).map((one) => [one.origin, one]));
  const gone = new Set(
    (await store.run("listRemovals", null)).flatMap(({ origin, finishedAt }) => (finishedAt === null ? [] : [origin])),
  );
  const kept: KeptLog[] = [];
  for (const tree of await listArchivedTrees(archive)) {
    if (gone.has(tree.origin)) continue;
    const log = keptLog(tree, holds, retentionYears);
    try {
      await tell(options, log, said.get(log.origin) ?? null);
      if (log.retainedUntil > clock.now() || log.heldBy !== null || !(await removeLog(options, log))) kept.push(log);
    } catch (error) {
      kept.push(log);
      fault(error);
    }
  }
  return kept;
}

function keptLog({ origin, size }: ArchivedTree, holds: readonly LegalHold[], retentionYears: number): KeptLog {
  return {
    origin,
    leaves: size,
    retainedUntil: retainedUntil(yearOfOrigin(origin), retentionYears),
    heldBy: decideHeld(holds, placeOfOrigin(origin))?.id ?? null,
  };
}

/** Says to each object of a log what it was not told when it was put: a hold since, one released, a longer retention. */
async function tell({ store, archive }: SweepOptions, log: KeptLog, said: SaidKeeping | null): Promise<void> {
  const { origin, retainedUntil: retainUntil } = log;
  const held = log.heldBy !== null;
  if (said?.retainUntil === retainUntil && said.held === held) return;
  for await (const name of namesOf(archive, origin)) {
    // Never told: it says itself what it was put with.
    const there = said ?? (await archive.stat(name));
    if (retainUntil > (there?.retainUntil ?? 0)) await archive.retain(name, retainUntil);
    if (held && there?.held !== true) await archive.hold(name, true);
    // Lifted only where it was placed from here: a control store that was restored may have forgotten a hold that is in force.
    else if (!held && said?.held === true) await archive.hold(name, false);
  }
  await store.run("noteSaid", { origin, retainUntil, held });
}

/** Segments and key of a log; not its checkpoint. */
async function* namesOf(archive: ArchiveStore, origin: string): AsyncGenerator<string, void, void> {
  for (let after = ""; ; ) {
    const page = await archive.list({ prefix: `${origin}/wal/`, after, max: listMax });
    if (page.length === 0) break;
    for (const { name } of page) yield name;
    after = page.at(-1)?.name ?? after;
  }
  yield keyName(origin);
}

/** False when a hold was placed meanwhile. What was begun is finished by a later sweep, if a hold does not stop it. */
async function removeLog({ tenant, store, archive, clock }: SweepOptions, log: KeptLog): Promise<boolean> {
  const { origin, leaves } = log;
  const begin = () => store.run("beginRemoval", { tenant, origin, leaves, retainedUntil: log.retainedUntil });
  if ((await begin()).kind === "held") return false;
  const note = `${JSON.stringify({ v: 1, origin, leaves, removedAt: clock.now() })}\n`;
  if ((await archive.get(removedName(origin))) === null)
    await archive.put(removedName(origin), Buffer.from(note), { retainUntil: null, held: false });
  for (;;) {
    const page = await archive.list({ prefix: `${origin}/wal/`, max: listMax });
    if (page.length === 0) break;
    for (const { name } of page) await archive.remove(name);
    // Asked again with each page: a hold may have been placed since.
    if ((await begin()).kind === "held")
      throw new ArchiveFault("archive-held", `a hold was placed while ${origin} was being removed: part of it is gone`);
  }
  await store.run("finishRemoval", { origin });
  return true;
}
