// Promises an effect a hop token of its own, and a read one that at most serves the same caller, subject, actors, issuer, operation, integration
// and audience again: for 5 s, within one snapshot and one hop key. Trusts the stages before it, which judged each crossing by itself.
// Specified in docs/formats/token.md §6.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { HopTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { TokenCache } from "../identify/token-cache.ts";

/** A read's token serves other crossings at most this long, and never beyond half its life. */
export const sharedMsMax = 5_000;
export const sharedTokensMax = 8_192;
const lifetimeSecondsMax = 60;
const tokenIdBytes = 16;

export interface HopTokenWanted {
  /** Everything the token says but its times and its id. */
  readonly identity: Omit<HopTokenClaims, "iat" | "exp" | "jti">;
  readonly crossing: string;
  readonly effect: boolean;
  /** Milliseconds, as the snapshot has it; from 1 to 60 s are given. */
  readonly lifetimeMs: number;
}

/** Nothing outlives what it was decided under: another snapshot or another key is another lot of tokens. */
export interface HopTokenGround {
  readonly snapshot: object;
  readonly signer: TokenSigner;
}

interface Shared {
  readonly token: string;
  readonly madeAtMs: number;
  readonly madeMonotonicMs: number;
  readonly sharedMs: number;
}

export interface HopTokens {
  tokenFor(wanted: HopTokenWanted, on: HopTokenGround): string;
}

/** The key of a shared token. Injective: each text stands behind its length, whatever characters it holds, and a missing one has none. */
export function sharedKey({ iss, aud, sub, op, int, subject, act, idp }: HopTokenWanted["identity"]): string {
  const own = `${iss.length}:${iss}${aud.length}:${aud}${sub.length}:${sub}${op.length}:${op}${int.length}:${int}`;
  const user = subject === undefined ? "-" : `${subject.length}:${subject}`;
  const from = idp === undefined ? "-" : `${idp.length}:${idp}`;
  return `${own}${user}${from}${act === undefined ? "" : JSON.stringify(act)}`;
}

export function createHopTokens(ports: { readonly clock: Clock; readonly random: Random }): HopTokens {
  const { clock, random } = ports;
  const shared = new TokenCache<Shared>(sharedTokensMax);
  let ground: HopTokenGround | null = null;

  const make = (wanted: HopTokenWanted, signer: TokenSigner, made: { nowMs: number; jti: string }) => {
    const iat = Math.floor(made.nowMs / 1000);
    const lifetimeS = Math.max(1, Math.min(lifetimeSecondsMax, Math.floor(wanted.lifetimeMs / 1000)));
    const token = signHopToken({ ...wanted.identity, iat, exp: iat + lifetimeS, jti: made.jti }, signer);
    return { token, sharedMs: Math.min(sharedMsMax, lifetimeS * 500) };
  };

  return {
    tokenFor(wanted, on) {
      const nowMs = clock.now();
      if (wanted.effect) return make(wanted, on.signer, { nowMs, jti: wanted.crossing }).token;
      if (ground?.snapshot !== on.snapshot || ground.signer !== on.signer) {
        shared.clear();
        ground = { snapshot: on.snapshot, signer: on.signer };
      }
      const key = sharedKey(wanted.identity);
      const monotonicMs = clock.monotonic();
      const known = shared.find(key);
      if (known !== undefined && isFresh(known, nowMs, monotonicMs)) return known.token;
      const jti = Buffer.from(random.bytes(tokenIdBytes)).toString("base64url");
      const { token, sharedMs } = make(wanted, on.signer, { nowMs, jti });
      shared.put(key, { token, madeAtMs: nowMs, madeMonotonicMs: monotonicMs, sharedMs });
      return token;
    },
  };
}

/** On both clocks: one may be set, the other may stand still while the machine sleeps. */
function isFresh(one: Shared, nowMs: number, monotonicMs: number): boolean {
  const age = nowMs - one.madeAtMs;
  return age >= 0 && age < one.sharedMs && monotonicMs - one.madeMonotonicMs < one.sharedMs;
}
