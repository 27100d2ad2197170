// Promises one code for every way an upstream can fail us; no text of the error reaches anyone but operators. Trusts the dialer's classification.
// Codes: docs/problems; kernel/dial/dial-fault.ts.
import { toDialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** `beforeAnswer`: no response field had come yet. */
export function classifyUpstreamError(error: Error, beforeAnswer: boolean): Deny {
  const fault = toDialFault(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const facts = { fault: fault.code, error: code, why: fault.message };
  // A connection that breaks inside an answer, or an answer undici will not have, is the provider speaking wrongly, not being away.
  const isWrong =
    !beforeAnswer ||
    error.message === "bad response" ||
    error.message === "bad upgrade" ||
    code.startsWith("UND_ERR_RES");
  const problem = fault.problem === "upstream-unreachable" && isWrong ? "upstream-protocol" : fault.problem;
  return deny("forward", problem, facts);
}
