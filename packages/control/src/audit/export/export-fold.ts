// Promises every record of every log to one sink at least once and in order, its place durable behind it; what is never taken written down with the
// reason; nothing endless, nothing silent, and nothing that holds up anybody else. Trusts the follower for the records. Specified in docs/export.md.
import type { Disk } from "@sallyport/kernel/log/disk.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { Fold, FoldBatch } from "../follow/fold.ts";
import { type DeadLetter, writeDeadLetters } from "./dead-letters.ts";
import { type EncodedRecord, type EncodeOptions, encodeRecord } from "./encode.ts";
import { type ExportedRecord, type ExportFilter, passes, readRecord } from "./exported-record.ts";
import { readSinkState, type SinkPlace, type SinkState, writeSinkState } from "./place-file.ts";
import { type PausePorts, ReceiverPause } from "./receiver-pause.ts";
import { type Rejected, type Sink, SinkFault } from "./sink.ts";

/** Events of one request, and their bytes before compression. */
const batchEventsMax = 500;
const batchBytesMax = 1_048_576;
/** Events refused one by one with none taken between them: more is a receiver that is set up wrongly, and waits instead. */
const refusalsMax = 16;
/** So long a client that was just declared may still be said by its pseudonym. */
const namesMsMax = 10_000;

export interface ExportFoldOptions {
  readonly id: string;
  readonly name: string;
  readonly sink: Sink;
  readonly encode: Omit<EncodeOptions, "nameOf">;
  readonly filter: ExportFilter;
  /** Declared names by pseudonym; null: none are said. Asked again every ten seconds at most, and nothing is sent before they are known. */
  readonly names: (() => Promise<ReadonlyMap<string, string>>) | null;
  readonly placePath: string;
  readonly deadLetterPath: string;
}

export interface ExportFoldPorts extends PausePorts {
  readonly disk: Disk;
}

/** What the main thread asks of a sink; the answers are ExportStanding. */
export type ExportQuestion =
  | { readonly kind: "standing" }
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  /** Where to begin again; null: every origin. The fold is opened anew afterwards. */
  | { readonly kind: "replay"; readonly origin: string | null; readonly fromIndex: number }
  | { readonly kind: "test" };

export interface ExportStanding {
  readonly name: string;
  readonly pausedSinceMs: number | null;
  readonly places: Readonly<Record<string, SinkPlace>>;
  /** Since this fold was opened. */
  readonly sent: number;
  readonly deadLetters: number;
  readonly leftOut: number;
  /** When a receiver took something last; null: not since this fold was opened. */
  readonly takenAtMs: number | null;
  /** Why the last try failed; null: it did not. */
  readonly fault: string | null;
}

export class ExportFold implements Fold {
  readonly id: string;
  readonly #options: ExportFoldOptions;
  readonly #ports: ExportFoldPorts;
  readonly #pause: ReceiverPause;
  #state: SinkState | null = null;
  #names: ReadonlyMap<string, string> = new Map();
  #namesAtMs = Number.NEGATIVE_INFINITY;
  #sent = 0;
  #deadLetters = 0;
  #leftOut = 0;
  #takenAtMs: number | null = null;

  constructor(options: ExportFoldOptions, ports: ExportFoldPorts) {
    this.id = options.id;
    this.#options = options;
    this.#ports = ports;
    this.#pause = new ReceiverPause(ports);
  }

