// Promises that what objects say of each other holds, within one environment and over all of them: references, uniqueness, grants.
// Trusts each object's own shape (read-system.ts, read-integration.ts). Every conflict is said at both places and breaks both.

import type { DescriptionNotes } from "../openapi/describe-system.ts";
import type { ClientAuthentication, IntegrationConfig, SystemConfig, TrustConfig } from "./estate.ts";
import { errorAt, type Finding, type Spot } from "./finding.ts";
import type { LinkedIssuer } from "./link-issuers.ts";
import { suggest } from "./nearest.ts";
import type { OperationConfig } from "./operation-config.ts";
import type { IntegrationDraft } from "./read-integration.ts";
import { placesOf } from "./read-resilience.ts";
import { isJsonType } from "./response-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** A system of one environment while it is being linked; `findings` with an error keep it from being served. */
export interface LinkedSystem {
  readonly id: string;
  readonly tree: MapTree | null;
  /** Of the description it names; absent: none. */
  readonly notes?: DescriptionNotes;
  readonly config: SystemConfig | null;
  readonly findings: Finding[];
}

export interface LinkedIntegration {
  readonly draft: IntegrationDraft;
  readonly findings: Finding[];
  /** Set when its systems are known: owner filled in. */
  config: IntegrationConfig | null;
}

export interface LinkedEnvironment {
  readonly name: string;
  readonly systems: ReadonlyMap<string, LinkedSystem>;
  readonly integrations: readonly LinkedIntegration[];
  /** Null value: the bundle is broken here. */
  readonly trust: ReadonlyMap<string, TrustConfig | null>;
  readonly trustTrees: ReadonlyMap<string, MapTree>;
  readonly issuers: ReadonlyMap<string, LinkedIssuer>;
}

/** Ids that exist anywhere in the estate, for saying "exists, but not here". */
export interface EstateNames {
  readonly systems: ReadonlySet<string>;
  readonly teams: ReadonlySet<string>;
  readonly trust: ReadonlySet<string>;
}

export function linkSystems(environment: LinkedEnvironment, names: EstateNames): void {
  for (const system of environment.systems.values()) {
    const { config, tree, findings } = system;
    if (config === null || tree === null) continue;
    findings.push(...checkOwner(config.owner, spotOf(tree, ["owner"]), names));
    const many = config.certificates.length > 1;
    const references: [string, Spot][] = config.certificates.map(({ trust }, index) => [
      trust,
      spotOf(tree, many ? ["identity", "certificate", index, "trust"] : ["identity", "certificate", "trust"]),
    ]);
    references.push(...clientTrust(config).map(([name, ...path]): [string, Spot] => [name, spotOf(tree, path)]));
    if (config.upstream?.trust !== undefined) references.push([config.upstream.trust, spotOf(tree, ["tls", "ca"])]);
    const outside = config.upstream?.nextHop?.outside?.trust;
    if (outside !== undefined) references.push([outside, spotOf(tree, ["nextHop", "outside", "tls", "ca"])]);
    for (const [name, spot] of references) findings.push(...checkTrust(name, spot, { environment, names }));
  }
  refusePublicConflicts(environment);
  refuseSharedPassthrough(environment);
}

/** Bundles that clients name, each with its path in the file. */
function clientTrust({ clients }: SystemConfig): [string, ...string[]][] {
  return clients.flatMap(({ authentication, published, backchannelLogout }) => {
    const named: [string, ...string[]][] = [];
    if (authentication?.method === "tls_client_auth")
      named.push([authentication.identity.trust, "identity", "tls", "trust"]);
    if (published?.trust !== undefined) named.push([published.trust, "identity", "jwksServer", "ca"]);
    if (backchannelLogout?.trust !== undefined)
      named.push([backchannelLogout.trust, "identity", "backchannelLogout", "tls", "ca"]);
    return named;
  });
}

function checkOwner(owner: string, spot: Spot, names: EstateNames): Finding[] {
  const team = owner.slice("team:".length);
  return names.teams.has(team) ? [] : [errorAt(spot, `there is no team \`${team}\``, suggest(team, names.teams))];
}

