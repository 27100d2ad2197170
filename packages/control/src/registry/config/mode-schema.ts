// Promises the words by which enforcement may be left out for a while, the same at an environment, a system and an integration: never without
// an end and a reason. Trusts nothing. Specified in docs/observe.md.
import { z } from "zod";
import { date, prose } from "./words.ts";

/** The three keys of a mode; `read-mode.ts` holds them against each other. */
export const modeKeys = {
  mode: z
    .enum(["enforce", "observe"])
    .optional()
    .describe(
      "`observe`: decide and record, but let pass what would be denied; needs `until` and `reason`. Without it what stands around it decides, in the end `enforce`.",
    ),
  until: date()
    .optional()
    .describe("Last day of `mode: observe`, at most 180 days ahead; after it denials are denials."),
  reason: prose().optional().describe("Why nothing is enforced here until then."),
};

export const passthrough = () =>
  z
    .strictObject({
      until: date().describe("Last day on which they pass, at most 180 days ahead."),
      reason: prose().describe("Why its operations are not all declared yet."),
    })
    .describe("Requests that match no operation of the system pass to it and are recorded, whoever sends them.");

export interface ModeSource {
  readonly mode?: "enforce" | "observe" | undefined;
  readonly until?: number | undefined;
  readonly reason?: string | undefined;
}
