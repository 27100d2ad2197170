// Promises one immutable picture of everything a gateway serves, compiled once from verified blobs: systems, operations, grants, routes.
// Trusts that the blobs were checked against the signed manifest (accept.ts). Specified in docs/formats/snapshot.md.
import type { LoadedSlice, PolicyEngine, PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { compileTrust, type TrustBundle } from "@sallyport/kernel/x509/peer-policy.ts";
import type { ApiKeysObject } from "@sallyport/protocol/snapshot/api-keys.ts";
import type { Priority } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { SnapshotManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import {
  type BrokenObject,
  type CertificateIdentity,
  type EstateObject,
  type IntegrationObject,
  type ModeObject,
  type OperationObject,
  type OutsideIssuerObject,
  type ResilienceObject,
  type SystemObject,
  snapshotNeeds,
  type TrustObject,
} from "@sallyport/protocol/snapshot/objects.ts";
import { type StepUp, stricterStepUp } from "@sallyport/protocol/token/acr.ts";
import { compilePages, grantsForPages, type Pages } from "../cors/pages.ts";
import { identityKey } from "../identify/certificate.ts";
import { type AnswerInspection, inspectionOf } from "../inspect/answer-inspection.ts";
import { createSchemaSet, type SchemaSet } from "../inspect/schema.ts";
import { type CompiledLimits, compileLimits } from "../limit/compile-limits.ts";
import type { RateLimiter } from "../limit/gcra.ts";
import { compileUndeclared, type Undeclared } from "../observe/undeclared.ts";
import { buildRouter, type Router } from "../route/router.ts";
import { type ApiKeys, compileApiKeys } from "./api-keys.ts";
import { compileOutsideIssuers, type OutsideIssuers } from "./outside-issuers.ts";
import { compileSignatureOwners, type SignatureOwners } from "./signature-owners.ts";

/** A grant of one operation to one consumer: the ceiling of what can be permitted. */
export interface Grant {
  readonly integration: IntegrationObject;
  readonly bodyBytesMax: number;
  readonly timeoutMs: number;
  /** What the operation and this grant of it ask of the user's log-in together. */
  readonly stepUp: StepUp | undefined;
  /** Null: answers are passed on unread. */
  readonly inspection: AnswerInspection | null;
  readonly limits: CompiledLimits;
  readonly priority: Priority;
  /** Pages of browsers that may call under it; null: none. */
  readonly pages: Pages | null;
  /** Milliseconds since the epoch until which denials of this grant's crossings pass; 0: they never do. */
  readonly observeUntilMs: number;
}

export interface CompiledOperation {
  readonly object: OperationObject;
  readonly method: string;
  readonly path: string;
  /** `billing:invoice.create` */
  readonly fullName: string;
  readonly system: CompiledSystem;
  /** Consumer system id -> grant. */
  readonly grants: ReadonlyMap<string, Grant>;
  /** Those under which pages of browsers may call; null: none. */
  readonly forPages: readonly Grant[] | null;
  /** A policy attribute comes from the body, so the body is parsed and checked before `authorize`. */
  readonly bodyDecides: boolean;
  /** A policy attribute comes from the answer, so the policies are asked once it is there, before any of it is released. */
  readonly responseDecides: boolean;
  /** It stands for whatever a system with `passthrough` does not declare; granted to nobody. */
  readonly undeclared: boolean;
  /** The loaded policy slice, on first use; null when there is none that can be used. */
  policy(): LoadedSlice | null;
}

export interface CompiledSystem {
  readonly id: string;
  readonly object: SystemObject;
  readonly public: SystemObject["public"];
  readonly operations: readonly CompiledOperation[];
  /** Milliseconds since the epoch until which denials pass that come before a grant is found; 0: they never do. */
  readonly observeUntilMs: number;
  /** Null: what matches no operation is not served. */
  readonly undeclared: Undeclared | null;
  /** Null: it only consumes. */
  readonly upstream: CompiledUpstream | null;
}

/** Where a system is served, and what is done when that fails. */
export interface CompiledUpstream {
  /** At least one. */
  readonly places: readonly UpstreamPlace[];
  readonly rules: ResilienceObject;
}

export interface UpstreamPlace {
  readonly origin: string;
  /** Empty, or without a slash at its end. */
  readonly basePath: string;
  readonly host: string;
  readonly weight: number;
}

export interface Estate {
  readonly manifest: SnapshotManifest;
  readonly object: EstateObject;
  readonly broken: readonly BrokenObject[];
  readonly systems: ReadonlyMap<string, CompiledSystem>;
  readonly systemOfClient: ReadonlyMap<string, CompiledSystem>;
  readonly audiences: ReadonlySet<string>;
  /** Own audience -> id of the provider, of those that serve anything. */
  readonly systemOfAudience: ReadonlyMap<string, string>;
  /** Issuers outside whose access tokens are believed; null: none. */
  readonly outside: OutsideIssuers | null;
  /** Null: nobody has one. */
  readonly apiKeys: ApiKeys | null;
  /** Whose signatures count; null: nobody signs. */
  readonly signatures: SignatureOwners | null;
  /** Declared certificate name (identityKey) -> whose it is. */
  readonly certificates: ReadonlyMap<
    string,
    { readonly system: CompiledSystem; readonly identity: CertificateIdentity }
  >;
  readonly bundles: ReadonlyMap<string, TrustBundle>;
  /** PEM roots of all bundles together, for the TLS listeners. */
  readonly roots: readonly string[];
  readonly integrations: readonly IntegrationObject[];
  readonly router: Router<CompiledSystem, CompiledOperation>;
  readonly schemas: SchemaSet;
}

export interface EstateInputs {
  readonly manifest: SnapshotManifest;
  /** Bytes of a blob by sha-256, already verified. */
  blob(id: string): Uint8Array;
  readonly policy: PolicyEngine;
  readonly limiter: RateLimiter;
}

/** Compiles verified blobs; throws when a blob is not the JSON its name promises (control never signs such a manifest). */
export function compileEstate(inputs: EstateInputs): Estate {
  const { manifest } = inputs;
  const text = (id: string): string => Buffer.from(inputs.blob(id)).toString("utf8");
  const named = <T>(prefix: string): T[] =>
    Object.entries(manifest.objects)
      .filter(([name]) => name.startsWith(prefix))
      .map(([, id]) => JSON.parse(text(id)) as T); // control's signed output of exactly this shape (objects.ts)
  const object = named<EstateObject>("estate")[0];
  if (object === undefined) throw new Error("the snapshot has no estate object");
  const unknown = (object.needs ?? []).find((need) => !snapshotNeeds.some((known) => known === need));
  if (unknown !== undefined) throw new Error(`the snapshot needs ${unknown}, which this version does not know`);
  const integrations = named<IntegrationObject>("integration/");
  const grants = grantsByOperation(integrations, inputs.limiter);
  const blobIds = new Set(Object.values(manifest.objects));
  const loadPolicy = (id: string): LoadedSlice | null =>
    blobIds.has(id) ? inputs.policy.load(JSON.parse(text(id)) as PolicySlice) : null; // signed, as above
  const trust = named<TrustObject>("trust/");
  const systems = named<SystemObject>("system/").map((system) =>
    compileSystem(system, { grants, loadPolicy, mode: object.mode }),
  );
  const systemsById = new Map(systems.map((system) => [system.id, system]));
  const systemOfAudience = new Map(
    systems
      .filter((system) => system.upstream !== null || system.operations.length > 0)
      .map((system) => [system.object.audience, system.id]),
  );
  return {
    manifest,
    object,
    broken: named<BrokenObject[]>("broken").flat(),
    systems: systemsById,
    systemOfClient: new Map(
      systems.flatMap((system) => system.object.clients.map((client) => [client, system] as const)),
    ),
    audiences: new Set(systemOfAudience.keys()),
    systemOfAudience,
    outside: compileOutsideIssuers(named<OutsideIssuerObject>("issuer/"), {
      own: object.issuer,
      blobs: Object.entries(manifest.objects).flatMap(([name, id]) => (name.startsWith("issuer/") ? [id] : [])),
    }),
    apiKeys: compileApiKeys(named<ApiKeysObject>("apikeys")[0], systemsById),
    signatures: compileSignatureOwners(systems),
    certificates: certificatesOf(systems),
    bundles: new Map(trust.map((one) => [one.name, compileTrust(one)])),
    roots: trust.flatMap((one) => one.roots),
    integrations,
    router: buildRouter<CompiledOperation, CompiledSystem>(
      systems.filter(
        ({ operations, undeclared, object: { broken } }) =>
          operations.length > 0 || undeclared !== null || broken !== undefined,
      ),
    ),
    schemas: createSchemaSet((id) => (blobIds.has(id) ? text(id) : undefined)),
  };
}

function certificatesOf(systems: readonly CompiledSystem[]): Estate["certificates"] {
  return new Map(
    systems.flatMap((system) =>
      system.object.certificates.map(
        (identity) => [identityKey(identity.kind, identity.value), { system, identity }] as const,
      ),
    ),
  );
}

interface SystemInputs {
  readonly grants: ReadonlyMap<string, Map<string, GrantSource>>;
  loadPolicy(id: string): LoadedSlice | null;
  /** What the environment says. */
  readonly mode: ModeObject | undefined;
}

/** The narrowest that says anything decides. */
function untilOf(...modes: readonly (ModeObject | undefined)[]): number {
  const said = modes.find((mode) => mode !== undefined);
  return said?.mode === "observe" ? said.untilMs : 0;
}

interface GrantSource {
  readonly integration: IntegrationObject;
  readonly limits: CompiledLimits;
  readonly pages: Pages | null;
  readonly bodyBytesMax?: number;
  readonly timeoutMs?: number;
  readonly stepUp?: StepUp;
  readonly redact?: readonly string[];
  readonly priority?: Priority;
}

/** `<to>:<operation>` -> consumer -> grant. (from, operation, environment) is unique: control refuses two. */
function grantsByOperation(
  integrations: readonly IntegrationObject[],
  limiter: RateLimiter,
): Map<string, Map<string, GrantSource>> {
  const grants = new Map<string, Map<string, GrantSource>>();
  for (const integration of integrations) {
    const limitsFor = compileLimits(integration, limiter);
    const pages = compilePages(integration.cors);
    for (const granted of integration.operations) {
      const name = `${integration.to}:${granted.name}`;
      const byConsumer = grants.get(name) ?? new Map<string, GrantSource>();
      grants.set(name, byConsumer);
      byConsumer.set(integration.from, { ...granted, integration, pages, limits: limitsFor(granted.name) });
    }
  }
  return grants;
}

function compileSystem(object: SystemObject, inputs: SystemInputs): CompiledSystem {
  const operations: CompiledOperation[] = [];
  const system: { -readonly [K in keyof CompiledSystem]: CompiledSystem[K] } = {
    id: object.id,
    object,
    public: object.public,
    operations,
    observeUntilMs: untilOf(object.mode, inputs.mode),
    undeclared: null,
    upstream: upstreamOf(object),
  };
  for (const operation of object.operations) operations.push(compileOperation(system, operation, inputs));
  system.undeclared = compileUndeclared(system);
  return system;
}

function compileOperation(system: CompiledSystem, object: OperationObject, inputs: SystemInputs): CompiledOperation {
  const fullName = `${system.id}:${object.name}`;
  const responseDecides = Object.values(object.attributes).some((source) => source.from === "response");
  const grants = new Map<string, Grant>();
  for (const [consumer, source] of inputs.grants.get(fullName) ?? []) {
    grants.set(consumer, {
      integration: source.integration,
      limits: source.limits,
      priority: source.priority ?? "normal",
      pages: source.pages,
      bodyBytesMax: source.bodyBytesMax ?? object.bodyBytesMax,
      timeoutMs: source.timeoutMs ?? object.timeoutMs,
      stepUp: stricterStepUp(object.stepUp, source.stepUp),
      inspection: inspectionOf(object.response, {
        redact: source.redact,
        data: source.integration.data,
        responseDecides,
      }),
      observeUntilMs: untilOf(source.integration.mode, system.object.mode, inputs.mode),
    });
  }
  let loaded: LoadedSlice | null | undefined;
  return {
    object,
    method: object.method,
    path: object.path,
    fullName,
    system,
    grants,
    forPages: grantsForPages(grants),
    undeclared: false,
    bodyDecides: Object.values(object.attributes).some((source) => source.from === "body"),
    responseDecides,
    policy() {
      if (loaded === undefined) loaded = object.policy === undefined ? null : inputs.loadPolicy(object.policy);
      return loaded;
    },
  };
}

function upstreamOf({ upstream }: SystemObject): CompiledUpstream | null {
  if (upstream === undefined) return null;
  const places = (upstream.endpoints ?? [{ url: upstream.url, weight: 1 }]).map(({ url: text, weight }) => {
    const url = new URL(text);
    const basePath = url.pathname === "/" ? "" : url.pathname.replace(/\/$/, "");
    return { origin: url.origin, basePath, host: url.hostname, weight };
  });
  return { places, rules: upstream.resilience ?? {} };
}
