// Promises the folds of this control plane in one thread of their own: asked by name, counted, started again when the thread dies, ended with what they
// have in hand. Trusts follower-worker.ts, its only other end. Described in docs/audit.md "What follows the log".
import { isDeepStrictEqual } from "node:util";
import { Worker } from "node:worker_threads";
import type {
  FoldOrder,
  FollowerAnswer,
  FollowerRequest,
  FollowerStanding,
  FollowerThreadOptions,
} from "./follower-messages.ts";
import { pause } from "./pause.ts";

export interface FollowerOptions extends FollowerThreadOptions {
  /** What folds may ask of control, by name. */
  readonly services: Readonly<Record<string, (input: unknown) => Promise<unknown>>>;
  readonly fault: (error: unknown) => void;
}

/** A question that is not answered within so many milliseconds is given up. */
const answerMsMax = 30_000;
const closeMsMax = 10_000;
const restartPauseMs = 5_000;
const waitingMax = 1_024;

interface Waiting {
  readonly resolve: (output: unknown) => void;
  readonly reject: (fault: Error) => void;
}

type Asking = Extract<FollowerRequest, { t: "orders" | "ask" | "standing" | "close" }>;
/** A request before it has its ticket. */
type Untagged<T> = T extends unknown ? Omit<T, "ticket"> : never;

export class Follower {
  readonly #options: FollowerOptions;
  readonly #ending = new AbortController();
  readonly #waiting = new Map<number, Waiting>();
  #orders: readonly FoldOrder[] = [];
  #worker: Worker | null = null;
  #isRestarting = false;
  #ticket = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** From now on these folds run; those that stay the same are not touched. Without any there is no thread. */
  async order(orders: readonly FoldOrder[]): Promise<void> {
    if (isDeepStrictEqual(orders, this.#orders)) return;
    this.#orders = orders;
    // A thread that ended is started again by itself, with the newest orders.
    if (this.#worker === null && (orders.length === 0 || this.#isRestarting)) return;
    this.#worker ??= this.#start();
    await this.#ask({ t: "orders", orders });
  }

  /** What a fold answers. Rejects when there is no such fold, when it could not be made, or after 30 s. */
  ask(fold: string, question: unknown): Promise<unknown> {
    return this.#ask({ t: "ask", fold, question });
  }

  /** How far every fold is. */
  async standing(): Promise<FollowerStanding> {
    if (this.#worker === null) return { folds: [], fault: null };
    // The thread answers `standing` with nothing else.
    return (await this.#ask({ t: "standing" })) as FollowerStanding;
  }

  /** Ends every fold once it is done with what it has in hand; after ten seconds the thread is ended all the same. */
  async close(): Promise<void> {
    this.#ending.abort();
    const worker = this.#worker;
    if (worker === null) return;
    const late = new AbortController();
    await Promise.race([this.#ask({ t: "close" }).catch(() => undefined), pause(closeMsMax, late.signal)]);
    late.abort();
    await worker.terminate();
  }

  #start(): Worker {
    const { dataDirectory } = this.#options;
    const workerData: FollowerThreadOptions = { dataDirectory };
    const entry = import.meta.url.endsWith(".ts") ? "./follower-worker.ts" : "./follower-worker.js";
    const worker = new Worker(new URL(entry, import.meta.url), { workerData, name: "sallyport-follower" });
    worker.on("message", (answer: FollowerAnswer) => this.#take(worker, answer));
    worker.on("error", (error) => this.#options.fault(error));
    worker.once("exit", () => void this.#ended());
    // The listeners of control keep the process alive, and whoever waits for an answer.
    worker.unref();
    return worker;
  }

  async #ended(): Promise<void> {
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(new Error("what follows the log ended"));
    this.#waiting.clear();
    if (this.#ending.signal.aborted) return;
    this.#options.fault(new Error(`what follows the log ended; it starts again in ${restartPauseMs / 1_000} s`));
    this.#isRestarting = true;
    await pause(restartPauseMs, this.#ending.signal);
    this.#isRestarting = false;
    if (this.#ending.signal.aborted) return;
    this.#worker = this.#start();
    await this.#ask({ t: "orders", orders: this.#orders }).catch(this.#options.fault);
  }

  async #ask(request: Untagged<Asking>): Promise<unknown> {
    const worker = this.#worker;
    if (worker === null) throw new Error("what follows the log is not running");
    if (this.#waiting.size >= waitingMax)
      throw new Error(`more than ${waitingMax} questions wait for what follows the log`);
    const ticket = ++this.#ticket;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(ticket, waiting);
    const late = new AbortController();
    void pause(answerMsMax, late.signal).then(() =>
      waiting.reject(new Error(`what follows the log did not answer in ${answerMsMax / 1_000} s`)),
    );
    try {
      worker.ref();
      worker.postMessage({ ...request, ticket } satisfies FollowerRequest);
      return await waiting.promise;
    } finally {
      late.abort();
      this.#waiting.delete(ticket);
      if (this.#waiting.size === 0) worker.unref();
    }
  }

  #take(worker: Worker, answer: FollowerAnswer): void {
    if (answer.t === "done") this.#waiting.get(answer.ticket)?.resolve(answer.output);
    else if (answer.t === "failed") this.#waiting.get(answer.ticket)?.reject(new Error(answer.why));
    else if (answer.t === "fault") this.#options.fault(new Error(answer.why));
    else void this.#serve(worker, answer);
  }

  async #serve(worker: Worker, call: Extract<FollowerAnswer, { t: "call" }>): Promise<void> {
    const { ticket, service, input } = call;
    const serve = this.#options.services[service];
    try {
      if (serve === undefined) throw new Error(`control has no ${service} for what follows the log`);
      worker.postMessage({ t: "served", ticket, output: await serve(input) } satisfies FollowerRequest);
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      worker.postMessage({ t: "unserved", ticket, why } satisfies FollowerRequest);
    }
  }
}
