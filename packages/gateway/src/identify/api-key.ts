// Promises which system an API key stands for: found by its digest, in its time, not revoked, and for its integrations alone. Trusts the snapshot and the
// revocations; no character of a key's secret leaves this file. Specified in docs/identity/api-keys.md.
import type { Principal } from "@sallyport/protocol/principal.ts";
import { apiKeyIdOf, apiKeyPrefix, apiKeyTokenId, shownApiKey } from "@sallyport/protocol/token/api-key.ts";
import { compared, type Deny, deny, instant } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { ApiKeys, KnownApiKey } from "../snapshot/api-keys.ts";
import type { Case, Proven } from "./identify.ts";
import { hashToken } from "./token-cache.ts";

/** Presented in `Authorization: ApiKey`, or in a field of the estate. A certificate beside it is the caller's to judge. */
export function proveByApiKey(on: Case, text: string): Proven | Deny {
  const { apiKeys } = on.estate;
  const sent = shownApiKey(text);
  const no = (why: string): Deny =>
    deny("identify", "api-key-unknown", { why, ...compared("an API key that was made here and has not ended", sent) });
  if (apiKeys === null) return no("no system of this environment has API keys");
  if (apiKeyIdOf(text) === null) return no("it is not spelled as a key is: its checksum does not fit");
  const known = apiKeys.byDigest.get(hashToken(text));
  if (known === undefined) return no("it was never made here, or it was ended");
  return provenBy(on, known);
}

/** The one of a field of the estate; null: none is sent, or what is sent is no key of ours and a certificate came as well. */
export function findApiKey({ exchange, peer }: Case, { headers }: ApiKeys): string | Deny | null {
  for (const header of headers) {
    const values = exchange.request?.headers[header];
    if (values === undefined) continue;
    const [value = ""] = values;
    if (peer !== null && !value.startsWith(apiKeyPrefix)) continue;
    if (values.length > 1)
      return deny("identify", "credentials-malformed", { why: `the field ${header} occurs more than once` });
    return value;
  }
  return null;
}

/** A proxy that only asks sends the request on by itself, whatever else proves the caller: one that can be told takes our keys out, from any other they would leak. */
export function keepKeysHere(exchange: Exchange, { headers }: ApiKeys): Deny | null {
  if (exchange.asked === null || exchange.asked === "services") return null;
  for (const header of headers) {
    const isKey = exchange.request?.headers[header]?.some((value) => value.includes(apiKeyPrefix)) === true;
    const refusal = isKey ? keepHere(exchange, header) : null;
    if (refusal !== null) return refusal;
  }
  return null;
}

function keepHere(exchange: Exchange, header: string): Deny | null {
  if (exchange.toRemove === null)
    return deny("identify", "api-key-unknown", {
      why: `a proxy asks, and would send the field ${header} on to the provider`,
      ...compared("the key in Authorization, which the proxy drops", `a key in ${header}`),
    });
  exchange.toRemove = [...exchange.toRemove, header];
  return null;
}

/** Of a stream that goes on: is the key still what it was? */
export function keyStill(on: Case, principal: Principal): Proven | Deny {
  const { keyid = "" } = principal.proof;
  const known = on.estate.apiKeys?.byId.get(keyid);
  if (known !== undefined) return provenBy(on, known);
  // It opened this stream, so it was known: a snapshot leaves out what was ended, and may come before the word of it.
  const isEnded = on.ports.revocations.isRevoked("jti", apiKeyTokenId(keyid), 0);
  return deny("identify", "api-key-ended", {
    why: isEnded
      ? `key ${keyid} of ${principal.caller} was ended`
      : `key ${keyid} of ${principal.caller} was ended, or the estate has it count no more`,
  });
}

function provenBy({ exchange, ports }: Case, { object, system }: KnownApiKey): Proven | Deny {
  const { id, notAfterMs, integrations } = object;
  const tokenId = apiKeyTokenId(id);
  exchange.signedTokenId = tokenId;
  const now = ports.now();
  if (now >= notAfterMs)
    return deny("identify", "api-key-ended", {
      why: `key ${id} of ${system.id} has ended`,
      ...compared(`a key that is good at ${instant(now)}`, `key ${id}, good until ${instant(notAfterMs)}`),
    });
  if (ports.revocations.isRevoked("jti", tokenId, 0))
    return deny("identify", "api-key-ended", { why: `key ${id} of ${system.id} was ended` });
  const principal: Principal = {
    tenant: ports.tenant,
    environment: ports.environment,
    caller: system.id,
    proof: { kind: "api-key", keyid: id },
    scopes: null,
    integrations,
    tokenId,
    expiresAtMs: notAfterMs,
  };
  return { principal, system, issuedAtMs: null };
}
