// Promises the request for the provider out of what was judged, within the operation's deadline or the caller's shorter one, with the caller's abort passed
// on and back-pressure both ways. Trusts forwarding.ts for the attempts. Specified in DESIGN §4 forward, docs/resilience.md; RFC 9110 §7.6.
import { PassThrough } from "node:stream";
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import type { WebSocketAsk } from "@sallyport/kernel/http1/request-head.ts";
import { headersPassedUpstream, requestHeadersForUpstream } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { printKeyField } from "@sallyport/protocol/idempotency-key.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { callProvider } from "../grpc/call.ts";
import { type AnswerInspection, answerBounds, inspectionFor } from "../inspect/answer-inspection.ts";
import { tooLarge } from "../inspect/content.ts";
import { digestGate, digestMismatch } from "../inspect/content-digest.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { foreignAuthorization } from "../observe/foreign-authorization.ts";
import { passedBodyBytesMax, passedTimeoutMs } from "../observe/undeclared.ts";
import type { Grant } from "../snapshot/estate.ts";
import { offeredProtocols } from "../websocket/handshake.ts";
import { withoutEnding, withoutProofs } from "./ending-fields.ts";
import { Forwarding } from "./forwarding.ts";
import { withNextHop } from "./next-hop-again.ts";
import { nextHopFields } from "./next-hop-fields.ts";
import { signedFor, signerFor } from "./sign-request.ts";
import { timeGiven, timeLeft, timeLeftField } from "./time-left.ts";
import { continueTrace } from "./traceparent.ts";
import { pathForUpstream } from "./upstream-path.ts";

export function forward(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, lease, operation } = exchange;
  const bounds = boundsOf(exchange);
  if (request === null || lease === null || operation === null || bounds === null) return deny("forward", "not-ready");
  const upstream = lease.pools.upstreamOf(operation.system);
  if (upstream === undefined) return deny("forward", "upstream-unreachable", { why: "the system declares no url" });
  if (exchange.aborted) return deny("forward", "client-aborted");
  if (exchange.framingDeny !== null) return exchange.framingDeny;
  const traceparent =
    gate.tracing?.continueFor(exchange) ?? continueTrace(request.headers["traceparent"]?.[0], gate.random);
  exchange.traceparent = traceparent;
  if ((request.contentLength ?? 0) > bounds.bodyBytesMax) return tooLarge(bounds.bodyBytesMax);
  // A gateway that was held up until others may take the key for lost must not have the effect any more.
  if (exchange.claim?.holdsUntil(gate.clock.monotonic() + bounds.timeoutMs) === false)
    return deny("forward", "idempotency-unavailable", {
      why: "what this crossing held ends before its provider's time",
    });
  const [inspection, content] = [inspectionFor(exchange), contentOf(exchange)];
  const webSocket = askOf(exchange, gate);
  // What has to be taken out of answers cannot be taken out of messages.
  if (webSocket !== null && inspection !== null)
    return deny("bind", "not-served", {
      detail: "A rule for answers stands at this WebSocket, and nobody can keep it",
    });
  const path = pathForUpstream(exchange);
  if (operation.object.grpc !== undefined) {
    return callProvider(exchange, gate, { request, upstream, path, traceparent, bounds, content });
  }
  const signer = signerFor(exchange, gate);
  if (signer !== null && "kind" in signer) return signer;
  const run = (timeoutMs: number): Promise<Deny | null> => {
    const forwarding = new Forwarding({
      exchange,
      gate,
      upstream,
      content,
      bounds: { timeoutMs, bodyBytesMax: bounds.bodyBytesMax },
      ...answerBounds(inspection),
      webSocket,
      promisedMs: operation.object.timeoutMs,
      request: ({ basePath, origin }, leftMs) => {
        const target = basePath + path;
        const fields = fieldsForUpstream(exchange, { request, traceparent, inspection, leftMs });
        const proven = provenFields(exchange, gate, { request, content, origin, path: target, signer });
        return {
          path: target,
          method: request.method,
          ...(proven.length === 0 ? fields : { ...fields, headers: [...fields.headers, ...proven] }),
          ...(webSocket === null ? {} : { webSocket }),
        };
      },
    });
    exchange.forwarding = forwarding;
    if (content !== null && "stream" in content) exchange.onFramingError = (verdict) => forwarding.cancel(verdict);
    return forwarding.run();
  };
  const timeoutMs = Math.min(bounds.timeoutMs, timeGiven(request.headers));
  return exchange.nextHop === null ? run(timeoutMs) : withNextHop(exchange, gate, { run, timeoutMs, content });
}

interface Proven {
  readonly request: CanonicalRequest;
  readonly content: UpstreamRequest["content"];
  readonly origin: string;
  readonly path: string;
  /** Null: nothing is signed. */
  readonly signer: TokenSigner | null;
}

/** A signature over the request, and the provider's own token, where it asks for them. */
function provenFields(exchange: Exchange, gate: Gate, on: Proven): readonly string[] {
  const { nextHop } = exchange;
  const { signer } = on;
  const now = gate.clock.now();
  const signed = signer === null ? [] : signedFor(exchange, { ...on, signer, now });
  if (nextHop === null) return signed;
  const hop = gate.hopSigner();
  // A token without its proof is worth nothing, and is not shown.
  if (hop === null) throw new Error("the hop key's certificate has ended between two stages");
  const { request, origin, path } = on;
  const jti = Buffer.from(gate.random.bytes(16)).toString("base64url");
  const nonce = gate.providerNonces.of(origin);
  return [...signed, ...nextHopFields(nextHop, { method: request.method, origin, path, signer: hop, nonce, jti, now })];
}

