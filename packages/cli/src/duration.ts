// Promises one spelling of durations on the command line. Trusts nothing.
import { CommandEnd, exitCode } from "./exit.ts";

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90s`, `15m`, `1h`, `7d` in milliseconds. Throws CommandEnd (bad use) for anything else. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  if (match === null)
    throw new CommandEnd(exitCode.badUse, `"${text}" is not a duration`, "write a number and a unit: 30s, 15m, 1h, 7d");
  // The pattern admits these units only.
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}
