// Promises the words of the revocation bench in one place: what is revoked, and what the processes tell one another. Trusts nothing; holds no code.
// Specified in RESULTS.md.

/** Everything a token can be revoked by. */
export const revokedBy = ["jti", "grant", "session", "subject", "client", "kid"] as const;
export type RevokedBy = (typeof revokedBy)[number];

export interface SubscribersState {
  readonly subscribers: number;
  /** Connections lost, gaps seen, acknowledgements that did not arrive. */
  readonly faults: number;
  /** What the last of them holds. */
  readonly keySeq: number;
  readonly revocationSeq: number;
}
