// Promises what may be written under `waivers`: one sentence per key. Trusts nothing; what a waiver covers is registry/lint/waivers.ts.
// The reference in docs/configuration.md is generated from these types (reference.ts).
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { date, owner, prose } from "./words.ts";

const waiver = z.strictObject({
  rule: z.string().max(64).describe("Id of the lint rule, as `sallyport check` prints it."),
  reason: prose().describe("Why it is accepted for now, in words an auditor understands."),
  owner: owner().describe("The team that answers for it."),
  until: date().describe("Last day of the waiver; after it the finding counts again."),
  at: z
    .string()
    .max(1_000)
    .regex(/^\$/)
    .optional()
    .describe("Key the waiver is for, as the finding names it, with all below it; the whole file by default."),
});

/** A waiver in sallyport.yaml may stand for a file that has no place of its own for one. */
const estateWaiver = waiver.extend({
  file: z
    .string()
    .max(512)
    .regex(/^policies\/\S+\.cedar$/)
    .optional()
    .describe("The policy file it is for, for example `policies/regions.cedar`; sallyport.yaml itself by default."),
});

export const waiversSchema = z.array(waiver).max(itemsMax);
export const estateWaiversSchema = z.array(estateWaiver).max(itemsMax);
export type WaiverSource = z.output<typeof estateWaiver>;

const sentence = "Findings of `sallyport check` in this file that somebody accepted, each with reason, owner and date.";
export const waiversKey = () => waiversSchema.optional().describe(sentence);
export const estateWaiversKey = () => estateWaiversSchema.optional().describe(sentence);
