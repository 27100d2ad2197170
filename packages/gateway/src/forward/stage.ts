// Promises one attempt at one checked address, within the operation's deadline, with the caller's abort passed on and back-pressure both ways.
// Trusts the pool of this snapshot (kernel/dial behind it). Specified in DESIGN §4 forward; RFC 9110 §7.6.
import { PassThrough } from "node:stream";
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import { requestHeadersForUpstream } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { tooLarge } from "../inspect/content.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { foreignAuthorization } from "../observe/foreign-authorization.ts";
import { passedBodyBytesMax, passedTimeoutMs } from "../observe/undeclared.ts";
import type { Grant } from "../snapshot/estate.ts";
import { continueTrace } from "./traceparent.ts";
import { UpstreamAnswer } from "./upstream-answer.ts";
import { classifyUpstreamError } from "./upstream-error.ts";

export function forward(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, lease, operation } = exchange;
  const bounds = boundsOf(exchange);
  if (request === null || lease === null || operation === null || bounds === null) return deny("forward", "not-ready");
  const { upstream } = operation.system;
  const pool = lease.pools.poolOf(operation.system);
  if (upstream === null || pool === undefined)
    return deny("forward", "upstream-unreachable", { why: "the system declares no url" });
  if (exchange.aborted) return deny("forward", "client-aborted");
  if (exchange.framingDeny !== null) return exchange.framingDeny;
  exchange.traceparent =
    gate.tracing?.continueFor(exchange) ?? continueTrace(request.headers["traceparent"]?.[0], gate.random);
  if ((request.contentLength ?? 0) > bounds.bodyBytesMax) return tooLarge(bounds.bodyBytesMax);
  const fields = fieldsForUpstream(exchange, request, exchange.traceparent);
  const content = contentOf(exchange);
  return new Promise((resolve) => {
    const answer = new UpstreamAnswer({
      method: request.method,
      timeoutMs: bounds.timeoutMs,
      bodyBytesMax: bounds.bodyBytesMax,
      now: () => gate.clock.monotonic(),
      settled: resolve,
    });
    exchange.upstream = answer;
    if (content !== null && "stream" in content) exchange.onFramingError = (verdict) => answer.cancel(verdict);
    const path = upstream.basePath + pathForUpstream(exchange);
    try {
      answer.sent(pool.send({ path, method: request.method, ...fields, content }, answer));
    } catch (error) {
      answer.cancel(classifyUpstreamError(error instanceof Error ? error : new Error(String(error)), true));
    }
  });
}

/** The caller's fields and ours. A caller that nobody identified has no identity of ours, but what it presented goes on with it. */
function fieldsForUpstream(
  exchange: Exchange,
  request: CanonicalRequest,
  traceparent: string,
): Pick<UpstreamRequest, "lines" | "headers"> {
  const { hopToken, section, id } = exchange;
  if (hopToken !== null)
    return {
      lines: section.linesForUpstream(request.headers, hopToken),
      headers: ["traceparent", traceparent, "sallyport-crossing", id],
    };
  const own = { traceparent, ...foreignAuthorization(exchange), "sallyport-crossing": id };
  return { headers: requestHeadersForUpstream(request.headers, own) };
}

/** What is declared for this grant; where nothing is enforced, what protects the gateway itself. Null: the crossing was never let pass. */
function boundsOf(exchange: Exchange): Pick<Grant, "timeoutMs" | "bodyBytesMax"> | null {
  if (exchange.wouldDeny === null && exchange.hopToken === null) return null;
  return modeOf(exchange) === "enforce"
    ? exchange.grant
    : { timeoutMs: passedTimeoutMs, bodyBytesMax: passedBodyBytesMax };
}

/** The canonical path without the public prefix, cut by whole encoded segments, and the query as received. */
function pathForUpstream(exchange: Exchange): string {
  const { request, operation, prefixSegments } = exchange;
  if (request === null || operation === null) return "/";
  const path = operation.system.public.strip ? cutSegments(request.path, prefixSegments) : request.path;
  return request.query === "" ? path : `${path}?${request.query}`;
}

function cutSegments(path: string, count: number): string {
  let at = 0;
  for (let i = 0; i < count; i++) {
    at = path.indexOf("/", at + 1);
    if (at < 0) return "/";
  }
  return at === 0 ? path : path.slice(at);
}

/** Checked JSON goes on as the very bytes that were checked; opaque content streams, counted, without letting the upstream's end touch the caller's socket. */
function contentOf(exchange: Exchange): UpstreamRequest["content"] {
  const { request, operation, incoming } = exchange;
  if (exchange.body !== null) return exchange.body.bytes;
  const hasContent = request !== null && (request.chunked || (request.contentLength ?? 0) > 0);
  if (!hasContent || (operation?.object.body === undefined && exchange.wouldDeny === null)) return null;
  exchange.continueWanted?.();
  const stream = new PassThrough();
  for (const chunk of exchange.bodyBegun ?? []) stream.write(chunk);
  const content = incoming.stream();
  content.on("data", (chunk: Buffer) => {
    exchange.bytesIn += chunk.length;
  });
  // A caller that goes away mid-body must not look like one that ended: pipe() alone would leave the stream open.
  content.once("error", (gone) => stream.destroy(gone));
  content.pipe(stream);
  return { stream, length: request.contentLength };
}
