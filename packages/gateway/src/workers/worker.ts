// Promises one gateway in a thread of its own: the same pipeline as ever, over ports that lead to the thread which started it, to the one log and to the
// memory all workers count in. Trusts crew.ts, which alone starts this file. Specified in docs/workers.md.
import assert from "node:assert/strict";
import { getRandomValues } from "node:crypto";
import { workerData } from "node:worker_threads";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { SharedGeo } from "@sallyport/kernel/geo/geo-source.ts";
import { openSeat } from "@sallyport/kernel/log/log-client.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { DownMessage, SnapshotFeed } from "@sallyport/protocol/channel/messages.ts";
import { openUpstreamKeys } from "../forward/upstream-keys.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import type { DataStorePort } from "../idempotency/data-plane.ts";
import { limitsStoreAt } from "../limit/redis-counts.ts";
import type { GatewayOptions, Logger, OpenLogKeys } from "../ports.ts";
import { type LastKnownGood, openLastKnownGood } from "../snapshot/last-known-good.ts";
import { openStateDirectory } from "../snapshot/state-directory.ts";
import { noStream } from "../streams/decide-refresh.ts";
import type { RefreshElsewhere } from "../streams/refresh.ts";
import { takeTallies } from "./as-worker.ts";
import { Calls } from "./calls.ts";
import type { KeptWrite, MainDesk, WorkerDesk, WorkerStart } from "./messages.ts";
import { monotonicOffsetMs } from "./process-clock.ts";

const memoEntriesMax = 10_000;
const reportEveryMs = 100;

/** The same milliseconds in every thread: each one's own clock began when it did. */
function clockLike(startOffsetMs: number): Clock {
  const apartMs = monotonicOffsetMs() - startOffsetMs;
  return { now: () => Date.now(), monotonic: () => performance.now() + apartMs };
}

function loggerOver(calls: Calls<MainDesk>): Logger {
  const say = (level: "info" | "warn" | "error") => (fields: object, message: string) =>
    // What pino would print; nothing in it is more than that.
    calls.tell("say", level, JSON.parse(JSON.stringify(fields)), message);
  return { info: say("info"), warn: say("warn"), error: say("error") };
}

function keptOver(calls: Calls<MainDesk>, stateDirectory: string): LastKnownGood {
  const kept = openLastKnownGood(openStateDirectory(stateDirectory));
  const keep = (write: KeptWrite): void => calls.tell("keep", write);
  return {
    ...kept,
    writeManifest: (signed) => keep(["writeManifest", signed]),
    writeFloor: (floor) => keep(["writeFloor", floor]),
    writeKeys: (state) => keep(["writeKeys", state]),
    writeRevocations: (state) => keep(["writeRevocations", state]),
    writeHeartbeat: (at) => keep(["writeHeartbeat", at]),
    writeBlob: (id, bytes) => keep(["writeBlob", id, bytes]),
    keepBlobs: (ids) => keep(["keepBlobs", ids]),
  };
}

/** A thread that cannot be asked has no stream for us. */
const elsewhereOver =
  (calls: Calls<MainDesk>): RefreshElsewhere =>
  (refresh) =>
    calls.ask("refreshElsewhere", refresh).catch(() => noStream);

/** What came down the channel, and what was opened with it. */
class Feed implements SnapshotFeed {
  readonly #calls: Calls<MainDesk>;
  #on: ((message: DownMessage) => void) | null = null;
  #logKeys: OpenLogKeys | null = null;
  readonly #tokenKeys = new Map<string, Uint8Array>();

  constructor(calls: Calls<MainDesk>) {
    this.#calls = calls;
  }

  readonly blob = (id: string) => this.#calls.ask("blob", id);
  readonly handle = (digest: string) => this.#calls.ask("handle", digest);
  readonly introspect: SnapshotFeed["introspect"] = (question) => this.#calls.ask("introspect", question);
  readonly nextHopToken: SnapshotFeed["nextHopToken"] = (request) => this.#calls.ask("nextHopToken", request);
  readonly payloadKey: SnapshotFeed["payloadKey"] = (request) => this.#calls.ask("payloadKey", request);

  async tokenKey(kid: string): Promise<string | null> {
    const found = await this.#calls.ask("tokenKey", kid);
    if (found !== null) this.#tokenKeys.set(kid, found.opened);
    return found?.sealed ?? null;
  }

  /** Taken out: it is asked for once for each answer. */
  openedTokenKey(kid: string): Uint8Array {
    const opened = this.#tokenKeys.get(kid);
    this.#tokenKeys.delete(kid);
    assert.ok(opened !== undefined, "opened where it came in");
    return opened;
  }

