// Promises the manifest and blobs of one gateway group: the same input gives the same bytes, one changed integration changes one blob.
// Trusts its input to be of one environment only, which the shape of EnvironmentConfig ensures: a value of another one is not there to leak.
// Specified in docs/formats/snapshot.md; signing is protocol/snapshot/manifest.ts.
import { createHash } from "node:crypto";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { signalNames } from "@sallyport/kernel/policy/signals.ts";
import type { SnapshotManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import { type BrokenObject, type EstateObject, snapshotNeeds } from "@sallyport/protocol/snapshot/objects.ts";
import type { StoredApiKey } from "../identity/api-keys/store.ts";
import type { EnvironmentConfig } from "../registry/config/estate.ts";
import type { Finding } from "../registry/config/finding.ts";
import { compileApiKeys } from "./compile-api-keys.ts";
import { compileIntegrations, compileSystems, compileTrust, type IntegrationStates } from "./compile-objects.ts";
import { compileOutsideIssuers, type OutsideInputs } from "./compile-outside-issuers.ts";
import { compilePolicies } from "./compile-policies.ts";
import { needsOfOperations, needsOfPlaces } from "./operation-needs.ts";
import { policySetOfBlobs } from "./policy-set.ts";
import { stableJson } from "./stable-json.ts";

export interface SnapshotInput extends OutsideInputs {
  readonly environment: EnvironmentConfig;
  /** Decided states by integration id; those not decided follow the environment's approval rule. */
  readonly states: IntegrationStates;
  readonly tenant: string;
  readonly region: string;
  readonly group: string;
  /** `<identity url>/<tenant>/<environment>`. */
  readonly issuer: string;
  /** Rows, also of what has ended; absent: there are none. */
  readonly apiKeys?: readonly StoredApiKey[];
  readonly epoch: number;
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly lifetimeMs: number;
  readonly minKeySeq: number;
  readonly minRevocationSeq: number;
  /** Origins of the group's gateway listeners by name, where they are not those of the configuration (a gateway on another host). */
  readonly listeners?: EstateObject["listeners"];
}

export interface CompiledSnapshot {
  readonly manifest: SnapshotManifest;
  /** Blob id (sha-256 hex) -> bytes. */
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  readonly broken: readonly BrokenObject[];
  /** What is wrong with policies, at its place. */
  readonly findings: readonly Finding[];
}

const hopLifetimeMs = 60_000;

/** Compiles one snapshot. Pure but for the policy evaluator, which keeps no state that shows. */
export function compileSnapshot(input: SnapshotInput, compiler: SliceCompiler): CompiledSnapshot {
  const { environment } = input;
  const objects = new Map<string, string>();
  const blobs = new Map<string, Uint8Array>();
  const put = (name: string | null, value: unknown): string => {
    const bytes = stableJson(value);
    const id = createHash("sha256").update(bytes).digest("hex");
    blobs.set(id, bytes);
    objects.set(name ?? `schema/${id}`, id);
    return id;
  };
  /** Operations may hold the very same schema. */
  const schemaIds = new Map<unknown, string>();
  const policies = compilePolicies(environment, compiler);
  const policyBlobs = new Map([...policies.slices].map(([action, slice]) => [action, put(`policy/${action}`, slice)]));
  const systems = compileSystems(environment, input.issuer, {
    policy: (system, operation) => policyBlobs.get(`${system}:${operation}`),
    schema: (schema) => {
      const id = schemaIds.get(schema) ?? put(null, schema);
      schemaIds.set(schema, id);
      return id;
    },
  });
  for (const system of systems) put(`system/${system.id}`, system);
  for (const integration of compileIntegrations({ environment, states: input.states, now: input.now }))
    put(`integration/${integration.id}`, integration);
  for (const trust of compileTrust(environment)) put(`trust/${trust.name}`, trust);
  for (const outside of compileOutsideIssuers(environment, input)) put(`issuer/${outside.id}`, outside);
  const apiKeys = compileApiKeys(environment, input.apiKeys ?? [], input.now);
  if (apiKeys !== null) put("apikeys", apiKeys);
  const broken = brokenOf(environment, policies.findings);
  put("broken", broken);
  put(
    "estate",
    estateObject(input, { policySet: policySetOfBlobs(policyBlobs), slices: [...policies.slices.values()] }),
  );
  return { manifest: manifestOf(input, objects), blobs, broken, findings: policies.findings };
}

function manifestOf(input: SnapshotInput, objects: ReadonlyMap<string, string>): SnapshotManifest {
  return {
    v: 1,
    tenant: input.tenant,
    environment: input.environment.name,
    region: input.region,
    group: input.group,
    epoch: input.epoch,
    version: input.version,
    issuedAt: input.now,
    expiresAt: input.now + input.lifetimeMs,
    minKeySeq: input.minKeySeq,
    minRevocationSeq: input.minRevocationSeq,
    objects: Object.fromEntries([...objects].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function estateObject(
  input: SnapshotInput,
  { policySet, slices }: { readonly policySet: string; readonly slices: readonly PolicySlice[] },
): EstateObject {
  const { mode } = input.environment;
  const needs = needsOf(input.environment, slices);
  const declared = input.environment.listeners
    .filter(({ serves, region }) => serves === "gateway" && (region === null || region === input.region))
    .map(({ name, url, http2, bots, authorizer, proxyProtocol }): [string, EstateObject["listeners"][string]] => {
      if (authorizer === undefined) {
        const told = proxyProtocol === undefined ? {} : { proxyProtocol: "v2" as const };
        // Of a request nobody is believed where it came from; of a connection those before whom the listener is said to stand.
        const { trustedProxies = [] } = proxyProtocol ?? {};
        const more = { ...(http2 === undefined ? {} : { http2 }), ...(bots === undefined ? {} : { bots }) };
        return [name, { url, trustedProxies, ...told, ...more }];
      }
      const { proxy, trustedProxies, certificate } = authorizer;
      return [
        name,
        { url, trustedProxies, authorizer: { proxy, ...(certificate === undefined ? {} : { certificate }) } },
      ];
    });
  return {
    issuer: input.issuer,
    stalenessMs: input.environment.stalenessMs,
    listeners: input.listeners ?? Object.fromEntries(declared),
    hop: { lifetimeMs: hopLifetimeMs },
    policySet,
    ...(mode === undefined ? {} : { mode }),
    ...(needs.length === 0 ? {} : { needs }),
  };
}

/** An older gateway must refuse what it cannot obey, not leave it out. */
function needsOf(
  { mode, systems, integrations, issuers, listeners, trust }: EnvironmentConfig,
  slices: readonly PolicySlice[],
): EstateObject["needs"] & object {
  const observes = [mode, ...systems.map((one) => one.mode), ...integrations.map((one) => one.mode)];
  const used = {
    ...needsOfOperations(systems.flatMap(({ operations }) => operations)),
    observe: observes.some((one) => one !== undefined),
    passthrough: systems.some((one) => one.passthrough !== undefined),
    introspection: issuers.some(({ introspection }) => introspection !== undefined),
    "outside-tokens": issuers.some(({ gateways }) => gateways !== undefined),
    "token-handles": systems.some(({ tokens }) => tokens === "opaque"),
    "token-algorithms": systems.some(({ legacyTokens }) => legacyTokens !== undefined),
    "token-encryption": systems.some(({ tokens }) => tokens === "encrypted"),
    "step-up": [...systems, ...integrations].some((one) => one.operations.some(({ stepUp }) => stepUp !== undefined)),
    limits: integrations.some(
      ({ limits, concurrency }) =>
        concurrency !== undefined ||
        limits.some(({ per, operations }) => per === "subject" || operations !== undefined),
    ),
    // An older gateway would serve callers there.
    authorizer: listeners.some(({ authorizer }) => authorizer !== undefined),
    "authorizer-grpc": listeners.some(({ authorizer }) => authorizer?.proxy === "envoy-grpc"),
    responses:
      systems.some(({ operations }) => operations.some(({ response }) => response !== undefined)) ||
      integrations.some(({ operations }) => operations.some(({ redact }) => redact !== undefined)),
    ...needsOfPlaces(systems),
    quotas: integrations.some(({ quotas }) => quotas !== undefined),
    priority: integrations.some(({ operations }) => operations.some(({ priority }) => priority !== undefined)),
    // An older gateway would allow what all share to each.
    "shared-limits": integrations.some(({ limits, concurrency = [] }) =>
      [...limits, ...concurrency].some(({ across }) => across !== undefined),
    ),
    // An older gateway would know none of its keys, and nothing of a proof by them.
    "message-signatures":
      systems.some(({ signatures }) => signatures !== undefined) ||
      integrations.some(({ proof }) => proof.includes("signature")),
    // An older gateway would send what its provider refuses.
    "upstream-certificates": systems.some(({ upstream }) => upstream?.certificate !== undefined),
    "signed-requests": systems.some(({ upstream }) => upstream?.signed === true),
    "next-hop": systems.some(({ upstream }) => upstream?.nextHop !== undefined),
    // An older gateway would let providers say which pages may read its answers.
    cors: integrations.some(({ cors }) => cors !== undefined),
    // An older gateway would take the balancer's header for a broken request.
    "proxy-protocol": listeners.some(({ proxyProtocol }) => proxyProtocol !== undefined),
    // An older gateway would let them in.
    bots: listeners.some(({ bots }) => bots !== undefined),
    // An older gateway would believe certificates that were taken back.
    "revocation-lists": trust.some(({ revocation }) => revocation !== undefined),
    // An older gateway would know none of them.
    "api-keys":
      systems.some(({ apiKeys }) => apiKeys !== undefined) ||
      integrations.some(({ proof }) => proof.includes("api-key")),
    // A `forbid` that first asks whether a signal is there would forbid nothing where it is never made.
    signals: slices.some(({ reads }) => signalNames.some((name) => reads.context.includes(name))),
  };
  return snapshotNeeds.filter((need) => used[need]);
}

/** Hash over all slices: equal exactly when every action is decided by the same bytes. */
function brokenOf(environment: EnvironmentConfig, policyFindings: readonly Finding[]): BrokenObject[] {
  const files = new Map<string, BrokenObject>();
  for (const { file, line, message, fix } of policyFindings) {
    if (!files.has(file))
      files.set(file, { object: `policy-file/${file}`, file, line, why: `${message}. Fix: ${fix}` });
  }
  return [...environment.broken.map(({ object, file, line, why }) => ({ object, file, line, why })), ...files.values()];
}
