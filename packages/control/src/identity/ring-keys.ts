// Promises the public keys of a ring in the shape the shared verifiers take. Trusts the ring. Specified in docs/formats/token.md §2.
import { importLegacyKey } from "@sallyport/kernel/legacy-keys.ts";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { LegacyTokenKeys, TokenCrypto, TokenKeys } from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { legacyAlgorithmFor } from "./decide-target.ts";
import type { Directory } from "./directory.ts";
import type { RingView } from "./issuer.ts";

/** Keys of a ring: next, active and retiring. */
export function ringKeys(ring: Pick<RingView, "keys">, crypto: TokenCrypto): TokenKeys {
  return {
    find: (kid) => {
      const jwk = parsePublicJwk(ring.keys.find((key) => key.kid === kid)?.jwk);
      return jwk === null ? undefined : (crypto.importKey(jwk) ?? undefined);
    },
  };
}

/** Keys for audiences that know only RSA. */
function legacyRingKeys({ legacy }: Pick<RingView, "legacy">): LegacyTokenKeys {
  return {
    find: (kid) => {
      const key = legacy?.keys.find((one) => one.kid === kid);
      return key === undefined ? undefined : (importLegacyKey(key) ?? undefined);
    },
  };
}

export interface LegacyJudge {
  readonly keys: LegacyTokenKeys;
  /** What tokens for an audience are signed with at `now` (milliseconds) where that is RSA. */
  readonly algorithmOf: (audience: string, now: number) => LegacyAlgorithm | null;
}

/** What tokens of RSA are judged by: the ring and the directory of the moment they are. */
export function legacyJudge(ports: {
  readonly issuer: string;
  readonly ring: () => RingView;
  readonly directory: () => Pick<Directory, "legacyAlgorithm">;
}): LegacyJudge {
  const { issuer, ring, directory } = ports;
  return {
    keys: { find: (kid) => legacyRingKeys(ring()).find(kid) },
    algorithmOf: (audience, now) => legacyAlgorithmFor({ issuer, audience }, directory(), now),
  };
}

/** A ring as it is pushed to gateways. */
export function keysMessageOf({ seq, keys, legacy }: RingView): DownMessage {
  const more = legacy === undefined || legacy.keys.length === 0 ? {} : { legacy: legacy.keys };
  return { t: "keys", seq, keys, ...more };
}
