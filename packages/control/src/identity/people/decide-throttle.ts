// Promises that guessing is slow and that no stranger locks anybody out: attempts are counted by network and by (account, network), an account as a
// whole only against browsers it has never been used from. Trusts the digests it is given. Pure; described in docs/identity/people.md "Throttling".

/** A bucket refills by one attempt every `everyMs` and holds `burst`. */
export interface ThrottleRule {
  readonly everyMs: number;
  readonly burst: number;
}

export const throttleRules = {
  /** All log-ins of one /24 or /56. */
  source: { everyMs: 2_000, burst: 60 },
  /** One account name from one network, known to exist or not. */
  accountFromSource: { everyMs: 30_000, burst: 10 },
  /** One account name from everywhere, browsers that have been used for it excepted: a spread attack is slow, its owner is not stopped. */
  accountFromStrangers: { everyMs: 10_000, burst: 100 },
  /** One account name from one browser that has been used for it. */
  accountFromDevice: { everyMs: 30_000, burst: 10 },
  /** Second factors of one user: whoever is here knows the password. */
  secondFactor: { everyMs: 60_000, burst: 8 },
  /** User codes of the device flow from one network (RFC 8628 §5.1). */
  userCode: { everyMs: 10_000, burst: 10 },
  /** And by one user, wherever they are. */
  userCodeOfUser: { everyMs: 30_000, burst: 10 },
  /** Devices begun from one network in the name of a public client, which anybody can use. */
  deviceBegin: { everyMs: 1_000, burst: 60 },
} as const satisfies Record<string, ThrottleRule>;

/** A bucket to take from: its key is a digest, so no name a stranger typed is stored. */
export interface ThrottleTake {
  readonly key: string;
  readonly rule: ThrottleRule;
}

export type ThrottleVerdict =
  /** `fullAt`: the time to store for each bucket, in the order given. */
  | { readonly kind: "take"; readonly fullAt: readonly number[] }
  | { readonly kind: "wait"; readonly retryAfterMs: number };

/** Takes from all buckets or from none (generic cell rate algorithm). `stored`: when each would be full again, ms since the epoch; absent: full. */
export function decideThrottle(
  takes: readonly ThrottleTake[],
  stored: ReadonlyMap<string, number>,
  now: number,
): ThrottleVerdict {
  const fullAt: number[] = [];
  let retryAfterMs = 0;
  for (const { key, rule } of takes) {
    const wholeMs = rule.everyMs * rule.burst;
    // A clock set back must not keep anybody out for longer than a whole bucket.
    const before = Math.min(Math.max(stored.get(key) ?? 0, now), now + wholeMs);
    const after = before + rule.everyMs;
    retryAfterMs = Math.max(retryAfterMs, after - wholeMs - now);
    fullAt.push(after);
  }
  return retryAfterMs > 0 ? { kind: "wait", retryAfterMs } : { kind: "take", fullAt };
}

export interface LoginSource {
  /** Of the place and what was typed. */
  readonly account: string;
  /** Of the caller's network. */
  readonly source: string;
  /** Of the device cookie, when it is one this account was used from; null otherwise. */
  readonly device: string | null;
}

/** The buckets of one attempt to log in. */
export function loginTakes({ account, source, device }: LoginSource): readonly ThrottleTake[] {
  const own: readonly ThrottleTake[] =
    device === null
      ? [
          { key: `as:${account}:${source}`, rule: throttleRules.accountFromSource },
          { key: `a:${account}`, rule: throttleRules.accountFromStrangers },
        ]
      : [{ key: `d:${account}:${device}`, rule: throttleRules.accountFromDevice }];
  return [{ key: `s:${source}`, rule: throttleRules.source }, ...own];
}
