// Promises one gateway made of several worker threads: one address, one log, one voice towards control, limits and replay sets that hold over all of them.
// A worker that ends by itself ends the node. Trusts its options; what workers share is in node-memory.ts. Specified in docs/workers.md.
import assert from "node:assert/strict";
import { once } from "node:events";
import { MessageChannel, Worker } from "node:worker_threads";
import type { GeoSource } from "@sallyport/kernel/geo/geo-source.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { witness } from "../channel/answer-message.ts";
import type { Gateway } from "../gateway.ts";
import type { RedisAddress } from "../limit/redis-url.ts";
import { defaultListenBounds } from "../listen/bounds.ts";
import { probePort } from "../listen/probe-port.ts";
import type { GatewayStatus, Readiness } from "../observe/status.ts";
import type { GatewayOptions, ListenerAddress } from "../ports.ts";
import { answerQuestion } from "../record/answer-question.ts";
import { openRecord } from "../record/open-record.ts";
import { openLastKnownGood } from "../snapshot/last-known-good.ts";
import { openStateDirectory } from "../snapshot/state-directory.ts";
import { noStream } from "../streams/decide-refresh.ts";
import type { Refresh } from "../streams/refresh.ts";
import { Calls } from "./calls.ts";
import { FeedHub } from "./feed-hub.ts";
import { KeptState } from "./kept-state.ts";
import { openMainDesk } from "./main-desk.ts";
import type { MainDesk, WorkerDesk, WorkerReport, WorkerStart } from "./messages.ts";
import { allocateNodeMemory, type NodeMemory } from "./node-memory.ts";
import { type HeardReport, observedOfAll, readinessOfAll, statusOfAll } from "./one-of-all.ts";
import { monotonicOffsetMs } from "./process-clock.ts";
import { StoreDesk } from "./store-desk.ts";
import { givenOf, sumMetrics } from "./sum-metrics.ts";
import { TallyKeeper } from "./tally-keeper.ts";

const sweepMs = 1_000;
/** Longest wait for a thread to end by itself. */
const endMsMax = 2_000;

export interface CrewOptions {
  /** At least two. */
  readonly workers: number;
  readonly log: Pick<OpenedLog, "seat">;
  /** The key behind `hop`, PKCS #8 PEM. */
  readonly hopPem: string;
  /** Folder of the keys behind `upstreamKeys`; null: none. */
  readonly upstreamKeys: string | null;
  /** Where addresses are; null: nobody knows. */
  readonly geo: Pick<GeoSource, "bytes" | "onChange"> | null;
  /** Where gateways count limits together; null: nowhere. */
  readonly limitsStore: RedisAddress | null;
  /** A worker ended by itself, and with it what it served: the process is to end. */
  ended(fault: Error): void;
}

interface Hand {
  readonly worker: Worker;
  readonly calls: Calls<WorkerDesk>;
  heard: { readonly report: WorkerReport; readonly atMs: number } | null;
}

export interface CrewGateway extends Gateway {
  /** What each worker said of itself last. */
  perWorker(): readonly GatewayStatus[];
}

/** Makes the gateway; nothing runs before `start`. Of `options`, observers are not for workers; places and limits across gateways are what `crew` says. */
export function createCrew(options: GatewayOptions, crew: CrewOptions): CrewGateway {
  const { observers = [] } = options;
  assert.ok(crew.workers >= 2 && observers.length === 0, "not for workers");
  return new Crew(options, crew);
}

class Crew implements CrewGateway {
  readonly #options: GatewayOptions;
  readonly #crew: CrewOptions;
  readonly #hands: Hand[] = [];
  readonly #memory: NodeMemory;
  readonly #hub: FeedHub;
  readonly #kept: KeptState;
  readonly #store: StoreDesk;
  readonly #tallies: TallyKeeper;
  #sweep: NodeJS.Timeout | null = null;
  #draining = false;
  #closing: Promise<void> | null = null;

