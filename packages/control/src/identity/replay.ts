// Promises that an id is accepted once: the insert itself decides, nobody looks first. Trusts the store behind the port.
// Ids arrive as fixed-size keyed digests, so no text chosen by a caller is stored. Rules: RFC 7523 §3, RFC 9449 §11.1, DESIGN §7.6.
import { createHash } from "node:crypto";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { IdentityCommands } from "./store.ts";

/** `assertion`: client assertions of an issuer; `dpop`: proofs at a token endpoint; `operator`: both, for the admin listener. */
export type ReplayDomain = "assertion" | "dpop" | "operator";

/** The id of an assertion, not claimed yet. */
export interface AssertionClaim {
  /** Of `replayKey`. */
  readonly key: string;
  /** Milliseconds since the epoch until which it could be presented again. */
  readonly until: number;
  readonly issuedAt: number | null;
}

/** An assertion that authenticated a client and whose id is claimed together with what else its request uses up. Whoever takes it claims it. */
export class PendingAssertion {
  #claim: AssertionClaim | null;

  constructor(claim: AssertionClaim) {
    this.#claim = claim;
  }

  /** The claim, to the first who asks; null to all others. */
  take(): AssertionClaim | null {
    const claim = this.#claim;
    this.#claim = null;
    return claim;
  }
}

export interface ReplayGuard {
  /**
   * True for exactly one caller per (domain, key) until `until` (milliseconds since the epoch), however many ask at once.
   * Rejects when the store fails: the caller then refuses.
   */
  claim(domain: ReplayDomain, key: string, until: number): Promise<boolean>;
  /**
   * The same for an assertion, which no nonce of ours binds to this run: one from before a restore may have been used after the backup,
   * where its id is not known any more, so it counts as used.
   */
  claimAssertion(
    domain: ReplayDomain,
    key: string,
    life: { readonly until: number; readonly issuedAt: number | null },
  ): Promise<boolean>;
  /**
   * Both ids of a token request in one transaction: a client assertion of an issuer, then the proof sent with it. A proof is not used up by a request
   * whose assertion was used before; an assertion is, whatever its proof.
   */
  claimWithProof(
    assertion: AssertionClaim,
    proof: { readonly key: string; readonly until: number },
  ): Promise<"fresh" | "assertion-replayed" | "proof-replayed">;
}

/** SHA-256 over length-prefixed parts, so that ("ab","c") and ("a","bc") differ: without it one client could burn another's id. */
export function replayKey(...parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest("base64url");
}

/** The guard over the control store: durable and shared by all control nodes. */
export function createReplayGuard(store: Pick<Store<IdentityCommands>, "run">): ReplayGuard {
  return {
    claim: (domain, digest, until) => store.run("claimReplayId", { domain, digest, until }),
    claimAssertion: (domain, digest, life) => store.run("claimReplayId", { domain, digest, ...life }),
    claimWithProof: ({ key, ...life }, proof) =>
      store.run("claimTokenRequest", {
        assertion: { domain: "assertion", digest: key, ...life },
        proof: { domain: "dpop", digest: proof.key, until: proof.until },
      }),
  };
}
