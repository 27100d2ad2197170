// Promises what to do about a token that the issuer refused, where its record holds no more than a code. Pure. Codes: docs/identity.md and its pages.

const signAgain =
  "nothing to mend: the client repeats the request with the DPoP-Nonce of the answer, as every client does";
const oneExchange =
  "docs/identity/token-exchange.md has the rule; sallyport why --from … --op token:exchange --for … asks whether one is there";

const fixes: Readonly<Record<string, string>> = {
  "dpop-nonce": signAgain,
  "resource-missing": "the client names its provider: resource=<issuer>/systems/<system>",
  "resource-many": "the client names one of them with each token request: a token has one audience",
  "grant-type-not-allowed":
    "add the grant under identity.grants of the client's system; token exchange needs a rule under exchange of an integration",
  "exchange-not-granted": `add a rule under exchange of the integration between the two: ${oneExchange}`,
  "exchange-scope":
    "where the subject token has a scope, it must name operations of the new audience, or carries of the rule must say what its words stand for; ask for a subject token without a scope, or write carries (docs/identity/token-exchange.md, Scope)",
  "exchange-depth": "raise depth of the rule under exchange, if so many systems may act one behind the other",
  "exchange-binding":
    "the client proves with the key of the subject token; where it cannot, binding: rebind in the rule under exchange",
  "exchange-actor-token": "leave actor_token out: the actor is the client that asks",
  "exchange-audience": "leave audience out and name the provider with resource",
  "next-hop-not-granted":
    "the gateway asked for a provider's token that nothing grants any more: activate the integration, or name the operation in it; its next snapshot says the same",
  "next-hop-ended":
    "the day under nextHop.bearer of the provider has passed: write a later one, or have it verify DPoP",
  "outside-invalid-client":
    "register the keys of <issuer>/next-hop-jwks for the client under nextHop.outside at the provider's authorization server",
  "outside-invalid-grant":
    "the provider's authorization server does not take our subject_token: have it trust <issuer>/jwks and the issuer under nextHop.outside",
  "outside-invalid-scope": "ask for less: scopes under nextHop.outside, or nextHopScope of the operation",
  "outside-invalid-target": "name what the provider's authorization server knows: resource under nextHop.outside",
  "outside-unauthorized-client":
    "allow the grant under nextHop.outside to our client at the provider's authorization server",
  "subject-not-yours":
    "a client exchanges what was issued to it, or for its own system: any other token came from somewhere else",
  "refresh-reused":
    "the grant was ended, because a refresh token that was replaced came back: ask the user again, and keep the newest one, in one place",
  "refresh-raced": "two requests of the client used one refresh token for different things: use the newer one",
  "refresh-expired": "ask the user again; how long that takes stands under tokens (docs/identity/lifetimes.md)",
  "client-unknown":
    "declare the client under identity of its system; sallyport client list shows those that are served",
  "client-authentication-method":
    "the client proves itself in the one way that identity of its system declares; sallyport client list shows it",
};

/** Null: nothing more is known than the code. */
export function issuanceFix(code: unknown): string | null {
  return typeof code === "string" && Object.hasOwn(fixes, code) ? (fixes[code] ?? null) : null;
}
