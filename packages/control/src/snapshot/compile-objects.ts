// Promises the objects of one environment in the shapes a gateway and the token endpoint read. Trusts registry/config for what is whole.
// Pure: the same environment, states and instant give the same objects. Shapes: protocol/snapshot/objects.ts.
import type { BodyRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import type {
  IntegrationObject,
  OperationObject,
  SystemObject,
  TrustObject,
} from "@sallyport/protocol/snapshot/objects.ts";
import {
  type BrokenConfig,
  type EnvironmentConfig,
  type IntegrationConfig,
  initialState,
  type LegacyTokens,
  type PublicJwk,
  type RevocationConfig,
  type SystemConfig,
} from "../registry/config/estate.ts";
import type { BodyConfig, OperationConfig } from "../registry/config/operation-config.ts";
import { defaultResilience, placesOf } from "../registry/config/read-resilience.ts";
import type { UpstreamConfig } from "../registry/config/upstream-config.ts";
import { compileNextHop } from "./compile-next-hop.ts";

export type IntegrationState = IntegrationObject["state"];

/** Decisions about integrations by id, from the store. An integration nobody decided about is in its environment's initial state. */
export type IntegrationStates = ReadonlyMap<string, IntegrationState>;

/** Fills in what only the snapshot knows: ids of blobs. */
export interface OperationBlobs {
  policy(system: string, operation: string): string | undefined;
  schema(schema: unknown): string;
}

/** Healthy systems, then the broken ones as far as callers could have reached them, in ascending order of id. */
export function compileSystems(environment: EnvironmentConfig, issuer: string, blobs: OperationBlobs): SystemObject[] {
  const healthy = environment.systems.map((system) => compileSystem(system, { environment, issuer, blobs }));
  const taken = new Set(environment.systems.map((system) => placeOf(system.public)));
  const broken = environment.broken.flatMap((entry) => {
    const object = brokenSystem(entry, issuer);
    // A broken system must not stand in the way of a healthy one.
    if (object === null || taken.has(placeOf(object.public))) return [];
    taken.add(placeOf(object.public));
    return [object];
  });
  return [...healthy, ...broken].sort(byId);
}

function compileSystem(
  system: SystemConfig,
  from: { readonly environment: EnvironmentConfig; readonly issuer: string; readonly blobs: OperationBlobs },
): SystemObject {
  const { upstream } = system;
  const bundle = from.environment.trust.find((trust) => trust.name === upstream?.trust);
  const ca = bundle === undefined ? {} : { ca: `${bundle.roots.join("\n")}\n` };
  return {
    id: system.id,
    owner: system.owner,
    zone: system.zone,
    region: system.region,
    audience: `${from.issuer}/systems/${system.id}`,
    ...(system.legacyTokens === undefined ? {} : { legacyTokens: legacyOf(system.legacyTokens) }),
    ...(upstream === undefined || (system.operations.length === 0 && system.passthrough === undefined)
      ? {}
      : { upstream: { ...compileUpstream(upstream, ca), ...compileNextHop(system, from.environment) } }),
    public: system.public,
    clients: system.clients.map((client) => client.id),
    certificates: system.certificates,
    ...(system.signatures === undefined ? {} : { signatures: system.signatures }),
    attributes: system.attributes,
    operations: system.operations.map((operation) => compileOperation(system.id, operation, from.blobs)),
    ...(system.mode === undefined ? {} : { mode: system.mode }),
    ...(system.passthrough === undefined ? {} : { passthrough: system.passthrough }),
  };
}

function compileUpstream(
  upstream: UpstreamConfig,
  ca: { readonly ca?: string },
): NonNullable<SystemObject["upstream"]> {
  const { url, allowPrivate, resilience } = upstream;
  const places = placesOf(upstream);
  const more = {
    ...(places.length > 1 ? { endpoints: places } : {}),
    ...(upstream.signed ? { signed: upstream.signed } : {}),
    ...(upstream.certificate === undefined ? {} : { certificate: upstream.certificate }),
  };
  return { url, ...ca, allowPrivate, ...more, resilience: resilience ?? defaultResilience(places.length) };
}

/** Why is for reviewers, not for gateways. */
function legacyOf({ algorithm, untilMs }: LegacyTokens): NonNullable<SystemObject["legacyTokens"]> {
  return { algorithm, untilMs };
}

function compileOperation(system: string, operation: OperationConfig, blobs: OperationBlobs): OperationObject {
  const { body, response, parameters, nextHopScope: _ofControl, ...rest } = operation;
  const policy = blobs.policy(system, operation.name);
  return {
    ...rest,
    effect: !["GET", "HEAD", "OPTIONS"].includes(operation.method),
    ...(body === undefined ? {} : { body: compileBody(body, blobs) }),
    ...(parameters === undefined ? {} : { parameters: { ...parameters, schema: blobs.schema(parameters.schema) } }),
    ...(response === undefined
      ? {}
      : { response: { ...response, schemas: mapValues(response.schemas, blobs.schema) } }),
    ...(policy === undefined ? {} : { policy }),
  };
}

/** Why it passes unread is for reviewers, not for gateways. */
function compileBody({ schema, reason: _why, ...body }: BodyConfig, blobs: OperationBlobs): BodyRule {
  return { ...body, ...(schema === undefined ? {} : { schema: blobs.schema(schema) }) };
}

function mapValues<A, B>(values: Readonly<Record<string, A>>, to: (value: A) => B): Readonly<Record<string, B>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, to(value)]));
}

