// Promises receipts without a read of the disk on the thread that asks, nor on the one that appends: a thread of their own, started when the first is
// wanted, with bounded queues that take turns: whose questions are long to answer holds up its own. Trusts the thread (worker.ts). Port: port.ts.
import { Worker } from "node:worker_threads";
import { LogFault } from "../log/fault.ts";
import type { ReceiptAnswer, ReceiptRequest } from "./messages.ts";
import type { FoundCrossing, ReceiptSource } from "./port.ts";

/** Questions that are not answered yet; beyond it they are refused. */
export const waitingMax = 256;
/** The same of one asker. */
export const waitingOfAskerMax = 100;

/** Makes receipts of the log in `directory`, which this or another process writes. */
export function openReceipts(directory: string): ReceiptSource {
  return new ReceiptThread(directory);
}

interface Waiting {
  readonly crossing: string;
  readonly resolve: (found: FoundCrossing) => void;
  readonly reject: (fault: LogFault) => void;
}

class ReceiptThread implements ReceiptSource {
  readonly #directory: string;
  #worker: Worker | null = null;
  /** By asker; who has been answered last stands last. */
  readonly #waiting = new Map<string, Waiting[]>();
  /** The one question that the thread has. */
  #asked: (Waiting & { readonly ticket: number }) | null = null;
  #ticket = 0;
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  find(crossing: string, asker: string): Promise<FoundCrossing> {
    if (this.#closed) return Promise.reject(new LogFault("log-closed", "receipts are closed"));
    const own = this.#waiting.get(asker) ?? [];
    const all = [...this.#waiting.values()].reduce((sum, { length }) => sum + length, 0);
    if (all >= waitingMax)
      return Promise.reject(new LogFault("log-full", `more than ${waitingMax} questions for receipts wait`));
    if (own.length >= waitingOfAskerMax)
      return Promise.reject(new LogFault("log-full", `more than ${waitingOfAskerMax} of one asker wait`));
    this.#waiting.set(asker, own);
    return new Promise((resolve, reject) => {
      own.push({ crossing, resolve, reject });
      this.#next();
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

  /** The thread gets one question at a time: of who has waited longest for a turn. */
  #next(): void {
    if (this.#asked !== null) return;
    const [turn] = this.#waiting;
    const [asker, [first, ...others]] = turn ?? ["", []];
    this.#waiting.delete(asker);
    if (first === undefined) return;
    if (others.length > 0) this.#waiting.set(asker, others);
    const ticket = ++this.#ticket;
    this.#asked = { ticket, ...first };
    const request: ReceiptRequest = { ticket, crossing: first.crossing };
    this.#started().postMessage(request);
  }

  #take(answer: ReceiptAnswer): void {
    const asked = this.#asked;
    if (asked?.ticket !== answer.ticket) return;
    this.#asked = null;
    if ("found" in answer) asked.resolve(answer.found);
    else asked.reject(new LogFault(answer.fault.code, answer.fault.internal));
    this.#next();
  }

  #died(worker: Worker, why: string): void {
    if (this.#worker === worker) this.#end(new LogFault("log-closed", why));
  }

  #end(fault: LogFault): void {
    this.#worker = null;
    this.#asked?.reject(fault);
    this.#asked = null;
    for (const { reject } of [...this.#waiting.values()].flat()) reject(fault);
    this.#waiting.clear();
  }
}
