// Promises one tally for a node, whichever of its workers saw what: windows are told once they are over and settled in all of them, after every record of
// them is durable. Trusts the workers' counts. Specified in docs/formats/leaf.md "Tallies" and docs/workers.md.
import type { TallyFields } from "@sallyport/protocol/audit/leaf.ts";
import { tallyWindowMs } from "@sallyport/protocol/audit/tally.ts";
import { idleWindows, type TalliedCounts } from "../record/tallies.ts";

export interface KeeperPorts {
  /** Milliseconds since the epoch. */
  now(): number;
  /** What each worker has settled. */
  settled(): Promise<readonly { readonly due: number; readonly isWorth: boolean }[]>;
  /** What each worker counted before window `to`; every record of that is durable. */
  take(to: number): Promise<readonly TalliedCounts[]>;
  /** Rejects when it could not be appended. */
  append(fields: TallyFields): Promise<unknown>;
}

const noCounts: TalliedCounts = { seen: 0, crossings: 0, intents: 0, counted: 0, refused: 0, unread: 0 };

export class TallyKeeper {
  readonly #ports: KeeperPorts;
  /** First window that no durable tally covers. */
  #from: number;
  /** Taken from workers and not told yet. */
  #untold: TalliedCounts = noCounts;
  #writing: Promise<void> | null = null;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
    this.#from = Math.floor(ports.now() / tallyWindowMs);
  }

  sweep(): void {
    // A worker that ends meanwhile ends the node: its windows are those of a crash.
    this.#writing ??= this.#close()
      .catch(() => undefined)
      .finally(() => {
        this.#writing = null;
      });
  }

  /** Says all that was counted. */
  async stop(): Promise<void> {
    await this.#writing;
    const settled = await this.#ports.settled();
    const to =
      Math.max(this.#from, ...settled.map(({ due }) => due), Math.floor(this.#ports.now() / tallyWindowMs)) + 1;
    await this.#write(to, "stop");
  }

  async #close(): Promise<void> {
    const settled = await this.#ports.settled();
    const due = Math.min(...settled.map((one) => one.due));
    if (due <= this.#from) return;
    const isWorth = settled.some((one) => one.isWorth) || this.#untold !== noCounts;
    if (isWorth || due - this.#from >= idleWindows) await this.#write(due, "time");
  }

  async #write(to: number, closed: TallyFields["closed"]): Promise<void> {
    this.#untold = (await this.#ports.take(to)).reduce(sumOf, this.#untold);
    const { unread, ...counts } = this.#untold;
    await this.#ports.append({ from: this.#from * tallyWindowMs, to: to * tallyWindowMs, ...counts, unread, closed });
    this.#untold = noCounts;
    this.#from = to;
  }
}

function sumOf(a: TalliedCounts, b: TalliedCounts): TalliedCounts {
  return {
    seen: a.seen + b.seen,
    crossings: a.crossings + b.crossings,
    intents: a.intents + b.intents,
    counted: a.counted + b.counted,
    refused: a.refused + b.refused,
    unread: a.unread + b.unread,
  };
}
