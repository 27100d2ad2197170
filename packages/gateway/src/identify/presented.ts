// Promises that a connection which presents the very token it presented before costs neither its reading nor its hash again; every check of a
// presentation (expiry, revocation, proof, binding) still runs. Trusts the comparison of the whole field. Format: none, it never leaves memory.
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { Credentials } from "./credentials.ts";

/** A longer field is read anew each time, so that a crowd of connections cannot make us keep much. */
export const presentedLengthMax = 2_048;

/** What a signature was judged under: another ring, rules or issuer and it is judged again. */
export interface JudgedUnder {
  readonly issuer: string;
  readonly validator: string;
}

export interface Kept extends JudgedUnder {
  readonly field: string;
  readonly scheme: Credentials["scheme"];
  readonly token: string;
  readonly tokenHash: string;
  readonly signed: SignedAccessToken;
  /** Who it last proved, frozen: the next crossing that proves the very same gets this very object. */
  principal: Principal | null;
}

/** The last token of one connection whose signature held. */
export class Presented {
  #kept: Kept | null = null;

  /** What is known of an `Authorization` field; null where it is not the one kept. */
  find(field: string | undefined): Kept | null {
    return this.#kept !== null && this.#kept.field === field ? this.#kept : null;
  }

  keep(kept: Kept): void {
    if (kept.field.length <= presentedLengthMax) this.#kept = kept;
  }
}
