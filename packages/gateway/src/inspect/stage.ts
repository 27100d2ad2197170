// Promises that a body which is looked into is read within its bound and judged whole before anything is forwarded, and that the bytes forwarded are the
// bytes checked. Trusts the parser for framing. Specified in docs/gateway.md (inspect).
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { refuseBodyThreats, refuseHeadThreats } from "../threats/threats.ts";
import { decideWebSocket } from "../websocket/handshake.ts";
import { decideContent, encodingOf } from "./content.ts";
import { unzip } from "./decoded.ts";
import { judgeBody } from "./judge-body.ts";
import { inspectParameters } from "./parameters.ts";
import { type BodyReading, readBody } from "./read-body.ts";

/** Idempotent: where the body decides, `authorize` has run it already. */
export function inspectRequest(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, operation, grant } = exchange;
  if (request === null || operation === null) return deny("inspect", "not-ready");
  if (grant === null && exchange.wouldDeny === null) return deny("inspect", "not-ready");
  if (exchange.body !== null || exchange.bodyBegun !== null) return null;
  const refused = inspectHead(exchange, gate);
  if (refused !== null) return refused;
  const upgrade = decideWebSocket(operation.object.webSocket, request);
  if (upgrade !== null) return upgrade;
  // How a call ended is said behind its answer, which HTTP/1.1 callers do not read.
  if (operation.object.grpc !== undefined && exchange.incoming.httpVersion !== "2")
    return deny("inspect", "bad-version", { why: "gRPC is called over HTTP/2" });
  const bodyBytesMax = grant?.bodyBytesMax ?? operation.object.bodyBytesMax;
  const verdict = decideContent({
    declared: operation.object.body,
    bodyBytesMax,
    contentLength: request.chunked ? null : (request.contentLength ?? 0),
    contentType: request.headers["content-type"],
    contentEncoding: request.headers["content-encoding"],
  });
  const { body } = operation.object;
  if (verdict !== null || body === undefined || body.content === "opaque") return verdict;
  const judgeRead = (read: BodyReading) =>
    "kind" in read
      ? read
      : (judgeBody(exchange, { operation, body, bytes: read.bytes }) ?? refuseBodyThreats(exchange, gate));
  const read = readBody(exchange, bodyBytesMax);
  if (body.encoding !== undefined && encodingOf(request.headers["content-encoding"]).isGzip)
    return Promise.resolve(read)
      .then((coded) => ("kind" in coded ? coded : unfold(exchange, coded.bytes, bodyBytesMax)))
      .then(judgeRead);
  return read instanceof Promise ? read.then(judgeRead) : judgeRead(read);
}

/** What is known of a request without its body. */
export const inspectHead = (exchange: Exchange, gate: Gate): Deny | null =>
  inspectParameters(exchange) ?? refuseHeadThreats(exchange, gate);

async function unfold(exchange: Exchange, coded: Uint8Array, bytesMax: number): Promise<BodyReading> {
  // What cannot be unfolded goes on as it came, where nothing is enforced.
  exchange.body = { bytes: coded, value: undefined, hasPlainNumbers: false };
  const read = await unzip(coded, bytesMax);
  exchange.bodyUnfolded = !("kind" in read);
  return read;
}
