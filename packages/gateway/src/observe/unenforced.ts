// Promises a list of everything that is not enforced now, with its end and reason, for the start, status and metrics: never silently.
// Trusts the snapshot. Specified in docs/observe.md.
import type { CrossingMode } from "@sallyport/protocol/audit/leaf.ts";
import type { DatedException, ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { Logger } from "../ports.ts";
import type { Estate } from "../snapshot/estate.ts";

export interface Unenforced extends DatedException {
  /** `environment`, `system/billing`, `integration/orders-to-billing` */
  readonly object: string;
  readonly mode: Exclude<CrossingMode, "enforce">;
}

/** What is said in the snapshot and has not ended. */
export function unenforcedIn(estate: Estate | null, nowMs: number): readonly Unenforced[] {
  if (estate === null) return [];
  const observed = (object: string, mode: ModeObject | undefined): Unenforced[] =>
    mode?.mode === "observe" ? [{ object, mode: "observe", untilMs: mode.untilMs, reason: mode.reason }] : [];
  const systems = [...estate.systems.values()].flatMap(({ id, object }): Unenforced[] => [
    ...observed(`system/${id}`, object.mode),
    ...(object.passthrough === undefined
      ? []
      : [{ object: `system/${id}`, mode: "passthrough" as const, ...object.passthrough }]),
  ]);
  const integrations = estate.integrations.flatMap(({ id, mode }) => observed(`integration/${id}`, mode));
  return [...observed("environment", estate.object.mode), ...systems, ...integrations].filter(
    ({ untilMs }) => untilMs > nowMs,
  );
}

/** What a snapshot that has come into force serves, and a warning for each thing it does not enforce. */
export function sayInForce(logger: Logger, estate: Estate, nowMs: number): void {
  const { epoch, version } = estate.manifest;
  for (const { object, mode, untilMs, reason } of unenforcedIn(estate, nowMs)) {
    const until = new Date(untilMs).toISOString();
    logger.warn({ object, mode, until, reason }, "not enforced: what would be denied is recorded and passes");
  }
  logger.info({ epoch, version, broken: estate.broken.length }, "snapshot in force");
}
