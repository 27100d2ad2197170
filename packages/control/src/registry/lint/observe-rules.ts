// Promises to find where nothing is enforced, for how long, and what is at stake there. Pure. Specified in docs/observe.md; pages: docs/lint.
import type { ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import { dayMs, dayOf, onIntegrations, onSystems, type Rule } from "./rule.ts";

const observeMaxDays = 90;

export const observeRules: readonly Rule[] = [
  {
    id: "observe",
    severity: "warning",
    title: "Nothing is enforced here",
    why: "Under `mode: observe` every denial is recorded and passes: strangers, stolen tokens and floods reach the provider as before.",
    fix: "see `sallyport observe` for what enforcement would deny, mend that, then remove `mode`",
    waivable: true,
  },
  {
    id: "observe-ended",
    severity: "warning",
    title: "The end of `mode: observe` has passed",
    why: "Denials are denials since then, although the file still reads as if everything passed.",
    fix: "remove `mode`, `until` and `reason`, or write a later day",
    waivable: true,
  },
  {
    id: "observe-too-long",
    severity: "warning",
    title: "Observing for more than 90 days",
    why: "Observing is a way in; a gateway that observes for half a year is a log that somebody takes for a protection.",
    fix: "write a day within 90 days, and renew it when you must",
    waivable: true,
    check: (lint) => [
      ...onSystems(
        ({ system, at }, { now }) =>
          isLong(endOf(system.mode), now) && {
            at: at("until"),
            message: `observed until ${dayOf(endOf(system.mode))}`,
          },
      )(lint),
      ...onIntegrations(
        ({ integration: { mode }, at }, { now }) =>
          isLong(endOf(mode), now) && { at: at("until"), message: `observed until ${dayOf(endOf(mode))}` },
      )(lint),
    ],
  },
  {
    id: "observe-on-restricted",
    severity: "error",
    title: "Restricted data is behind a gateway that only observes",
    why: "Whoever finds the path gets it: a caller nobody can name passes like any other.",
    fix: "write `mode: enforce` on the system, or on the integration where the rest must still be observed",
    waivable: true,
    check: onSystems(({ system, environment, at }, { now }) => {
      const mode = system.mode ?? environment.mode;
      const restricted = system.operations.find(({ classification }) => classification === "restricted");
      if (mode?.mode !== "observe" || endOf(mode) <= now || restricted === undefined) return [];
      return {
        at: system.mode === undefined ? at("operations", restricted.name) : at("mode"),
        message: `\`${restricted.name}\` is restricted, and nothing is enforced before it`,
      };
    }),
  },
  {
    id: "passthrough",
    severity: "warning",
    title: "Requests that match no operation pass",
    why: "From anybody, without a caller, a grant, a limit or a schema: what is not declared is open.",
    fix: "see `sallyport observe` for the operations to declare, then remove it",
    waivable: true,
  },
  {
    id: "passthrough-ended",
    severity: "warning",
    title: "The end of a passthrough has passed",
    why: "Only declared operations are served since then; whoever relied on the rest gets 404.",
    fix: "remove it, or write a later day",
    waivable: true,
  },
];

/** Until when nothing is enforced; 0 where something is. */
function endOf(mode: ModeObject | undefined): number {
  return mode?.mode === "observe" ? mode.untilMs : 0;
}

function isLong(untilMs: number, now: number): boolean {
  return untilMs > now + observeMaxDays * dayMs;
}
