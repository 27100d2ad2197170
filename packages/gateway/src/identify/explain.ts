// Promises operators what a refused credential was compared with, as far as only this hop can know it: the listener, the Host, a proxy in front.
// Trusts nothing: fields of other hops are named, never believed. Facts go to the sealed reference alone (DESIGN §6 Denials).
import { compared, type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { type PreflightAsked, preflightAsked } from "../cors/preflight.ts";
import type { Exchange } from "../exchange.ts";

/** Fields that proxies add; whoever sends one is probably behind a proxy, or pretends to be. */
const proxyFields =
  /^(?:via|forwarded|x-forwarded-[a-z]+|x-real-ip|ssl-client-[a-z-]+|x-ssl-[a-z-]+|client-cert(?:-chain)?|x-client-cert)$/;
const fieldsShownMax = 6;

/** Neither a token nor a certificate came. */
export function nothingPresented(exchange: Exchange): Deny {
  const asked = preflightAsked(exchange);
  if (asked !== null) return withoutYes(exchange, asked);
  const via = proxyFieldsOf(exchange);
  const connection = `no Authorization field, and no client certificate on the connection from ${exchange.source.address}`;
  return deny("identify", "credentials-missing", {
    why: "neither Authorization nor a client certificate",
    ...compared(
      "Authorization: DPoP <token> with a DPoP field, or a client certificate in the TLS handshake",
      connection,
    ),
    ...(via === "" ? {} : { proxy: via }),
    listener: exchange.listener.name,
  });
}

/** A browser asked for a page, and no integration has a yes for it: its program sees no more than that the network failed. */
function withoutYes({ request, listener }: Exchange, { origin, method }: PreflightAsked): Deny {
  return deny("identify", "credentials-missing", {
    why: "a preflight of a browser, and no integration has a yes for it",
    ...compared(
      "an active integration that grants the operation and names the page's origin under cors.origins",
      `a page at ${origin}, for ${method} ${request?.host ?? ""}${request?.path ?? ""}`,
    ),
    preflight: "refused",
    listener: listener.name,
  });
}

/** A denial of the proof of possession, with the listener whose `url` decides and what the request itself called us. */
export function withPlace(verdict: Deny, exchange: Exchange): Deny {
  const { request, listener } = exchange;
  const via = proxyFieldsOf(exchange);
  const facts = {
    ...verdict.facts,
    listener: listener.name,
    host: request === null ? "" : `${request.host}:${request.port}`,
    ...(via === "" ? {} : { proxy: via }),
  };
  return deny(verdict.stage, verdict.code, facts, verdict.policies);
}

function proxyFieldsOf({ incoming }: Exchange): string {
  return incoming
    .fieldNames()
    .filter((name) => proxyFields.test(name))
    .slice(0, fieldsShownMax)
    .join(", ");
}
