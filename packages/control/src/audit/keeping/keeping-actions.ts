// Promises what operators do about legal holds and see of retention. Trusts api.ts, which has proven the operator; each change is one transaction with
// its record. Specified in docs/admin-api.md and docs/archive.md.
import { type Actor, AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { LegalHold } from "./decide-hold.ts";
import { type HoldOutcome, holdsMax, type Removal } from "./store.ts";
import type { KeptLog } from "./sweep.ts";

export interface HoldOrder {
  readonly id: string;
  readonly origin?: string | undefined;
  readonly environment?: string | undefined;
  readonly fromYear?: number | undefined;
  readonly toYear?: number | undefined;
  readonly owner: string;
  readonly reason: string;
}

export interface RetentionReport {
  /** Control's clock, milliseconds since the epoch. */
  readonly now: number;
  /** The archive store; null: none is configured, so nothing is removed and nothing is kept elsewhere. */
  readonly place: string | null;
  /** Logs in the store at the last sweep; null: none was made in this run of control yet. */
  readonly kept: readonly KeptLog[] | null;
  readonly removed: readonly Removal[];
}

export interface KeepingActions {
  /** Also those that were released, oldest first. */
  holds(): Promise<readonly LegalHold[]>;
  /** Rejects with AdminFault `conflict` where the id was used before. */
  placeHold(actor: Actor, order: HoldOrder): Promise<LegalHold>;
  /** Rejects with AdminFault `not-found` or `conflict`. */
  releaseHold(actor: Actor, id: string, reason: string): Promise<LegalHold>;
  retention(): Promise<RetentionReport>;
}

export function createKeepingActions(parts: ControlParts): KeepingActions {
  const { tenant, store, clock } = parts;
  const holds = () => store.run("listHolds", { tenant });
  return {
    holds,
    placeHold: async (
      actor,
      { id, origin = null, environment = null, fromYear = null, toYear = null, owner, reason },
    ) => {
      const scope = { origin, environment, fromYear, toYear };
      const outcome = await store.run("placeHold", { tenant, id, ...scope, owner, reason, actor });
      return settled(parts, outcome, async () => {
        throw outcome.kind === "too-many"
          ? new AdminFault("conflict", `there are ${holdsMax} holds already`, "that is as many as are kept")
          : new AdminFault(
              "conflict",
              `there is a hold ${id} already, or was one`,
              "an id is used once: choose another",
            );
      });
    },
    releaseHold: async (actor, id, reason) => {
      const outcome = await store.run("releaseHold", { tenant, id, reason, actor });
      return settled(parts, outcome, async () => {
        if (outcome.kind === "released") throw new AdminFault("conflict", `the hold ${id} was released before`);
        const known = (await holds()).filter(({ releasedAt }) => releasedAt === null).map((hold) => hold.id);
        throw new AdminFault("not-found", `there is no hold ${id}`, suggest(id, known));
      });
    },
    retention: async () => ({
      now: clock.now(),
      place: parts.mover?.standing().place ?? null,
      kept: parts.mover?.kept ?? null,
      removed: await store.run("listRemovals", null),
    }),
  };
}

async function settled(parts: ControlParts, outcome: HoldOutcome, refuse: () => Promise<never>): Promise<LegalHold> {
  if (outcome.kind !== "done") return refuse();
  parts.mover?.sweepSoon();
  return outcome.hold;
}