export function checkTrust(
  name: string,
  spot: Spot,
  where: { environment: LinkedEnvironment; names: EstateNames },
): Finding[] {
  const bundle = where.environment.trust.get(name);
  if (bundle !== undefined && bundle !== null) return checkLists(bundle, spot);
  if (bundle === null) return [errorAt(spot, `the bundle \`${name}\` is broken`, `correct trust/${name}.yaml`)];
  if (where.names.trust.has(name))
    return [
      errorAt(
        spot,
        `the bundle \`${name}\` is not trusted in ${where.environment.name}`,
        `add ${where.environment.name} to its \`environments\``,
      ),
    ];
  return [errorAt(spot, `there is no bundle \`${name}\``, suggest(name, where.names.trust))];
}

/** Lists say which client certificates were taken back; a bundle for servers whose lists nobody asks would promise too much. */
function checkLists({ name, revocation }: TrustConfig, spot: Spot): Finding[] {
  if (revocation === undefined || !/\bca$/.test(spot.path)) return [];
  return [
    errorAt(
      spot,
      `the bundle \`${name}\` has revocation lists, which are obeyed for client certificates alone`,
      "name a bundle of the same roots without `revocation` for servers",
    ),
  ];
}

function refusePublicConflicts(environment: LinkedEnvironment): void {
  const places = new Map<string, LinkedSystem[]>();
  for (const system of environment.systems.values()) {
    if (system.config === null || !isServed(system.config)) continue;
    const { host, path } = system.config.public;
    const key = `${host ?? "*"} ${path}`;
    places.set(key, [...(places.get(key) ?? []), system]);
  }
  for (const systems of places.values()) {
    for (const system of systems.length < 2 ? [] : systems) {
      const others = systems.filter((other) => other !== system).map((other) => `\`${other.id}\``);
      const spot = system.tree === null ? null : spotOf(system.tree, ["public", "path"]);
      if (spot !== null)
        system.findings.push(
          errorAt(
            spot,
            `the same public host and path as ${others.join(", ")}`,
            "give each system its own `public.path` or `public.host`",
          ),
        );
    }
  }
}

function isServed({ operations, passthrough }: SystemConfig): boolean {
  return operations.length > 0 || passthrough !== undefined;
}

