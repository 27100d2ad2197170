// Promises group commit: whatever arrived while the last fdatasync ran becomes the next batch, so a lone record waits for nobody and a flood shares
// its syncs. Trusts log.ts for everything durable. Runs as the worker thread of log-thread.ts.
import assert from "node:assert/strict";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
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

function faultData(error: unknown): FaultData {
  if (error instanceof LogFault) return { code: error.code, internal: error.internal };
  return {
    code: "log-closed",
    internal: `the log thread failed: ${error instanceof Error ? error.message : "unknown"}`,
  };
}

class LogThread {
  readonly #port: MessagePort;
  readonly #log: Log;
  readonly #checkpoints: CheckpointClock;
  readonly #intervalMs: number;
  /** Arrived and not taken up; what the client may send is bounded by its queue. */
  #arrived: LogRequest[] = [];
  #isAwake = false;
  /** Nothing is taken up: the year turns, or the log closes. */
  #isHeld = false;
  #isOpen = false;
  #verifierKey = "";
  #verifierOrigin = "";

  constructor(port: MessagePort, options: LogThreadOptions, key: CheckpointSigner | undefined) {
    this.#port = port;
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
      this.#port.on("message", (request: LogRequest) => {
        this.#arrived.push(request);
        this.#wake();
      });
      if (this.#intervalMs > 0) setInterval(() => this.#checkpoints.tick(), this.#intervalMs).unref();
    });
  }

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
    if (next.t !== "append") this.#answer(next);
    else if (this.#log.isYearDue) this.#turnYear(next);
    else this.#append(next);
    if (this.#arrived.length > 0) this.#wake();
  }

  #receive(): LogRequest | undefined {
    // The client of this thread is the only other holder of the port.
    return this.#arrived.shift() ?? (receiveMessageOnPort(this.#port)?.message as LogRequest | undefined);
  }

  /** The last checkpoint of the old year covers all of it: until that is there, or cannot be had, what arrives waits. */
  #turnYear(next: AppendRequest): void {
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

  #append(first: AppendRequest): void {
    const parts = [first];
    let count = first.count;
    let bytes = first.bytes;
    for (let next = this.#receive(); next !== undefined; next = this.#receive()) {
      if (next.t !== "append" || count + next.count > frameEntriesMax || bytes + next.bytes > batchBytesMax) {
        this.#arrived.unshift(next);
        break;
      }
      parts.push(next);
      count += next.count;
      bytes += next.bytes;
    }
    const results = this.#commit(parts, count);
    this.#send({ t: "appended", origin: this.#log.origin, size: this.#log.size, verifierKey: this.#vkey(), results });
    try {
      this.#log.absorb();
      this.#log.settleLater();
    } catch (error) {
      this.#send({ t: "alarm", fault: faultData(error) });
    }
  }

  #commit(parts: readonly AppendRequest[], count: number): Appended[] {
    const buffers = parts.map((part) => Buffer.from(part.buffer, 0, part.bytes));
    const [only] = buffers;
    try {
      const batch = buffers.length === 1 && only !== undefined ? only : Buffer.concat(buffers);
      return [{ ...this.#log.commit(batch, count), count, fault: null }];
    } catch (error) {
      return [{ count, first: 0, refused: [], fault: faultData(error) }];
    }
  }

  #answer(request: Exclude<LogRequest, AppendRequest>): void {
    const { ticket } = request;
    if (request.t === "close") this.#close(ticket);
    else if (request.t === "checkpoint") this.#checkpoints.ask((end) => this.#checkpointed(ticket, end));
    else {
      try {
        if (request.t === "publish") this.#publish(ticket, request.cosigned);
        else this.#send({ t: "found", ticket, records: this.#log.find(request.id) });
      } catch (error) {
        this.#send({ t: "failed", ticket, fault: faultData(error) });
      }
    }
  }

  #publish(ticket: number, cosigned: string): void {
    this.#log.publish(cosigned);
    this.#send({ t: "published", ticket });
  }

  #checkpointed(ticket: number, end: CourseEnd<string>): void {
    if (end.kind === "done") this.#send({ t: "checkpoint", ticket, note: end.value });
    else this.#send({ t: "failed", ticket, fault: faultData(end.error) });
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
      this.#port.close();
    });
  }

  /** The disk failed. Whoever waits is told by the client, which hears this first. */
  #ended(fault: LogFault): void {
    // Before that, the start is refused with the same fault.
    if (!this.#isOpen) return;
    this.#isHeld = true;
    this.#send({ t: "ended", fault: faultData(fault) });
    setImmediate(() => {
      this.#log.abandon();
      this.#port.close();
    });
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
  const options = workerData as LogThreadOptions;
  new LogThread(port, options, await openSigner(options)).run();
} catch (error) {
  port.postMessage({ t: "refused", fault: faultData(error) } satisfies LogAnswer);
  port.close();
}
