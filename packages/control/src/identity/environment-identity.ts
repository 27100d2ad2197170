// Promises everything one environment needs to issue tokens: ring, issuer, recorder, directory, hop keys and the numbers of its streams.
// Trusts its parts. Specified in docs/identity.md and docs/formats/join.md.

import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { compileTrust, type TrustBundle } from "@sallyport/kernel/x509/peer-policy.ts";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import type { PeopleConfig, ProviderConfig } from "../registry/config/estate.ts";
import type { EnvironmentInForce } from "../registry/estate-state.ts";
import { createClientAuthentication } from "./clients/authentication.ts";
import { ClientCredentials } from "./clients/credentials.ts";
import { type EnrolmentOptions, enrolmentRoute } from "./clients/enrolment.ts";
import { PublishedKeys } from "./clients/published-keys.ts";
import { createDevices, type Devices } from "./device/parts.ts";
import { type Directory, directoryOf, type IdentityClient } from "./directory.ts";
import { directoryInForce } from "./directory-in-force.ts";
import { tokenExchange } from "./exchange/exchange-grant.ts";
import { isRevokedIn } from "./exchange/revoked.ts";
import type { SubjectPorts } from "./exchange/subject-token.ts";
import { HopKeys } from "./hop-keys.ts";
import type { ServedIssuer } from "./identity-listener.ts";
import type { EnvironmentIdentityOptions } from "./identity-options.ts";
import { createIssuanceRecorder, type IssuanceRecorder } from "./issuance-record.ts";
import { createIssuer, type IssuerOptions, issuerUrl, type RingView, signingAlgorithms } from "./issuer.ts";
import { type KeyRing, openKeyRing } from "./keys.ts";
import { NextHops } from "./next-hop/parts.ts";
import { createNonceBook } from "./nonce.ts";
import type { AuthorizationDesk } from "./oauth/interaction.ts";
import { createOAuth, type OAuth } from "./oauth/parts.ts";
import { endedPerRunMax } from "./people/outside/outside-sessions.ts";
import { providersIn } from "./people/outside/providers.ts";
import { openPeople, seedPurpose } from "./people/people.ts";
import { logoutMetadata } from "./people/routes/logout-routes.ts";
import { logoutPlaceOf } from "./people/send-logout.ts";
import { tellClients } from "./people/tell-clients.ts";
import { createIssuancePolicy, grantsAlone, type IssuancePolicy } from "./policy/issuance-policy.ts";
import { createIssuanceSignals, type IssuanceSignals } from "./policy/issuance-signals.ts";
import { checkCertificate, createProofCheck } from "./possession.ts";
import { createReplayGuard } from "./replay.ts";
import { RevocationStream, type RevocationsMessage } from "./revocation-stream.ts";
import { keysMessageOf, legacyJudge } from "./ring-keys.ts";
import type { ClientAuthentication, IssuerRoute } from "./seams.ts";
import type { GrantPorts } from "./token-grant.ts";
import { TokenForms } from "./tokens/forms.ts";
import { introspection } from "./tokens/introspection.ts";
import { type JudgePorts, judgeToken, type TokenState } from "./tokens/judge-token.ts";
import { tokenMetadata } from "./tokens/metadata.ts";
import { revocation } from "./tokens/revocation.ts";
import { jwtBearer } from "./trust/assertion-grant.ts";
import { Introspections } from "./trust/introspections.ts";
import { createTrustedIssuers, type TrustedIssuers } from "./trust/trusted-issuers.ts";

const noClients: Directory = directoryOf({ systems: [], integrations: [], isActive: () => false });

