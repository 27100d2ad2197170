// Promises an operator, for a denial, the way to mend it, from its code and the facts recorded with it. Pure.
// Trusts the gateway's facts; what callers sent among them is shown, never followed. Specified in docs/cli/why.md.
import { fixesOfRequests } from "./request-fixes.ts";

export type Facts = Readonly<Record<string, string>>;

export interface Denial {
  readonly code: string;
  readonly stage: string;
  readonly facts: Facts;
}

export interface DenialExplained extends Denial {
  readonly expected: string | null;
  readonly sent: string | null;
  /** The grant that is nearest to what was asked. */
  readonly nearest: string | null;
  /** What a policy needs and the request did not have. */
  readonly missing: string | null;
  /** Where it is declared, `file:line`. */
  readonly declaredAt: string | null;
  readonly fix: string;
}

export function explainDenial(denial: Denial): DenialExplained {
  const { facts, code } = denial;
  return {
    ...denial,
    expected: facts["expected"] ?? expectedOf(denial),
    sent: facts["sent"] ?? sentOf(denial),
    nearest: facts["nearest"] ?? null,
    missing:
      facts["attribute"] === undefined ? null : `${facts["attribute"]} (${facts["type"]}, from ${facts["from"]})`,
    declaredAt: facts["declaredAt"] ?? null,
    fix: fixes[code]?.(facts) ?? facts["fix"] ?? facts["broken"] ?? `docs/problems/${code}.md says how to fix it`,
  };
}

/** Codes whose facts name the two values by other words. */
function expectedOf({ code, facts }: Denial): string | null {
  if (code === "proof-not-accepted") return facts["accepted"] ?? null;
  return code === "scope-missing" ? (facts["scope"] ?? null) : null;
}

function sentOf({ code, facts }: Denial): string | null {
  if (code === "proof-not-accepted") return facts["proof"] ?? null;
  return code === "scope-missing" ? (facts["carried"] ?? null) : null;
}

const behindAProxy = "docs/behind-a-proxy.md";

