// Promises one thread's way to the log: an append resolves only once a finished fdatasync covers it, and a full queue refuses at once.
// Trusts the log's thread (log-worker.ts) at the other end. Port: port.ts; formats: docs/formats/leaf.md.
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { EntryWriter, sizeFault } from "./batch.ts";
import { LogFault } from "./fault.ts";
import type { FaultData, LogAnswer, LogRequest } from "./log-messages.ts";
import type { AppendReceipt, FoundRecord, LogHandle, PutRecord } from "./port.ts";
import { batchBytesMax, entryBytes, frameEntriesMax } from "./segment.ts";
import { WaitingLine } from "./waiting-line.ts";

/** Records that wait for their fdatasync; beyond either bound an append is refused. */
export const queuedRecordsMax = 65_536;
export const queuedBytesMax = 67_108_864;
const firstBufferBytes = 65_536;
/** A flush of at most this many bytes is copied out of the buffer instead of handing the buffer over. */
const copiedBytesMax = 16_384;
/** Records of so many bytes are sent even while the thread is busy, so that a flood keeps it fed. */
const gatheredBytesMax = 262_144;
/** A batch grows at most this long while the event loop has other work; when the loop is idle it leaves at once. */
const gatherMsMax = 4;
/** A turn of the event loop in which nothing happened is shorter than this. */
const idleTurnMs = 0.04;

/** A log handle that also says which key verifies it. */
export interface OpenedLog extends LogHandle {
  /** C2SP verifier key of the present origin, for `audit verify` and witnesses. */
  readonly verifierKey: string;
  /** Publishes a cosigned checkpoint in the place of the newest one, if it still is that one with further signature lines; else nothing happens. */
  publish(cosigned: string): Promise<void>;
  /** A seat of its own for another thread of this process, which takes it up with `openSeat`. Its appends share the fdatasyncs of all; only this handle ends the log. */
  seat(): LogSeat;
}

/** What another thread is handed; `port` is transferred. */
export interface LogSeat {
  readonly port: MessagePort;
  readonly opened: LogStanding;
}

/** Takes up a seat in the thread it was handed to. */
export function openSeat({ port, opened }: LogSeat): LogHandle {
  const way: LogWay = { post: (request, transfer = []) => port.postMessage(request, transfer) };
  const client = new LogClient(way, opened);
  port.on("message", (answer: LogAnswer) => client.take(answer));
  port.on("close", () => client.end(new LogFault("log-closed", "the log is closed")));
  return client;
}

export const toFault = (fault: FaultData): LogFault => new LogFault(fault.code, fault.internal);

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (fault: LogFault) => void;
}

interface WaitingAppend extends Waiting<AppendReceipt> {
  readonly bytes: number;
}

/** Who hears what nobody asked for. */
export interface LogListeners {
  readonly onAlarm?: ((fault: LogFault) => void) | undefined;
  readonly onEnded?: ((fault: LogFault) => void) | undefined;
}

/** The log as it was last heard of. */
export interface LogStanding {
  readonly origin: string;
  readonly size: number;
  readonly verifierKey: string;
}

/** To the log's thread; what comes back is given to `take`. */
export interface LogWay {
  post(request: LogRequest, transfer?: (ArrayBuffer | MessagePort)[]): void;
}

export class LogClient implements OpenedLog {
  readonly #way: LogWay;
  readonly #told: LogListeners;
  #state: LogStanding;
  /** Appends in the order of their entries. */
  readonly #appends = new WaitingLine<WaitingAppend>();
  #queuedBytes = 0;
  #buffer = Buffer.from(new ArrayBuffer(firstBufferBytes));
  readonly #writer = new EntryWriter(this.#buffer);
  #count = 0;
  /** Called when the next batch leaves. */
  #preparing: ((put: PutRecord) => void)[] = [];
  /** A look at the batch is due after this turn of the event loop. */
  #isWatching = false;
  #isLeaving = false;
  #gatheringSince = 0;
  #turnAt = 0;
  readonly #asked = new Map<number, Waiting<never>>();
  #ticket = 0;
  #ended: LogFault | null = null;
  #closing: Promise<void> | null = null;

  constructor(way: LogWay, opened: LogStanding, told: LogListeners = {}) {
    this.#way = way;
    this.#state = opened;
    this.#told = told;
  }

  get origin(): string {
    return this.#state.origin;
  }

  get verifierKey(): string {
    return this.#state.verifierKey;
  }