  async places(): Promise<ReadonlyMap<string, number>> {
    return new Map([...this.#stored().places].map(([origin, { next }]) => [origin, next]));
  }

  async take({ origin, records }: FoldBatch): Promise<void> {
    this.#assertMayTake();
    const { origin: name } = origin;
    // After a failure halfway all of a batch comes again: what is behind the place is done.
    const from = this.#placeOf(name).next;
    // The place was moved back under the reader's feet: what is in hand would jump over records.
    if ((records[0]?.index ?? from) > from)
      throw new Error(`record ${from} of ${name} is due: this sink is opened anew`);
    const due = records.filter(({ index }) => index >= from);
    try {
      await this.#learnNames();
      for (const part of this.#parts(name, due)) await this.#takePart(name, part);
      this.#pause.succeeded();
    } catch (error) {
      this.#pause.failed(error);
      throw error;
    }
  }

  async answer(question: unknown): Promise<unknown> {
    // From our own main thread.
    const asked = question as ExportQuestion;
    switch (asked.kind) {
      case "pause":
      case "resume":
        this.#store({ ...this.#stored(), paused: asked.kind === "pause" ? { atMs: this.#ports.now() } : null });
        this.#pause.end();
        break;
      case "replay":
        this.#replay(asked.origin, asked.fromIndex);
        break;
      case "test":
        return this.#test();
      case "standing":
        break;
    }
    return this.#standing();
  }

  async close(): Promise<void> {
    await this.#options.sink.close();
  }

  #assertMayTake(): void {
    if (this.#stored().paused !== null) throw new Error("paused by an operator: sallyport export resume");
    this.#pause.assertOver();
  }

  async #learnNames(): Promise<void> {
    const { names } = this.#options;
    if (names === null || this.#ports.now() - this.#namesAtMs < namesMsMax) return;
    this.#names = await names();
    this.#namesAtMs = this.#ports.now();
  }

  /** Pieces of a size for one request, each with what is left out before it. */
  *#parts(origin: string, due: readonly FoundRecord[]): Generator<Part> {
    let part = emptyPart();
    let bytes = 0;
    let last = this.#placeOf(origin).last;
    for (const found of due) {
      const read = this.#read(origin, found, last);
      if ("reason" in read) part.unreadable.push(read);
      else if (passes(read, this.#options.filter)) {
        const encoded = this.#encode(read);
        if (part.events.length > 0 && bytes + encoded.json.length > batchBytesMax) {
          yield part;
          part = emptyPart();
          bytes = 0;
        }
        part.events.push(encoded);
        bytes += encoded.json.length;
        last = found.index;
      } else part.leftOut += 1;
      part.next = found.index + 1;
      if (part.events.length < batchEventsMax) continue;
      yield part;
      part = emptyPart();
      bytes = 0;
    }
    if (part.next > 0) yield part;
  }

  #read(origin: string, found: FoundRecord, last: number | null): ExportedRecord | DeadLetter {
    try {
      return readRecord(origin, found, last);
    } catch {
      const text = Buffer.from(found.leaf).toString("latin1");
      return {
        record: null,
        origin,
        index: found.index,
        text,
        reason: "this version cannot read the leaf: upgrade control, then replay",
      };
    }
  }

  #encode(record: ExportedRecord): EncodedRecord {
    return encodeRecord(record, { ...this.#options.encode, nameOf: (pseudonym) => this.#names.get(pseudonym) });
  }

  async #takePart(origin: string, part: Part): Promise<void> {
    const letters = part.unreadable;
    if (part.events.length > 0) letters.push(...(await this.#deliver(part.events)));
    if (letters.length > 0) await writeDeadLetters(this.#options.deadLetterPath, letters, this.#ports.now());
    const last = part.events.at(-1)?.record.index ?? this.#placeOf(origin).last;
    this.#move(origin, { next: part.next, last });
    this.#sent += part.events.length;
    this.#deadLetters += letters.length;
    this.#leftOut += part.leftOut;
  }

  /** What will never be taken. A batch that is refused whole is halved, down to the event it is about. */
  async #deliver(events: readonly EncodedRecord[], refusals = { count: 0 }): Promise<readonly DeadLetter[]> {
    const delivery = await this.#options.sink.send(events);
    if (delivery.kind === "taken") {
      refusals.count = 0;
      this.#takenAtMs = this.#ports.now();
      return delivery.rejected.flatMap((rejected) => letterOf(events, rejected));
    }
    if (events.length === 1) {
      if (refusals.count >= refusalsMax)
        throw new SinkFault(
          `the receiver refuses one event after the other, so it is not about them: ${delivery.reason}`,
        );
      refusals.count += 1;
      return letterOf(events, { at: 0, reason: delivery.reason });
    }
    const half = Math.ceil(events.length / 2);
    const first = await this.#deliver(events.slice(0, half), refusals);
    return [...first, ...(await this.#deliver(events.slice(half), refusals))];
  }

  #replay(only: string | null, fromIndex: number): void {
    const state = this.#stored();
    const places = new Map(state.places);
    for (const [origin, { next }] of state.places)
      if (only === null || origin === only) places.set(origin, { next: Math.min(next, fromIndex), last: null });
    this.#store({ ...state, places });
  }

  /** Sends one event that no log holds and says what became of it; the place stays. */
  async #test(): Promise<ExportTest> {
    try {
      const delivery = await this.#options.sink.send([
        testEvent(this.#options.name, this.#options.encode, this.#ports.now()),
      ]);
      const reason = delivery.kind === "refused" ? delivery.reason : (delivery.rejected[0]?.reason ?? null);
      return { taken: reason === null, why: reason };
    } catch (error) {
      return { taken: false, why: error instanceof Error ? error.message : "unknown" };
    }
  }

  #standing(): ExportStanding {
    const { places, paused } = this.#stored();
    return {
      name: this.#options.name,
      pausedSinceMs: paused?.atMs ?? null,
      places: Object.fromEntries(places),
      sent: this.#sent,
      deadLetters: this.#deadLetters,
      leftOut: this.#leftOut,
      takenAtMs: this.#takenAtMs,
      fault: this.#pause.fault,
    };
  }

  #placeOf(origin: string): SinkPlace {
    return this.#stored().places.get(origin) ?? { next: 0, last: null };
  }

  #move(origin: string, place: SinkPlace): void {
    const state = this.#stored();
    this.#store({ ...state, places: new Map(state.places).set(origin, place) });
  }

  #stored(): SinkState {
    this.#state ??= readSinkState(this.#ports.disk, this.#options.placePath);
    return this.#state;
  }

  #store(state: SinkState): void {
    writeSinkState(this.#ports.disk, this.#options.placePath, state);
    this.#state = state;
  }
}

export interface ExportTest {
  readonly taken: boolean;
  readonly why: string | null;
}

interface Part {
  readonly events: EncodedRecord[];
  readonly unreadable: DeadLetter[];
  leftOut: number;
  /** Index after the last record of it. */
  next: number;
}

const emptyPart = (): Part => ({ events: [], unreadable: [], leftOut: 0, next: 0 });

function letterOf(events: readonly EncodedRecord[], { at, reason }: Rejected): readonly DeadLetter[] {
  const record = events[at]?.record;
  if (record === undefined) return [];
  const { origin, index, text } = record;
  return [{ record, origin, index, text, reason }];
}

/** An event that says what it is, of an origin that no log has. */
function testEvent(sink: string, encode: Omit<EncodeOptions, "nameOf">, nowMs: number): EncodedRecord {
  const place = { at: nowMs, tenant: "main", environment: "sallyport", region: "default", node: "export-test" };
  const leaf: Leaf = { t: "start", ...place, role: "control", version: "0.0.0", recovered: 0 };
  const record: ExportedRecord = {
    ...{ origin: `test/${sink}`, index: 0, previous: null, leafHash: "0".repeat(64), leaf, severity: 1 },
    text: JSON.stringify({ v: 0, ...leaf }),
  };
  return encodeRecord(record, { ...encode, nameOf: () => undefined });
}