const fixes: Readonly<Record<string, (facts: Facts) => string>> = {
  ...fixesOfRequests,
  "dpop-url": urlFix,
  "dpop-method": ({ sent }) =>
    `the caller must prove the method it sends; if it sends ${sent}, something between changes it (${behindAProxy})`,
  "dpop-key-mismatch": () =>
    "prove with the key that the token request was proven with: a token does not move from one program to another; each gets its own",
  "dpop-token-hash": () =>
    "make a new proof whenever the token is a new one (ath is the hash of the token sent with it)",
  "dpop-expired": () => "set the caller's clock (NTP), and make each proof just before its request",
  "dpop-nonce": () =>
    "nothing to mend: the caller repeats the request with the DPoP-Nonce of the answer, as every client does",
  "dpop-replayed": () => "one proof for one request: whoever repeats a request makes a new proof",
  "dpop-missing": ({ proxy }) =>
    proxy === undefined
      ? "send the DPoP field with the token"
      : `a proxy may have dropped the DPoP field (${behindAProxy})`,
  "credentials-missing": missingFix,
  "token-bound-as-bearer": () =>
    `send the token with the proof it is bound to; if a certificate was shown, a proxy ended TLS on the way (${behindAProxy})`,
  "certificate-mismatch": () =>
    "use the token over connections with the certificate it was issued for; after a renewal get a new token",
  "certificate-unknown": ({ sent }) =>
    `declare one of the names under identity.certificate of the calling system (sent: ${sent ?? "none"}), or have it use the declared certificate; behind a proxy it may be the proxy's own`,
  "certificate-untrusted": () =>
    "send the whole chain up to, and without, the root; the root must be in the bundle that identity.certificate names (trust/<name>.yaml)",
  "certificate-expired": () => "renew the certificate, or set the clock of the gateway",
  "certificate-revoked": () =>
    "its issuer took the certificate back: get a new one, for a new key; if that was a mistake, its issuer must publish a list without it",
  "revocation-unknown": () =>
    "put the issuer's current list where revocation.lists of trust/<name>.yaml names it, and have it renewed before its nextUpdate",
  "token-unmapped": ({ issuer, sent }) =>
    `in issuers/${issuer ?? "<issuer>"}.yaml write a rule under gateways for this client (${sent ?? "see the token"}), or pin what tells two rules apart`,
  "token-key-unknown": ({ issuer }) =>
    issuer === undefined
      ? "get a new token; sallyport status shows gateways that lag behind"
      : `control was asked to look for newer keys of ${issuer}: try again in half a minute; sallyport status shows when they were fetched`,
  "token-audience": ({ expected, issuer }) =>
    issuer !== undefined
      ? `have ${issuer} issue ${expected ?? "the provider's audience"}, or name the one it issues under audiences in issuers/${issuer}.yaml`
      : `ask for a token with resource=${expected ?? "<issuer>/systems/<provider>"}`,
  "token-type": ({ issuer }) =>
    issuer === undefined
      ? "send an access token of this environment's issuer"
      : `send an access token of ${issuer}: its ID, refresh and logout tokens prove nobody; preset in issuers/${issuer}.yaml says what its access tokens look like`,
  "token-issuer": ({ expected }) =>
    `get the token from ${expected ?? "the issuer of this environment"}: environments are walls`,
  "token-expired": () => "get a new token; if it was new, set the clocks",
  "scope-missing": ({ scope }) => `ask for a token with the scope ${scope ?? ""}, or without one`,
  "insufficient-user-authentication": stepUpFix,
  "proof-not-accepted": ({ accepted, declaredAt }) =>
    `call with ${accepted ?? "another proof"}, or accept it under proof.accept at ${declaredAt ?? "the integration"}`,
  "attribute-missing": ({ attribute, from, type }) =>
    `the request must carry ${attribute} (${from}) exactly once, as ${type}; the operation declares it under attributes`,
  "policy-denied": ({ policies, declaredAt }) =>
    declaredAt === undefined
      ? `${policies ?? "no policy permits it"}: sallyport why --from … --op … shows the policy's file and line`
      : `${policies ?? "a policy"} forbids it: change the policy at ${declaredAt}, or what the client asks for`,
  "policy-error": ({ why }) => `correct the policy, sallyport check names file and line: ${why ?? ""}`,
  "no-route": () => `call what is published; if the caller did, a proxy rewrote host or path (${behindAProxy})`,
  "concurrency-limited": () => "have fewer crossings under way at once, or raise `concurrency` of the integration",
  "quota-exhausted": ({ renewsAt }) =>
    `wait until ${renewsAt ?? "the quota renews"} (Retry-After), or raise \`quota\` of the integration`,
  "limit-unavailable": ({ why }) => `what the limits are counted in could not be asked: ${why ?? "see readyz"}`,
  shed: ({ rule, bound }) =>
    rule === "priority"
      ? `more urgent crossings took the room of the provider (${bound ?? "inFlight"}): give it more, or raise \`priority\` of the integration`
      : `this client had its share of the room of the provider (${bound ?? "inFlight"}) while others wanted some: give it more, or have fewer under way`,
  "next-hop-refused": ({ why = "" }) =>
    `no token that the provider is called with was given (${why}): its own record says more; docs/identity/next-hop.md has what is decided`,
  "next-hop-unavailable": ({ why = "" }) =>
    `the token that the provider is called with could not be got (${why}): see to control, or to the endpoint under nextHop.outside`,
  "next-hop-rejected": ({ why = "" }) =>
    `the provider does not take its token (${why}): compare the issuer, audience and key it expects with docs/identity/next-hop.md, and its clock`,
  "rate-limited": ({ declaredAt }) =>
    `call less often (Retry-After), or raise \`limits\` of the integration${declaredAt === undefined ? "" : ` at ${declaredAt}`}`,
};

function stepUpFix({ acr, maxAge, sent = "", declaredAt = "the integration" }: Facts): string {
  const wanted = [
    ...(acr === undefined ? [] : [`acr_values=${acr}`]),
    ...(maxAge === undefined ? [] : [`max_age=${maxAge}`]),
  ].join(" and ");
  const whose = sent.startsWith("no user")
    ? "such an operation is not for machines: the caller signs a user in"
    : "the caller sends its user to the authorization endpoint again";
  return `${whose}, with ${wanted}, and calls with that token. Granted at ${declaredAt}; what is wanted stands under acr and maxAge there or at the operation`;
}

/** Another origin is a matter of the listener's url, another path of what rewrote it. */
function urlFix({ expected = "", sent = "", listener = "public" }: Facts): string {
  const [wanted, came] = [originOf(expected), originOf(sent)];
  if (wanted !== null && came !== null && wanted !== came)
    return `callers use another origin than the listener's url. If ${came} is where they should call, write listeners.${listener}.url: ${came} in sallyport.yaml; else have them call ${wanted}`;
  return `the path of the proof is another than the one that arrived: the caller signs the URL it calls, and no proxy may rewrite the path (${behindAProxy})`;
}

function originOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).origin : null;
}

function missingFix({ proxy, preflight }: Facts): string {
  if (preflight === "answered")
    return "nothing to mend: the browser got its yes, and sends the page's own request with its credentials next";
  if (preflight !== undefined)
    return "name the page's origin, exactly as it was sent, under `cors.origins` of the integration that grants the operation (docs/cors.md); if it is there, the path or the method is another than the operation's";
  if (proxy === undefined)
    return "the caller sends a token with its proof (sallyport call and sallyport proxy do), or shows its client certificate to the gateway itself";
  return `a proxy stands in front (it added ${proxy}): where it ends TLS the client's certificate ends too. Let it pass TCP through, or use DPoP and have it pass Authorization and DPoP on (${behindAProxy})`;
}
