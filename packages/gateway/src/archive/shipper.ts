// Promises that control gets this node's log, in order, up to each checkpoint it signed, whenever control can take it; crossings never wait for it, and
// a shipment at a time is all it holds in memory. Trusts control for how far it is. Specified in docs/formats/join.md "Archive".
import { setTimeout as sleep } from "node:timers/promises";
import { encodeEntries, type LogEntry } from "@sallyport/kernel/log/batch.ts";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import { timeOfLeaf } from "@sallyport/kernel/log/leaf-times.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { entryBytes } from "@sallyport/kernel/log/segment.ts";
import type { Random } from "@sallyport/kernel/ports.ts";
import {
  type ArchiveAnswer,
  type ArchiveRefusalCode,
  shipmentBytes,
  shipmentEntriesMax,
  shipmentPath,
} from "@sallyport/protocol/channel/archive.ts";
import type { ShownCheckpoints } from "./shown-checkpoints.ts";

export interface ShipperOptions {
  /** Of this node's log; closed by whoever opened it. */
  readonly records: HeldRecords;
  readonly node: { readonly tenant: string; readonly environment: string; readonly node: string };
  /** To control; rejects while it is away. */
  post(path: string, body: Uint8Array | string): Promise<Uint8Array>;
  /** What else shows checkpoints of this node to control takes turns with this here. */
  readonly shown: ShownCheckpoints;
  readonly random: Random;
  /** Told when something new keeps the log from being shipped. */
  fault(error: unknown): void;
  /** For tests. */
  readonly pauses?: Partial<typeof pausesMs>;
}

/** Between rounds while all is well; the first and the longest wait while control is away; when it is back; after control refused the log. */
const pausesMs = { round: 2_000, first: 1_000, longest: 60_000, back: 1_000, refused: 300_000 };
/** Records read at once. */
const readMax = 512;
/** Control said something else than was due so often: then it is asked again later. */
const restartsMax = 4;
/** What a gateway that stops still ships. */
const lastRoundMs = 3_000;

/** Why a round ended early. */
class ShippingPaused extends Error {
  readonly afterMs: number | null;
  constructor(message: string, afterMs: number | null) {
    super(message);
    this.name = "ShippingPaused";
    this.afterMs = afterMs;
  }
}

/** What was shipped since the start, and what of this log control does not hold. */
export interface ShippingStanding {
  /** Requests with records that control took; their records and bytes. */
  readonly shipments: number;
  readonly records: number;
  readonly bytes: number;
  /** Rounds that ended early: control was away, or took or wanted nothing. */
  readonly failures: number;
  /** Signed records control is not known to hold. Until it has answered once, that is all of them. */
  readonly behind: number;
  /** Milliseconds since the epoch at which the oldest of them was made; null: there is none, or it cannot be read. */
  readonly oldestAt: number | null;
}

export interface Shipper {
  standing(): ShippingStanding;
  /** Control can be reached again: a wait for that is over, but for a jitter that keeps a fleet from coming in one moment. */
  reachable(): void;
  /** Ends the loop; ships once more what is signed now, for at most three seconds. */
  stop(): Promise<void>;
}

/** Ships until stopped. */
export function startShipping(options: ShipperOptions): Shipper {
  const shipping = new Shipping(options);
  return {
    standing: () => shipping.standing(),
    reachable: () => shipping.reachable(),
    stop: () => shipping.stop(),
  };
}

class Shipping {
  readonly #options: ShipperOptions;
  readonly #pauses: typeof pausesMs;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  /** Sizes that control holds under a checkpoint, by origin. */
  readonly #done = new Map<string, number>();
  /** What control said it holds, by origin. */
  readonly #held = new Map<string, number>();
  readonly #shipped = { shipments: 0, records: 0, bytes: 0, failures: 0 };
  #waiting: Pick<ShippingStanding, "behind" | "oldestAt"> = { behind: 0, oldestAt: null };
  #told = "";
  #failures = 0;
  /** Ends a wait for control; null: nothing waits for it. */
  #back: AbortController | null = null;

  constructor(options: ShipperOptions) {
    this.#options = options;
    this.#pauses = { ...pausesMs, ...options.pauses };
    this.#running = this.#run();
  }

