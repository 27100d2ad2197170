// Promises the words of one question: which access token may a gateway show a provider for this crossing? Trusts the mTLS connection they travel on.
// Specified in docs/formats/join.md and docs/identity/next-hop.md.

export const nextHopPath = "/channel/v1/next-hop-tokens";
/** What a provider is shown: a token of ours, or one of its own authorization server. */
export const nextHopTokenBytesMax = 8_192;

/** POST to `nextHopPath`: what the caller presented goes to control and nowhere else, which verifies it by itself. */
export interface NextHopRequest {
  /** Ids of the snapshot. */
  readonly provider: string;
  readonly operation: string;
  readonly integration: string;
  /** The caller's access token as it was presented; null: the rule needs none. */
  readonly token: string | null;
}

export interface NextHopToken {
  readonly kind: "token";
  readonly token: string;
  /** `DPoP`: bound to the hop key of the node that asked. */
  readonly scheme: NextHopScheme;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Its `jti`, or the hash of a token that says nothing to us: what records name it by. */
  readonly id: string;
}

export type NextHopScheme = "DPoP" | "Bearer";

/** `refused`: the same question gets the same answer. `unavailable`: it may be asked again. */
export type NextHopAnswer =
  | NextHopToken
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "unavailable"; readonly code: string };

/** Client id of the gateways of a group where a token names who asked for it: no client of a configuration can have it. */
export const gatewayClient = (group: string): string => `gateway:${group}`;

export const isGatewayClient = (client: string): boolean => client.startsWith("gateway:");