interface Sent {
  readonly request: CanonicalRequest;
  readonly traceparent: string;
  readonly inspection: AnswerInspection | null;
  readonly leftMs: number;
}

/** A handshake of our own: towards the provider the gateway is the client (RFC 6455 §4.1). Extensions are offered to nobody. */
function askOf({ request, operation }: Exchange, gate: Gate): WebSocketAsk | null {
  const rule = operation?.object.webSocket;
  if (request === null || request.upgrade === null || rule === undefined) return null;
  const key = Buffer.from(gate.random.bytes(16)).toString("base64");
  return { key, protocols: offeredProtocols(rule, request.upgrade) };
}

/** The caller's fields and ours. A caller that nobody identified has no identity of ours, but what it presented goes on with it. */
function fieldsForUpstream(
  exchange: Exchange,
  { request: received, traceparent, inspection, leftMs }: Sent,
): Pick<UpstreamRequest, "lines" | "headers"> {
  const { hopToken, section, id, bodyUnfolded } = exchange;
  const left = timeLeft(leftMs);
  const ours = ["traceparent", traceparent, "sallyport-crossing", id, timeLeftField, left];
  const request = bodyUnfolded ? withoutCoding(received) : received;
  if (hopToken === null) {
    const own = { traceparent, ...foreignAuthorization(exchange), "sallyport-crossing": id, [timeLeftField]: left };
    return { headers: requestHeadersForUpstream(withoutProofs(exchange, request.headers), own) };
  }
  const said = exchange.nextHop?.rule.withoutIdentity === true ? [] : ["sallyport-identity", hopToken];
  const headers = withoutEnding(exchange, request.headers);
  if (headers !== request.headers) {
    const key = exchange.claim?.providerKey ?? null;
    const told = key === null ? [] : ["idempotency-key", printKeyField(key)];
    const sent =
      inspection === null
        ? headersPassedUpstream(headers, setByUs)
        : headersForInspection({ headers, method: request.method }, inspection);
    return { headers: [...sent, ...said, ...ours, ...told] };
  }
  if (inspection !== null) return { headers: [...headersForInspection(request, inspection), ...said, ...ours] };
  if (bodyUnfolded || said.length === 0)
    return { headers: [...headersPassedUpstream(request.headers, setByUs), ...said, ...ours] };
  return { lines: section.linesForUpstream(request.headers, hopToken), headers: ours };
}

/** What was said of the folded octets is not true of those that are sent. */
function withoutCoding({ headers, ...request }: CanonicalRequest): CanonicalRequest {
  const { "content-encoding": _unfolded, "content-digest": _digest, "repr-digest": _whole, ...rest } = headers;
  return { ...request, headers: rest };
}

const setByUs = ["traceparent", "sallyport-identity", "sallyport-crossing", timeLeftField] as const;
const setHere = [...setByUs, "accept-encoding"] as const;

/** An answer that is looked into is asked for whole and as it is; where something is taken out of it, also whatever a validator of it says. */
function headersForInspection(
  { headers, method }: Pick<CanonicalRequest, "headers" | "method">,
  inspection: AnswerInspection,
): string[] {
  const isRead = method === "GET" || method === "HEAD";
  const looksInside = inspection.filter() !== null || inspection.decides;
  const conditions = isRead && looksInside ? ["if-none-match", "if-match", "if-modified-since"] : [];
  const dropped = [...setHere, "range", "if-range", ...conditions];
  return [...headersPassedUpstream(headers, dropped), "accept-encoding", "identity"];
}

/** What is declared for this grant; where nothing is enforced, what protects the gateway itself. Null: the crossing was never let pass. */
function boundsOf(exchange: Exchange): Pick<Grant, "timeoutMs" | "bodyBytesMax"> | null {
  if (exchange.wouldDeny === null && exchange.hopToken === null) return null;
  return modeOf(exchange) === "enforce"
    ? exchange.grant
    : { timeoutMs: passedTimeoutMs, bodyBytesMax: passedBodyBytesMax };
}

/** Checked JSON goes on as the very bytes that were checked; opaque content streams, counted, without letting the upstream's end touch the caller's socket. */
function contentOf(exchange: Exchange): UpstreamRequest["content"] {
  const { request, operation, incoming } = exchange;
  if (exchange.body !== null) return exchange.body.bytes;
  const hasContent = request !== null && (request.chunked || (request.contentLength ?? 0) > 0);
  if (!hasContent || (operation?.object.body === undefined && exchange.wouldDeny === null)) return null;
  exchange.continueWanted?.();
  const stream = new PassThrough();
  const { digests } = exchange;
  const into = digests === null ? stream : gateBefore(exchange, stream, digests);
  for (const chunk of exchange.bodyBegun ?? []) into.write(chunk);
  const content = incoming.stream();
  content.on("data", (chunk: Buffer) => {
    exchange.bytesIn += chunk.length;
  });
  // A caller that goes away mid-body must not look like one that ended: pipe() alone would leave the stream open.
  content.once("error", (gone) => stream.destroy(gone));
  content.pipe(into);
  return { stream, length: request.contentLength };
}

/** A provider that got all but the last piece has no request; what it got ends like a caller that went away. */
function gateBefore(
  exchange: Exchange,
  stream: PassThrough,
  digests: NonNullable<Exchange["digests"]>,
): ReturnType<typeof digestGate> {
  const gate = digestGate(digests, () => exchange.onFramingError?.(digestMismatch("forward", digests)));
  gate.once("error", (wrong) => stream.destroy(wrong));
  gate.pipe(stream);
  return gate;
}
