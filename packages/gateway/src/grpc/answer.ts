// Promises callers of gRPC an end in their own terms: a status they know, a code of ours beside it, and never a success that was none.
// Trusts problem.ts for the public face. Specified in the gRPC protocol over HTTP/2 (Responses) and docs/grpc.md.
import { problemDocument, publicCode } from "@sallyport/protocol/problem.ts";
import type { Deny, Outcome } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { AnswerEnd, UpstreamAnswer } from "../forward/upstream-answer.ts";
import { saidVerdict } from "../record/said-verdict.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";
import { grpcMessage, grpcStatus, grpcStatusIn, grpcStatusOf, isGrpcType } from "./status.ts";

/** Does this caller read answers as gRPC? */
export function isGrpcCaller({ incoming, request }: Exchange): boolean {
  return incoming.httpVersion === "2" && request !== null && isGrpcType(request.contentType);
}

/** Fields of a denial, as an answer of nothing but them (Trailers-Only). */
export function grpcDenial(
  verdict: Deny,
  id: string,
): { readonly status: number; readonly headers: string[]; readonly body: string } {
  const { title, detail } = problemDocument(verdict.code, id, verdict.facts["detail"]);
  const headers = [
    ...["content-type", "application/grpc"],
    ...["grpc-status", String(grpcStatusOf(verdict.code))],
    ...["grpc-message", grpcMessage(detail ?? title)],
    ...["sallyport-code", publicCode(verdict.code)],
    ...["sallyport-verdict", saidVerdict(verdict)],
    ...["sallyport-crossing", id],
  ];
  return { status: 200, headers, body: "" };
}

export interface CallEnd {
  readonly end: AnswerEnd;
  readonly verdict: Deny | null;
}

const statusOfEnd: Readonly<Record<Exclude<AnswerEnd, "complete">, readonly [number, string]>> = {
  "caller-gone": [grpcStatus.unavailable, "upstream-protocol"],
  truncated: [grpcStatus.unavailable, "upstream-protocol"],
  timeout: [grpcStatus.deadlineExceeded, "upstream-timeout"],
  denied: [grpcStatus.permissionDenied, "internal"],
};

/** Ends a call that had begun to be answered. */
export function endCall({ response }: Exchange, upstream: UpstreamAnswer, how: CallEnd): void {
  if (how.end === "caller-gone" && how.verdict === null) response.destroy();
  else response.endWith(callTrailers(how, upstream));
}

/** Empty: the head said it all (Trailers-Only). */
function callTrailers({ end, verdict }: CallEnd, upstream: UpstreamAnswer): readonly string[] {
  if (verdict !== null)
    return ["grpc-status", String(grpcStatusOf(verdict.code)), "sallyport-code", publicCode(verdict.code)];
  if (end !== "complete") {
    const [status, code] = statusOfEnd[end];
    return ["grpc-status", String(status), "sallyport-code", code];
  }
  if (grpcStatusIn(upstream.trailers) !== null) return upstream.trailers;
  if (upstream.trailers.length === 0 && grpcStatusIn(upstream.headers) !== null) return [];
  return ["grpc-status", String(grpcStatus.unknown), "sallyport-code", "upstream-protocol"];
}

/** What the status of a whole answer means for this operation. */
export function outcomeOfCall(operation: CompiledOperation, upstream: UpstreamAnswer): Outcome {
  const status = grpcStatusIn(upstream.trailers) ?? grpcStatusIn(upstream.headers);
  if (status === grpcStatus.ok) return "success";
  return status !== null && operation.object.grpc?.businessErrors.includes(status) === true
    ? "business-error"
    : "system-error";
}
