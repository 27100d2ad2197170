// Promises receipts without a read of the disk on the thread that asks, nor on the one that appends: a thread of their own, started when the first is
// wanted, with a bounded queue. Trusts the thread (worker.ts). Port: port.ts.
import { Worker } from "node:worker_threads";
import { LogFault } from "../log/fault.ts";
import type { ReceiptAnswer, ReceiptRequest } from "./messages.ts";
import type { FoundCrossing, ReceiptSource } from "./port.ts";

/** Questions that wait for the thread; beyond it they are refused. */
export const waitingMax = 256;

/** Makes receipts of the log in `directory`, which this or another process writes. */
export function openReceipts(directory: string): ReceiptSource {
  return new ReceiptThread(directory);
}

interface Waiting {
  readonly resolve: (found: FoundCrossing) => void;
  readonly reject: (fault: LogFault) => void;
}

class ReceiptThread implements ReceiptSource {
  readonly #directory: string;
  #worker: Worker | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #ticket = 0;
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  find(crossing: string): Promise<FoundCrossing> {
    if (this.#closed) return Promise.reject(new LogFault("log-closed", "receipts are closed"));
    if (this.#waiting.size >= waitingMax)
      return Promise.reject(new LogFault("log-full", `more than ${waitingMax} questions for receipts wait`));
    const ticket = ++this.#ticket;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ticket, { resolve, reject });
      const request: ReceiptRequest = { ticket, crossing };
      this.#started().postMessage(request);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#end(new LogFault("log-closed", "receipts are closed"));
    await worker?.terminate();
  }

  #started(): Worker {
    if (this.#worker !== null) return this.#worker;
    const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const worker = new Worker(new URL(entry, import.meta.url), {
      workerData: this.#directory,
      name: "sallyport-receipts",
    });
    worker.on("message", (answer: ReceiptAnswer) => this.#take(answer));
    // A thread that dies takes its questions with it; the next one starts another.
    worker.on("error", (error: Error) => this.#died(worker, `the thread of receipts failed: ${error.message}`));
    worker.on("exit", () => this.#died(worker, "the thread of receipts ended"));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #take(answer: ReceiptAnswer): void {
    const waiting = this.#waiting.get(answer.ticket);
    this.#waiting.delete(answer.ticket);
    if ("found" in answer) waiting?.resolve(answer.found);
    else waiting?.reject(new LogFault(answer.fault.code, answer.fault.internal));
  }

  #died(worker: Worker, why: string): void {
    if (this.#worker === worker) this.#end(new LogFault("log-closed", why));
  }

  #end(fault: LogFault): void {
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(fault);
    this.#waiting.clear();
  }
}
