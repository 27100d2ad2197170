// Promises group commit: whatever arrived while the last fdatasync ran becomes the next batch, so a lone record waits for nobody and a flood shares
// its syncs. Trusts log.ts for everything durable. Runs as the worker thread of log-thread.ts.
import assert from "node:assert/strict";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { LogFault } from "./fault.ts";
import { Log } from "./log.ts";
import { importLogKey, loadLogKey, sha256 } from "./log-crypto.ts";
import type { Appended, FaultData, LogAnswer, LogRequest, LogThreadOptions } from "./log-messages.ts";
import { realDisk } from "./real-disk.ts";
import { batchBytesMax, frameEntriesMax } from "./segment.ts";

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
  readonly #publicKey: Uint8Array;
  readonly #intervalMs: number;
  #lastCheckpointAt = performance.now();
  #checkpointSize: number;
  #carried: LogRequest | undefined;
  #verifierKey = "";
  #verifierOrigin = "";

  constructor(port: MessagePort, options: LogThreadOptions) {
    this.#port = port;
    const { pkcs8, checkpointIntervalMs, ...rest } = options;
    const disk = realDisk();
    disk.makeDirectory(options.directory);
    this.#intervalMs = checkpointIntervalMs;
    this.#log = Log.open({
      ...rest,
      disk,
      now: Date.now,
      ...(pkcs8 === undefined ? {} : { key: importLogKey(pkcs8) }),
    });
    const key = pkcs8 === undefined ? loadLogKey(disk, options.directory) : importLogKey(pkcs8);
    this.#publicKey = key.publicKey;
    this.#checkpointSize = this.#log.size;
  }

  /** The verifier key of the present origin. */
  #vkey(): string {
    if (this.#verifierOrigin !== this.#log.origin) {
      this.#verifierOrigin = this.#log.origin;
      this.#verifierKey = printVerifierKey(sha256, this.#log.origin, this.#publicKey);
    }
    return this.#verifierKey;
  }

  run(): void {
    this.#send({ t: "opened", origin: this.#log.origin, size: this.#log.size, verifierKey: this.#vkey() });
    this.#port.on("message", (request: LogRequest) => this.#drain(request));
    if (this.#intervalMs > 0) setInterval(() => this.#checkpointByClock(), this.#intervalMs).unref();
  }

  #send(answer: LogAnswer): void {
    this.#port.postMessage(answer);
  }

  /** Handles a request and everything that has arrived meanwhile. Ends when nothing waits, so that timers get their turn. */
  #drain(first: LogRequest): void {
    for (let next: LogRequest | undefined = first; next !== undefined; next = this.#receive()) {
      if (next.t === "append") this.#append(next);
      else this.#answer(next);
      if (this.#intervalMs > 0 && performance.now() - this.#lastCheckpointAt > 2 * this.#intervalMs)
        this.#checkpointByClock();
    }
  }

  #receive(): LogRequest | undefined {
    const carried = this.#carried;
    this.#carried = undefined;
    // The client of this thread is the only other holder of the port.
    return carried ?? (receiveMessageOnPort(this.#port)?.message as LogRequest | undefined);
  }

  #append(first: AppendRequest): void {
    const parts = [first];
    let count = first.count;
    let bytes = first.bytes;
    for (let next = this.#receive(); next !== undefined; next = this.#receive()) {
      if (next.t !== "append" || count + next.count > frameEntriesMax || bytes + next.bytes > batchBytesMax) {
        this.#carried = next;
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
    try {
      if (request.t === "checkpoint") this.#send({ t: "checkpoint", ticket, note: this.#checkpoint() });
      else if (request.t === "publish") this.#publish(ticket, request.cosigned);
      else if (request.t === "find") this.#send({ t: "found", ticket, records: this.#log.find(request.id) });
      else this.#close(ticket);
    } catch (error) {
      this.#send({ t: "failed", ticket, fault: faultData(error) });
      if (request.t === "close") this.#port.close();
    }
  }

  #publish(ticket: number, cosigned: string): void {
    this.#log.publish(cosigned);
    this.#send({ t: "published", ticket });
  }

  #close(ticket: number): void {
    this.#log.close();
    this.#send({ t: "closed", ticket });
    this.#port.close();
  }

  #checkpoint(): string {
    const note = this.#log.checkpoint();
    this.#lastCheckpointAt = performance.now();
    this.#checkpointSize = this.#log.size;
    return note;
  }

  #checkpointByClock(): void {
    if (this.#log.size === this.#checkpointSize) return;
    try {
      this.#checkpoint();
    } catch (error) {
      this.#lastCheckpointAt = performance.now();
      this.#send({ t: "alarm", fault: faultData(error) });
    }
  }
}

const port = parentPort;
assert.ok(port !== null, "log-worker.ts is started by log-thread.ts");
try {
  // openLog is the only one that starts this file.
  new LogThread(port, workerData as LogThreadOptions).run();
} catch (error) {
  port.postMessage({ t: "refused", fault: faultData(error) } satisfies LogAnswer);
  port.close();
}
