// Promises a running control plane from what it is given: issuers, channel, admin API, and everybody told of every change.
// Trusts its options. Specified in docs/control.md; the parts are in control-parts.ts, the order of a change in in-force.ts.
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { spkiHash } from "@sallyport/kernel/x509/certificate.ts";
import { AdminFault, type ApplyReport, type ControlStatus } from "./admin/actions.ts";
import { AdminListener, peerAddressHeader } from "./admin/admin-listener.ts";
import { applyLoaded, createActions } from "./admin/control-actions.ts";
import { createAdminApi } from "./admin/serve-api.ts";
import { AdminLog } from "./audit/admin-log.ts";
import { Exports } from "./audit/export/exports.ts";
import { indexPlaceOf, ownOrders } from "./audit/follow/orders.ts";
import { Tails } from "./audit/search/tail.ts";
import { WitnessListener } from "./audit/witness-listener.ts";
import { openWitnessing, type Witnessing } from "./audit/witnessing.ts";
import type { ControlOptions } from "./control-options.ts";
import type { ControlParts, ControlReadiness } from "./control-parts.ts";
import { controlReadiness } from "./control-readiness.ts";
import { type Foundations, openFoundations } from "./foundations.ts";
import { ChannelListener } from "./gateways/channel-listener.ts";
import { ChannelService } from "./gateways/channel-service.ts";
import { Hub } from "./gateways/hub.ts";
import { type IdentityListener, listenIdentity } from "./identity/identity-listener.ts";
import type { IssuanceRecorder } from "./identity/issuance-record.ts";
import { type Operators, openOperatorRecorder, openOperators } from "./identity/operators-at-work.ts";
import { createPasswords } from "./identity/people/password.ts";
import { InForce, liveMs } from "./in-force.ts";
import { hostsOf, originOf } from "./listener-place.ts";
import { createControlMetrics } from "./observe/metrics.ts";
import { writeRoots } from "./pki/roots.ts";
import type { LoadedEstate } from "./registry/config/estate.ts";
import { startUpkeep } from "./upkeep.ts";
import { Alerts } from "./watch/alerts/alerts.ts";
import { RuleTrials } from "./watch/rule-trials.ts";

export interface Control {
  readonly addresses: {
    readonly identity: string;
    readonly channel: string;
    readonly admin: string;
    /** Submission prefix of control's witness, where it has a listener. */
    readonly witness?: string;
  };
  /** Path of the first operator's key file, when this start made it. */
  readonly operatorKey: string | null;
  /** Applies an estate as `serve --config` does. */
  apply(loaded: LoadedEstate): Promise<ApplyReport>;
  /** Environment -> issuer, of every environment that is served. */
  issuers(): Readonly<Record<string, string>>;
  /** A join token for a gateway of this process (role all), made without an operator; null: the group of production. */
  joinToken(group: string | null): Promise<string>;
  readiness(): Promise<ControlReadiness>;
  /** What an operator sees with `status`. */
  status(): Promise<ControlStatus>;
  metricsText(): Promise<string>;
  stop(): Promise<void>;
}

/** Join tokens for a gateway of this very process are used at once. */
const ownTokenMs = 60_000;

