// Promises group commit: whatever arrived while the last fdatasync ran becomes the next batch, so a lone record waits for nobody and a flood shares
// its syncs. Trusts log.ts for everything durable. Runs as the worker thread of log-thread.ts.
import assert from "node:assert/strict";
import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { threadOptions } from "../thread-ahead.ts";
import { CheckpointClock } from "./checkpoint-clock.ts";
import type { CheckpointSigner, SignerModule } from "./checkpoint-signer.ts";
import { LogFault } from "./fault.ts";
import { Log } from "./log.ts";
import { importLogKey, sha256 } from "./log-crypto.ts";
import type { Appended, FaultData, LogAnswer, LogRequest, LogThreadOptions } from "./log-messages.ts";
import { realDisk } from "./real-disk.ts";
import { batchBytesMax, frameEntriesMax } from "./segment.ts";
import type { CourseEnd } from "./steps.ts";

type AppendRequest = Extract<LogRequest, { t: "append" }>;

/** A request and the seat it is answered at. */
interface Arrived<R extends LogRequest = LogRequest> {
  readonly at: MessagePort;
  readonly request: R;
}

function faultData(error: unknown): FaultData {
  if (error instanceof LogFault) return { code: error.code, internal: error.internal };
  return {
    code: "log-closed",
    internal: `the log thread failed: ${error instanceof Error ? error.message : "unknown"}`,
  };
}

class LogThread {
  readonly #port: MessagePort;
  /** Every thread that appends, the one that started this first. */
  #seats: readonly MessagePort[];
  /** Whose turn it is to be asked for more. */
  #next = 0;
  readonly #log: Log;
  readonly #checkpoints: CheckpointClock;
  readonly #intervalMs: number;
  /** Arrived and not taken up; what the client may send is bounded by its queue. */
  #arrived: Arrived[] = [];
  #isAwake = false;
  /** Nothing is taken up: the year turns, or the log closes. */
  #isHeld = false;
  #isOpen = false;
  #verifierKey = "";
  #verifierOrigin = "";

