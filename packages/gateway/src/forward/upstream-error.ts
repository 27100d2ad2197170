// Promises one code for every way an upstream can fail us; no text of the error reaches anyone but operators. Trusts the dialer's classification.
// Codes: docs/problems; kernel/dial/dial-fault.ts.
import { toDialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** `beforeAnswer`: no response field had come yet. */
export function classifyUpstreamError(error: Error, beforeAnswer: boolean): Deny {
  const fault = toDialFault(error);
  // A connection that breaks inside an answer is the provider speaking wrongly, not being away.
  const problem = fault.problem === "upstream-unreachable" && !beforeAnswer ? "upstream-protocol" : fault.problem;
  return deny("forward", problem, { fault: fault.code, why: fault.message });
}