  standing(): ShippingStanding {
    return { ...this.#shipped, ...this.#waiting };
  }

  reachable(): void {
    this.#failures = 0;
    this.#back?.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    // Control may be the reason for stopping: then what is left is shipped after the next start.
    await Promise.race([this.#round().catch(() => undefined), sleep(lastRoundMs, undefined, { ref: false })]);
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      let pauseMs: number;
      try {
        await this.#measured(() => this.#round());
        this.#failures = 0;
        this.#told = "";
        pauseMs = this.#pauses.round;
      } catch (error) {
        this.#shipped.failures += 1;
        // What control said itself is kept to, whether it was away or not.
        if (!(error instanceof ShippingPaused)) this.#back = new AbortController();
        pauseMs = this.#pauseAfter(error);
      }
      await this.#pause(pauseMs, this.#back);
      if (this.#back?.signal.aborted === true) await this.#pause(this.#pauses.back);
      this.#back = null;
    }
  }

  #pauseAfter(error: unknown): number {
    const message = error instanceof Error ? error.message : String(error);
    if (message !== this.#told) this.#options.fault(error);
    this.#told = message;
    if (error instanceof ShippingPaused && error.afterMs !== null) return error.afterMs;
    const pauseMs = Math.min(this.#pauses.longest, this.#pauses.first * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    return pauseMs;
  }

  /** With jitter, so that a fleet does not ship in one moment. */
  async #pause(pauseMs: number, ending: AbortController | null = null): Promise<void> {
    const [high = 0, low = 0] = this.#options.random.bytes(2);
    const share = 0.5 + (high * 256 + low) / 65_536;
    const stopping = this.#stopping.signal;
    const signal = ending === null ? stopping : AbortSignal.any([stopping, ending.signal]);
    await sleep(pauseMs * share, undefined, { ref: false, signal }).catch(() => undefined);
  }

  /** Says what waits before a round, which may take long, and behind it, however it ends. */
  async #measured(round: () => Promise<void>): Promise<void> {
    await this.#look();
    try {
      await round();
    } finally {
      // Why it ended is what is said.
      await this.#look().catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    let behind = 0;
    let oldestAt: number | null = null;
    for (const { origin, size } of await this.#own()) {
      const held = this.#held.get(origin) ?? 0;
      if (held >= size) continue;
      behind += size - held;
      oldestAt ??= await this.#timeOf(origin, held);
    }
    this.#waiting = { behind, oldestAt };
  }

  /** Null: it cannot be read, which the round says. */
  async #timeOf(origin: string, index: number): Promise<number | null> {
    const [record] = await this.#options.records.read(origin, index, 1).catch(() => []);
    return record === undefined ? null : timeOfRecord(record);
  }

  /** Everything signed now, oldest origin first. */
  async #round(): Promise<void> {
    for (const { origin, size } of await this.#own()) if (this.#done.get(origin) !== size) await this.#ship(origin);
  }

  async #own(): Promise<readonly HeldOrigin[]> {
    const { records, node } = this.#options;
    return (await records.origins()).filter(
      (origin) => origin.tenant === node.tenant && origin.environment === node.environment && origin.node === node.node,
    );
  }

  async #ship(name: string): Promise<void> {
    for (let restarts = 0; restarts < restartsMax; restarts++) {
      const origin = (await this.#own()).find((own) => own.origin === name);
      if (origin === undefined) return;
      const standing = await this.#present(origin);
      if (standing === null) continue;
      this.#held.set(name, standing.size);
      if (standing.signed >= origin.size) {
        this.#done.set(name, origin.size);
        return;
      }
      const size = await this.#shipFrom(origin, standing.size);
      if (size < origin.size) continue;
      const after = await this.#present(origin);
      if (after === null || after.signed >= origin.size) restarts = -1;
    }
    throw new ShippingPaused("control does not take this log as it says it does; it is asked again", null);
  }

  /** Says what this node signed; control says what it holds. Null when it was shown a newer checkpoint meanwhile. */
  #present({ origin, size, checkpoint, verifierKey }: HeldOrigin) {
    return this.#options.shown.show({ origin, size }, () =>
      this.#ask("/channel/v1/archive", JSON.stringify({ origin, note: checkpoint, key: verifierKey })),
    );
  }

  /** Ships until the end of what is signed, or until control wants something else; resolves with how far control is. */
  async #shipFrom(origin: HeldOrigin, from: number): Promise<number> {
    let next = from;
    let waiting: readonly FoundRecord[] = [];
    while (next < origin.size) {
      if (waiting.length === 0)
        waiting = await this.#options.records.read(origin.origin, next, Math.min(readMax, origin.size - next));
      const shipment = waiting.slice(0, shipmentLength(waiting));
      waiting = waiting.slice(shipment.length);
      const entries = encodeEntries(shipment.map(entryOf));
      const standing = await this.#ask(shipmentPath(origin.origin, next, shipment.length), entries);
      next += shipment.length;
      this.#took(origin, {
        records: shipment.length,
        bytes: entries.length,
        held: standing.size,
        following: waiting[0],
      });
      if (standing.size !== next) return Math.min(standing.size, next - 1);
    }
    return next;
  }

  #took(
    { origin }: HeldOrigin,
    on: {
      readonly records: number;
      readonly bytes: number;
      readonly held: number;
      readonly following?: FoundRecord | undefined;
    },
  ): void {
    this.#shipped.shipments += 1;
    this.#shipped.records += on.records;
    this.#shipped.bytes += on.bytes;
    this.#held.set(origin, on.held);
    const behind = Math.max(0, this.#waiting.behind - on.records);
    // What was read ahead says it; else the next look does.
    const oldestAt = on.following === undefined ? this.#waiting.oldestAt : timeOfRecord(on.following);
    this.#waiting = { behind, oldestAt: behind === 0 ? null : oldestAt };
  }

  async #ask(path: string, body: Uint8Array | string): Promise<{ readonly size: number; readonly signed: number }> {
    const answer = parseAnswer(await this.#options.post(path, body));
    if (answer.t === "held") return answer;
    if (answer.t === "later")
      throw new ShippingPaused(`control takes no records at present (${answer.code})`, answer.afterMs);
    throw new ShippingPaused(
      `control refuses this node's log (${refusalWords[answer.code]}): its records stay here; see docs/audit.md "The archive"`,
      this.#pauses.refused,
    );
  }
}

