// Promises a running data plane from what it is given: listeners, the pipeline behind them, the newest snapshot in force, and an end without a
// lost crossing. Trusts its options (ports.ts). Specified in DESIGN §4-5 and docs/gateway.md.
import { networkInterfaces } from "node:os";
import { ownAddresses } from "@sallyport/kernel/dial/own-addresses.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { TurnEnd } from "@sallyport/kernel/turn-end.ts";
import type { RefusedSnapshot } from "@sallyport/protocol/snapshot/manifest.ts";
import type { TokenSigner, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Admitting } from "./admit/admission.ts";
import type { DoorKeeping } from "./admit/door.ts";
import { openAdmit } from "./admit/open-admit.ts";
import { Lookups } from "./authorize/lookups.ts";
import { createSignals } from "./authorize/signals.ts";
import { bufferedRandom } from "./buffered-random.ts";
import { answerMessage } from "./channel/answer-message.ts";
import { HopKey } from "./exchange/hop-key.ts";
import { openTokens } from "./exchange/open-tokens.ts";
import { beginExchange, type EstateLease, type Exchange, type ExchangeStart } from "./exchange.ts";
import { UpstreamPools } from "./forward/upstream-pools.ts";
import type { Gate } from "./gate.ts";
import { needsDataPlane } from "./idempotency/needs-data-plane.ts";
import { type Idempotency, openIdempotency } from "./idempotency/open-idempotency.ts";
import { openIdentify } from "./identify/open-identify.ts";
import { openOutside } from "./identify/outside.ts";
import { tokenCacheStats } from "./identify/token-cache.ts";
import { closeLimits, type Limits, needsSharedLimits, openLimits } from "./limit/open-limits.ts";
import { listenBoundsOf } from "./listen/bounds.ts";
import type { CallerAnswer } from "./listen/caller-answer.ts";
import type { ListenerHandler } from "./listen/connection.ts";
import { Crossings } from "./listen/crossings.ts";
import type { Incoming } from "./listen/incoming.ts";
import { Listener } from "./listen/listener.ts";
import { gaugesOf } from "./observe/gauges.ts";
import { createMetrics } from "./observe/metrics.ts";
import { ObservedTable } from "./observe/observed-table.ts";
import { StageTimes } from "./observe/stage-times.ts";
import { decideReadiness, type GatewayStatus, type Readiness, statusOf } from "./observe/status.ts";
import { createTracing, type Tracing } from "./observe/tracing.ts";
import { sayInForce } from "./observe/unenforced.ts";
import { PayloadKeys } from "./payloads/payload-keys.ts";
import { runPipeline } from "./pipeline.ts";
import { GatewayFault, type GatewayOptions, type ListenerAddress } from "./ports.ts";
import type { CrossingIds } from "./record/crossing-id.ts";
import { openEarlyAnswers } from "./record/early-answers.ts";
import { openRecord } from "./record/open-record.ts";
import type { Recorder } from "./record/recorder.ts";
import { finishDenied } from "./record/settle.ts";
import type { Tallies } from "./record/tallies.ts";
import { compileEstate } from "./snapshot/estate.ts";
import { SnapshotFollower } from "./snapshot/follower.ts";
import { openLastKnownGood } from "./snapshot/last-known-good.ts";
import { Leases } from "./snapshot/leases.ts";
import { Revocations } from "./snapshot/revocations.ts";
import { openStateDirectory, ownFiles } from "./snapshot/state-directory.ts";
import { TokenRing } from "./snapshot/token-ring.ts";
import { askAgain } from "./streams/ask-again.ts";
import { LiveStreams } from "./streams/live-streams.ts";
import { refreshHere } from "./streams/refresh.ts";
import type { AsWorker } from "./workers/as-worker.ts";
import { openSharedSessions } from "./workers/node-memory.ts";

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
export function createGateway(options: GatewayOptions): Gateway & { readonly asWorker: AsWorker } {
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
  readonly #admission: Admitting;
  readonly #follower: SnapshotFollower;
  readonly #listeners: Listener[];
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
  readonly #leases = new Leases();
  readonly #idempotency: Idempotency;
  readonly #limits: Limits;
  readonly #door: DoorKeeping;
  #refused: RefusedSnapshot | null = null;
  #sweep: NodeJS.Timeout | null = null;
  #draining = false;
  #closing: Promise<void> | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { clock, random, traces } = options;
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
    ({ tallies: this.#tallies, newId: this.#newId, recorder: this.#recorder } = openRecord(options));
    this.#idempotency = openIdempotency(options);
    ({ admission: this.#admission, door: this.#door } = openAdmit(options));
    this.#limits = openLimits(options, this.#idempotency.dataPlane);
    const directory = ownFiles(openStateDirectory(options.stateDirectory), options.worker?.number);
    this.#observed = new ObservedTable({ clock, directory, recorder: this.#recorder, logger: options.logger });
    this.#pools = new UpstreamPools(options, () => this.#ownAddresses, this.#admission.inFlightOf);
    this.#listeners = options.listeners.map((one) => new Listener(one, listenBoundsOf(options), this.#handler()));
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
    this.#sweep = setInterval(() => this.#sweepTables(), sweepMs).unref();
    return this.#addresses;
  }

  useListenerTls(pair: { readonly cert: string; readonly key: string }): void {
    for (const listener of this.#listeners) listener.useTls(pair);
  }

  held(): { readonly keySeq: number; readonly revocationSeq: number } {
    return { keySeq: this.#ring.seq, revocationSeq: this.#revocations.seq };
  }

  status(): GatewayStatus {
    return statusOf(this.#options, {
      listeners: this.#addresses.map((at, i) => ({ ...at, url: this.#listeners[i]?.bound.url ?? at.url })),
      estate: this.#leases.current?.estate ?? null,
      follower: this.#follower,
      refused: this.#refused,
      held: this.held(),
      inFlight: this.#crossings.count,
      draining: this.#draining,
      dataPlane: this.#idempotency.dataPlane.status(),
      sharedLimits: this.#limits.shared.status(),
    });
  }

  readiness(): Readiness {
    const keys = { hasLogKeys: this.#recorder.ready, hasHopKey: this.#hopSigner() !== null };
    return decideReadiness({ status: this.status(), ...keys });
  }

  metricsText(): Promise<string> {
    return this.#gate.metrics.text();
  }

  get asWorker(): AsWorker {
    const parts = { observed: this.#observed, recorder: this.#recorder, tallies: this.#tallies };
    return { ...parts, refresh: (asked) => refreshHere(asked, this.#gate) };
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    await this.#crossings.announced(graceMs);
    this.#gate.streams.goAway();
    await this.#crossings.lastOf(this.#listeners);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#draining = true;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#gate.streams.close();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    // Cut crossings still record their outcome; the log outlives us.
    await this.#crossings.quiet({ forMs: 0, atMostMs: lastWaitMs });
    await Promise.all([this.#follower.close(), this.#gate.early.stop()]);
    this.#sweepTables(true);
    if (this.#sweep !== null && this.#options.worker === undefined) await this.#tallies.stop();
    await this.#tracing?.close();
    this.#leases.retire();
    await this.#pools.closed();
    await closeLimits(this.#limits);
    await this.#idempotency.dataPlane.close();
  }

  #sweepTables(all = false): void {
    this.#recorder.sweep(all);
    if (this.#options.worker === undefined) this.#tallies.sweep();
    this.#observed.sweep(all);
    if (!all) this.#pools.checkHealth(this.#options.clock.monotonic());
    if (!all) this.#idempotency.dataPlane.sweep();
    if (!all) this.#limits.quotas.sweep();
  }

  #createGate(crypto: ReturnType<typeof createTokenCrypto>): Gate {
    const { clock, random, logger, feed, worker } = this.#options;
    const outside = openOutside(clock, (message) => this.#follower.send(message));
    const tokens = openTokens(this.#options);
    const parts = { ring: this.#ring, revocations: this.#revocations, crypto, outside, turnEnd: new TurnEnd() };
    return {
      identity: this.#options,
      clock,
      random,
      logger,
      admission: this.#admission,
      identify: openIdentify(this.#options, parts),
      ...this.#limits,
      signals: createSignals({ ...this.#options, places: openSharedSessions(worker?.memory) }),
      lookups: new Lookups(),
      recorder: this.#recorder,
      receipts: this.#options.receipts ?? null,
      payloadKeys: new PayloadKeys({ ask: (request) => feed.payloadKey(request), clock, random }),
      ...this.#idempotency,
      early: openEarlyAnswers(this.#recorder, { logger, isAlone: worker === undefined }),
      streams: new LiveStreams({
        clock,
        stalenessMs: () => this.#follower.stalenessMs(),
        ask: (exchange) => askAgain(exchange, this.#gate),
      }),
      refreshElsewhere: worker?.refreshElsewhere ?? null,
      metrics: createMetrics(
        gaugesOf({
          ...{ clock, log: this.#options.log, crossings: this.#crossings, recorder: this.#recorder },
          ...{ pools: this.#pools, follower: this.#follower, tracing: this.#tracing, limits: this.#limits, ...tokens },
          policySets: () => this.#options.policy.standing(),
          shipping: () => this.#options.shipping?.() ?? null,
          lease: () => this.#leases.current,
          early: () => this.#gate.early,
          tokenCache: () => tokenCacheStats(this.#gate.identify.cache, outside.cache),
        }),
      ),
      tracing: this.#tracing,
      observers: [this.#observed, ...(this.#options.observers ?? []), ...(this.#tracing ? [this.#tracing] : [])],
      serverTiming: this.#options.serverTiming === true,
      freshness: this.#follower,
      hopSigner: () => this.#hopSigner(),
      ...tokens,
      takeLease: () => this.#leases.take(),
      giveBack: (lease) => this.#leases.giveBack(lease),
      draining: () => this.#draining,
    };
  }

  #createFollower(crypto: ReturnType<typeof createTokenCrypto>): SnapshotFollower {
    const { clock, random, logger, feed, stateDirectory, policy, worker } = this.#options;
    return new SnapshotFollower({
      identity: this.#options,
      snapshotKey: this.#snapshotKey,
      crypto,
      clock,
      random,
      logger,
      feed,
      disk: worker?.kept ?? openLastKnownGood(openStateDirectory(stateDirectory)),
      ring: this.#ring,
      revocations: this.#revocations,
      swap: (manifest, blob) => this.#swap(compileEstate({ manifest, blob, policy, limiter: this.#limits.limiter })),
      revoked: (entries) => {
        for (const one of [this.#gate.nextHops, this.#gate.streams]) one.revoked(entries);
      },
      ringChanged: () => this.#gate.streams.changed(),
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
          dataPlane: this.#idempotency.dataPlane,
          hopKey: this.#hopKey,
          observed: this.#observed,
        }),
    });
  }

  /** Crossings under way keep the snapshot they began under; it goes with the last of them. */
  #swap(estate: EstateLease["estate"]): void {
    this.#leases.begin({ estate, pools: this.#pools.lease(estate), users: 0 });
    this.#refused = null;
    this.#limits.shared.want(needsSharedLimits(estate));
    if (needsDataPlane(estate)) this.#idempotency.dataPlane.prepare();
    for (const listener of this.#listeners) listener.use(estate);
    for (const one of [this.#gate.nextHops, this.#gate.streams]) one.changed();
    sayInForce(this.#options.logger, estate, this.#options.clock.now());
  }

  #hopSigner(): TokenSigner | null {
    return this.#hopKey.current(this.#leases.current?.estate.object.issuer);
  }

  #handler(): ListenerHandler {
    return {
      door: this.#door,
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
      if (exchange.upstream !== null && exchange.claim?.isForRepeats === true) {
        // Its caller may come back for the answer: the effect goes on to its own end.
        exchange.claim.whenOver(() => this.#left(exchange));
        return;
      }
      exchange.forwarding?.cancel({ kind: "deny", stage: "forward", code: "client-aborted", facts: {}, policies: [] });
    }
    this.#left(exchange);
  }

  #left(exchange: Exchange): void {
    this.#admission.end(exchange);
    if (exchange.lease !== null) this.#leases.giveBack(exchange.lease);
    this.#crossings.end();
  }
}
