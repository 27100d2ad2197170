// Promises how far as many outside witnesses as the estate asks for vouch for control's log, and since when they do not follow it.
// Trusts their keys as named. Specified in docs/witnesses.md "Quorum".
import type { Disk } from "@sallyport/kernel/log/disk.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { cosignedNotes, judgeLog, quorumPolicy } from "@sallyport/kernel/witness/judge-log.ts";

/** How far the outside witnesses vouch for control's log. */
export interface QuorumStanding {
  /** How many of them must have cosigned one checkpoint; 0 where there is none. */
  readonly asked: number;
  /** Leaves of the newest checkpoint of control's log that so many cosigned. */
  readonly leaves: number;
  /** Since when a newer one waits for that; null: the newest has it. Milliseconds since the epoch. */
  readonly behindSince: number | null;
}

export interface QuorumOptions {
  readonly log: { readonly origin: string; readonly verifierKey: string };
  /** Of that log. */
  readonly directory: string;
  readonly disk: Disk;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class Quorum {
  readonly #options: QuorumOptions;
  #standing: QuorumStanding = { asked: 0, leaves: 0, behindSince: null };

  constructor(options: QuorumOptions) {
    this.#options = options;
  }

  get standing(): QuorumStanding {
    return this.#standing;
  }

  /** `size`: leaves of the checkpoint that was just taken to the witnesses; null: it was taken to nobody. */
  judge(witnesses: readonly OutsideWitness[], quorum: number | "all", size: number | null): void {
    const { log, directory, disk, now } = this.#options;
    const asked = witnesses.length === 0 || quorum === "all" ? witnesses.length : quorum;
    const policy =
      asked === 0
        ? null
        : quorumPolicy(
            witnesses.map(({ key }) => key),
            asked,
          );
    const verdict =
      policy === null
        ? null
        : judgeLog(policy, cosignedNotes(disk, directory), { verifierKey: log.verifierKey, now: now() });
    const leaves = verdict?.kind === "ok" && verdict.checkpoint.origin === log.origin ? verdict.checkpoint.size : 0;
    const { behindSince } = this.#standing;
    const isBehind = asked > 0 && (size === null ? behindSince !== null : leaves < size);
    this.#standing = { asked, leaves, behindSince: isBehind ? (behindSince ?? now()) : null };
  }
}