function brokenSystem(entry: BrokenConfig, issuer: string): SystemObject | null {
  const id = /^system\/([a-z][a-z0-9-]*)$/.exec(entry.object)?.[1];
  if (id === undefined) return null;
  return {
    id,
    owner: "team:default",
    zone: "internal",
    region: "default",
    audience: `${issuer}/systems/${id}`,
    public: entry.public ?? { path: `/${id}`, strip: true },
    clients: [],
    certificates: [],
    attributes: {},
    operations: [],
    broken: brokenText(entry),
  };
}

function placeOf({ host, path }: SystemObject["public"]): string {
  return `${host ?? "*"} ${path}`;
}

export interface CompileIntegrations {
  readonly environment: EnvironmentConfig;
  readonly states: IntegrationStates;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Healthy integrations with their states, then the broken ones whose systems are whole, in ascending order of id. */
export function compileIntegrations({ environment, states, now }: CompileIntegrations): IntegrationObject[] {
  const healthy = environment.integrations.map((integration) =>
    compileIntegration(integration, states.get(integration.id) ?? initialState(environment), now),
  );
  const known = new Set(healthy.map((integration) => integration.id));
  const systems = new Set(environment.systems.map((system) => system.id));
  const broken = environment.broken.flatMap((entry): IntegrationObject[] => {
    const id = /^integration\/([a-z][a-z0-9-]*)$/.exec(entry.object)?.[1];
    const { grants } = entry;
    if (
      id === undefined ||
      known.has(id) ||
      grants === undefined ||
      !systems.has(grants.from) ||
      !systems.has(grants.to)
    )
      return [];
    const operations = grants.operations.map((name) => ({ name }));
    const declaredAt = `${entry.file}:${entry.line}`;
    return [
      {
        id,
        from: grants.from,
        to: grants.to,
        owner: "team:default",
        purpose: "",
        state: "proposed",
        proof: [],
        limits: [],
        operations,
        declaredAt,
        broken: brokenText(entry),
      },
    ];
  });
  return [...healthy, ...broken].sort(byId);
}

function compileIntegration(integration: IntegrationConfig, decided: IntegrationState, now: number): IntegrationObject {
  const { expiresAtMs, bearerUntilMs } = integration;
  const ends = integration.onExpiry === "suspend" ? expiresAtMs : undefined;
  const proof = integration.proof.filter(
    (kind) => (kind !== "bearer" && kind !== "api-key") || (bearerUntilMs ?? 0) > now,
  );
  const place = `${integration.declaredAt.file}:${integration.declaredAt.line}`;
  return {
    id: integration.id,
    from: integration.from,
    to: integration.to,
    owner: integration.owner,
    purpose: integration.purpose,
    state: ends !== undefined && ends <= now && decided === "active" ? "expired" : decided,
    proof,
    limits: integration.limits,
    ...(integration.concurrency === undefined ? {} : { concurrency: integration.concurrency }),
    ...(integration.quotas === undefined ? {} : { quotas: integration.quotas }),
    operations: integration.operations,
    ...(integration.data === undefined ? {} : { data: integration.data }),
    ...(integration.cors === undefined ? {} : { cors: integration.cors }),
    ...(ends === undefined ? {} : { expiresAtMs: ends }),
    declaredAt: place,
    ...(integration.mode === undefined ? {} : { mode: integration.mode }),
    ...(proof.length === 0
      ? { broken: `${place}: no proof is accepted any more, \`bearer\` has ended. Fix: accept dpop or mtls` }
      : {}),
  };
}

/** The bundles that certificate identities of this environment name; roots of upstreams travel with their systems. */
export function compileTrust(environment: EnvironmentConfig): TrustObject[] {
  const named = new Set(
    environment.systems.flatMap((system) => system.certificates.map((certificate) => certificate.trust)),
  );
  for (const { authorizer } of environment.listeners)
    if (authorizer?.certificate) named.add(authorizer.certificate.trust);
  return environment.trust
    .filter((trust) => named.has(trust.name))
    .map(({ name, roots, revocation }) => ({ name, roots, ...(revocation === undefined ? {} : listsOf(revocation)) }));
}

function listsOf({ lists, required }: RevocationConfig): Pick<TrustObject, "revocation"> {
  return { revocation: { lists, required } };
}

/** What the token endpoint needs besides the objects: public keys of each client and the end of each bearer exception. */
export function identityParts(environment: EnvironmentConfig): {
  readonly keys: ReadonlyMap<string, readonly { readonly jwk: PublicJwk }[]>;
  readonly bearerUntil: ReadonlyMap<string, number>;
} {
  const clients = environment.systems.flatMap((system) => system.clients);
  const exceptions = environment.integrations.flatMap(({ id, bearerUntilMs }): [string, number][] =>
    bearerUntilMs === undefined ? [] : [[id, bearerUntilMs]],
  );
  return {
    keys: new Map(clients.map(({ id, keys }) => [id, keys.map((jwk) => ({ jwk }))])),
    bearerUntil: new Map(exceptions),
  };
}

/** The next instant after `now` at which the same environment compiles to something else (an end passes); Infinity when none is known. */
export function nextChangeMs(environment: EnvironmentConfig, now: number): number {
  const ends = environment.integrations.flatMap(({ expiresAtMs, bearerUntilMs }) => [expiresAtMs, bearerUntilMs]);
  return Math.min(...ends.filter((end) => end !== undefined && end > now).map(Number), Number.POSITIVE_INFINITY);
}

export function brokenText(entry: BrokenConfig): string {
  return `${entry.file}:${entry.line}: ${entry.why}`;
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
