// Promises a running data plane from what it is given: listeners, the pipeline behind them, the newest snapshot in force, and an end without a
// lost crossing. Trusts its options (ports.ts). Specified in DESIGN §4-5 and docs/gateway.md.
import { networkInterfaces } from "node:os";
import { ownAddresses } from "@sallyport/kernel/dial/own-addresses.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { RefusedSnapshot } from "@sallyport/protocol/snapshot/manifest.ts";
import type { TokenSigner, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { Admission, defaultAdmissionLimits } from "./admit/admission.ts";
import { createSignals } from "./authorize/signals.ts";
import { bufferedRandom } from "./buffered-random.ts";
import { answerMessage } from "./channel/answer-message.ts";
import { HopKey } from "./exchange/hop-key.ts";
import { createHopTokens } from "./exchange/hop-tokens.ts";
import { beginExchange, type EstateLease, type Exchange, type ExchangeStart } from "./exchange.ts";
import { UpstreamPools } from "./forward/upstream-pools.ts";
import type { Gate } from "./gate.ts";
import { openIdentify } from "./identify/open-identify.ts";
import { openOutside } from "./identify/outside.ts";
import { tokenCacheStats } from "./identify/token-cache.ts";
import { allocateRateTable, openRateTable, rateTableSlots } from "./limit/gcra.ts";
import { defaultListenBounds } from "./listen/bounds.ts";
import type { CallerAnswer } from "./listen/caller-answer.ts";
import type { ListenerHandler } from "./listen/connection.ts";
import { Crossings } from "./listen/crossings.ts";
import type { Incoming } from "./listen/incoming.ts";
import { Listener } from "./listen/listener.ts";
import { createMetrics } from "./observe/metrics.ts";
import { ObservedTable } from "./observe/observed-table.ts";
import { StageTimes } from "./observe/stage-times.ts";
import { decideReadiness, type GatewayStatus, type Readiness } from "./observe/status.ts";
import { createTracing, type Tracing } from "./observe/tracing.ts";
import { sayInForce, unenforcedIn } from "./observe/unenforced.ts";
import { PayloadKeys } from "./payloads/payload-keys.ts";
import { runPipeline } from "./pipeline.ts";
import { GatewayFault, type GatewayOptions, type ListenerAddress } from "./ports.ts";
import { type CrossingIds, createCrossingIds } from "./record/crossing-id.ts";
import { openEarlyAnswers } from "./record/early-answers.ts";
import { Recorder } from "./record/recorder.ts";
import { finishDenied } from "./record/settle.ts";
import { Tallies } from "./record/tallies.ts";
import { compileEstate } from "./snapshot/estate.ts";
import { SnapshotFollower } from "./snapshot/follower.ts";
import { openLastKnownGood } from "./snapshot/last-known-good.ts";
import { Revocations } from "./snapshot/revocations.ts";
import { openStateDirectory } from "./snapshot/state-directory.ts";
import { TokenRing } from "./snapshot/token-ring.ts";

const sweepMs = 1_000;
/** Longest wait for crossings that were cut to record their end. */
const lastWaitMs = 100;

export interface Gateway {
  /** Restores the last good snapshot, binds the listeners, opens the feed. Faults: GatewayFault. */
  start(): Promise<readonly ListenerAddress[]>;
  status(): GatewayStatus;
  readiness(): Readiness;
  metricsText(): Promise<string>;
  /** Sequences held now; the channel feed asks for what comes after. */
  held(): { readonly keySeq: number; readonly revocationSeq: number };
  /** Certificate chain and key (PEM) of every TLS listener, for new connections from now on. */
  useListenerTls(pair: { readonly cert: string; readonly key: string }): void;
  /**
   * Not ready from now on. Everything is still served, with `Connection: close`, for `graceMs` or until nothing comes any more; then
   * listening ends, and it resolves when the last crossing has ended, at most `lastCrossingsMsMax` later.
   */
  drain(graceMs: number): Promise<void>;
  /** Ends listeners, crossings, feed and pools. Safe to call twice. */
  close(): Promise<void>;
}

/** Makes a gateway; nothing runs before `start`. */
export function createGateway(options: GatewayOptions): Gateway {
  return new RunningGateway({ ...options, random: bufferedRandom(options.random) });
}

class RunningGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #ring: TokenRing;
  readonly #revocations = new Revocations();
  readonly #recorder: Recorder;
  readonly #tallies: Tallies;
  readonly #newId: CrossingIds;
  readonly #pools: UpstreamPools;
  readonly #admission: Admission;
  readonly #follower: SnapshotFollower;
  readonly #listeners: Listener[];
  readonly #limiter: ReturnType<typeof openRateTable>;
  readonly #gate: Gate;
  readonly #tracing: Tracing | null;
  readonly #observed: ObservedTable;
  /** Somebody wants to know what each stage took. */
  readonly #timed: boolean;
  readonly #snapshotKey: VerifyKey;
  readonly #hopKey: HopKey;
  #ownAddresses: ReadonlySet<string> = new Set();
  readonly #addresses: ListenerAddress[] = [];
  readonly #crossings = new Crossings();
  #lease: EstateLease | null = null;
  readonly #retired = new Set<EstateLease>();
  #refused: RefusedSnapshot | null = null;
  #sweep: NodeJS.Timeout | null = null;
  #draining = false;
  #closing: Promise<void> | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { clock, random, log, traces } = options;
    const crypto = createTokenCrypto();
    const snapshotKey = crypto.importKey({ kty: "OKP", crv: "Ed25519", x: options.snapshotKey.x });
    if (snapshotKey === null)
      throw new GatewayFault("snapshot-key", "the snapshot key fixed at joining is no Ed25519 key; join again");
    this.#snapshotKey = { ...snapshotKey, kid: options.snapshotKey.kid, verify: snapshotKey.verify.bind(snapshotKey) };
    this.#hopKey = new HopKey({
      signer: options.hop,
      node: options.node,
      snapshotKey: this.#snapshotKey,
      crypto,
      now: () => clock.now(),
    });
    if (options.hopCertificate) this.#hopKey.take(options.hopCertificate);
    this.#ring = new TokenRing(crypto);
    this.#tallies = new Tallies({
      clock,
      flushDenials: (before) => this.#recorder.flushDenials(before),
      append: (fields) => this.#recorder.own({ t: "tally", ...fields }),
    });
    this.#newId = createCrossingIds(options.node, { now: () => this.#tallies.idMs() }, random);
    const { tallies, newId } = { tallies: this.#tallies, newId: this.#newId };
    this.#recorder = new Recorder({ identity: options, log, clock, random, newId, tallies });
    if (options.logKeys !== null) this.#recorder.useKeys(options.logKeys);
    const directory = openStateDirectory(options.stateDirectory);
    this.#observed = new ObservedTable({ clock, directory, recorder: this.#recorder, logger: options.logger });
    this.#pools = new UpstreamPools(options.dialer, () => this.#ownAddresses);
    this.#admission = new Admission({ ...defaultAdmissionLimits, ...options.admission }, clock);
    this.#limiter = openRateTable(allocateRateTable(options.tables?.rateSlots ?? rateTableSlots), random.bytes(32));
    this.#listeners = options.listeners.map(
      (one) => new Listener(one, { ...defaultListenBounds, ...options.bounds }, this.#handler()),
    );
    this.#tracing = traces === undefined ? null : createTracing({ identity: options, random, traces });
    this.#timed = options.serverTiming === true || traces !== undefined || (options.observers ?? []).length > 0;
    this.#follower = this.#createFollower(crypto);
    this.#gate = this.#createGate(crypto);
  }

  async start(): Promise<readonly ListenerAddress[]> {
    const bound: { address: string; port: number }[] = [];
    try {
      for (const listener of this.#listeners) {
        const { address, port } = await listener.open();
        bound.push({ address, port });
        this.#addresses.push({ name: listener.bound.name, address, port, url: listener.bound.url });
      }
      this.#ownAddresses = ownAddresses(bound, networkInterfaces());
      // After the addresses are known: the pools of the restored snapshot must refuse to dial them.
      this.#follower.restore();
      this.#follower.open();
    } catch (cause) {
      await this.close();
      throw cause;
    }
    this.#sweep = setInterval(() => this.#sweepTables(), sweepMs);
    this.#sweep.unref();
    return this.#addresses;
  }

  useListenerTls(pair: { readonly cert: string; readonly key: string }): void {
    for (const listener of this.#listeners) listener.useTls(pair);
  }

  held(): { readonly keySeq: number; readonly revocationSeq: number } {
    return { keySeq: this.#ring.seq, revocationSeq: this.#revocations.seq };
  }

  status(): GatewayStatus {
    const { tenant, environment, region, group, node, clock, log } = this.#options;
    const estate = this.#lease?.estate ?? null;
    const stalenessMs = this.#follower.stalenessMs();
    return {
      node,
      tenant,
      environment,
      region,
      group,
      listeners: this.#addresses.map((at, i) => ({ ...at, url: this.#listeners[i]?.bound.url ?? at.url })),
      snapshot:
        estate === null
          ? null
          : {
              epoch: estate.manifest.epoch,
              version: estate.manifest.version,
              ageMs: clock.now() - estate.manifest.issuedAt,
              expiresInMs: estate.manifest.expiresAt - clock.now(),
              policySet: estate.object.policySet,
            },
      stalenessMs: Number.isFinite(stalenessMs) ? stalenessMs : null,
      ...this.held(),
      broken: estate?.broken ?? [],
      unenforced: unenforcedIn(estate, clock.now()),
      waiting: this.#follower.waiting(),
      refused: this.#refused === null ? null : { refusal: this.#refused.refusal, why: this.#refused.why },
      logOrigin: log.origin,
      logLeaves: log.size(),
      inFlight: this.#crossings.count,
      draining: this.#draining,
    };
  }

  readiness(): Readiness {
    return decideReadiness({
      status: this.status(),
      hasLogKeys: this.#recorder.ready,
      hasHopKey: this.#hopSigner() !== null,
    });
  }

  metricsText(): Promise<string> {
    return this.#gate.metrics.text();
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    await this.#crossings.announced(graceMs);
    await this.#crossings.lastOf(this.#listeners);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#draining = true;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    // Cut crossings still record their outcome; the log outlives us.
    await this.#crossings.quiet({ forMs: 0, atMostMs: lastWaitMs });
    await Promise.all([this.#follower.close(), this.#gate.early.stop()]);
    this.#sweepTables(true);
    if (this.#sweep !== null) await this.#tallies.stop();
    await this.#tracing?.close();
    this.#retire();
    await this.#pools.closed();
  }

  #sweepTables(all = false): void {
    this.#recorder.sweep(all);
    this.#tallies.sweep();
    this.#observed.sweep(all);
  }

  #createGate(crypto: ReturnType<typeof createTokenCrypto>): Gate {
    const { clock, random, logger, feed } = this.#options;
    const outside = openOutside(clock, (message) => this.#follower.send(message));
    const identify = openIdentify(this.#options, { ring: this.#ring, revocations: this.#revocations, crypto, outside });
    return {
      identity: this.#options,
      clock,
      random,
      logger,
      admission: this.#admission,
      identify,
      limiter: this.#limiter,
      signals: createSignals(this.#options),
      recorder: this.#recorder,
      receipts: this.#options.receipts ?? null,
      payloadKeys: new PayloadKeys({ ask: (request) => feed.payloadKey(request), clock, random }),
      early: openEarlyAnswers(this.#recorder, logger),
      metrics: createMetrics({
        inFlight: () => this.#crossings.count,
        snapshotVersion: () => this.#lease?.estate.manifest.version ?? 0,
        snapshotAgeSeconds: () =>
          this.#lease === null ? 0 : (clock.now() - this.#lease.estate.manifest.issuedAt) / 1000,
        stalenessSeconds: () => this.#follower.stalenessMs() / 1000,
        waitingSeconds: () => (this.#follower.waiting()?.waitingMs ?? 0) / 1000,
        logLeaves: () => this.#options.log.size(),
        brokenObjects: () => this.#lease?.estate.broken.length ?? 0,
        unenforcedObjects: () => unenforcedIn(this.#lease?.estate ?? null, clock.now()).length,
        countedLeavesLost: () => this.#recorder.lost,
        earlyAnswersLost: () => this.#gate.early.lost,
        tokenCache: () => tokenCacheStats(identify.cache, outside.cache),
        tracesLost: () => this.#tracing?.lost ?? 0,
      }),
      tracing: this.#tracing,
      observers: [this.#observed, ...(this.#options.observers ?? []), ...(this.#tracing ? [this.#tracing] : [])],
      serverTiming: this.#options.serverTiming === true,
      freshness: this.#follower,
      hopSigner: () => this.#hopSigner(),
      hopTokens: createHopTokens({ clock, random }),
      takeLease: () => this.#takeLease(),
      giveBack: (lease) => this.#giveBack(lease),
      draining: () => this.#draining,
    };
  }

  #createFollower(crypto: ReturnType<typeof createTokenCrypto>): SnapshotFollower {
    const { clock, random, logger, feed, stateDirectory, policy } = this.#options;
    return new SnapshotFollower({
      identity: this.#options,
      snapshotKey: this.#snapshotKey,
      crypto,
      clock,
      random,
      logger,
      feed,
      disk: openLastKnownGood(openStateDirectory(stateDirectory)),
      ring: this.#ring,
      revocations: this.#revocations,
      swap: (manifest, blob) => this.#swap(compileEstate({ manifest, blob, policy, limiter: this.#limiter })),
      refused: (refusal) => {
        this.#refused = refusal;
        this.#gate.metrics.refusedSnapshot(refusal.refusal);
        logger.warn({ refusal: refusal.refusal, why: refusal.why }, "a snapshot was refused; the one in force stays");
      },
      attemptFailed: () => this.#gate.metrics.snapshotAttemptFailed(),
      other: (message, send) =>
        answerMessage(message, send, {
          options: this.#options,
          recorder: this.#recorder,
          hopKey: this.#hopKey,
          observed: this.#observed,
        }),
    });
  }

  /** Crossings under way keep the snapshot they began under; it goes with the last of them. */
  #swap(estate: EstateLease["estate"]): void {
    const lease: EstateLease = { estate, pools: this.#pools.lease(estate), users: 0 };
    this.#retire();
    this.#lease = lease;
    this.#refused = null;
    for (const listener of this.#listeners) listener.use(estate.roots, estate.object.listeners);
    sayInForce(this.#options.logger, estate, this.#options.clock.now());
  }

  #retire(): void {
    const old = this.#lease;
    this.#lease = null;
    if (old === null) return;
    if (old.users === 0) old.pools.release();
    else this.#retired.add(old);
  }

  #takeLease(): EstateLease | null {
    if (this.#lease !== null) this.#lease.users++;
    return this.#lease;
  }

  #giveBack(lease: EstateLease): void {
    lease.users--;
    if (lease.users === 0 && this.#retired.delete(lease)) lease.pools.release();
  }

  #hopSigner(): TokenSigner | null {
    return this.#hopKey.current(this.#lease?.estate.object.issuer);
  }

  #handler(): ListenerHandler {
    return {
      begin: (incoming, response, on) => this.#begin(incoming, response, on),
      serve: (exchange) => void runPipeline(exchange, this.#gate),
      refuse: (exchange, verdict: Deny) =>
        void finishDenied(exchange, verdict, this.#gate).catch(() => exchange.response.destroy()),
      closed: (exchange) => this.#closed(exchange),
      connectionRefused: (reason) => {
        this.#tallies.unread();
        this.#gate.metrics.connectionRefused(reason);
      },
      unread: () => this.#tallies.unread(),
    };
  }

  #begin(incoming: Incoming, response: CallerAnswer, on: ExchangeStart["on"]): Exchange {
    const { clock } = this.#options;
    const startedMonotonicMs = clock.monotonic();
    const exchange = beginExchange({
      id: this.#newId(),
      window: this.#tallies.begin(),
      startedAtMs: clock.now(),
      startedMonotonicMs,
      times: this.#timed ? new StageTimes(startedMonotonicMs) : null,
      incoming,
      response,
      on,
    });
    this.#crossings.begin();
    return exchange;
  }

  /** The response is over: whole, refused or abandoned. */
  #closed(exchange: Exchange): void {
    if (!exchange.response.writableFinished && !exchange.ended) {
      exchange.aborted = true;
      exchange.upstream?.cancel({ kind: "deny", stage: "forward", code: "client-aborted", facts: {}, policies: [] });
    }
    if (exchange.admitted) this.#admission.leave(exchange.source.prefix);
    if (exchange.lease !== null) this.#giveBack(exchange.lease);
    this.#crossings.end();
  }
}
