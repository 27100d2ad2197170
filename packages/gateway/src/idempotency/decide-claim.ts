// Promises what becomes of a request whose key is known already: at most one effect for each key, whatever was lost on the way. Pure.
// Trusts the row it is given to be the newest. Specified in docs/idempotency.md "States".

/** `in-flight`: one crossing works on it. `unknown`: nobody can say whether the provider acted. `unkept`: it answered, and the answer is not here. */
export type KeyState = "in-flight" | "answered" | "unkept" | "unknown";

export interface KnownKey {
  readonly state: KeyState;
  /** Keyed hash of what was asked under this key. */
  readonly payload: Uint8Array;
  /** The crossing that has, or had, the effect. */
  readonly crossing: string;
  /** Milliseconds since the epoch: until then its crossing is taken to be alive. */
  readonly leaseUntil: number;
  readonly expiresAt: number;
}

export interface AskedAgain {
  readonly payload: Uint8Array;
  readonly now: number;
  /** The provider itself has one effect per key, so asking it again is safe. */
  readonly providerHonours: boolean;
}

export type ClaimDecision =
  /** As if nobody had asked before. */
  | "take"
  /** Asked again of a provider that honours the key: what came of the time before is not known. */
  | "take-again"
  | "reused"
  | "in-flight"
  | "replay"
  | "not-kept"
  | "unknown";

/** Decides over the row of a key. */
export function decideClaim(known: KnownKey, asked: AskedAgain): ClaimDecision {
  if (known.expiresAt <= asked.now) return "take";
  if (!isEqual(known.payload, asked.payload)) return "reused";
  switch (known.state) {
    case "answered":
      return "replay";
    case "unkept":
      return "not-kept";
    case "in-flight":
      if (known.leaseUntil > asked.now) return "in-flight";
      return asked.providerHonours ? "take-again" : "unknown";
    case "unknown":
      return asked.providerHonours ? "take-again" : "unknown";
  }
}

/** Both are keyed hashes, which nobody outside can choose: when this ends says nothing. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