export class EnvironmentIdentity {
  readonly environment: string;
  readonly issuer: string;
  readonly served: ServedIssuer;
  readonly recorder: IssuanceRecorder;
  readonly #oauth: OAuth;
  readonly #revocations: RevocationStream;
  readonly #devices: Devices;
  readonly #options: EnvironmentIdentityOptions;
  readonly trusted: TrustedIssuers;
  /** Issuers outside that are asked about tokens. */
  readonly introspections: Introspections;
  readonly hopKeys = new HopKeys();
  /** Of the place a token is asked from, for policies. */
  readonly signals: IssuanceSignals;
  readonly forms: TokenForms;
  readonly nextHops: NextHops;
  readonly #credentials: ClientCredentials;
  /** Keys that clients publish. */
  readonly published: PublishedKeys;
  #inForce: EnvironmentInForce | null = null;
  #bundles: ReadonlyMap<string, TrustBundle> = new Map();
  #roots: readonly string[] = [];
  #ring: KeyRing | null = null;
  #directory = noClients;
  #policy: IssuancePolicy = grantsAlone;
  #people: PeopleConfig | null = null;
  #sweepsDue = 0;

  private constructor(options: EnvironmentIdentityOptions, seeds: PurposeRing) {
    const { tenant, environment } = options;
    this.#options = options;
    this.#revocations = new RevocationStream(options);
    this.#credentials = new ClientCredentials({ ...options, onFault: options.fault });
    this.published = new PublishedKeys({ ...options, changed: () => this.#renewDirectory() });
    this.environment = environment;
    this.issuer = issuerUrl(options.identityUrl, tenant, environment);
    this.recorder = createIssuanceRecorder({
      ...options,
      pseudonym: (domain, value) => options.pseudonyms.now(environment, domain, value),
    });
    const shared = {
      ...options,
      issuer: this.issuer,
      place: { tenant, environment },
      directory: () => this.#directory,
      record: this.recorder,
      revoked: () => this.pushRevocations(),
    };
    this.#oauth = createOAuth(shared);
    this.#devices = createDevices({ ...shared, secret: options.pageSecret, servesPeople: () => this.servesPeople });
    this.forms = new TokenForms(shared);
    this.trusted = createTrustedIssuers(this.issuer, options);
    this.introspections = new Introspections({ ...options, seeds, post: options.postForm });
    this.signals = createIssuanceSignals(options);
    const ports = this.#ports();
    const now = { inForce: () => this.#inForce, view: () => this.#view() };
    this.nextHops = new NextHops({ ...shared, ...ports, ...now, hopKeys: this.hopKeys, subjects: this.#subjects() });
    this.served = createIssuer({
      tenant,
      environment,
      identityUrl: options.identityUrl,
      ring: () => this.#view(),
      ports,
      authentication: this.#authentication(),
      authorization: this.#oauth.authorization,
      endpoints: this.#endpoints(),
      metadata: () => this.#metadata(),
      roots: () => this.#roots,
      routes: [...this.#pages(seeds), this.#enrolment(ports), this.nextHops.route],
      grants: [...this.#oauth.grants, this.#devices.grant, tokenExchange(this.#subjects())],
      openGrants: [jwtBearer({ trusted: this.trusted, isRevoked: (token) => this.#isRevoked(token) })],
      documents: { "hop-jwks": () => this.hopKeys.jwks(), "introspection-jwks": () => this.introspections.jwks() },
      onFault: options.fault,
    });
  }

  #enrolment(ports: EnrolmentOptions["ports"]): IssuerRoute {
    const enrolled = () => this.refreshClients();
    return enrolmentRoute({ ...this.#options, issuer: this.issuer, crypto: createTokenCrypto(), ports, enrolled });
  }

  #authentication(): ClientAuthentication {
    const { clock } = this.#options;
    return createClientAuthentication({
      clock,
      directory: () => this.#directory,
      bundles: () => this.#bundles,
      secretUsed: (client, id) => this.#credentials.used({ client, id, now: clock.now() }),
      published: this.published,
    });
  }

  #metadata(): Readonly<Record<string, unknown>> {
    return {
      ...this.#oauth.metadata,
      ...this.#devices.metadata,
      ...tokenMetadata(this.issuer, signingAlgorithms(this.#view())),
      ...(this.servesPeople ? logoutMetadata(this.issuer) : {}),
    };
  }

  #endpoints(): NonNullable<IssuerOptions["endpoints"]> {
    const { store } = this.#options;
    return [
      (ports) => introspection({ ...this.#judging(), signer: ports.signer }),
      () => revocation({ ...this.#judging(), store, revoked: () => this.#tellRevocations() }),
      this.#devices.endpoint,
    ];
  }

  /** What grants are handed: what is in force is read at each request. */
  #ports(): Omit<GrantPorts, "signer" | "legacySigner"> {
    const { clock, random, store, nonceSecret: secret } = this.#options;
    return {
      clock,
      random,
      record: this.recorder,
      present: this.forms.present,
      directory: () => this.#directory,
      policy: this.policy,
      signals: this.signals,
      replay: createReplayGuard(store),
      nonces: createNonceBook({ secret, domain: this.issuer, clock }),
      checkProof: createProofCheck(createTokenCrypto()),
      checkCertificate,
    };
  }

  #subjects(): SubjectPorts {
    return {
      issuer: this.issuer,
      keys: () => this.#view().keys,
      legacy: legacyJudge(this.#judging()),
      trusted: this.trusted,
      crypto: createTokenCrypto(),
      read: this.forms.read,
      isRevoked: (token) => this.#isRevoked(token),
    };
  }

  #isRevoked(token: Parameters<typeof isRevokedIn>[2]): Promise<boolean> {
    const { tenant, environment, store } = this.#options;
    return isRevokedIn(store, { tenant, environment }, token);
  }

  /** Opens the ring (first keys are made here) and reads where the streams stand. */
  static async open(options: EnvironmentIdentityOptions): Promise<EnvironmentIdentity> {
    await options.pseudonyms.key(options.environment);
    const seeds = await options.keyring.ring(options.tenant, seedPurpose);
    const identity = new EnvironmentIdentity(options, seeds);
    const { tenant, environment, store, keyring, clock, acknowledgedKeySeq, push } = options;
    identity.#ring = await openKeyRing({
      tenant,
      environment,
      store,
      keyring,
      clock,
      alg: () => options.tokens().algorithm,
      acknowledgedKeySeq,
      rotateEveryMs: () => options.tokens().rotateEveryMs,
      legacy: () => identity.#directory.legacyAlgorithms(clock.now()),
      onChange: (view) => push(keysMessageOf(view)),
    });
    await identity.#revocations.open();
    return identity;
  }

  #pages(seeds: PurposeRing): readonly IssuerRoute[] {
    return openPeople({
      ...this.#options,
      issuer: this.issuer,
      secret: this.#options.pageSecret,
      seeds,
      record: this.recorder,
      desk: this.#oauth.desk,
      devices: this.#devices.desk,
      clients: () => this.#directory.clients,
      bundles: () => this.#inForce?.config.trust ?? [],
      ring: () => this.#view(),
      revoked: () => this.pushRevocations(),
      config: () => this.#people,
    }).routes;
  }

  /** Whether people sign in in this environment. */
  get servesPeople(): boolean {
    return this.#people !== null;
  }

  /** Providers outside that people may sign in through. */
  providers(): readonly ProviderConfig[] {
    return this.#people?.providers ?? [];
  }

  get ring(): KeyRing {
    if (this.#ring === null) throw new Error("the ring is opened before anything else");
    return this.#ring;
  }

  /** Where the pages that ask users find what is asked, and leave the answer. */
  get desk(): AuthorizationDesk {
    return this.#oauth.desk;
  }

  /** Sequences gateways have been pushed; never ahead of a push, so that a heartbeat shows no gap that is none. */
  sequences(): { readonly keySeq: number; readonly revocationSeq: number } {
    return { keySeq: this.#view().seq, revocationSeq: this.#revocations.seq };
  }

  keysMessage(): DownMessage {
    return keysMessageOf(this.#view());
  }

  /** `isOperation`: does any environment of the estate have an operation of this full name? */
  async useEstate(inForce: EnvironmentInForce, isOperation: (name: string) => boolean): Promise<void> {
    await this.#credentials.refresh();
    const { compiler, engine } = this.#options;
    // Policies and grants change in one turn: no token is decided by the old ones of the one and the new ones of the other.
    this.#policy = createIssuancePolicy({ environment: inForce.config, isOperation, compiler, engine });
    this.#inForce = inForce;
    this.#people = inForce.config.people ?? null;
    // Twice: a log-in that was on its way into the store is met by the second.
    this.#sweepsDue = 2;
    const { trust } = inForce.config;
    this.#bundles = new Map(trust.map((bundle) => [bundle.name, compileTrust(bundle)]));
    this.#roots = trust.flatMap(({ roots }) => roots);
    this.published.use(inForce.config.systems, trust);
    this.#renewDirectory();
    this.trusted.use(inForce.config.issuers, trust);
    this.introspections.use(inForce.config.issuers, trust);
    await this.trusted.takeKept();
  }

  /** Takes up what other control nodes wrote about clients; call it about once a second. */
  async refreshClients(): Promise<void> {
    if (await this.#credentials.refresh()) this.#renewDirectory();
  }

  /** Tells clients of sessions that have ended; call it about once a second. Resolves with how many were told. */
  async tellClients(): Promise<number> {
    // Before an estate is in force nobody is known, and nobody may be taken for gone.
    if (this.#inForce === null) return 0;
    const { sendLogout: send } = this.#options;
    const { trust } = this.#inForce.config;
    return tellClients({
      ...this.#options,
      issuer: this.issuer,
      send,
      signer: () => this.#view().signer,
      placeOf: (id) => logoutPlaceOf(this.#directory.clients.get(id), trust),
    });
  }

  /** Ends what providers outside vouched for that the estate does not name any more; call it about once a second. */
  async endRemovedProviders(): Promise<void> {
    if (this.#sweepsDue === 0) return;
    const { tenant, environment, store } = this.#options;
    const issuers = providersIn(this.#people).map(({ issuer }) => issuer);
    const ended = await store.run("endSessionsBeyond", { tenant, environment, issuers });
    if (ended > 0) await this.pushRevocations();
    if (ended < endedPerRunMax) this.#sweepsDue -= 1;
  }

  /** Active integrations from one system to another. */
  readonly grants: Directory["grants"] = (from, to) => this.#directory.grants(from, to);

  /** What tokens for a system are signed with where that is RSA. */
  readonly legacyAlgorithm: Directory["legacyAlgorithm"] = (system, now) =>
    this.#directory.legacyAlgorithm(system, now);

  /** What the policies in force say about tokens. */
  readonly policy = (): IssuancePolicy => this.#policy;

  /** By client id. */
  clients(): ReadonlyMap<string, IdentityClient> {
    return this.#directory.clients;
  }

  /** What is still in force after `from`, for one gateway. */
  revocationsSince(from: number): Promise<RevocationsMessage> {
    return this.#revocations.since(from);
  }

  /** Pushes what was appended since the last push; call it after every command that may have revoked something. */
  pushRevocations(): Promise<void> {
    return this.#revocations.push();
  }

  /** Loads this year's pseudonym key, so that the recorder never has to wait for one; call it now and then. */
  async turnOfYear(): Promise<void> {
    await this.#options.pseudonyms.key(this.environment);
  }

  #renewDirectory(): void {
    if (this.#inForce !== null) this.#directory = directoryInForce(this.#inForce, this.#credentials, this.published);
  }

  /** What a token of this issuer is judged by. */
  #judging(): JudgePorts {
    const { tenant, environment, store, clock } = this.#options;
    const directory = () => this.#directory;
    const at = { tenant, environment, issuer: this.issuer, ring: () => this.#view(), directory };
    return { ...at, store, crypto: createTokenCrypto(), clock, read: this.forms.read };
  }

  /** A push that fails is made up for by the next tick: the row is written. */
  async #tellRevocations(): Promise<void> {
    await this.pushRevocations().catch(this.#options.fault);
  }

  /** For operators: what a token is worth here. */
  judge(token: string): Promise<TokenState> {
    return judgeToken(token, this.#judging());
  }

  #view(): RingView {
    return this.#ring?.view() ?? { seq: 0, keys: [], signer: null };
  }
}
