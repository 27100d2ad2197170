// Promises which findings a receiver would not be told of, with its reason, on disk before the place moves past them; and a bound, behind which the notifier
// stops rather than forget. Trusts the disk it is given. Specified in docs/alerts.md "Dead letters".
import { type Disk, readWhole, replaceDurably } from "@sallyport/kernel/log/disk.ts";
import { SinkFault } from "../../audit/export/sink.ts";

/** By then somebody has to look. */
export const deadAlertsMax = 1_000;

export interface DeadAlert {
  /** Id of the finding; what it says, control has. */
  readonly finding: string;
  /** Milliseconds since the epoch: when it was given up. */
  readonly at: number;
  /** In the words of the notifier, which hold nothing a receiver said but its numbers and a short quotation. */
  readonly reason: string;
}

/** The findings one notifier gave up, as they lie on disk. */
export class DeadAlerts {
  readonly #disk: Disk;
  readonly #path: string;
  #held: readonly DeadAlert[] | null = null;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** In the order they were given up. Throws with the fix where the file cannot be read. */
  list(): readonly DeadAlert[] {
    this.#held ??= this.#read();
    return this.#held;
  }

  /** Throws SinkFault where there is no room for them. */
  add(letters: readonly DeadAlert[]): void {
    const given = new Set(letters.map(({ finding }) => finding));
    const all = [...this.list().filter(({ finding }) => !given.has(finding)), ...letters];
    if (all.length > deadAlertsMax)
      throw new SinkFault(
        `the receiver refused ${deadAlertsMax} findings, and no more are put aside: see why, then sallyport alert replay`,
      );
    this.#write(all);
  }

  remove(findings: ReadonlySet<string>): void {
    this.#write(this.list().filter(({ finding }) => !findings.has(finding)));
  }

  #read(): readonly DeadAlert[] {
    const bytes = readWhole(this.#disk, this.#path);
    if (bytes === null) return [];
    try {
      const { v, letters }: { readonly v: number; readonly letters: readonly DeadAlert[] } = JSON.parse(
        bytes.toString(),
      );
      if (v !== 1 || !letters.every(({ finding }) => typeof finding === "string")) throw new Error("another form");
      return letters;
    } catch (cause) {
      throw new Error(
        `${this.#path} does not hold the dead letters of a notifier: put it back from a backup, or remove it and they are told to nobody (sallyport finding list has them)`,
        { cause },
      );
    }
  }

  #write(letters: readonly DeadAlert[]): void {
    replaceDurably(this.#disk, this.#path, Buffer.from(`${JSON.stringify({ v: 1, letters })}\n`));
    this.#held = letters;
  }
}