/** What passes to one system undeclared would reach the operations that another declares at the same place, past their grants and policies. */
function refuseSharedPassthrough(environment: LinkedEnvironment): void {
  const served = [...environment.systems.values()].filter(({ config }) => config !== null && isServed(config));
  for (const { id, config, tree, findings } of served) {
    if (config?.passthrough === undefined || config.upstream === undefined || tree === null) continue;
    const places = placesOf(config.upstream);
    const others = served.filter(
      (other) =>
        other.id !== id && other.config?.upstream !== undefined && sharesPlace(places, placesOf(other.config.upstream)),
    );
    if (others.length === 0) continue;
    findings.push(
      errorAt(
        spotOf(tree, ["passthrough"], "key"),
        `the url also serves ${others.map((other) => `\`${other.id}\``).join(", ")}: what passes here would reach those operations past their grants`,
        "remove `passthrough`, or declare all operations of that url in one system",
      ),
    );
  }
}

function sharesPlace(ours: readonly { readonly url: string }[], theirs: readonly { readonly url: string }[]): boolean {
  return ours.some(({ url }) => theirs.some((other) => isSamePlace(url, other.url)));
}

/** Is one url the other, or inside it? Host names and origins are lower case already. */
export function isSamePlace(one: string, other: string): boolean {
  const [a, b] = [`${one.toLowerCase()}/`, `${other.toLowerCase()}/`];
  return a.startsWith(b) || b.startsWith(a);
}

/** A client belongs to one system in the whole tenant, and so does a certificate identity: two would be one caller with two names. */
export function refuseSharedIdentities(environments: readonly LinkedEnvironment[]): void {
  const holders = new Map<string, { system: LinkedSystem; spot: Spot }[]>();
  for (const { systems } of environments) {
    for (const system of systems.values()) {
      for (const [key, spot] of identitiesOf(system)) holders.set(key, [...(holders.get(key) ?? []), { system, spot }]);
    }
  }
  for (const [key, held] of holders) {
    for (const { system, spot } of held) {
      const others = [...new Set(held.map((other) => other.system.id))].filter((id) => id !== system.id);
      if (others.length === 0) continue;
      const { what, fix } = sharedIdentity(key);
      system.findings.push(
        errorAt(spot, `the ${what} also belongs to ${others.map((id) => `\`${id}\``).join(", ")}`, fix),
      );
    }
  }
}

function sharedIdentity(key: string): { readonly what: string; readonly fix: string } {
  if (key.startsWith("client ")) return { what: "client", fix: "give each system a client of its own" };
  if (key.startsWith("keyid ")) return { what: "name of a signature key", fix: "give each system a key of its own" };
  return { what: "certificate identity", fix: "give each system a name of its own in its certificates" };
}

function identitiesOf({ config, tree }: LinkedSystem): [string, Spot][] {
  if (config === null || tree === null) return [];
  const many = config.certificates.length > 1;
  return [
    ...config.clients.map(({ id }): [string, Spot] => [`client ${id}`, spotOf(tree, ["identity", "client"])]),
    ...config.clients.flatMap(({ authentication }) => tlsNames(authentication, tree)),
    ...(config.signatures?.keys ?? []).map(({ keyid }): [string, Spot] => [
      `keyid ${keyid}`,
      spotOf(tree, ["identity", "signatures", "keys"], "key"),
    ]),
    // The bundle is not part of the key: two bundles may share a root.
    ...config.certificates.map(({ kind, value }, index): [string, Spot] => [
      `${kind} ${value}`,
      spotOf(tree, [...(many ? ["identity", "certificate", index] : ["identity", "certificate"]), kind]),
    ]),
  ];
}

/** A certificate that authenticates two clients makes them one; the same system may use its certificate for both doors. */
function tlsNames(authentication: ClientAuthentication | undefined, tree: MapTree): [string, Spot][] {
  const spot = spotOf(tree, ["identity", "tls"], "key");
  if (authentication?.method === "tls_client_auth") {
    const { kind, value } = authentication.identity;
    return [[`${kind} ${value}`, spot]];
  }
  if (authentication?.method !== "self_signed_tls_client_auth") return [];
  return authentication.x5t.map((value): [string, Spot] => [`x5t ${value}`, spot]);
}

export function linkIntegrations(environment: LinkedEnvironment, names: EstateNames): void {
  for (const integration of environment.integrations) linkIntegration(integration, environment, names);
  refuseSameId(environment.integrations);
  refuseDoubleGrants(environment.integrations);
}

function linkIntegration(integration: LinkedIntegration, environment: LinkedEnvironment, names: EstateNames): void {
  const { draft, findings } = integration;
  const { config, tree } = draft;
  if (config === null) return;
  for (const end of ["from", "to"] as const) {
    const id = config[end];
    if (environment.systems.has(id)) continue;
    const spot = spotOf(tree, [end]);
    if (names.systems.has(id))
      findings.push(
        errorAt(
          spot,
          `the system \`${id}\` does not exist in ${environment.name}`,
          `add ${environment.name} to its \`environments\`, or take it out here`,
        ),
      );
    else findings.push(errorAt(spot, `there is no system \`${id}\``, suggest(id, names.systems)));
  }
  const consumer = environment.systems.get(config.from);
  const provider = environment.systems.get(config.to)?.config ?? null;
  const owner = draft.owner ?? consumer?.config?.owner ?? "team:default";
  if (draft.owner !== null) findings.push(...checkOwner(draft.owner, spotOf(tree, ["owner"]), names));
  integration.config = { ...config, owner };
  if (provider !== null) findings.push(...checkGrants({ ...config, owner }, provider, tree));
}

