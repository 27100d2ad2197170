// Promises by what a crossing that goes on can be revoked, and when time alone may end it. Pure. Trusts the exchange. Specified in docs/streams.md.
import { clockSkewMs, revocablesOf } from "@sallyport/protocol/token/access-token.ts";
import type { Exchange } from "../exchange.ts";

/** Asked at least so often, whatever happens: policies may read the age of a log-in, a risk, a time. */
export const askEveryMs = 30_000;
/** After an end that did not end it: a clock of somebody else is allowed to differ. */
const againMs = 1_000;
/** Under it are those that pass without a grant. */
export const ungrantedKey = "ungranted";

type Standing = Pick<Exchange, "signedToken" | "principal" | "caller" | "grant" | "lease" | "operation" | "system">;

/** `<kind>\n<value>` of every revocation that concerns it. */
export function revocableKeys({ signedToken, principal, caller, grant }: Standing): string[] {
  const keys = [grant === null ? ungrantedKey : `integration\n${grant.integration.id}`];
  if (signedToken === null) {
    // An API key is ended by the name that stands for it among tokens.
    if (principal?.tokenId !== undefined) keys.push(`jti\n${principal.tokenId}`);
    return keys;
  }
  if (signedToken.kind === "signed") {
    for (const { kind, value } of revocablesOf(signedToken.claims, signedToken.kid)) keys.push(`${kind}\n${value}`);
    return keys;
  }
  const { tokenId, subject } = signedToken.signed;
  keys.push(`jti\n${tokenId}`, `subject\n${subject}`);
  for (const client of caller?.object.clients ?? []) keys.push(`client\n${client}`);
  return keys;
}

/** Milliseconds since the epoch at which it has to be asked about. */
export function nextAskMs({ signedToken, principal, grant, lease, system }: Standing, nowMs: number): number {
  const authTimeMs = (principal?.authTime ?? 0) * 1_000;
  const ends = [
    principal === null ? 0 : principal.expiresAtMs + (signedToken === null ? 0 : clockSkewMs),
    grant?.integration.expiresAtMs ?? 0,
    grant?.observeUntilMs ?? 0,
    system?.observeUntilMs ?? 0,
    system?.undeclared?.untilMs ?? 0,
    grant?.stepUp?.maxAgeSeconds === undefined ? 0 : authTimeMs + grant.stepUp.maxAgeSeconds * 1_000 + clockSkewMs,
    lease?.estate.manifest.expiresAt ?? 0,
  ];
  let next = nowMs + askEveryMs;
  // An end that has passed and was borne: looked at again soon.
  for (const end of ends) if (end > 0) next = Math.min(next, end > nowMs ? end : nowMs + againMs);
  return next;
}

/** Milliseconds without a word from control that it bears. */
export function staleAfterMs({ lease, operation }: Standing): number {
  if (lease === null || operation === null || operation.object.offline === "until-expiry")
    return Number.POSITIVE_INFINITY;
  return lease.estate.object.stalenessMs[operation.object.classification];
}
