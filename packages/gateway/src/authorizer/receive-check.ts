// Promises that a call of Envoy's gRPC form becomes the one request it asks about, and that nothing else on its listener is answered as a call: to who asks in
// another form, an answer of gRPC would look like a yes. Trusts asking-proxy.ts for who asks. Specified in docs/authorizer.md (Envoy over gRPC).
import { judgeName } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { type BodyReading, readBody } from "../inspect/read-body.ts";
import type { Authorizer } from "./asking-proxy.ts";
import { checkBytesMax, readCheck } from "./check-request.ts";
import { schemeOf, takeRequest, takeSource } from "./take-told.ts";

export const checkPath = "/envoy.service.auth.v3.Authorization/Check";

const types: ReadonlySet<string | null> = new Set(["application/grpc", "application/grpc+proto"]);
const prefixBytes = 5;
const no = (why: string): Deny => deny("receive", "proxy-request", { why });

/** `call`: the proxy's own request. Writes `asked`, `source`, `toRemove` and `request`. */
export function receiveCheck(
  exchange: Exchange,
  authorizer: Authorizer,
  call: CanonicalRequest,
): Deny | null | Promise<Deny | null> {
  const { method, path, query, contentType } = call;
  const isCall = method === "POST" && path === checkPath && query === "" && types.has(contentType);
  if (exchange.incoming.httpVersion !== "2" || !isCall) return no(`questions are calls of ${checkPath} over HTTP/2`);
  exchange.asked = "envoy-grpc";
  const reading = readBody(exchange, prefixBytes + checkBytesMax);
  return reading instanceof Promise
    ? reading.then((late) => takeCheck(exchange, authorizer, late))
    : takeCheck(exchange, authorizer, reading);
}

function takeCheck(exchange: Exchange, authorizer: Authorizer, reading: BodyReading): Deny | null {
  // Of the question, not of the request that is asked about.
  exchange.bytesIn = 0;
  if ("kind" in reading)
    return reading.code === "body-too-large" ? no(`the question is over ${checkBytesMax} bytes`) : reading;
  const check = readCheck(reading.bytes, schemeOf(exchange.listener));
  if ("kind" in check) return check;
  const { told, address, rawHeaders } = check;
  takeSource(exchange, authorizer, { seen: address ?? exchange.source.address, rawHeaders });
  if (told.kind === "deny") return told;
  exchange.toRemove = namesToRemove(told.rawHeaders);
  const wrong = takeRequest(exchange, told);
  if (wrong !== null) return wrong;
  // A tunnel is more than its head.
  if (exchange.request?.upgrade)
    return deny("receive", "upgrade-not-supported", { why: "an authoriser sees no tunnel" });
  return null;
}

/** What the gateway itself would not send on: the caller's proof, and all that only a gateway may say. */
function namesToRemove(rawHeaders: readonly string[]): readonly string[] {
  const names = new Set(["authorization", "dpop"]);
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { name, isIdentity } = judgeName(rawHeaders[i] ?? "");
    if (isIdentity) names.add(name);
  }
  return [...names];
}
