// Promises the keys by which a system or an operation says which rules about threats its requests are held against. Trusts nothing.
// What the rules find: docs/threats.md.
import { threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { z } from "zod";
import { prose, word } from "./words.ts";

const exceptionsMax = 64;
const placesMax = 64;

/** As a finding names it: `query:q`, `path:id`, `header:x-note`, `body:/lines/*` and what stands below. */
const place = () =>
  word((text) => {
    const found =
      /^(?:(?:path|query):[A-Za-z_][\w.-]{0,63}|header:[A-Za-z0-9-]{1,64}|body:(?:\/(?:\*|\?|@?[A-Za-z_][\w.-]{0,63}))*\/?)$/;
    if (!found.test(text) || text === "body:")
      return {
        refused: "not a place",
        fix: "write `query:<name>`, `path:<name>`, `header:<name>` or `body:/<member>/*/<member>`, as a finding has it",
      };
    return { value: text.startsWith("header:") ? text.toLowerCase() : text };
  });

const exception = z.strictObject({
  rules: z.array(z.enum(threatRules)).min(1).max(threatRules.length).describe("The rules that are not asked."),
  at: z
    .array(place())
    .min(1)
    .max(placesMax)
    .optional()
    .describe("Where they are not asked, as findings name places; without it, nowhere in the operation."),
  reason: prose().describe("Why what they find is no threat there, for reviewers."),
});

const threats = z.strictObject({
  mode: z
    .enum(["none", "shadow", "block"])
    .describe("`shadow` judges and records, `block` refuses what is found; `none` needs a `reason`."),
  reason: prose().optional().describe("Why there is no rule at all, for reviewers; only with `mode: none`."),
  shadow: z
    .array(z.enum(threatRules))
    .min(1)
    .max(threatRules.length)
    .optional()
    .describe("Rules that only watch although `mode` is `block`."),
  except: z
    .array(exception)
    .max(exceptionsMax)
    .prefault([])
    .describe("Rules that are not asked, everywhere or at places, each with its reason."),
});

export type ThreatsSource = z.output<typeof threats>;

export const threatsKey = (describe: string) => threats.optional().describe(describe);