const refusalWords: Readonly<Record<ArchiveRefusalCode, string>> = {
  "foreign-origin": "foreign-origin: it is not this node's",
  "bad-signature": "bad-signature: the checkpoint is not signed by the key it names",
  "key-changed": "key-changed: the node's first checkpoint was signed by another log key",
  "rolled-back": "rolled-back: control holds more of it than is here",
  forked: "forked: control holds other leaves than these",
  "broken-chain": "broken-chain: it does not begin where the log before it ended",
  "bad-records": "bad-records: a record is not one that this node may write",
  "too-many-origins": "too-many-origins: one per year is the most",
};

const timeOfRecord = ({ leaf }: FoundRecord): number | null => timeOfLeaf(Buffer.from(leaf).toString("latin1"));
const entryOf = ({ leaf, reference }: FoundRecord): LogEntry => ({ leaf, reference: reference ?? undefined });

/** How many of the first records are one shipment: at least one. */
function shipmentLength(records: readonly FoundRecord[]): number {
  let bytes = 0;
  let last: Uint8Array | null = null;
  for (const [i, { leaf, reference }] of records.entries()) {
    bytes += entryBytes(leaf, reference === null || reference === last ? undefined : reference);
    last = reference;
    if (i > 0 && bytes > shipmentBytes) return i;
    if (i + 1 === shipmentEntriesMax) return i + 1;
  }
  return records.length;
}

/** Control is proven by its key; this only keeps a damaged answer from being taken for one. Throws for anything else. */
function parseAnswer(bytes: Uint8Array): ArchiveAnswer {
  const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  const isAnswer =
    typeof value === "object" &&
    value !== null &&
    "t" in value &&
    (value.t === "refused"
      ? "code" in value && typeof value.code === "string" && value.code in refusalWords
      : value.t === "later"
        ? "afterMs" in value && Number.isSafeInteger(value.afterMs)
        : value.t === "held" &&
          "size" in value &&
          "signed" in value &&
          Number.isSafeInteger(value.size) &&
          Number.isSafeInteger(value.signed));
  if (!isAnswer) throw new Error("control's answer is none of docs/formats/join.md");
  // The form of each kind was looked at above.
  return value as ArchiveAnswer;
}
