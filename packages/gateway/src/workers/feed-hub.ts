// Promises every worker each message of control in order, and control one voice: it hears that something holds once it holds in every worker. Trusts the
// feed, and the workers to acknowledge what they have applied. Specified in docs/workers.md and docs/formats/join.md.
import type { DownMessage, SnapshotFeed, UpMessage } from "@sallyport/protocol/channel/messages.ts";

type Ack = Extract<UpMessage, { t: "ack" }>;

export interface HubPorts {
  readonly workers: number;
  readonly feed: SnapshotFeed;
  /** Gives a message to every worker. */
  deliver(message: DownMessage): void;
  /** Answers a question of control for the node; null: it is the workers' to take. */
  answer(message: DownMessage, send: (message: UpMessage) => void): boolean;
  undelivered(message: UpMessage, cause: unknown): void;
}

export class FeedHub {
  readonly #ports: HubPorts;
  readonly #open = new Set<number>();
  readonly #acks = new Map<number, Ack>();
  /** Workers that have acknowledged something since control was told last. */
  readonly #fresh = new Set<number>();
  #channel: ReturnType<SnapshotFeed["open"]> | null = null;
  #changing: Promise<void> = Promise.resolve();
  #refused = "";

  constructor(ports: HubPorts) {
    this.#ports = ports;
  }

  /** A worker takes messages from now on; with the last of them the feed opens, or opens anew: from the least that any of them holds. */
  open(worker: number): void {
    this.#open.add(worker);
    if (this.#open.size < this.#ports.workers) return;
    this.#changing = this.#changing.then(async () => {
      await this.#channel?.close();
      if (this.#open.size === this.#ports.workers)
        this.#channel = this.#ports.feed.open((message) => this.#take(message));
    });
  }

  close(worker: number): void {
    this.#open.delete(worker);
  }

  async closed(): Promise<void> {
    this.#open.clear();
    await this.#changing;
    await this.#channel?.close();
    this.#channel = null;
  }

  async send(worker: number, message: UpMessage): Promise<void> {
    if (message.t === "ack") return this.#acknowledge(worker, message);
    // One key, one proof: the node says it once.
    if (message.t === "hop-key" && worker !== 0) return;
    if (message.t === "refused-snapshot") {
      const said = JSON.stringify(message);
      if (said === this.#refused) return;
      this.#refused = said;
    }
    await this.#channel?.send(message);
  }

  #take(message: DownMessage): void {
    const send = (up: UpMessage): void => {
      this.#channel?.send(up).catch((cause: unknown) => this.#ports.undelivered(up, cause));
    };
    if (message.t === "snapshot") this.#refused = "";
    if (!this.#ports.answer(message, send)) this.#ports.deliver(message);
  }

  async #acknowledge(worker: number, ack: Ack): Promise<void> {
    const before = leastOf([...this.#acks.values()]);
    this.#acks.set(worker, ack);
    this.#fresh.add(worker);
    if (this.#acks.size < this.#ports.workers) return;
    const least = leastOf([...this.#acks.values()]);
    const isNew = JSON.stringify(least) !== JSON.stringify(before);
    if (!isNew && this.#fresh.size < this.#ports.workers) return;
    this.#fresh.clear();
    await this.#channel?.send(least);
  }
}

/** What holds in all. Pure. */
export function leastOf(acks: readonly Ack[]): Ack {
  const [first, ...others] = acks;
  if (first === undefined) return { t: "ack", keySeq: 0, revocationSeq: 0, epoch: 0, version: 0 };
  return others.reduce((least, one) => {
    const isOlder = one.epoch < least.epoch || (one.epoch === least.epoch && one.version < least.version);
    return {
      t: "ack",
      keySeq: Math.min(least.keySeq, one.keySeq),
      revocationSeq: Math.min(least.revocationSeq, one.revocationSeq),
      epoch: isOlder ? one.epoch : least.epoch,
      version: isOlder ? one.version : least.version,
    };
  }, first);
}