  constructor(options: GatewayOptions, crew: CrewOptions) {
    this.#options = options;
    this.#crew = crew;
    const { clock, random, tables, admission, door, feed, logger } = options;
    this.#memory = allocateNodeMemory({ random, clock, tables, admission, door, knowsPlaces: crew.geo !== null });
    crew.geo?.onChange((bytes) => {
      for (const { calls } of this.#hands) calls.tell("useGeo", bytes);
    });
    this.#kept = new KeptState(openLastKnownGood(openStateDirectory(options.stateDirectory)));
    this.#store = new StoreDesk(options.dataStore ?? null);
    this.#hub = new FeedHub({
      workers: crew.workers,
      feed,
      deliver: (message) => this.#deliver(message),
      answer: (message, send) => this.#answer(message, send),
      undelivered: (message, cause) =>
        logger.warn({ t: message.t, err: String(cause) }, "a message to control was not delivered"),
    });
    const { recorder } = openRecord({ ...options, logKeys: null });
    this.#tallies = new TallyKeeper({
      now: () => clock.now(),
      settled: () => this.#all("settledTallies"),
      take: (to) => this.#all("takeTallies", to),
      append: (fields) => recorder.own({ t: "tally", ...fields }),
    });
  }

  async start(): Promise<readonly ListenerAddress[]> {
    try {
      const listeners = await Promise.all(
        this.#options.listeners.map(async (one) => ({ ...one, port: await probePort(one) })),
      );
      for (let number = 0; number < this.#crew.workers; number++) this.#hire(number, listeners);
      const [addresses = []] = await this.#all("start");
      for (const hand of this.#hands) hand.heard = { report: await hand.calls.ask("report"), atMs: performance.now() };
      this.#sweep = setInterval(() => this.#tallies.sweep(), sweepMs).unref();
      return addresses;
    } catch (cause) {
      await this.close();
      throw cause;
    }
  }

  status(): GatewayStatus {
    const { log, shipping } = this.#options;
    return {
      ...statusOfAll(this.#heard()),
      draining: this.#draining,
      logOrigin: log.origin,
      logLeaves: log.size(),
      shipping: shipping?.() ?? null,
    };
  }

  perWorker(): readonly GatewayStatus[] {
    return this.#heard().map(({ status }) => status);
  }

  readiness(): Readiness {
    const { missing, broken } = readinessOfAll(this.#heard());
    const all = this.#draining ? ["the gateway is draining", ...missing] : missing;
    return { ready: all.length === 0, workers: this.#hands.length, missing: [...new Set(all)], broken };
  }

  async metricsText(): Promise<string> {
    const { log, shipping, clock } = this.#options;
    const pages = await this.#all("metrics");
    return sumMetrics(pages, givenOf({ logLeaves: log.size(), shipping: shipping?.() ?? null, nowMs: clock.now() }));
  }

  held(): { readonly keySeq: number; readonly revocationSeq: number } {
    const all = this.#hands.map(({ heard }) => heard?.report.status);
    const least = (of: (status: GatewayStatus) => number) =>
      Math.min(...all.map((status) => (status === undefined ? 0 : of(status))));
    return { keySeq: least(({ keySeq }) => keySeq), revocationSeq: least(({ revocationSeq }) => revocationSeq) };
  }

  useListenerTls(pair: { readonly cert: string; readonly key: string }): void {
    for (const { calls } of this.#hands) calls.tell("useTls", pair);
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    // A worker that has ended drains nothing: the others do all the same.
    await Promise.allSettled(this.#hands.map(({ calls }) => calls.ask("drain", graceMs)));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#draining = true;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    // A worker that has ended answers nothing: the others close all the same.
    await Promise.allSettled(this.#hands.map(({ calls }) => calls.ask("close")));
    if (this.#sweep !== null) await this.#tallies.stop().catch(() => undefined);
    await this.#hub.closed();
    await Promise.allSettled(this.#hands.map((hand) => endHand(hand)));
    await this.#store.close();
  }

  #hire(number: number, listeners: WorkerStart["options"]["listeners"]): void {
    const { port1, port2 } = new MessageChannel();
    const seat = this.#crew.log.seat();
    const workerData = this.#startOf(number, { listeners, seat, calls: port2 });
    const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const transferList = [port2, seat.port];
    const name = `sallyport-gateway-${number + 1}`;
    const worker = new Worker(new URL(entry, import.meta.url), { workerData, transferList, name });
    const hand: Hand = { worker, calls: new Calls<WorkerDesk>(port1), heard: null };
    this.#hands.push(hand);
    const desk = this.#deskOf(number, hand);
    port1.on("message", (message) => hand.calls.take(message, desk));
    worker.once("error", (cause) => this.#lost(hand, number, cause instanceof Error ? cause.message : String(cause)));
    worker.once("exit", () => this.#lost(hand, number, "it ended"));
  }

  /** What it served is cut, and what it counted as under way stays counted: nobody goes on as if nothing had happened. */
  #lost(hand: Hand, number: number, why: string): void {
    const fault = new Error(`worker thread ${number + 1} of this gateway ended by itself: ${why}`);
    hand.calls.end(fault);
    if (this.#closing === null) this.#crew.ended(fault);
  }

  #startOf(
    number: number,
    given: { readonly listeners: WorkerStart["options"]["listeners"] } & Pick<WorkerStart, "seat" | "calls">,
  ): WorkerStart {
    const { tenant, environment, region, group, node, stateDirectory, snapshotKey, logKeys } = this.#options;
    const {
      hopCertificate = null,
      bounds,
      admission,
      door,
      tables,
      serverTiming,
      dataStore,
      receipts,
      traces,
    } = this.#options;
    const { seat, calls, listeners } = given;
    const { connectionsMax } = { ...defaultListenBounds, ...bounds };
    return {
      options: {
        ...{
          tenant,
          environment,
          region,
          group,
          node,
          stateDirectory,
          snapshotKey,
          logKeys,
          hopCertificate,
          listeners,
        },
        bounds: { ...bounds, connectionsMax: Math.max(1, Math.floor(connectionsMax / this.#crew.workers)) },
        ...(admission === undefined ? {} : { admission }),
        ...(door === undefined ? {} : { door }),
        ...(tables === undefined ? {} : { tables }),
        ...(serverTiming === undefined ? {} : { serverTiming }),
      },
      ...{ number, of: this.#crew.workers, memory: this.#memory, seat, calls },
      hopPem: this.#crew.hopPem,
      upstreamKeys: this.#crew.upstreamKeys,
      geo: this.#crew.geo?.bytes ?? null,
      limitsStore: this.#crew.limitsStore,
      traces: traces === undefined ? null : { ratio: traces.ratio, version: traces.version },
      dataStore: dataStore?.dialect ?? null,
      givesReceipts: receipts !== undefined,
      monotonicOffsetMs: monotonicOffsetMs(),
    };
  }

  #deskOf(number: number, hand: Hand): MainDesk {
    return openMainDesk(this.#options, {
      hub: this.#hub,
      store: this.#store,
      kept: this.#kept,
      number,
      failed: (fault) => {
        if (this.#closing === null) this.#crew.ended(fault);
      },
      refreshElsewhere: (refresh) => this.#refresh(refresh, hand),
      report: (report) => {
        hand.heard = { report, atMs: performance.now() };
      },
    });
  }

  /** The answer of the one that has the stream; `asking` was asked by its caller. */
  async #refresh(refresh: Refresh, asking: Hand): Promise<Deny | null> {
    const others = this.#hands.filter((hand) => hand !== asking);
    const answers = await Promise.allSettled(others.map(({ calls }) => calls.ask("refresh", refresh)));
    const said = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    const ofOwner = said.find((verdict) => verdict === null || verdict.code !== noStream.code);
    return ofOwner === undefined ? noStream : ofOwner;
  }

  #deliver(message: DownMessage): void {
    const { openLogKeys, logger, keepHopCertificate } = this.#options;
    if (message.t === "hop-certificate") keepHopCertificate?.({ kid: message.kid, jws: message.jws });
    try {
      const opened = message.t === "log-keys" ? openLogKeys(message.keys) : null;
      for (const { calls } of this.#hands) calls.tell("down", message, opened);
    } catch (cause) {
      logger.error({ err: String(cause) }, "log keys could not be opened: they are not sealed to this node");
    }
  }

  /** Questions are the node's to answer. */
  #answer(message: DownMessage, send: (message: UpMessage) => void): boolean {
    const { log, logger } = this.#options;
    if (message.t !== "question") return false;
    const unanswered = (cause: unknown) =>
      logger.warn({ err: String(cause) }, "a question of control could not be answered");
    if (message.ask === "witness") witness(message, send, this.#options);
    else if (message.ask === "observed")
      this.#all("observed", message).then((all) => send(observedOfAll(all)), unanswered);
    else answerQuestion(log, message).then(send, unanswered);
    return true;
  }

  #all<K extends keyof WorkerDesk>(
    name: K,
    ...asked: Parameters<WorkerDesk[K]>
  ): Promise<Awaited<ReturnType<WorkerDesk[K]>>[]> {
    return Promise.all(this.#hands.map(({ calls }) => calls.ask(name, ...asked)));
  }

  #heard(): HeardReport[] {
    const nowMs = performance.now();
    return this.#hands.flatMap(({ heard }) =>
      heard === null ? [] : [{ ...heard.report, silentMs: nowMs - heard.atMs }],
    );
  }
}

async function endHand({ worker, calls }: Hand): Promise<void> {
  const exited = once(worker, "exit");
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, endMsMax);
  });
  await Promise.race([Promise.all([calls.ask("end"), exited]), late]).catch(() => undefined);
  clearTimeout(timer);
  await worker.terminate();
}