/** Starts a control plane. Throws StoreFault, SealFault, LogFault, or the error of a listener whose port is taken. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const fault = (error: unknown) =>
    options.logger.error({ err: error instanceof Error ? error.message : String(error) }, "control met a fault");
  const foundations = await openFoundations({ ...options, fault });
  const opened: (() => Promise<void>)[] = [() => foundations.close()];
  try {
    return await new ControlAssembly(options, foundations, fault, opened).start();
  } catch (error) {
    for (const close of opened.reverse()) await close().catch(fault);
    throw error;
  }
}

interface Working {
  readonly inForce: InForce;
  readonly service: ChannelService;
  readonly adminLog: AdminLog;
  readonly record: IssuanceRecorder;
}

interface OpenedAdmin {
  readonly parts: ControlParts;
  readonly operatorKey: string | null;
  readonly operators: Operators;
}

class ControlAssembly {
  readonly #options: ControlOptions;
  readonly #foundations: Foundations;
  readonly #fault: (error: unknown) => void;
  #refusedConnections = 0;
  readonly #connectionRefused = () => {
    this.#refusedConnections += 1;
  };
  readonly #opened: (() => Promise<void>)[];
  readonly #hub = new Hub();
  readonly #compiler = createSliceCompiler();
  readonly #witnessing: Witnessing;
  readonly #tails = new Tails();

  constructor(
    options: ControlOptions,
    foundations: Foundations,
    fault: (error: unknown) => void,
    opened: (() => Promise<void>)[],
  ) {
    this.#options = options;
    this.#foundations = foundations;
    this.#fault = fault;
    this.#opened = opened;
    const shared = { ...options, ...foundations, hub: this.#hub, fault };
    this.#witnessing = openWitnessing({ ...shared, outside: options.witnesses ?? [] });
    opened.push(() => this.#witnessing.close());
  }

  async start(): Promise<Control> {
    const { tenant, random } = this.#options;
    const { secrets } = this.#foundations;
    const nonceSecret = await secrets.secret(tenant, "nonces", () => random.bytes(32));
    const adminLog = new AdminLog({
      ...this.#options,
      ...this.#foundations,
      recipient: this.#foundations.opener.publicKey,
      fault: this.#fault,
    });
    const { listener: identityListener, url: identityUrl } = await this.#openIdentity();
    const inForce = new InForce({
      ...this.#options,
      foundations: this.#foundations,
      identityUrl,
      hub: this.#hub,
      compiler: this.#compiler,
      nonceSecret,
      pageSecret: await secrets.secret(tenant, "pages", () => random.bytes(32)),
      passwords: createPasswords({ random }),
      fault: this.#fault,
      issuersChanged: (identities) => {
        const served = [...identities.values()].map((identity) => identity.served);
        identityListener.setIssuers(served);
        identityListener.setRoots(served.flatMap((issuer) => issuer.roots?.() ?? []));
      },
      recordsWaiting: () => void adminLog.drain(),
    });
    const record = await openOperatorRecorder({ ...this.#options, foundations: this.#foundations });
    const service = this.#channelService({ inForce, adminLog, record });
    await this.#expectLiveNodes();
    const channel = await this.#openChannel(service);
    const admin = await this.#openAdmin({ inForce, service, adminLog, record, channel, nonceSecret });
    await this.#takeUp(inForce);
    await admin.parts.exports.recordSettings();
    await admin.parts.alerts.recordSettings();
    // A start does not wait for what is derived from the log: it is behind by nature, and says so.
    void this.#order(admin.parts).catch(this.#fault);
    const witness = await this.#openWitness();
    const addresses = {
      ...{ identity: identityUrl, channel: channel.url, admin: admin.url },
      ...(witness === null ? {} : { witness }),
    };
    return this.#running({ ...admin, addresses, inForce, service, adminLog, record });
  }

  /** What follows the log. */
  async #order({ exports, alerts }: Pick<ControlParts, "exports" | "alerts">): Promise<void> {
    const own = ownOrders(indexPlaceOf(this.#options));
    await this.#foundations.follower.order([...own, ...exports.orders(), ...alerts.orders()]);
  }

  #running(has: OpenedAdmin & Working & Pick<Control, "addresses">): Control {
    const { inForce, service, adminLog, operators, parts, addresses, operatorKey } = has;
    const shared = { ...this.#options, ...this.#foundations, hub: this.#hub, inForce, fault: this.#fault };
    const stopUpkeep = startUpkeep({
      ...shared,
      service,
      adminLog,
      operators,
      witnessing: this.#witnessing,
      trials: new RuleTrials(shared),
    });
    const metrics = createControlMetrics({
      ...shared,
      exports: parts.exports,
      refusedConnections: () => this.#refusedConnections,
    });
    return {
      addresses,
      operatorKey,
      // What cannot be published at once is reported and tried again: it never stops a start.
      apply: (loaded) =>
        applyLoaded(
          { ...parts, changed: async () => void (await this.#takeUp(inForce)) },
          `config:${loaded.estate.name}`,
          loaded,
        ),
      issuers: () => Object.fromEntries([...inForce.identities].map(([name, { issuer }]) => [name, issuer])),
      joinToken: async (named) => {
        const group = named ?? (await this.#defaultGroup());
        return (await createActions(parts).createJoinToken("built-in", { group, lifetimeMs: ownTokenMs })).token;
      },
      readiness: () => parts.readiness(),
      status: () => createActions(parts).status(),
      metricsText: () => metrics.text(),
      stop: async () => {
        await stopUpkeep();
        const [foundations, ...listeners] = this.#opened;
        for (const close of listeners.reverse()) await close().catch(this.#fault);
        // Nobody acts any more: what was done and counted goes into the log before it is closed.
        await inForce.flush().catch(this.#fault);
        await operators.flush().catch(this.#fault);
        await adminLog.drain();
        await foundations?.().catch(this.#fault);
      },
    };
  }

  /** The group a gateway of this process belongs to when nobody says: production's, or the only one there is. */
  async #defaultGroup(): Promise<string> {
    const groups = await this.#foundations.store.run("listGroups", { tenant: this.#options.tenant });
    const [first] = groups.filter(({ environment }) => environment === "production").concat(groups);
    if (first !== undefined) return first.id;
    throw new AdminFault(
      "not-found",
      "no estate was applied, so there is nothing to serve",
      "name a directory: sallyport serve --config <directory>",
    );
  }

  async #openIdentity(): Promise<{ listener: IdentityListener; url: string }> {
    const { tenant, identity } = this.#options;
    const tls = await this.#foundations.authorities.listener(tenant, "identity", hostsOf(identity));
    const listener = await listenIdentity({
      host: identity.host,
      port: identity.port,
      tls,
      onFault: this.#fault,
      connectionRefused: this.#connectionRefused,
      ...(identity.proxies === undefined ? {} : { proxies: identity.proxies }),
    });
    this.#opened.push(() => listener.close());
    return { listener, url: identity.url ?? originOf(identity.host, listener.address.port) };
  }

  #channelService({ inForce, adminLog, record }: Omit<Working, "service">): ChannelService {
    const { opener } = this.#foundations;
    return new ChannelService({
      ...this.#options,
      ...this.#foundations,
      ...{ hub: this.#hub, adminLog, refusals: record, witnessing: this.#witnessing },
      recipient: { publicKey: opener.publicKey, id: opener.recipient },
      identity: (environment) => inForce.identities.get(environment) ?? null,
      environment: (name) => inForce.environment(name),
      epoch: () => inForce.epoch(),
      fault: this.#fault,
    });
  }

  async #openChannel(service: ChannelService): Promise<{ readonly url: string; readonly pin: string }> {
    const { tenant, channel, heartbeatMs } = this.#options;
    const { authorities } = this.#foundations;
    const tls = await authorities.listener(tenant, "channel", hostsOf(channel));
    const ca = await authorities.authority(tenant, "sallyport", "channel");
    const listener = new ChannelListener(this.#hub, await service.ports(), {
      host: channel.host,
      port: channel.port,
      tls: { cert: tls.cert, key: tls.key, authority: ca.certificatePem },
      heartbeatMs,
      connectionRefused: this.#connectionRefused,
    });
    const port = await listener.start();
    this.#opened.push(() => listener.close());
    return { url: channel.url ?? originOf(channel.host, port), pin: spkiHash(tls.spki) };
  }

  async #openWitness(): Promise<string | null> {
    const { witnessListen = null } = this.#options;
    if (witnessListen === null) return null;
    const listener = new WitnessListener({
      ...witnessListen,
      witness: this.#witnessing,
      fault: this.#fault,
      connectionRefused: this.#connectionRefused,
    });
    const port = await listener.start();
    this.#opened.push(() => listener.close());
    return originOf(witnessListen.host, port).replace(/^https:/, "http:");
  }

  /** A restart of control must not outrun gateways that are only about to come back. */
  async #expectLiveNodes(): Promise<void> {
    const { tenant, clock } = this.#options;
    for (const { node, environment, group, state, lastSeenAt } of await this.#foundations.store.run("listNodes", {
      tenant,
    })) {
      if (state === "active" && clock.now() - lastSeenAt <= liveMs)
        this.#hub.expect({ tenant, environment, group, node }, lastSeenAt);
    }
  }

  #parts(has: Working & Pick<ControlParts, "channel" | "declareOperators">): ControlParts {
    const { tenant, dataDirectory, clock, random, checkpointCopy } = this.#options;
    const { store, archive, opener, snapshotSigner, log, follower, pseudonyms, payloadKeys, secrets, mover, node } =
      this.#foundations;
    const { inForce, service, adminLog, channel, declareOperators } = has;
    const { sinks = [] } = this.#options;
    const alerts = new Alerts({ alerts: this.#options.alerts ?? [], follower, adminLog });
    const exports = new Exports({ sinks, follower, adminLog, order: () => this.#order({ exports, alerts }) });
    return {
      ...{ tenant, dataDirectory, archive, clock, random, store },
      ...(this.#options.sentAs === undefined ? {} : { sentAs: this.#options.sentAs }),
      compiler: this.#compiler,
      hub: this.#hub,
      publisher: inForce.publisher,
      ...{ service, witnessing: this.#witnessing },
      ...{ opener, log, follower, pseudonyms, payloadKeys, mover, keyring: secrets.keyring },
      ...{ exports, alerts, tails: this.#tails },
      node,
      checkpointCopy: checkpointCopy !== null,
      identities: inForce.identities,
      channel,
      snapshotSigner,
      declareOperators,
      changed: async () => {
        if (await this.#takeUp(inForce)) return;
        throw new AdminFault(
          "unavailable",
          "the change is written and recorded, but not everybody could be told of it; control tries again every second",
          "sallyport status shows when it is through",
        );
      },
      readiness: () => controlReadiness(inForce, adminLog),
    };
  }

  async #openAdmin(
    has: Working & { readonly channel: ControlParts["channel"]; readonly nonceSecret: Uint8Array },
  ): Promise<OpenedAdmin & { readonly url: string }> {
    const { tenant, admin, dataDirectory } = this.#options;
    const { adminLog } = has;
    const tls = await this.#foundations.authorities.listener(tenant, "admin", hostsOf(admin));
    let operators: Operators | null = null;
    const parts = this.#parts({
      ...has,
      declareOperators: async (actor, managedBy, declared) => operators?.declare(actor, managedBy, declared),
    });
    const api = createAdminApi({
      actions: createActions(parts),
      authenticate: async (request) => {
        if (operators === null) return { kind: "refused", code: "starting", headers: {} };
        return operators.authenticate(request);
      },
      rolesNow: async (operator) => operators?.issuer.rolesNow(operator) ?? [],
      recordRead: (actor, action, object, facts) => adminLog.record({ actor, action, object, facts }),
      recordRefusal: (actor, facts) =>
        adminLog.record({ actor, action: "act.refuse", object: `action/${facts.action}`, facts }),
      hold: () => adminLog.hold(),
      fault: this.#fault,
    });
    const listener = new AdminListener({
      host: admin.host,
      port: admin.port,
      tls,
      url: () => url,
      operators: () => issuerOf(operators),
      api,
      fault: this.#fault,
      connectionRefused: this.#connectionRefused,
    });
    const port = await listener.start();
    this.#opened.push(() => listener.close());
    this.#opened.push(async () => this.#tails.stop());
    const url = admin.url ?? originOf(admin.host, port);
    operators = await openOperators({
      ...this.#options,
      foundations: this.#foundations,
      adminUrl: url,
      ...{ nonceSecret: has.nonceSecret, record: has.record },
      pin: spkiHash(tls.spki),
      crypto: createTokenCrypto(),
      peerAddressHeader,
    });
    const operatorKey = await operators.first(dataDirectory);
    return { parts, url, operatorKey, operators };
  }

  /** False: something could not be taken up; it was reported. */
  async #takeUp(inForce: InForce): Promise<boolean> {
    const isWhole = await inForce.changed();
    const { tenant, dataDirectory } = this.#options;
    const environments = inForce.identities.keys();
    await writeRoots(this.#foundations.authorities, { tenant, dataDirectory, environments });
    return isWhole;
  }
}

function issuerOf(operators: Operators | null): Operators["issuer"] {
  if (operators === null) throw new Error("the admin listener is still starting");
  return operators.issuer;
}
