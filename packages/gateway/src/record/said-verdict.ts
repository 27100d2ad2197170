// Promises that callers are told the verdict that stands on record. Trusts nothing: it is data. Specified in docs/gateway.md (records).
import { publicCode } from "@sallyport/protocol/problem.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { afterVerdict } from "./reference.ts";

/** `Sallyport-Verdict` of an answer that the gateway gives itself: an allowed crossing ends here as well, where its provider failed. */
export function saidVerdict({ stage, code }: Deny): string {
  return `${afterVerdict.has(stage) ? "allow" : "deny"}; by=gateway; code=${publicCode(code)}`;
}
