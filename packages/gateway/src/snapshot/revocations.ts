// Promises that what was revoked stays revoked here: ranges of the sequence are taken without a gap, a gap is named and asked for again, and an entry is
// only forgotten after the last token it could concern has ended. Trusts the channel for order and content. Specified in docs/formats/join.md.
import type { Revocation, RevocationKind } from "@sallyport/protocol/channel/messages.ts";
import type { TokenRevocationKind } from "@sallyport/protocol/token/access-token.ts";

/** Entries held at once; more than this and the gateway must not pretend to know them all. */
export const revocationsMax = 200_000;

export interface RevocationState {
  readonly seq: number;
  readonly entries: readonly Revocation[];
}

export type Taken = "taken" | "gap" | "full" | "unknown-kind";

/** An id that was revoked once never comes back, so no time is compared. */
const byIdAlone: ReadonlySet<RevocationKind> = new Set(["jti", "grant", "session"]);

export class Revocations {
  #seq = 0;
  readonly #byKind: Record<RevocationKind, Map<string, Revocation>> = {
    jti: new Map(),
    client: new Map(),
    integration: new Map(),
    kid: new Map(),
    node: new Map(),
    grant: new Map(),
    session: new Map(),
    subject: new Map(),
  };
  #size = 0;

  /** Takes over what was stored; only before anything was taken. */
  restore(state: RevocationState): void {
    this.#seq = state.seq;
    for (const entry of state.entries) this.#put(entry);
  }

  get seq(): number {
    return this.#seq;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes what is in force of `from` … `through`; entries already held are skipped, sequences that are not listed have ended. */
  take(
    range: { readonly from: number; readonly through: number },
    entries: readonly Revocation[],
    nowMs: number,
  ): Taken {
    if (range.from > this.#seq + 1) return "gap";
    this.#forget(nowMs);
    let last = this.#seq;
    for (const entry of entries) {
      if (entry.seq <= this.#seq) continue;
      if (entry.seq <= last || entry.seq > range.through) return "gap";
      // Written by a newer control: what it ends is not known here, so this gateway must not go on as if it were.
      if (!Object.hasOwn(this.#byKind, entry.kind)) return "unknown-kind";
      if (this.#size >= revocationsMax) return "full";
      this.#put(entry);
      last = entry.seq;
    }
    // Only once all of them are held: after `full` the same range is asked for again.
    this.#seq = Math.max(this.#seq, range.through);
    return "taken";
  }

  /** Was a token of this id, client, key, grant, session or subject, issued at `issuedAtMs`, revoked? */
  isRevoked(kind: TokenRevocationKind, value: string, issuedAtMs: number): boolean {
    if (this.#size === 0) return false;
    return byIdAlone.has(kind) ? this.#byKind[kind].has(value) : this.#covers(kind, value, issuedAtMs);
  }

  /** Was the integration cut off after this moment (a token's `iat`, or the snapshot's issue time where there is no token)? */
  revokesIntegration(integration: string, issuedAtMs: number): boolean {
    return this.#size > 0 && this.#covers("integration", integration, issuedAtMs);
  }

  state(): RevocationState {
    return { seq: this.#seq, entries: Object.values(this.#byKind).flatMap((map) => [...map.values()]) };
  }

  #covers(kind: RevocationKind, value: string, issuedAtMs: number): boolean {
    const entry = this.#byKind[kind].get(value);
    return entry !== undefined && issuedAtMs <= entry.notBefore;
  }

  #put(entry: Revocation): void {
    const map = this.#byKind[entry.kind];
    const earlier = map.get(entry.value);
    if (earlier === undefined) this.#size++;
    // A second entry for the same thing can only reach further.
    const reach =
      earlier === undefined
        ? entry
        : {
            ...entry,
            notBefore: Math.max(entry.notBefore, earlier.notBefore),
            until: Math.max(entry.until, earlier.until),
          };
    map.set(entry.value, reach);
  }

  #forget(nowMs: number): void {
    for (const map of Object.values(this.#byKind)) {
      for (const [value, entry] of map) {
        if (entry.until >= nowMs) continue;
        map.delete(value);
        this.#size--;
      }
    }
  }
}
