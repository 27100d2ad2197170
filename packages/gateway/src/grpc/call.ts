// Promises one gRPC call to the provider over HTTP/2, both ways as they come, each message within its bound, within the time it has.
// Trusts the pool of this snapshot (kernel/dial behind it). Specified in docs/grpc.md.
import { pipeline, Transform } from "node:stream";
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import { requestHeadersForUpstream } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { withoutEnding } from "../forward/ending-fields.ts";
import { findEndpoint } from "../forward/find-endpoint.ts";
import { uniform } from "../forward/uniform.ts";
import { UpstreamAnswer } from "../forward/upstream-answer.ts";
import { classifyUpstreamError } from "../forward/upstream-error.ts";
import type { PlacedEndpoint, Upstream } from "../forward/upstream-pools.ts";
import type { Gate } from "../gate.ts";
import { tooLarge } from "../inspect/content.ts";
import { foreignAuthorization } from "../observe/foreign-authorization.ts";
import type { Grant } from "../snapshot/estate.ts";
import { CallAnswer } from "./call-answer.ts";
import { callTimeoutMs } from "./deadline.ts";
import { MessageMeter } from "./messages.ts";

export interface CallParts {
  readonly request: CanonicalRequest;
  readonly upstream: Upstream;
  /** Without the base path of the provider's url; with the query. */
  readonly path: string;
  readonly traceparent: string;
  readonly content: UpstreamRequest["content"];
  readonly bounds: Pick<Grant, "timeoutMs" | "bodyBytesMax">;
}

export function callProvider(exchange: Exchange, gate: Gate, parts: CallParts): Deny | Promise<Deny | null> {
  const { request, upstream, bounds } = parts;
  const placed = placeFor(upstream, gate);
  const pool = placed?.calls ?? null;
  if (pool === null || placed === undefined)
    return deny("forward", "upstream-unreachable", { why: "no place for calls" });
  const path = placed.basePath + parts.path;
  const timeouts = request.headers["grpc-timeout"];
  const timeoutMs = (timeouts?.length ?? 0) > 1 ? null : callTimeoutMs(timeouts?.[0], bounds.timeoutMs);
  if (timeoutMs === null) return deny("inspect", "bad-header", { why: "grpc-timeout is no timeout" });
  return new Promise((resolve) => {
    const answer = new UpstreamAnswer({
      method: request.method,
      timeoutMs,
      idleMs: timeoutMs,
      isCall: true,
      bodyBytesMax: Number.POSITIVE_INFINITY,
      inspectedBytesMax: null,
      now: () => gate.clock.monotonic(),
      settled: resolve,
      over: () => {
        placed.endpoint.inFlight--;
      },
    });
    placed.endpoint.attempts++;
    placed.endpoint.inFlight++;
    upstream.traffic.usedMs = gate.clock.monotonic();
    exchange.upstream = answer;
    exchange.forwarding = { endpoint: placed.endpoint, cancel: (verdict) => answer.cancel(verdict) };
    exchange.onFramingError = (verdict) => answer.cancel(verdict);
    const handler = new CallAnswer(answer);
    const content = metered(parts.content, bounds.bodyBytesMax, (verdict) => answer.cancel(verdict));
    const headers = fieldsOf(exchange, parts, timeoutMs);
    try {
      handler.sent(pool.send({ path, method: request.method, headers, content }, handler));
    } catch (error) {
      answer.cancel(classifyUpstreamError(error instanceof Error ? error : new Error(String(error)), true));
    }
  });
}

/** One that is well, as far as checks say, with little under way; a call is tried once, so nothing else speaks against one. */
function placeFor(upstream: Upstream, { clock, random }: Gate): PlacedEndpoint | undefined {
  const found = findEndpoint(upstream, { nowMs: clock.monotonic(), tried: null, random: () => uniform(random) });
  return typeof found === "string" ? upstream.endpoints[0] : found;
}

function fieldsOf(exchange: Exchange, { request, traceparent }: CallParts, timeoutMs: number): string[] {
  const { hopToken, id } = exchange;
  const own = {
    traceparent,
    "sallyport-crossing": id,
    // What is left of the time goes on, so that nobody works for an answer that is not waited for.
    "grpc-timeout": `${Math.min(99_999_999, timeoutMs)}m`,
    ...(hopToken === null ? foreignAuthorization(exchange) : { "sallyport-identity": hopToken }),
  };
  return requestHeadersForUpstream(withoutEnding(exchange, request.headers), own);
}

/** The caller's messages, each measured before it goes on. */
function metered(
  content: UpstreamRequest["content"],
  bytesMax: number,
  refuse: (verdict: Deny) => void,
): UpstreamRequest["content"] {
  if (content === null || content instanceof Uint8Array) return content;
  const meter = new MessageMeter(bytesMax);
  const malformed = (): Deny =>
    deny("inspect", "body-malformed", { why: "no gRPC message", detail: "The content is no gRPC messages" });
  const stream = new Transform({
    transform(piece: Buffer, _encoding, done) {
      const fault = meter.read(piece);
      if (fault === null) {
        done(null, piece);
        return;
      }
      refuse(fault === "too-large" ? tooLarge(bytesMax) : malformed());
      done(new Error(fault));
    },
    flush(done) {
      if (meter.isBetween) done();
      else {
        refuse(malformed());
        done(new Error("malformed"));
      }
    },
  });
  pipeline(content.stream, stream, () => {
    // The end of either is the end of the other; who sends it tells.
  });
  return { stream, length: null };
}