  openedLogKeys(): OpenLogKeys {
    assert.ok(this.#logKeys !== null, "opened where they came in");
    return this.#logKeys;
  }

  open(on: (message: DownMessage) => void): ReturnType<SnapshotFeed["open"]> {
    this.#on = on;
    this.#calls.tell("openFeed");
    return {
      send: (message) => this.#calls.ask("send", message),
      close: async () => {
        this.#on = null;
        this.#calls.tell("closeFeed");
      },
    };
  }

  down(message: DownMessage, opened: OpenLogKeys | null): void {
    this.#logKeys = opened;
    this.#on?.(message);
  }
}

function storeOver(calls: Calls<MainDesk>, dialect: DataStorePort["dialect"]): DataStorePort {
  return {
    dialect,
    open: async () => {
      await calls.ask("openStore");
      return {
        // Answered by the same command of the same store, in the thread that has it.
        run: async (name, input) => (await calls.ask("runStore", name, input)) as never,
        // The thread that opened it closes it.
        close: async () => {},
      };
    },
  };
}

function optionsOf(start: WorkerStart, calls: Calls<MainDesk>, feed: Feed): Omit<GatewayOptions, "log"> {
  const { options, number, of, memory, dataStore, givesReceipts, upstreamKeys, limitsStore, traces } = start;
  const logger = loggerOver(calls);
  return {
    ...options,
    listeners: options.listeners.map((one) => ({ ...one, reusePort: true })),
    worker: {
      number,
      of,
      memory,
      kept: keptOver(calls, options.stateDirectory),
      refreshElsewhere: elsewhereOver(calls),
    },
    clock: clockLike(start.monotonicOffsetMs),
    random: { bytes: (length) => getRandomValues(new Uint8Array(length)) },
    feed,
    openLogKeys: () => feed.openedLogKeys(),
    openTokenKey: (kid) => feed.openedTokenKey(kid),
    hop: signerFromPem(start.hopPem),
    dialer: createDialer(),
    policy: createPolicyEngine({ memoEntriesMax, warn: (message) => logger.warn({}, message) }),
    logger,
    ...(dataStore === null ? {} : { dataStore: storeOver(calls, dataStore) }),
    ...(limitsStore === null ? {} : { limitsStore: limitsStoreAt(limitsStore) }),
    ...(traces === null ? {} : { traces: { ...traces, send: (body) => calls.ask("sendTraces", body) } }),
    ...(givesReceipts
      ? { receipts: { find: (crossing, asker) => calls.ask("receipt", crossing, asker), close: async () => {} } }
      : {}),
    upstreamKeys:
      upstreamKeys === null
        ? null
        : openUpstreamKeys({
            directory: upstreamKeys,
            monotonic: () => performance.now(),
            warn: (fields, text) => logger.warn(fields, text),
          }),
  };
}

/** A pair that does not fit changes nothing, and ends nothing. */
function useTls(gateway: Gateway, pair: Parameters<Gateway["useListenerTls"]>[0], logger: Logger): void {
  try {
    gateway.useListenerTls(pair);
  } catch (cause) {
    logger.error({ err: String(cause) }, "a listener certificate could not be used; the one before stays");
  }
}

function run(start: WorkerStart): void {
  const calls = new Calls<MainDesk>(start.calls);
  const feed = new Feed(calls);
  const log = openSeat(start.seat);
  const geo = start.geo === null ? null : new SharedGeo(start.geo);
  const options = { ...optionsOf(start, calls, feed), geo };
  const gateway = createGateway({ ...options, log });
  const report: WorkerDesk["report"] = () => ({ status: gateway.status(), readiness: gateway.readiness() });
  const reporting = setInterval(() => calls.tell("report", report()), reportEveryMs);
  const desk: WorkerDesk = {
    start: () => gateway.start(),
    down: (message, opened) => feed.down(message, opened),
    report,
    useGeo: (bytes) => geo?.use(bytes),
    useTls: (pair) => useTls(gateway, pair, options.logger),
    drain: (graceMs) => gateway.drain(graceMs),
    close: () => gateway.close(),
    metrics: () => gateway.metricsText(),
    observed: (question) => gateway.asWorker.observed.answer(question),
    settledTallies: () => gateway.asWorker.tallies.settled(),
    takeTallies: (to) => takeTallies(gateway.asWorker, to),
    refresh: (asked) => gateway.asWorker.refresh(asked),
    end: async () => {
      clearInterval(reporting);
      await log.close();
      // After the answer to this has left.
      setImmediate(() => start.calls.close());
    },
  };
  start.calls.on("message", (message) => calls.take(message, desk));
}

// crew.ts starts it with nothing else.
if (workerData !== null && typeof workerData === "object" && "calls" in workerData) run(workerData as WorkerStart);