function checkGrants(config: IntegrationConfig, provider: SystemConfig, tree: MapTree): Finding[] {
  const offered = new Map(provider.operations.map((operation) => [operation.name, operation]));
  const findings: Finding[] = [];
  for (const granted of config.operations) {
    const operation = offered.get(granted.name);
    const spot = grantSpot(tree, granted.name);
    if (operation === undefined) {
      findings.push(
        errorAt(spot, `\`${provider.id}\` has no operation \`${granted.name}\``, suggest(granted.name, offered.keys())),
      );
      continue;
    }
    if ((granted.bodyBytesMax ?? 0) > operation.bodyBytesMax) {
      findings.push(
        errorAt(
          spot,
          "`body` is larger than the operation allows",
          `write at most ${operation.bodyBytesMax}B, or raise it in systems/${provider.id}.yaml`,
        ),
      );
    }
    if ((granted.timeoutMs ?? 0) > operation.timeoutMs) {
      findings.push(
        errorAt(
          spot,
          "`timeout` is longer than the operation allows",
          `write at most ${operation.timeoutMs}ms, or raise it in systems/${provider.id}.yaml`,
        ),
      );
    }
    const unread = granted.redact === undefined ? null : whyUnread(operation);
    if (unread !== null)
      findings.push(errorAt(spot, unread, "remove `redact`, or take the operation out of the grant"));
  }
  return findings;
}

/** Why nothing can be taken out of what the operation answers; null: it can. */
function whyUnread({ response, grpc, webSocket }: OperationConfig): string | null {
  if (grpc !== undefined) return "messages of gRPC are passed on unread: nothing can be taken out of them";
  if (webSocket !== undefined) return "messages of a WebSocket are passed on unread: nothing can be taken out of them";
  if (isJsonType(response?.contentType ?? "application/json")) return null;
  return `the answers are ${response?.contentType}, and only JSON can be looked into`;
}

function grantSpot(tree: MapTree, name: string): Spot {
  const operations = tree.entries.get("operations")?.value;
  if (operations?.kind === "map") return spotOf(tree, ["operations", name], "key");
  const index =
    operations?.kind === "list"
      ? operations.items.findIndex((item) => item.kind === "scalar" && item.value === name)
      : -1;
  return spotOf(tree, index === -1 ? ["operations"] : ["operations", index]);
}

function refuseSameId(integrations: readonly LinkedIntegration[]): void {
  const byId = Map.groupBy(integrations, ({ draft }) => draft.id);
  for (const [id, same] of byId) {
    if (same.length < 2) continue;
    for (const integration of same) {
      const others = same
        .filter((other) => other !== integration)
        .map(({ draft }) => `${draft.tree.at.file}:${draft.tree.at.line}`);
      integration.findings.push(
        errorAt(
          integration.draft.tree.at,
          `the integration \`${id}\` is also declared in ${others.join(", ")}`,
          "keep either the `uses` entry or the file",
        ),
      );
    }
  }
}

/** The gateway binds a crossing by (caller, operation): two integrations for one would leave open whose limits and proof hold. */
function refuseDoubleGrants(integrations: readonly LinkedIntegration[]): void {
  const holders = new Map<string, LinkedIntegration[]>();
  for (const integration of integrations) {
    const { config } = integration.draft;
    for (const operation of config?.operations ?? []) {
      const key = `${config?.from} ${config?.to}:${operation.name}`;
      holders.set(key, [...(holders.get(key) ?? []), integration]);
    }
  }
  for (const [key, held] of holders) {
    const operation = key.slice(key.indexOf(":") + 1);
    for (const integration of held) {
      const others = held
        .filter((other) => other.draft.id !== integration.draft.id)
        .map(({ draft }) => `\`${draft.id}\``);
      if (others.length === 0) continue;
      const spot = grantSpot(integration.draft.tree, operation);
      integration.findings.push(
        errorAt(
          spot,
          `\`${operation}\` is also granted by ${others.join(", ")}`,
          "grant an operation to a consumer once per environment",
        ),
      );
    }
  }
}
