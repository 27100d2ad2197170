// Promises that enforcement is left out only with an end at most 180 days ahead and a reason, and that every such place is said at every load.
// Trusts the types (mode-schema.ts). Specified in docs/observe.md.
import type { DatedException, ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import { errorAt, type Finding, warningAt } from "./finding.ts";
import type { ModeSource } from "./mode-schema.ts";
import { type MapTree, pathOfEnvironment, spotOf } from "./yaml-tree.ts";

const dayMs = 86_400_000;
const daysMax = 180;

export interface ModeReading {
  /** Undefined: nothing is said here. */
  readonly mode: ModeObject | undefined;
  readonly findings: readonly Finding[];
}

/** `mode`, `until` and `reason` of one map. `now` in milliseconds since the epoch. */
export function readMode(tree: MapTree, source: ModeSource, now: number): ModeReading {
  const { mode, until, reason } = source;
  if (mode !== "observe") {
    const findings = (["until", "reason"] as const).flatMap((key) =>
      source[key] === undefined || isBelow(tree, key) ? [] : [belongsToObserve(tree, key)],
    );
    return { mode: mode === undefined ? undefined : { mode }, findings };
  }
  const spot = spotOf(tree, ["mode"]);
  if (until === undefined || reason === undefined) {
    const finding = errorAt(
      spot,
      "`mode: observe` needs `until` and `reason`",
      "add `until: <date>` and `reason: …`: what enforces nothing must end",
    );
    return { mode: undefined, findings: [finding] };
  }
  const days = { tree, key: ["until"], what: "`mode: observe`", now };
  const said =
    until <= now
      ? warningAt(spotOf(tree, ["until"]), {
          rule: "observe-ended",
          message: "`mode: observe` has ended: denials are denials again",
          fix: "remove `mode`, `until` and `reason`, or write a later day",
        })
      : warningAt(spot, {
          rule: "observe",
          message: `nothing is enforced here until ${lastDay(until)}: what would be denied is recorded and passes`,
          fix: "see `sallyport observe` for what enforcement would deny, then remove `mode`",
        });
  return { mode: { mode, untilMs: until, reason }, findings: [...tooFar(until, days), said] };
}

/** `passthrough` of a system. */
export function readPassthrough(
  tree: MapTree,
  source: { readonly until: number; readonly reason: string },
  now: number,
) {
  const { until, reason } = source;
  const days = { tree, key: ["passthrough", "until"], what: "`passthrough`", now };
  const said =
    until <= now
      ? warningAt(spotOf(tree, ["passthrough", "until"]), {
          rule: "passthrough-ended",
          message: "`passthrough` has ended: only declared operations are served",
          fix: "remove it, or write a later day",
        })
      : warningAt(spotOf(tree, ["passthrough"], "key"), {
          rule: "passthrough",
          message: `requests that match no operation pass, from anybody, until ${lastDay(until)}`,
          fix: "see `sallyport observe` for the operations to declare, then remove it",
        });
  const passthrough: DatedException = { untilMs: until, reason };
  return { passthrough, findings: [...tooFar(until, days), said] };
}

interface Days {
  readonly tree: MapTree;
  readonly key: readonly string[];
  readonly what: string;
  readonly now: number;
}

function tooFar(until: number, { tree, key, what, now }: Days): Finding[] {
  const latest = now + daysMax * dayMs;
  if (until <= latest + dayMs) return [];
  const fix = `write at most ${lastDay(latest + dayMs)}; it can be renewed when somebody has looked at it`;
  return [errorAt(spotOf(tree, key), `${what} lasts at most ${daysMax} days`, fix)];
}

/** An `enforce` in an environment's overrides switches off what the file says for the others; the file's `until` then means nothing here. */
function isBelow(tree: MapTree, key: "until" | "reason"): boolean {
  if (!tree.entries.has("mode")) return false;
  const environmentOf = (name: string) => pathOfEnvironment(spotOf(tree, [name], "key").path);
  return environmentOf("mode") !== null && environmentOf(key) === null;
}

function belongsToObserve(tree: MapTree, key: string): Finding {
  return errorAt(
    spotOf(tree, [key], "key"),
    `\`${key}\` belongs to \`mode: observe\``,
    "add `mode: observe`, or remove it",
  );
}

/** The last whole day before an end, as it is written. */
function lastDay(untilMs: number): string {
  return new Date(untilMs - 1).toISOString().slice(0, 10);
}
