// Promises one spelling of durations on the command line. Trusts nothing.
import { CommandEnd, exitCode } from "./exit.ts";

/** Longer than anything here may last; beyond it a number is a slip of the hand. */
const durationMsMax = 3650 * 86_400_000;
const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `15m`, `1h`, `7d` in milliseconds. Throws CommandEnd (bad use) for anything else. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  // The pattern admits these units only.
  const durationMs = match === null ? Number.NaN : Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
  if (!(durationMs <= durationMsMax))
    throw new CommandEnd(
      exitCode.badUse,
      `"${text}" is not a duration`,
      "write a number and a unit, at most ten years: 30s, 15m, 1h, 7d",
    );
  return durationMs;
}