  size(): number {
    return this.#state.size;
  }

  append(leaf: Uint8Array | string, reference?: Uint8Array): Promise<AppendReceipt> {
    return new Promise((resolve, reject) => this.#put(leaf, reference, { resolve, reject }));
  }

  gather(prepare: (put: PutRecord) => void): void {
    this.#began();
    this.#preparing.push(prepare);
    if (this.#ended === null) this.#watch();
    else this.#prepare();
  }

  readonly #put: PutRecord = (leaf, reference, { resolve, reject }) => {
    const fault = this.#refusal(leaf, reference);
    if (fault !== null) {
      reject(fault);
      return;
    }
    let bytes = this.#writer.sizeOf({ leaf, reference });
    if (this.#count === frameEntriesMax || this.#writer.used + bytes > batchBytesMax) {
      this.#send();
      bytes = this.#writer.sizeOf({ leaf, reference });
    }
    this.#began();
    this.#makeRoom(bytes);
    this.#writer.put({ leaf, reference });
    this.#count += 1;
    this.#queuedBytes += bytes;
    this.#appends.push({ resolve, reject, bytes });
    this.#watch();
  };

  #refusal(leaf: Uint8Array | string, reference: Uint8Array | undefined): LogFault | null {
    if (this.#ended !== null) return this.#ended;
    if (this.#closing !== null) return new LogFault("log-closed", "the log is closing");
    const bytes = entryBytes(leaf, reference);
    if (this.#appends.length >= queuedRecordsMax || this.#queuedBytes + bytes > queuedBytesMax) {
      return new LogFault(
        "log-full",
        `more than ${queuedRecordsMax} records (or ${queuedBytesMax} bytes) wait for the disk; it is too slow for this load`,
      );
    }
    return sizeFault(leaf, reference);
  }

  #makeRoom(bytes: number): void {
    const { used } = this.#writer;
    if (used + bytes <= this.#buffer.length) return;
    const larger = Buffer.from(new ArrayBuffer(Math.max(used + bytes, this.#buffer.length * 2)));
    this.#buffer.copy(larger, 0, 0, used);
    this.#buffer = larger;
    this.#writer.moveTo(larger);
  }

  get #isEmpty(): boolean {
    return this.#count === 0 && this.#preparing.length === 0;
  }

  get #isFull(): boolean {
    return this.#writer.used >= gatheredBytesMax;
  }

  get #isThreadBusy(): boolean {
    return this.#appends.length > this.#count;
  }

  #began(): void {
    if (this.#isEmpty) this.#gatheringSince = performance.now();
  }

  /** Looks after each turn of the event loop whether the batch should leave. While the thread is at the disk nobody looks: its answer does. */
  #watch(): void {
    if (this.#isWatching || this.#isLeaving || (this.#isThreadBusy && !this.#isFull)) return;
    this.#isWatching = true;
    this.#turnAt = 0;
    setImmediate(this.#look);
  }

  readonly #look = (): void => {
    const now = performance.now();
    // The first look tells nothing of a turn.
    const isIdle = now - this.#turnAt < idleTurnMs;
    this.#turnAt = now;
    const isDue = !this.#isThreadBusy && (isIdle || now - this.#gatheringSince >= gatherMsMax);
    this.#isWatching = !isDue && !this.#isFull && !this.#isThreadBusy && !this.#isEmpty;
    if (this.#isWatching) setImmediate(this.#look);
    else if (isDue || this.#isFull) this.#flush();
  };

  #prepare(): void {
    const preparing = this.#preparing;
    if (preparing.length === 0) return;
    this.#preparing = [];
    for (const prepare of preparing) prepare(this.#put);
  }

  /** Everything gathered leaves, with what was to be prepared for it. */
  #flush(): void {
    this.#isLeaving = true;
    this.#prepare();
    this.#isLeaving = false;
    this.#send();
  }

  #send(): void {
    if (this.#count === 0 || this.#ended !== null) return;
    const { used } = this.#writer;
    // A few records are copied out, because a fresh buffer of the full size costs more to clear than they cost to copy; a full one is handed over.
    const isSmall = used <= copiedBytesMax && this.#buffer.length === firstBufferBytes;
    // The buffer was made over an ArrayBuffer of its own above.
    const whole = this.#buffer.buffer as ArrayBuffer;
    const buffer = isSmall ? whole.slice(0, used) : whole;
    const request: LogRequest = { t: "append", buffer, bytes: used, count: this.#count };
    this.#way.post(request, [buffer]);
    if (!isSmall) this.#buffer = Buffer.from(new ArrayBuffer(firstBufferBytes));
    this.#writer.clear();
    this.#writer.moveTo(this.#buffer);
    this.#count = 0;
  }

  checkpoint(): Promise<string> {
    return this.#ask((ticket) => ({ t: "checkpoint", ticket }));
  }

  publish(cosigned: string): Promise<void> {
    return this.#ask((ticket) => ({ t: "publish", ticket, cosigned }));
  }

  find(id: string): Promise<readonly FoundRecord[]> {
    return this.#ask((ticket) => ({ t: "find", ticket, id }));
  }

  seat(): LogSeat {
    if (this.#ended !== null) throw this.#ended;
    const { port1, port2 } = new MessageChannel();
    this.#way.post({ t: "seat", port: port1 }, [port1]);
    const { origin, size, verifierKey } = this.#state;
    return { port: port2, opened: { origin, size, verifierKey } };
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = this.#ended === null ? this.#ask<void>((ticket) => ({ t: "close", ticket })) : Promise.resolve();
    }
    return this.#closing;
  }

  #ask<T>(request: (ticket: number) => LogRequest): Promise<T> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    this.#flush();
    const ticket = ++this.#ticket;
    return new Promise<T>((resolve, reject) => {
      // Each ticket is answered by the one message kind that belongs to its request.
      this.#asked.set(ticket, { resolve, reject } as Waiting<unknown> as Waiting<never>);
      this.#way.post(request(ticket));
    });
  }

  /** What the thread says. */
  take(answer: LogAnswer): void {
    switch (answer.t) {
      case "appended":
        // Those who wait were told when the log ended.
        if (this.#ended !== null) return;
        this.#state = answer;
        for (const result of answer.results) this.#settle(result);
        this.#goOn();
        return;
      case "checkpoint":
        this.#reply(answer.ticket, answer.note);
        return;
      case "found":
        this.#reply(answer.ticket, answer.records);
        return;
      case "published":
      case "closed":
        this.#reply(answer.ticket, undefined);
        return;
      case "failed": {
        const waiting = this.#asked.get(answer.ticket);
        this.#asked.delete(answer.ticket);
        waiting?.reject(toFault(answer.fault));
        return;
      }
      case "alarm":
        this.#told.onAlarm?.(toFault(answer.fault));
        return;
      case "ended":
        this.fail(toFault(answer.fault));
        return;
      default:
        return;
    }
  }

  /** The thread is free again: what waits leaves now if its time has come, else when nothing more is coming. */
  #goOn(): void {
    if (this.#isEmpty) return;
    if (performance.now() - this.#gatheringSince >= gatherMsMax) this.#flush();
    else this.#watch();
  }

  #reply(ticket: number, value: unknown): void {
    const waiting = this.#asked.get(ticket);
    this.#asked.delete(ticket);
    waiting?.resolve(value as never);
  }

  #settle(result: Extract<LogAnswer, { t: "appended" }>["results"][number]): void {
    let refusal = 0;
    let index = result.first;
    for (let place = 0; place < result.count; place++) {
      const waiting = this.#appends.shift();
      if (waiting === undefined) throw new Error("the log thread answered more than it was asked");
      this.#queuedBytes -= waiting.bytes;
      const refused = result.refused[refusal];
      if (result.fault !== null) waiting.reject(toFault(result.fault));
      else if (refused?.place === place) {
        refusal += 1;
        waiting.reject(new LogFault(refused.code, refusalText(refused.code)));
      } else waiting.resolve({ index: index++ });
    }
  }

  /** Ended by itself, not by `close`. */
  fail(fault: LogFault): void {
    if (this.#ended !== null) return;
    this.end(fault);
    this.#told.onEnded?.(fault);
  }

  end(fault: LogFault): void {
    if (this.#ended !== null) return;
    this.#ended = fault;
    this.#prepare();
    for (let waiting = this.#appends.shift(); waiting !== undefined; waiting = this.#appends.shift())
      waiting.reject(fault);
    for (const waiting of this.#asked.values()) waiting.reject(fault);
    this.#asked.clear();
  }
}

function refusalText(code: LogFault["code"]): string {
  if (code === "disk-full")
    return "the volume of the log is nearly full: free space on it; until then only administrative records are taken";
  if (code === "log-full") return "too many intents are open; outcomes are missing";
  return "the bytes do not begin like a leaf of v1 that may be appended from outside";
}
