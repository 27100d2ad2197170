// Promises what an access token of this issuer is worth now: signed by its ring, in its time, revoked by nothing and granted by something.
// Trusts the shared verifier, the revocation rows and the directory. The binding is judged by who is shown the token, not here. docs/identity/introspection.md.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { isGatewayClient } from "@sallyport/protocol/channel/next-hop.ts";
import { checkTimes, readAccessToken, revocablesOf } from "@sallyport/protocol/token/access-token.ts";
import { clientLineagePrefix } from "@sallyport/protocol/token/claim-types.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { userLifetimeSecondsMax } from "../decide-issuance.ts";
import { systemOfResource } from "../decide-target.ts";
import type { Directory } from "../directory.ts";
import type { RingView } from "../issuer.ts";
import { legacyJudge, ringKeys } from "../ring-keys.ts";
import type { RevokedBy, TokensCommands } from "./store.ts";

export interface JudgePorts {
  readonly tenant: string;
  readonly environment: string;
  readonly issuer: string;
  readonly ring: () => RingView;
  readonly directory: () => Directory;
  readonly store: Pick<Store<TokensCommands>, "run">;
  readonly crypto: TokenCrypto;
  readonly clock: Clock;
  /** The token a presented text stands for; null: a handle that leads nowhere. */
  readonly read: (text: string) => Promise<string | null>;
}

export type TokenState =
  /** Not a token that a key of this ring has signed; `why` is the verifier's code. */
  | { readonly kind: "foreign"; readonly why: string }
  | {
      readonly kind: "ours";
      readonly claims: AccessTokenClaims;
      readonly kid: string;
      /** Null: in its time. */
      readonly outside: "token-expired" | "token-not-yet-valid" | null;
      readonly revoked: RevokedBy | null;
      /** The client is declared, and an active integration lets its system call the audience. */
      readonly granted: boolean;
    };

/** Rejects only when the store fails: then nobody may take the token for active. */
export async function judgeToken(text: string, ports: JudgePorts): Promise<TokenState> {
  const token = await ports.read(text);
  if (token === null) return { kind: "foreign", why: "token-unknown" };
  const { issuer, tenant, environment, clock, store } = ports;
  const keys = ringKeys(ports.ring(), ports.crypto);
  const legacy = legacyJudge(ports);
  const signed = readAccessToken(token, {
    issuer,
    keys,
    legacy: legacy.keys,
    lifetimeSecondsMax: userLifetimeSecondsMax,
  });
  if (signed.kind === "deny") return { kind: "foreign", why: signed.code };
  const { claims, kid } = signed;
  const now = clock.now();
  // As gateways judge it: by what this audience's tokens are signed with.
  if ((signed.legacy ?? null) !== legacy.algorithmOf(claims.aud, now))
    return { kind: "foreign", why: "token-algorithm" };
  // Without skew: a server that says "active" does so by its own clock.
  const times = checkTimes(claims, now, 0);
  const issuedAt = claims.iat * 1000;
  const revoked = await store.run("findTokenRevocation", {
    tenant,
    environment,
    of: revocablesOf(claims, kid),
    issuedAt,
  });
  return {
    kind: "ours",
    claims,
    kid,
    outside: times === null ? null : times.code === "token-expired" ? "token-expired" : "token-not-yet-valid",
    revoked,
    granted: isGranted(claims, ports.directory(), { issuer, now }),
  };
}

/** True when a resource may act on it, its binding being proven. */
export function isActive(state: TokenState): state is Extract<TokenState, { kind: "ours" }> {
  return state.kind === "ours" && state.outside === null && state.revoked === null && state.granted;
}

/** Of a token that a gateway asked for, whoever's token it was made from: who asked has no integration of its own. */
function grantedClient({ client_id: client, gid = [] }: AccessTokenClaims): string {
  if (!isGatewayClient(client)) return client;
  return gid.findLast((id) => id.startsWith(clientLineagePrefix))?.slice(clientLineagePrefix.length) ?? client;
}

function isGranted(
  claims: AccessTokenClaims,
  directory: Directory,
  at: { readonly issuer: string; readonly now: number },
): boolean {
  const client = directory.clients.get(grantedClient(claims));
  const provider = systemOfResource(at.issuer, claims.aud);
  if (client === undefined || provider === null) return false;
  return directory
    .grants(client.system, provider)
    .some(({ expiresAtMs }) => (expiresAtMs ?? Number.POSITIVE_INFINITY) > at.now);
}
