// Promises that every fold that is ordered runs, by itself, over all records of this control plane, and that one that cannot be made stops no other.
// Trusts follower.ts, its only other end. Runs as one worker thread; described in docs/audit.md "What follows the log".
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoldHost, FoldMaker } from "./fold.ts";
import { FoldRunner } from "./fold-runner.ts";
import type { FoldOrder, FollowerAnswer, FollowerRequest, FollowerThreadOptions } from "./follower-messages.ts";
import { heldDirectories } from "./held-directories.ts";
import { OriginWatch } from "./origin-watch.ts";
import { pause } from "./pause.ts";
import { SharedBatches } from "./shared-batches.ts";

interface Running {
  readonly order: FoldOrder;
  /** Null: it could not be made, for the reason that stands beside it. */
  readonly runner: FoldRunner | null;
  readonly fault: string | null;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const textOf = (error: unknown): string => (error instanceof Error ? error.message : "unknown");

class FollowerThread {
  readonly #port: MessagePort;
  readonly #options: FollowerThreadOptions;
  readonly #records: HeldRecords;
  readonly #watch: OriginWatch;
  readonly #batches: SharedBatches;
  readonly #running = new Map<string, Running>();
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  #ticket = 0;
  /** Orders are carried out one after the other. */
  #ordering: Promise<void> = Promise.resolve();

  constructor(port: MessagePort, options: FollowerThreadOptions) {
    this.#port = port;
    this.#options = options;
    this.#records = openHeldLogs({
      directories: () => heldDirectories(options.dataDirectory),
      fault: (fault) => this.#send({ t: "fault", why: fault.internal }),
    });
    this.#watch = new OriginWatch(this.#records, pause);
    this.#batches = new SharedBatches(this.#records, pause);
    port.on("message", (request: FollowerRequest) => this.#take(request));
  }

  #send(answer: FollowerAnswer): void {
    this.#port.postMessage(answer);
  }

  #take(request: FollowerRequest): void {
    if (request.t === "served") this.#calls.get(request.ticket)?.resolve(request.output);
    else if (request.t === "unserved") this.#calls.get(request.ticket)?.reject(new Error(request.why));
    else void this.#answer(request);
  }

  async #answer(request: Exclude<FollowerRequest, { t: "served" | "unserved" }>): Promise<void> {
    const { ticket } = request;
    try {
      this.#send({ t: "done", ticket, output: await this.#outputOf(request) });
    } catch (error) {
      this.#send({ t: "failed", ticket, why: textOf(error) });
    }
    if (request.t === "close") this.#port.close();
  }

  async #outputOf(request: Exclude<FollowerRequest, { t: "served" | "unserved" }>): Promise<unknown> {
    if (request.t === "standing" || request.t === "ask") {
      // Whoever asks while folds are being made is answered by them.
      await this.#ordering;
      return request.t === "standing" ? this.#standing() : this.#ask(request.fold, request.question);
    }
    const orders = request.t === "orders" ? request.orders : [];
    this.#ordering = this.#ordering.then(() => this.#carryOut(orders));
    await this.#ordering;
    if (request.t !== "close") return undefined;
    await this.#watch.close();
    await this.#records.close();
    return undefined;
  }

  #standing() {
    const folds = [...this.#running].map(
      ([id, { runner, fault }]) => runner?.standing() ?? { id, behind: 0, behindSince: null, fault },
    );
    return { folds, fault: this.#watch.fault };
  }

  async #ask(fold: string, question: unknown): Promise<unknown> {
    const running = this.#running.get(fold);
    if (running === undefined) throw new Error(`there is no ${fold} here`);
    const answering = running.runner?.fold;
    if (answering?.answer === undefined) throw new Error(running.fault ?? `${fold} has no answers`);
    return answering.answer(question);
  }

  /** Ends what is not ordered any more or otherwise, then makes what is new. Never rejects. */
  async #carryOut(orders: readonly FoldOrder[]): Promise<void> {
    const wanted = new Map(orders.map((order) => [order.id, order]));
    for (const [id, { order, runner }] of this.#running) {
      if (isDeepStrictEqual(wanted.get(id), order)) continue;
      this.#running.delete(id);
      await runner?.close().catch((error: unknown) => this.#send({ t: "fault", why: `${id}: ${textOf(error)}` }));
    }
    for (const [id, order] of wanted) {
      if (!this.#running.has(id)) this.#running.set(id, await this.#make(order));
    }
  }

  async #make(order: FoldOrder): Promise<Running> {
    try {
      // The module is one of this program's own: control names it.
      const { makeFold } = (await import(order.module)) as { makeFold: FoldMaker };
      const fold = await makeFold(order.id, order.options, this.#host(order.id));
      const ports = { batches: this.#batches, watch: this.#watch, now: Date.now, pause, turn };
      return { order, runner: new FoldRunner(fold, ports), fault: null };
    } catch (error) {
      this.#send({ t: "fault", why: `${order.id} cannot follow the log: ${textOf(error)}` });
      return { order, runner: null, fault: textOf(error) };
    }
  }

  #host(id: string): FoldHost {
    return {
      dataDirectory: this.#options.dataDirectory,
      records: this.#records,
      now: Date.now,
      call: (service, input) => this.#call(service, input),
      fault: (error) => this.#send({ t: "fault", why: `${id}: ${textOf(error)}` }),
    };
  }

  async #call(service: string, input: unknown): Promise<unknown> {
    const ticket = ++this.#ticket;
    const waiting = Promise.withResolvers<unknown>();
    this.#calls.set(ticket, waiting);
    this.#send({ t: "call", ticket, service, input });
    try {
      return await waiting.promise;
    } finally {
      this.#calls.delete(ticket);
    }
  }
}

const port = parentPort;
assert.ok(port !== null, "follower-worker.ts is started by follower.ts");
// follower.ts is the only one that starts this file.
new FollowerThread(port, workerData as FollowerThreadOptions);