  constructor(port: MessagePort, options: LogThreadOptions, key: CheckpointSigner | undefined) {
    this.#port = port;
    this.#seats = [port];
    const { pkcs8: _key, signer: _signer, checkpointIntervalMs, ...rest } = options;
    const disk = realDisk();
    disk.makeDirectory(options.directory);
    this.#intervalMs = checkpointIntervalMs;
    this.#log = Log.recover({
      ...rest,
      disk,
      now: Date.now,
      ended: (fault) => this.#ended(fault),
      ...(key === undefined ? {} : { key }),
    });
    this.#checkpoints = new CheckpointClock({
      log: this.#log,
      intervalMs: checkpointIntervalMs,
      monotonic: () => performance.now(),
      alarm: (fault) => this.#send({ t: "alarm", fault: faultData(fault) }),
    });
  }

  /** The verifier key of the present origin. */
  #vkey(): string {
    if (this.#verifierOrigin !== this.#log.origin) {
      this.#verifierOrigin = this.#log.origin;
      this.#verifierKey = printVerifierKey(sha256, this.#log.origin, this.#log.publicKey);
    }
    return this.#verifierKey;
  }

  /** Open once the first checkpoint is published. A signer that is not to be had keeps nobody from starting. */
  run(): void {
    this.#log.checkpointLater((end) => {
      if (end.kind === "failed" && !isOfSigner(end.error)) {
        this.#log.abandon();
        this.#send({ t: "refused", fault: faultData(end.error) });
        this.#port.close();
        return;
      }
      this.#isOpen = true;
      this.#send({ t: "opened", origin: this.#log.origin, size: this.#log.size, verifierKey: this.#vkey() });
      if (end.kind === "failed") this.#send({ t: "alarm", fault: faultData(end.error) });
      this.#hear(this.#port);
      if (this.#intervalMs > 0) setInterval(() => this.#checkpoints.tick(), this.#intervalMs).unref();
    });
  }

  #hear(at: MessagePort): void {
    at.on("message", (request: LogRequest) => {
      if (request.t === "seat") this.#sit(request.port);
      else this.#arrived.push({ at, request });
      this.#wake();
    });
  }

  #sit(port: MessagePort): void {
    this.#seats = [...this.#seats, port];
    port.on("close", () => {
      this.#seats = this.#seats.filter((one) => one !== port);
    });
    this.#hear(port);
  }

  /** To whoever started this thread. */
  #send(answer: LogAnswer): void {
    this.#port.postMessage(answer);
  }

  /** One batch or request per turn of the event loop, so that timers and finished syncs get theirs. */
  #wake(): void {
    if (this.#isAwake || this.#isHeld) return;
    this.#isAwake = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isAwake = false;
    if (this.#isHeld) return;
    const next = this.#receive();
    if (next === undefined) return;
    const { at, request } = next;
    if (request.t === "seat") this.#sit(request.port);
    else if (request.t !== "append") this.#answer(at, request);
    else if (this.#log.isYearDue) this.#turnYear(next);
    else this.#append({ at, request });
    if (this.#arrived.length > 0) this.#wake();
  }

  #receive(): Arrived | undefined {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return arrived;
    // Each seat in turn: none of them keeps the others from the disk.
    for (let asked = 0; asked < this.#seats.length; asked++) {
      this.#next = (this.#next + 1) % this.#seats.length;
      const at = this.#seats[this.#next];
      if (at === undefined) continue;
      // The client of the seat is the only other holder of the port.
      const request = receiveMessageOnPort(at)?.message as LogRequest | undefined;
      if (request !== undefined) return { at, request };
    }
    return undefined;
  }

  /** The last checkpoint of the old year covers all of it: until that is there, or cannot be had, what arrives waits. */
  #turnYear(next: Arrived): void {
    this.#arrived.unshift(next);
    this.#isHeld = true;
    this.#checkpoints.ask(() => {
      try {
        this.#log.turnYear();
      } catch (error) {
        this.#send({ t: "alarm", fault: faultData(error) });
      }
      this.#isHeld = false;
      this.#wake();
    });
  }

  #append(first: Arrived<AppendRequest>): void {
    const parts = [first];
    let { count, bytes } = first.request;
    for (let next = this.#receive(); next !== undefined; next = this.#receive()) {
      const { at, request } = next;
      if (request.t !== "append" || count + request.count > frameEntriesMax || bytes + request.bytes > batchBytesMax) {
        this.#arrived.unshift(next);
        break;
      }
      parts.push({ at, request });
      count += request.count;
      bytes += request.bytes;
    }
    this.#told(parts, this.#commit(parts, count));
    try {
      this.#log.absorb();
      this.#log.settleLater();
    } catch (error) {
      this.#send({ t: "alarm", fault: faultData(error) });
    }
  }

  #commit(parts: readonly Arrived<AppendRequest>[], count: number): Appended {
    const buffers = parts.map(({ request }) => Buffer.from(request.buffer, 0, request.bytes));
    const [only] = buffers;
    try {
      const batch = buffers.length === 1 && only !== undefined ? only : Buffer.concat(buffers);
      return { ...this.#log.commit(batch, count), count, fault: null };
    } catch (error) {
      return { count, first: 0, refused: [], fault: faultData(error) };
    }
  }

  /** Each seat hears of its own records; the first one always hears how long the log is. */
  #told(parts: readonly Arrived<AppendRequest>[], whole: Appended): void {
    const standing = { origin: this.#log.origin, size: this.#log.size, verifierKey: this.#vkey() };
    if (parts.every(({ at }) => at === this.#port)) {
      this.#send({ t: "appended", ...standing, results: [whole] });
      return;
    }
    const results = new Map<MessagePort, Appended[]>([[this.#port, []]]);
    for (const { at, part } of partsOf(parts, whole)) {
      const own = results.get(at);
      if (own === undefined) results.set(at, [part]);
      else own.push(part);
    }
    for (const [at, own] of results) at.postMessage({ t: "appended", ...standing, results: own } satisfies LogAnswer);
  }

  #answer(at: MessagePort, request: Exclude<LogRequest, { t: "append" | "seat" }>): void {
    const { ticket } = request;
    const answer = (said: LogAnswer): void => at.postMessage(said);
    if (request.t === "close" && at === this.#port) this.#close(ticket);
    else if (request.t === "close") this.#leave(at, ticket);
    else if (request.t === "checkpoint") this.#checkpoints.ask((end) => answer(checkpointed(ticket, end)));
    else {
      try {
        if (request.t === "find") answer({ t: "found", ticket, records: this.#log.find(request.id) });
        else {
          this.#log.publish(request.cosigned);
          answer({ t: "published", ticket });
        }
      } catch (error) {
        answer({ t: "failed", ticket, fault: faultData(error) });
      }
    }
  }

  /** What that seat sent before is durable: it was taken in its order. */
  #leave(at: MessagePort, ticket: number): void {
    at.postMessage({ t: "closed", ticket } satisfies LogAnswer);
    at.close();
  }

  /** A log whose signer is not to be had closes all the same: the next start signs for what is there. */
  #close(ticket: number): void {
    this.#isHeld = true;
    this.#checkpoints.ask((end) => {
      // The disk failed: `ended` has said so.
      if (end.kind === "failed" && this.#log.ended !== null) return;
      this.#log.abandon();
      if (end.kind === "failed" && isOfSigner(end.error)) this.#send({ t: "alarm", fault: faultData(end.error) });
      const isClosed = end.kind === "done" || isOfSigner(end.error);
      this.#send(isClosed ? { t: "closed", ticket } : { t: "failed", ticket, fault: faultData(end.error) });
      this.#closeSeats();
    });
  }

  /** The disk failed. Whoever waits is told by the client, which hears this first. */
  #ended(fault: LogFault): void {
    // Before that, the start is refused with the same fault.
    if (!this.#isOpen) return;
    this.#isHeld = true;
    for (const seat of this.#seats) seat.postMessage({ t: "ended", fault: faultData(fault) } satisfies LogAnswer);
    setImmediate(() => {
      this.#log.abandon();
      this.#closeSeats();
    });
  }

  #closeSeats(): void {
    for (const seat of this.#seats) seat.close();
  }
}

function checkpointed(ticket: number, end: CourseEnd<string>): LogAnswer {
  if (end.kind === "done") return { t: "checkpoint", ticket, note: end.value };
  return { t: "failed", ticket, fault: faultData(end.error) };
}

/** What became of each part of a batch. */
function* partsOf(
  parts: readonly Arrived<AppendRequest>[],
  whole: Appended,
): Iterable<{ at: MessagePort; part: Appended }> {
  let begin = 0;
  let { first } = whole;
  for (const { at, request } of parts) {
    const { count } = request;
    const refused = whole.refused
      .filter(({ place }) => place >= begin && place < begin + count)
      .map(({ place, code }) => ({ place: place - begin, code }));
    yield { at, part: { count, first, refused, fault: whole.fault } };
    begin += count;
    first += count - refused.length;
  }
}

const isOfSigner = (error: unknown) => error instanceof LogFault && error.code === "signer-failed";

async function openSigner({ pkcs8, signer }: LogThreadOptions): Promise<CheckpointSigner | undefined> {
  if (signer === undefined) return pkcs8 === undefined ? undefined : importLogKey(pkcs8);
  // Whoever started this thread names the module and answers for what it exports.
  const module = (await import(signer.module)) as SignerModule;
  return module.openSigner(signer.options);
}

const port = parentPort;
assert.ok(port !== null, "log-worker.ts is started by log-thread.ts");
try {
  // openLog is the only one that starts this file.
  const options = (await threadOptions()) as LogThreadOptions;
  new LogThread(port, options, await openSigner(options)).run();
} catch (error) {
  port.postMessage({ t: "refused", fault: faultData(error) } satisfies LogAnswer);
  port.close();
}
