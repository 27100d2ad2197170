// Promises a gateway that joins once, starts from its last good snapshot without control, and renews its own certificates.
// Trusts the join token and its own data directory. Specified in docs/gateway.md and docs/formats/join.md.
import { X509Certificate } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
import { join as joinPath } from "node:path";
import type { Shipper, ShippingStanding } from "@sallyport/gateway/archive/shipper.ts";
import { ShownCheckpoints } from "@sallyport/gateway/archive/shown-checkpoints.ts";
import { type ChannelTransport, createChannelFeed } from "@sallyport/gateway/channel/feed.ts";
import { openUpstreamKeys, type UpstreamKeys } from "@sallyport/gateway/forward/upstream-keys.ts";
import { createGateway, type Gateway } from "@sallyport/gateway/gateway.ts";
import { type HopKeyStore, openHopKeyStore } from "@sallyport/gateway/join/hop-key-store.ts";
import { type JoinPorts, joinOnce, renewNode } from "@sallyport/gateway/join/join.ts";
import { fetchListenerTls } from "@sallyport/gateway/join/listener-certificate.ts";
import { openLogKeyCache } from "@sallyport/gateway/join/log-key-cache.ts";
import type { NodeIdentity } from "@sallyport/gateway/join/node-identity.ts";
import type { GatewayOptions } from "@sallyport/gateway/ports.ts";
import { createCrew } from "@sallyport/gateway/workers/crew.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { ReceiptSource } from "@sallyport/kernel/receipts/port.ts";
import { openReceipts } from "@sallyport/kernel/receipts/thread.ts";
import { preparePrivateDirectory } from "@sallyport/kernel/store/directory.ts";
import type { ServeOptions } from "../commands/serve.ts";
import { version } from "../version.ts";
import { type AskingTransport, openChannelTransport } from "./channel-transport.ts";
import { gatewayDataStore } from "./data-store.ts";
import type { RoleEndpoints } from "./endpoints.ts";
import { limitsAddressOf, limitsStoreOf } from "./limits-store.ts";
import { openNodeLog, shareCheckpoints, shipNodeLog } from "./node-log.ts";
import { shareState } from "./node-state.ts";
import { type NodeWitness, openNodeWitness } from "./node-witness.ts";
import type { Standing } from "./reporter.ts";
import type { RoleLogger, RunningRole } from "./running-role.ts";
import { systemClock, systemRandom } from "./system-ports.ts";
import { openTraceSender, type TraceSender } from "./trace-sender.ts";

const memoEntriesMax = 10_000;
/** How often certificates are looked at; they last a day. */
const renewalCheckMs = 60_000;

export interface GatewayExtras {
  /** Where control's channel is now: role all knows it, and may have moved since the gateway joined. The pin stays the joined one. */
  readonly controlUrl?: string;
  /** The log's disk failed: nothing can be recorded any more. */
  readonly logEnded?: (fault: Error) => void;
  /** A worker thread ended by itself: the process is to end. */
  readonly workerEnded?: (fault: Error) => void;
  readonly observers?: NonNullable<GatewayOptions["observers"]> | undefined;
}

/** Starts the gateway role. Throws the faults of joining, the log, and the listeners, each with its fix. */
export async function startGateway(
  options: ServeOptions,
  logger: RoleLogger,
  more: GatewayExtras = {},
): Promise<RunningRole> {
  preparePrivateDirectory(options.dataDirectory);
  const dialer = createDialer();
  const ports = joinPorts(options.dataDirectory, dialer);
  const joined = await joinOnce(options.joinToken, ports);
  const identity = more.controlUrl === undefined ? joined : { ...joined, url: more.controlUrl };
  const channel = new NodeChannel(identity, ports, logger);
  const log = await openNodeLog({ ...options, identity, logger, ended: more.logEnded ?? (() => undefined) });
  const traces = options.traces === null ? null : openTraceSender(dialer, options.traces);
  const receipts = openReceipts(joinPath(options.dataDirectory, "log"));
  let witness: NodeWitness | null = null;
  let shipping: Shipper | null = null;
  try {
    witness = openNodeWitness({ ...options, identity, channel, log, dialer, logger });
    const parts: GatewayParts = {
      ...{ options, identity, channel, log, receipts, witness, dialer, logger, traces, more },
      shipping: () => shipping?.standing() ?? null,
      connected: () => shipping?.reachable(),
    };
    const tls = options.tls ?? (await fetchListenerTls(options.dataDirectory, channel));
    const gateway = openGateway(parts, tls);
    const listening = await gateway.start();
    const shown = new ShownCheckpoints();
    const shipper = shipNodeLog({ ...options, identity, channel, shown, logger });
    shipping = shipper;
    const { begin, close } = witness;
    const stopSharing = [shareCheckpoints({ log, channel, shown, logger }), shareState(gateway, channel), begin()];
    const stopFollowing = options.geo?.follow(logger) ?? (() => {});
    const stopRenewing = options.tls === null ? keepListenersCertified(gateway, tls.cert, parts) : () => {};
    return {
      addresses: Object.fromEntries(listening.map(({ name, url }) => [name, url])),
      ...(options.workers === 1 ? {} : { details: { workers: String(options.workers) } }),
      endpoints: () => endpointsOf(gateway),
      standing: async () => standingOf(gateway, identity.environment),
      readiness: () => gateway.readiness(),
      metricsText: () => gateway.metricsText(),
      stop: async (graceMs) => {
        for (const stop of stopSharing) stop();
        stopRenewing();
        stopFollowing();
        await gateway.drain(graceMs);
        await gateway.close();
        await receipts.close();
        await traces?.close();
        await close();
        // Closing signs the last checkpoint, and the last records are shipped under it.
        await log.close();
        await shipper.stop();
        await channel.close();
      },
    };
  } catch (error) {
    await witness?.close();
    await traces?.close();
    await channel.close();
    await log.close();
    throw error;
  }
}

