// Promises one frozen request that every later stage reads, or a refusal; nothing is repaired. Trusts canonicalize (protocol) and kernel/http1.
// Specified in docs/formats/canonical-request.md.
import { canonicalize } from "@sallyport/protocol/canonical/canonicalize.ts";
import { readHttp2Fields } from "@sallyport/protocol/canonical/http2-fields.ts";
import { canonicalLimits, type RawRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { receiveQuestion } from "../authorizer/receive-question.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

export function receive(exchange: Exchange, gate: Pick<Gate, "clock">): Deny | null | Promise<Deny | null> {
  const raw = exchange.incoming.httpVersion === "2" ? rawOfHttp2(exchange) : rawOf(exchange);
  if ("kind" in raw) return raw;
  const request = canonicalize(raw, canonicalLimits, exchange.section.read);
  if (request.kind === "deny") return request;
  const { authorizer } = exchange.listener;
  if (authorizer !== null) return receiveQuestion(exchange, { authorizer, question: request, nowMs: gate.clock.now() });
  exchange.request = request;
  // Whoever asks for a tunnel and gets an answer instead may have begun to speak: nothing behind it is taken for a request.
  if (request.upgrade !== null) exchange.response.shouldKeepAlive = false;
  return null;
}

function rawOf({ incoming, listener }: Exchange): RawRequest {
  const { method, url: target, httpVersion, rawHeaders } = incoming;
  return { method, target, httpVersion, rawHeaders, listener };
}

function rawOfHttp2({ incoming, listener }: Exchange): RawRequest | Deny {
  const read = readHttp2Fields(incoming.rawHeaders, listener.tls ? "https" : "http");
  if (read.kind === "deny") return read;
  const { method, target, rawHeaders } = read;
  return { method, target, httpVersion: "2", rawHeaders, hasContent: !incoming.complete, listener };
}
