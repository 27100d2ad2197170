// Promises that what the store says is what issuers, gateways and snapshots are told, in the order that closes access first.
// Trusts the registry and the parts it drives. Specified in docs/control.md "A change".

import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { GeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { Foundations } from "./foundations.ts";
import type { Hub } from "./gateways/hub.ts";
import { Publisher } from "./gateways/publisher.ts";
import type { StoredApiKey } from "./identity/api-keys/store.ts";
import { EnvironmentIdentity } from "./identity/environment-identity.ts";
import { issuerUrl } from "./identity/issuer.ts";
import { createProviderFetch } from "./identity/people/outside/guarded-fetch.ts";
import type { Passwords } from "./identity/people/password.ts";
import { createSendLogout } from "./identity/people/send-logout.ts";
import { createPostForm } from "./identity/trust/ask-issuer.ts";
import { createFetchJwks } from "./identity/trust/fetch-jwks.ts";
import { defaultTokens } from "./registry/config/tokens-schema.ts";
import { type EnvironmentInForce, readEnvironments, withdrawn } from "./registry/estate-state.ts";
import type { Group } from "./registry/gateway-commands.ts";
import { nextChangeMs } from "./snapshot/compile-objects.ts";
import { operationsOf } from "./snapshot/compile-token-policies.ts";

export interface InForceOptions {
  readonly tenant: string;
  readonly region: string;
  readonly identityUrl: string;
  readonly foundations: Foundations;
  readonly hub: Hub;
  readonly compiler: SliceCompiler;
  /** Where addresses are; absent or null: nobody knows. */
  readonly geo?: GeoFile | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly snapshotLifetimeMs: number;
  readonly nonceSecret: Uint8Array;
  readonly pageSecret: Uint8Array;
  readonly passwords: Passwords;
  readonly fault: (error: unknown) => void;
  /** The set of issuers changed, or what one of them trusts. */
  readonly issuersChanged: (identities: ReadonlyMap<string, EnvironmentIdentity>) => void;
  /** State changes were written: their records may be drained. */
  readonly recordsWaiting: () => void;
}

/** A gateway that was not heard for this long refuses everything by its own bound. */
export const liveMs = 5 * 60_000;

/** Answers about tokens that are remembered, over all environments. */
const tokenAnswersMax = 4_096;

export class InForce {
  readonly publisher: Publisher;
  readonly identities = new Map<string, EnvironmentIdentity>();
  readonly #options: InForceOptions;
  /** Made with the first policy about tokens. */
  #engine: PolicyEngine | null = null;
  readonly #fetchJwks = createFetchJwks(createDialer());
  readonly #sendLogout = createSendLogout(createDialer());
  readonly #postForm = createPostForm(createDialer());
  readonly #fetchProvider = createProviderFetch(createDialer());
  #environments: ReadonlyMap<string, EnvironmentInForce> = new Map();
  #running: Promise<boolean> = Promise.resolve(true);
  #queued: Promise<boolean> | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #epoch = 1;
  #restoredAt: number | undefined;
  #apiKeys: readonly StoredApiKey[] = [];

  constructor(options: InForceOptions) {
    this.#options = options;
    const { foundations, compiler, clock, snapshotLifetimeMs, tenant, identityUrl, hub } = options;
    this.publisher = new Publisher({
      store: foundations.store,
      compiler,
      now: () => clock.now(),
      lifetimeMs: snapshotLifetimeMs,
      signer: (group): Promise<TokenSigner> => foundations.snapshotSigner(group.id),
      issuer: (environment) => issuerUrl(identityUrl, tenant, environment),
      issuerKeys: (environment, issuer) => this.identities.get(environment)?.trusted.publishedKeys(issuer) ?? [],
      apiKeys: (environment) => this.#apiKeys.filter((one) => one.environment === environment),
      restoredAt: () => this.#restoredAt,
      sequences: (environment) => this.identities.get(environment)?.sequences() ?? { keySeq: 0, revocationSeq: 0 },
      published: (group, signed) =>
        hub.send((address) => address.tenant === group.tenant && address.group === group.id, { t: "snapshot", signed }),
    });
  }

  environment(name: string): EnvironmentInForce | null {
    return this.#environments.get(name) ?? null;
  }

  /**
   * Takes up everything the store says; a call while one runs waits for the next run, which sees what was written before the call.
   * False when something could not be taken up: the fault was reported and `tick` tries again.
   */
  changed(): Promise<boolean> {
    // Access that ends must end first: revocations do not wait for a run that is busy compiling.
    const told = this.#tellRevocations();
    this.#queued ??= this.#running.then(() => {
      this.#queued = null;
      this.#running = this.#take();
      return this.#running;
    });
    return Promise.all([told, this.#queued]).then((done) => done.every(Boolean));
  }

  /** What is due by time: ends of integrations, renewal of snapshots, key rings, what failed before. Call about once a second. */
  async tick(): Promise<void> {
    for (const identity of this.identities.values()) {
      await this.#tried(() => identity.ring.tick());
      await this.#tried(() => identity.turnOfYear());
      await this.#tried(() => identity.refreshClients());
    }
    if (this.#options.clock.now() >= this.#dueMs) await this.changed();
    // What another control node of this store revoked reaches our gateways too.
    else await this.#tellRevocations();
  }

  /** Epoch of the groups: raised by a restore. */
  epoch(): number {
    return this.#epoch;
  }

  brokenObjects(): number {
    return [...this.#environments.values()].reduce((sum, { config }) => sum + config.broken.length, 0);
  }

  /** Writes the counted refusals of windows that have ended. */
  async flush(): Promise<void> {
    for (const identity of this.identities.values()) await identity.recorder.flush();
  }

  async #take(): Promise<boolean> {
    this.#options.recordsWaiting();
    const { clock } = this.#options;
    // Until this run is through, the next tick is due: a failure is tried again.
    this.#dueMs = clock.now();
    let isWhole = true;
    const read = await this.#tried(async () => {
      const { environments, groups } = await this.#read();
      this.#environments = environments;
      const isOperation = operationsOf([...environments.values()].map(({ config }) => config));
      // One environment or group that fails must not keep the others from what is new.
      for (const [name, inForce] of environments)
        isWhole =
          (await this.#tried(async () => (await this.#identity(name)).useEstate(inForce, isOperation))) && isWhole;
      this.#options.issuersChanged(this.identities);
      for (const group of groups) {
        this.#epoch = Math.max(this.#epoch, group.epoch);
        const inForce = environments.get(group.environment);
        if (inForce !== undefined)
          isWhole = (await this.#tried(() => this.publisher.publish(group, inForce))) && isWhole;
      }
    });
    if (!read || !isWhole) return false;
    const now = clock.now();
    const ends = [...this.#environments.values()].map(({ config }) => nextChangeMs(config, now));
    this.#dueMs = Math.min(now + this.#options.snapshotLifetimeMs / 2, ...ends);
    return true;
  }

  /** An environment that no estate describes any more is in force with nothing in it: its gateways and its issuer must hear that. */
  async #read(): Promise<{ environments: ReadonlyMap<string, EnvironmentInForce>; groups: readonly Group[] }> {
    const { foundations, tenant } = this.#options;
    const groups = await foundations.store.run("listGroups", { tenant });
    const [restore] = await foundations.store.run("listRestores", null);
    this.#restoredAt = restore?.restoredAt;
    this.#apiKeys = await foundations.store.run("readApiKeys", { tenant });
    const environments = new Map(await readEnvironments(foundations.store, tenant));
    for (const { environment } of groups) {
      if (!environments.has(environment)) environments.set(environment, withdrawn(environment));
    }
    return { environments, groups };
  }

  async #tellRevocations(): Promise<boolean> {
    let isWhole = true;
    for (const identity of this.identities.values())
      isWhole = (await this.#tried(() => identity.pushRevocations())) && isWhole;
    return isWhole;
  }

  /** True when it went well; a fault is reported, not thrown. */
  async #tried(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#options.fault(error);
      return false;
    }
  }

  async #identity(environment: string): Promise<EnvironmentIdentity> {
    const known = this.identities.get(environment);
    if (known !== undefined) return known;
    const { tenant, region, identityUrl, foundations, hub, clock, random, fault } = this.#options;
    const { nonceSecret, pageSecret, passwords } = this.#options;
    const { node, store, log, pseudonyms, nextId, secrets } = foundations;
    const here = (address: { readonly tenant: string; readonly environment: string }) =>
      address.tenant === tenant && address.environment === environment;
    const identity = await EnvironmentIdentity.open({
      fetchJwks: this.#fetchJwks,
      // Never rejects: what cannot be taken up is reported, and tried again by `tick`.
      issuerKeysChanged: () => void this.changed(),
      sendLogout: this.#sendLogout,
      fetchProvider: this.#fetchProvider,
      postForm: this.#postForm,
      compiler: this.#options.compiler,
      engine: () => {
        this.#engine ??= createPolicyEngine({
          memoEntriesMax: tokenAnswersMax,
          warn: (message) => this.#options.fault(new Error(message)),
        });
        return this.#engine;
      },
      tenant,
      environment,
      region,
      node,
      identityUrl,
      store,
      keyring: secrets.keyring,
      log,
      pseudonyms,
      recipient: foundations.opener.publicKey,
      nonceSecret,
      pageSecret,
      passwords,
      nextId,
      geo: this.#options.geo ?? null,
      clock,
      random,
      tokens: () => this.environment(environment)?.config.tokens ?? defaultTokens,
      acknowledgedKeySeq: () => hub.lowestKeySeq(tenant, environment, clock.now(), liveMs),
      push: (message: DownMessage) => hub.send(here, message),
      fault,
    });
    this.identities.set(environment, identity);
    this.#options.issuersChanged(this.identities);
    return identity;
  }
}