function endpointsOf(gateway: Pick<Gateway, "status">): RoleEndpoints {
  const listeners = gateway.status().listeners.map(({ name, url, address, port }) => ({
    listener: name,
    url,
    address: `${address.includes(":") ? `[${address}]` : address}:${port}`,
  }));
  const none = { identityUrl: null, adminUrl: null, channelUrl: null, operatorKey: null };
  return { ...none, issuers: {}, gateway: listeners, roots: { identity: null, gateway: {} } };
}

/** What is served is what the snapshot in force says; how much it holds, control knows. */
function standingOf(gateway: Pick<Gateway, "status">, environment: string): Standing {
  const { broken, refused } = gateway.status();
  const notServed = broken.map(({ object, file, line, why }) => ({
    environment,
    object,
    place: `${file}:${line}`,
    why,
  }));
  const warnings = refused === null ? [] : [`the newest snapshot was refused as ${refused.refusal}: ${refused.why}`];
  return { served: [], notServed, notices: [], warnings };
}

interface GatewayParts {
  readonly options: ServeOptions;
  readonly identity: NodeIdentity;
  readonly channel: NodeChannel;
  readonly log: OpenedLog;
  readonly receipts: ReceiptSource;
  readonly shipping: () => ShippingStanding | null;
  /** Told whenever control answers again. */
  readonly connected: () => void;
  readonly witness: NodeWitness;
  readonly dialer: Dialer;
  readonly logger: RoleLogger;
  readonly traces: TraceSender | null;
  readonly more: GatewayExtras;
}

function openGateway(parts: GatewayParts, tls: { readonly cert: string; readonly key: string }): Gateway {
  const { options, identity, channel, log, receipts, shipping, witness, dialer, logger, traces, more } = parts;
  const logKeys = openLogKeyCache(options.dataDirectory, identity);
  const hop = openHopKeyStore(options.dataDirectory, () => systemClock.now());
  const listen = options.listen.size === 0 ? new Map([["public", { host: "127.0.0.1", port: 8443 }]]) : options.listen;
  const gateway: Gateway = makerOf(
    parts,
    hop,
  )({
    tenant: identity.tenant,
    environment: identity.environment,
    region: identity.region,
    group: identity.group,
    node: identity.node,
    stateDirectory: joinPath(options.dataDirectory, "snapshot"),
    clock: systemClock,
    random: systemRandom,
    log,
    receipts,
    shipping,
    dataStore: gatewayDataStore(options, identity),
    ...limitsStoreOf(options),
    ...options.bounds,
    feed: createChannelFeed({
      transport: channel,
      clock: systemClock,
      random: systemRandom,
      held: () => gateway.held(),
      connected: parts.connected,
      fault: (error) =>
        logger.warn(
          { err: error instanceof Error ? error.message : String(error) },
          "the channel to control is interrupted",
        ),
    }),
    snapshotKey: identity.snapshotKey,
    logKeys: logKeys.cached(),
    openLogKeys: (sealed) => logKeys.open(sealed),
    openTokenKey: (kid, sealed) => logKeys.openTokenKey(kid, sealed),
    hop: hop.signer,
    hopCertificate: hop.certificate,
    keepHopCertificate: (certificate) => hop.keep(certificate),
    answerWitness: (question) => witness.answer(question),
    listeners: [...listen].map(([name, at]) => ({ name, ...at, tls: { cert: tls.cert, key: tls.key } })),
    dialer,
    policy: createPolicyEngine({ memoEntriesMax, warn: (message) => logger.warn({}, message) }),
    geo: options.geo,
    upstreamKeys: openKeys(options.upstreamKeys, logger),
    logger,
    observers: more.observers ?? [],
    serverTiming: options.serverTiming,
    ...(traces === null
      ? {}
      : { traces: { ratio: options.traces?.ratio ?? 0, version, send: (body) => traces.send(body) } }),
  });
  return gateway;
}

