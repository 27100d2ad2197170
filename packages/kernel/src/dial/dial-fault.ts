// Promises one shape for everything that can go wrong on the way out, and the problem each becomes. Trusts nothing.
// Codes are specified in docs/dial.md.
import { errors } from "./undici-parts.ts";

export type DialFaultCode =
  | "address-refused"
  | "name-not-found"
  | "resolve-failed"
  | "connect-failed"
  | "tls-untrusted"
  | "tls-refused"
  | "no-key"
  | "pin-mismatch"
  | "connect-timeout"
  | "answer-timeout"
  | "answer-too-large"
  | "protocol"
  | "queue-full"
  | "aborted";

export type DialProblem =
  | "upstream-refused-address"
  | "upstream-unreachable"
  | "upstream-timeout"
  | "upstream-protocol";

const problemOf: Readonly<Record<DialFaultCode, DialProblem>> = {
  "address-refused": "upstream-refused-address",
  "name-not-found": "upstream-unreachable",
  "resolve-failed": "upstream-unreachable",
  "connect-failed": "upstream-unreachable",
  "tls-untrusted": "upstream-unreachable",
  "tls-refused": "upstream-unreachable",
  "no-key": "upstream-unreachable",
  "pin-mismatch": "upstream-unreachable",
  "connect-timeout": "upstream-timeout",
  "answer-timeout": "upstream-timeout",
  "answer-too-large": "upstream-protocol",
  protocol: "upstream-protocol",
  "queue-full": "upstream-unreachable",
  aborted: "upstream-unreachable",
};

const publicTexts: Readonly<Record<DialProblem, string>> = {
  "upstream-refused-address": "The provider's address is not one that may be dialled",
  "upstream-unreachable": "The provider could not be reached",
  "upstream-timeout": "The provider did not answer in time",
  "upstream-protocol": "The provider's answer is not valid HTTP",
};

/** `message` is for operators (host, address, fix); `publicText` names neither. */
export class DialFault extends Error {
  readonly code: DialFaultCode;
  readonly problem: DialProblem;
  readonly publicText: string;

  constructor(code: DialFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "DialFault";
    this.code = code;
    this.problem = problemOf[code];
    this.publicText = publicTexts[this.problem];
  }
}

/** Whatever a guarded dispatcher threw, as a DialFault. An error of no known kind counts as unreachable. */
export function toDialFault(error: unknown): DialFault {
  if (error instanceof DialFault) return error;
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError) {
    return new DialFault("answer-timeout", "the answer did not come in time", error);
  }
  if (error instanceof errors.ConnectTimeoutError)
    return new DialFault("connect-timeout", "the connection was not made in time", error);
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) {
    return new DialFault("protocol", "the answer is not valid HTTP", error);
  }
  if (error instanceof errors.ResponseExceededMaxSizeError)
    return new DialFault("answer-too-large", "the answer is too large", error);
  if (error instanceof errors.RequestAbortedError || (error instanceof Error && error.name === "AbortError")) {
    return new DialFault("aborted", "the request was given up", error);
  }
  if (error instanceof Error && error.name === "TimeoutError")
    return new DialFault("answer-timeout", "the answer did not come in time", error);
  const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
  return new DialFault("connect-failed", `the connection broke${code}`, error);
}

/** The problem code a caller gets for whatever a guarded dispatcher threw. */
export function dialProblem(error: unknown): DialProblem {
  return toDialFault(error).problem;
}
