// Promises that two crossings share a token for their provider only when everything that token could depend on is the same. Pure. Trusts identify and bind.
// Specified in docs/identity/next-hop.md "At a gateway".
import type { NextHopObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import type { Exchange } from "../exchange.ts";
import { hashToken } from "../identify/token-cache.ts";
import { revocableKeys } from "../streams/stream-times.ts";
import type { NextHopWanted } from "./next-hop-tokens.ts";

/** Null: the crossing has nothing that a token could be made from. `hopKey`: thumbprint of what it will be bound to. */
export function nextHopWanted(exchange: Exchange, rule: NextHopObject, hopKey: string): NextHopWanted | null {
  const { operation, grant, principal, lease, credentials } = exchange;
  if (operation === null || grant === null || principal === null || lease === null) return null;
  const { system, object } = operation;
  const { integration } = grant;
  const request = { provider: system.id, operation: object.name, integration: integration.id };
  const { tenant, environment, caller } = principal;
  const { issuer } = lease.estate.object;
  const target = [issuer, tenant, environment, system.object.audience, object.name, integration.id, rule.rules];
  if (!rule.exchanged) {
    const key = JSON.stringify([...target, rule.scheme, hopKey]);
    return {
      key,
      request: { ...request, token: null },
      caller,
      revocable: [`integration\n${integration.id}`],
      untilMs: Number.POSITIVE_INFINITY,
    };
  }
  if (credentials === null) return null;
  const { client, subject, act, issuer: from, proof, tokenId, session, scopes } = principal;
  const said = [caller, client ?? null, subject ?? null, act ?? null, from ?? null, session ?? null, scopes];
  const bound = [proof.kind, proof.jkt ?? null, proof.x5t ?? null, tokenId ?? null, hashToken(credentials.token)];
  return {
    key: JSON.stringify([...target, rule.scheme, hopKey, said, bound]),
    request: { ...request, token: credentials.token },
    caller,
    revocable: revocableKeys(exchange),
    untilMs: principal.expiresAtMs,
  };
}
