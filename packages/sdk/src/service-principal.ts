// Promises a service one description of who calls, however the call came. Trusts the verifiers, which make it. Words: docs/glossary.md.
import type { Actor } from "@sallyport/protocol/principal.ts";
import type { AccessTokenClaims, HopTokenClaims } from "@sallyport/protocol/token/claims.ts";

export interface ServicePrincipal {
  /** The calling system through a gateway; its client id where it called directly. */
  readonly caller: string;
  /** The user the caller acts for. */
  readonly subject?: string;
  readonly act?: Actor;
  /** `<system>:<operation>` the gateway authorised: compare it with what you are about to do. `null` for a direct call. */
  readonly operation: string | null;
  readonly integration: string | null;
  /** Scopes of a direct call's token; `null` where it carries none, and through a gateway, which has judged them. */
  readonly scopes: readonly string[] | null;
  readonly via: "gateway" | "direct";
  /** Of an effect the crossing's id; of a direct call the token's. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

export function principalOfHop(claims: HopTokenClaims): ServicePrincipal {
  const { sub, subject, act, op, int, jti, exp } = claims;
  return {
    caller: sub,
    ...(subject === undefined ? {} : { subject }),
    ...(act === undefined ? {} : { act }),
    operation: op,
    integration: int,
    scopes: null,
    via: "gateway",
    id: jti,
    expiresAtMs: exp * 1000,
  };
}

export function principalOfAccess(claims: AccessTokenClaims): ServicePrincipal {
  const { sub, client_id: client, act, scope, jti, exp } = claims;
  return {
    caller: client,
    ...(sub === client ? {} : { subject: sub }),
    ...(act === undefined ? {} : { act }),
    operation: null,
    integration: null,
    scopes: scope === undefined ? null : scope.split(" "),
    via: "direct",
    id: jti,
    expiresAtMs: exp * 1000,
  };
}
