// Promises the close code a caller gets when the gateway ends its WebSocket, and the stable code of the denial as its reason. Pure.
// Specified in RFC 6455 §7.4 and the IANA registry of close codes; docs/websocket.md "Close codes".
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { streamCode } from "../streams/stream-code.ts";

export interface CloseWord {
  readonly code: number;
  readonly reason: string;
}

/** What the caller is told of a verdict that ended its WebSocket. */
export function closeWord(verdict: Deny): CloseWord {
  return { code: closeCodeOf(verdict), reason: streamCode(verdict.code) };
}

function closeCodeOf({ code, stage, facts }: Deny): number {
  // What the frames themselves were refused for has its code already.
  if (facts["closeCode"] !== undefined) return Number(facts["closeCode"]);
  switch (code) {
    case "not-ready":
    case "request-timeout":
      return 1001;
    case "body-too-large":
      return 1009;
    case "internal":
    case "record-unavailable":
      return 1011;
    default:
      // 1014: somebody behind the server failed; 1008: a policy.
      return stage === "forward" ? 1014 : 1008;
  }
}
