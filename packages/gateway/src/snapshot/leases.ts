// Promises that a crossing keeps the snapshot it began under to its end, and that the pools of a snapshot go with the last crossing under it.
// Trusts its callers to give back what they took. Specified in docs/gateway.md "Snapshots and staleness".
import type { EstateLease } from "../exchange.ts";

export class Leases {
  /** Of the snapshot in force; null: there is none. */
  current: EstateLease | null = null;
  readonly #retired = new Set<EstateLease>();

  /** Puts a snapshot in force. */
  begin(lease: EstateLease): void {
    this.retire();
    this.current = lease;
  }

  /** None is in force any more. */
  retire(): void {
    const old = this.current;
    this.current = null;
    if (old === null) return;
    if (old.users === 0) old.pools.release();
    else this.#retired.add(old);
  }

  take(): EstateLease | null {
    if (this.current !== null) this.current.users++;
    return this.current;
  }

  giveBack(lease: EstateLease): void {
    lease.users--;
    if (lease.users === 0 && this.#retired.delete(lease)) lease.pools.release();
  }
}