/** One thread is what it ever was: a gateway in this one. */
function makerOf({ options, log, more }: GatewayParts, hop: HopKeyStore): (given: GatewayOptions) => Gateway {
  if (options.workers === 1) return createGateway;
  const { workers, upstreamKeys, geo } = options;
  const limitsStore = limitsAddressOf(options);
  const ended = more.workerEnded ?? (() => undefined);
  return (given) => createCrew(given, { workers, log, hopPem: hop.pem, upstreamKeys, geo, limitsStore, ended });
}

const openKeys = (directory: string | null, logger: RoleLogger): UpstreamKeys | null =>
  directory === null
    ? null
    : openUpstreamKeys({
        directory,
        monotonic: () => performance.now(),
        warn: (fields, text) => logger.warn(fields, text),
      });

function joinPorts(
  dataDirectory: string,
  dialer: Dialer,
): JoinPorts & { open(identity: NodeIdentity): ReturnType<typeof openChannelTransport> } {
  return {
    dataDirectory,
    now: () => systemClock.now(),
    setAside: (formerNode) => setAsideLog(dataDirectory, formerNode),
    transport: (control) => openChannelTransport(dialer, control),
    open: (identity) => openChannelTransport(dialer, identity, { cert: identity.certificate, key: identity.nodeKey }),
  };
}

/** An origin belongs to one node: the former node's log stays whole, under its name, and the new node begins its own. */
function setAsideLog(dataDirectory: string, formerNode: string): void {
  const log = joinPath(dataDirectory, "log");
  if (existsSync(log)) renameSync(log, `${log}-${formerNode}`);
}

/** The transport under the node's newest certificate: renewing swaps it, streams under way end by themselves and come back on the new one. */
class NodeChannel implements AskingTransport {
  readonly #ports: ReturnType<typeof joinPorts>;
  readonly #logger: RoleLogger;
  readonly #timer: NodeJS.Timeout;
  #identity: NodeIdentity;
  #current: ReturnType<typeof openChannelTransport>;

  constructor(identity: NodeIdentity, ports: ReturnType<typeof joinPorts>, logger: RoleLogger) {
    this.#identity = identity;
    this.#ports = ports;
    this.#logger = logger;
    this.#current = ports.open(identity);
    this.#timer = setInterval(() => void this.#renewWhenDue(), renewalCheckMs);
    this.#timer.unref();
  }

  stream(path: string, onLine: (line: string) => void): ReturnType<ChannelTransport["stream"]> {
    return this.#current.stream(path, onLine);
  }

  ask(...asked: Parameters<AskingTransport["ask"]>): ReturnType<AskingTransport["ask"]> {
    return this.#current.ask(...asked);
  }

  get(path: string): Promise<Uint8Array> {
    return this.#current.get(path);
  }

  post(path: string, body: string | Uint8Array): Promise<Uint8Array> {
    return this.#current.post(path, body);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#current.close();
  }

  async #renewWhenDue(): Promise<void> {
    const now = systemClock.now();
    if (!isHalfOver(this.#identity.certificate, now)) return;
    if (new X509Certificate(this.#identity.certificate).validToDate.getTime() <= now) {
      // Away for longer than its certificate lived: control cannot know it any more, and only an operator can let it in again.
      this.#logger.error(
        { node: this.#identity.node, fix: "sallyport gateway revoke <node>, then join again in a new data directory" },
        "the node certificate has ended: control refuses this gateway until it joins again",
      );
      return;
    }
    try {
      this.#identity = await renewNode(this.#identity, this.#ports.dataDirectory, this.#current);
      const old = this.#current;
      this.#current = this.#ports.open(this.#identity);
      await old.close();
      this.#logger.info({ node: this.#identity.node }, "node certificate renewed with a new key");
    } catch (error) {
      this.#logger.warn(
        { err: error instanceof Error ? error.message : String(error) },
        "the node certificate could not be renewed yet",
      );
    }
  }
}

/**
 * Asks for a new listener certificate at half of the present one's life, for as long as the gateway runs; returns how to stop.
 * Without it a gateway that is never restarted would show an ended certificate after a day.
 */
function keepListenersCertified(
  gateway: Pick<Gateway, "useListenerTls">,
  first: string,
  parts: Pick<GatewayParts, "options" | "channel" | "logger">,
): () => void {
  let current = first;
  const renew = async () => {
    if (!isHalfOver(current, systemClock.now())) return;
    const tls = await fetchListenerTls(parts.options.dataDirectory, parts.channel);
    if (tls.cert === current) return;
    gateway.useListenerTls(tls);
    current = tls.cert;
    parts.logger.info({}, "listener certificate renewed with a new key");
  };
  const timer = setInterval(() => {
    renew().catch((error: unknown) =>
      parts.logger.warn(
        { err: error instanceof Error ? error.message : String(error) },
        "the listener certificate could not be renewed yet",
      ),
    );
  }, renewalCheckMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Is half of the life of the first certificate (PEM) over at `now`? */
export function isHalfOver(pem: string, now: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(pem);
  return now >= (validFromDate.getTime() + validToDate.getTime()) / 2;
}
