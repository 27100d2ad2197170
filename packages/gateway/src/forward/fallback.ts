// Promises the answer that stands in for a provider that failed, declared or of before, as an answer like any other: judged, inspected and recorded the
// same way. Trusts the estate, or the provider, for its bytes. Specified in docs/resilience.md "Fallback".
import type { StaticFallback } from "@sallyport/protocol/snapshot/objects.ts";
import type { AnswerOptions } from "./answer-options.ts";
import type { StandIn } from "./stale-answers.ts";
import { UpstreamAnswer } from "./upstream-answer.ts";

export function declaredAnswer({ status, contentType, body }: StaticFallback): StandIn {
  return { status, fields: ["content-type", contentType], content: Buffer.from(body, "utf8") };
}

/** A whole answer; `on` is of the attempt it stands in for, and hears nothing of it. */
export function standIn(
  { status, fields, content }: StandIn,
  on: { readonly method: string; now(): number },
): UpstreamAnswer {
  const options: AnswerOptions = {
    method: on.method,
    timeoutMs: 0,
    idleMs: 0,
    bodyBytesMax: 0,
    inspectedBytesMax: content.length,
    now: () => on.now(),
    settled: () => undefined,
    over: () => undefined,
  };
  const answer = new UpstreamAnswer(options);
  // What stands in for an answer must not be kept as if it were one.
  answer.onHead(status, [...fields, "cache-control", "no-store", "content-length", String(content.length)]);
  if (!answer.bodiless && content.length > 0) answer.onContent(content);
  answer.onEnd();
  return answer;
}
