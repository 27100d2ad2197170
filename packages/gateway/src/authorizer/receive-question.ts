// Promises that the request a proxy asks about is judged as strictly as one that came itself, and is the only one that later stages see.
// Trusts asking-proxy.ts for who asks and told-request.ts for what was told. Specified in docs/authorizer.md.
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { type Authorizer, judgeAsker } from "./asking-proxy.ts";
import { receiveCheck } from "./receive-check.ts";
import { schemeOf, takeRequest, takeSource } from "./take-told.ts";
import { readTold } from "./told-request.ts";

/** `question`: the proxy's own request, which was found to be unambiguous. Writes `asked`, `source` and `request`. */
export function receiveQuestion(
  exchange: Exchange,
  on: { readonly authorizer: Authorizer; readonly question: CanonicalRequest; readonly nowMs: number },
): Deny | null | Promise<Deny | null> {
  const { incoming, listener, source } = exchange;
  const { authorizer, question, nowMs } = on;
  const stranger = judgeAsker(authorizer, { socket: incoming.socket, address: source.address, nowMs });
  if (stranger !== null) return stranger;
  if (authorizer.proxy === "envoy-grpc") return receiveCheck(exchange, authorizer, question);
  exchange.asked = authorizer.proxy;
  if (authorizer.proxy === "services") {
    exchange.request = question;
    return null;
  }
  takeSource(exchange, authorizer, { seen: source.address, rawHeaders: incoming.rawHeaders });
  // Content of a question would be content of the request that nobody reads here and that goes on all the same.
  if (question.chunked || (question.contentLength ?? 0) > 0)
    return deny("receive", "proxy-request", { why: "the question has content: let the proxy leave it out" });
  const asking = { method: incoming.method, target: incoming.url, rawHeaders: incoming.rawHeaders };
  const told = readTold(authorizer.proxy, asking, schemeOf(listener));
  return told.kind === "deny" ? told : takeRequest(exchange, told);
}
