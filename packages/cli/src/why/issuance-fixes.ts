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
