// Promises a signed snapshot of a small estate in memory and a feed that pushes it, for tests, benchmarks and demos of a single gateway.
// Trusts its caller to describe a sound estate: control's compiler is not asked. Formats: docs/formats/snapshot.md, join.md.
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createRecipientKeyPair } from "@sallyport/kernel/seal/recipient.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type {
  DownMessage,
  IntrospectionQuestion,
  IntrospectionReply,
  LegacyRingKey,
  PayloadKeyAnswer,
  PayloadKeyRequest,
  Revocation,
  RevocationKind,
  SnapshotFeed,
  UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import type { NextHopAnswer, NextHopRequest } from "@sallyport/protocol/channel/next-hop.ts";
import type { ApiKeysObject } from "@sallyport/protocol/snapshot/api-keys.ts";
import type { BodyRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import { type SignedManifest, signManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import type {
  AttributeSource,
  BrokenObject,
  CertificateIdentity,
  EstateObject,
  IntegrationObject,
  OperationObject,
  OutsideIssuerObject,
  SystemObject,
  TrustObject,
} from "@sallyport/protocol/snapshot/objects.ts";
import type { ParameterRule } from "@sallyport/protocol/snapshot/parameter-rule.ts";
import type { ResponseRule } from "@sallyport/protocol/snapshot/response-rule.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signHopKey } from "@sallyport/protocol/token/hop-token.ts";

export const tenant = "main";
export const environment = "production";
export const region = "eu";
export const group = "edge";
export const issuer = "https://id.example/main/production";

export interface TestOperation {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly attributes?: Readonly<Record<string, AttributeSource>>;
  readonly body?: Omit<BodyRule, "schema"> & { readonly schema?: object };
  /** How answers are looked into; schemas as they are, by status. */
  readonly response?: Partial<Omit<ResponseRule, "schemas">> & { readonly schemas?: Readonly<Record<string, object>> };
  readonly parameters?: Omit<ParameterRule, "schema"> & { readonly schema: object };
  readonly changes?: Partial<OperationObject>;
  /** Cedar policies that narrow this operation. */
  readonly cedar?: string;
}

export interface TestSystem {
  readonly id: string;
  readonly url?: string;
  readonly clients?: readonly string[];
  readonly certificates?: readonly CertificateIdentity[];
  readonly attributes?: SystemObject["attributes"];
  readonly operations?: readonly TestOperation[];
  readonly changes?: Partial<SystemObject>;
}

export interface TestEstate {
  readonly systems: readonly TestSystem[];
  readonly integrations: readonly (Partial<IntegrationObject> &
    Pick<IntegrationObject, "id" | "from" | "to" | "operations">)[];
  readonly trust?: readonly TrustObject[];
  /** Whose access tokens may be presented. */
  readonly issuers?: readonly OutsideIssuerObject[];
  readonly apiKeys?: ApiKeysObject;
  readonly broken?: readonly BrokenObject[];
  readonly estate?: Partial<EstateObject>;
}

export interface SnapshotChanges {
  readonly version: number;
  readonly epoch?: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly group?: string;
  readonly minKeySeq?: number;
  readonly minRevocationSeq?: number;
  readonly signer: TokenSigner;
}

export interface BuiltSnapshot {
  readonly signed: SignedManifest;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

export function audienceOf(system: string): string {
  return `${issuer}/systems/${system}`;
}

/** Compiles and signs. Policies go through the real slice compiler. */
export function buildSnapshot(estate: TestEstate, changes: SnapshotChanges): BuiltSnapshot {
  const blobs = new Map<string, Uint8Array>();
  const objects: Record<string, string> = {};
  const put = (name: string, value: unknown): string => {
    const bytes = Buffer.from(JSON.stringify(value), "utf8");
    const id = createHash("sha256").update(bytes).digest("hex");
    blobs.set(id, bytes);
    objects[name] = id;
    return id;
  };
  const compiler = createSliceCompiler();
  for (const system of estate.systems) {
    const operations = (system.operations ?? []).map((operation) =>
      operationObject({ system, operation, estate, compiler, put }),
    );
    put(`system/${system.id}`, systemObject(system, operations));
  }
  for (const integration of estate.integrations) put(`integration/${integration.id}`, integrationObject(integration));
  for (const trust of estate.trust ?? []) put(`trust/${trust.name}`, trust);
  for (const outside of estate.issuers ?? []) put(`issuer/${outside.id}`, outside);
  if (estate.apiKeys !== undefined) put("apikeys", estate.apiKeys);
  put("broken", estate.broken ?? []);
  put("estate", estateObject(estate.estate));
  const {
    signer,
    group: groupName = group,
    epoch = 1,
    minKeySeq = 0,
    minRevocationSeq = 0,
    version,
    issuedAt,
    expiresAt,
  } = changes;
  const manifest = {
    v: 1 as const,
    tenant,
    environment,
    region,
    group: groupName,
    epoch,
    version,
    issuedAt,
    expiresAt,
    minKeySeq,
    minRevocationSeq,
    objects,
  };
  return { signed: signManifest(manifest, signer), blobs };
}

interface OperationInputs {
  readonly system: TestSystem;
  readonly operation: TestOperation;
  readonly estate: TestEstate;
  readonly compiler: ReturnType<typeof createSliceCompiler>;
  put(name: string, value: unknown): string;
}

function operationObject({ system, operation, estate, compiler, put }: OperationInputs): OperationObject {
  const action = `${system.id}:${operation.name}`;
  const grants = estate.integrations
    .filter((one) => one.to === system.id && one.operations.some((granted) => granted.name === operation.name))
    .map((one) => ({ integration: one.id, from: one.from }));
  const attributes = operation.attributes ?? {};
  const { slice } = compiler.compileSlice({
    action,
    system: system.id,
    resourceAttributes: Object.fromEntries(Object.entries(attributes).map(([name, source]) => [name, source.type])),
    callers: estate.systems.map((one) => ({ id: one.id, attributes: one.attributes ?? {} })),
    grants,
    authorize: operation.changes?.authorize ?? "grant",
    policies: operation.cedar === undefined ? [] : [{ file: "test.cedar", text: operation.cedar }],
  });
  const policy = put(`policy/${action}`, slice);
  const schema = operation.body?.schema === undefined ? undefined : putSchema(operation.body.schema, put);
  return {
    name: operation.name,
    method: operation.method,
    path: operation.path,
    effect: !["GET", "HEAD", "OPTIONS"].includes(operation.method),
    classification: "internal",
    authorize: "grant",
    attributes,
    ...(operation.body === undefined
      ? {}
      : {
          body: { ...withoutSchema(operation.body), ...(schema === undefined ? {} : { schema }) },
        }),
    bodyBytesMax: 64 * 1024,
    timeoutMs: 20_000,
    businessErrors: [404, 409],
    offline: "bound",
    policy,
    ...(operation.response === undefined ? {} : { response: responseRule(operation.response, put) }),
    ...(operation.parameters === undefined
      ? {}
      : { parameters: { ...operation.parameters, schema: putSchema(operation.parameters.schema, put) } }),
    ...operation.changes,
  };
}

function responseRule(
  { schemas = {}, ...rule }: NonNullable<TestOperation["response"]>,
  put: OperationInputs["put"],
): ResponseRule {
  const ids = Object.entries(schemas).map(([status, schema]) => [status, putSchema(schema, put)] as const);
  return {
    schemas: Object.fromEntries(ids),
    contentType: "application/json",
    bytesMax: 1024 * 1024,
    redact: [],
    undeclared: "keep",
    ...rule,
  };
}

function withoutSchema({ schema: _, ...body }: NonNullable<TestOperation["body"]>): Omit<BodyRule, "schema"> {
  return body;
}

function putSchema(schema: object, put: OperationInputs["put"]): string {
  const id = createHash("sha256").update(JSON.stringify(schema)).digest("hex");
  return put(`schema/${id}`, schema);
}

function systemObject(system: TestSystem, operations: readonly OperationObject[]): SystemObject {
  return {
    id: system.id,
    owner: "team:test",
    zone: "internal",
    region,
    audience: audienceOf(system.id),
    ...(system.url === undefined ? {} : { upstream: { url: system.url, allowPrivate: true } }),
    public: { path: `/${system.id}`, strip: true },
    clients: system.clients ?? [],
    certificates: system.certificates ?? [],
    attributes: system.attributes ?? {},
    operations,
    ...system.changes,
  };
}

function integrationObject(integration: TestEstate["integrations"][number]): IntegrationObject {
  return {
    owner: "team:test",
    purpose: "a test",
    state: "active",
    proof: ["dpop", "mtls"],
    limits: [],
    declaredAt: `systems/${integration.from}.yaml:4`,
    ...integration,
  };
}

function estateObject(changes: Partial<EstateObject> = {}): EstateObject {
  const policySet = createHash("sha256").update("test policies").digest("hex");
  const stalenessMs = { public: 300_000, internal: 300_000, confidential: 300_000, restricted: 3_000 };
  return { issuer, stalenessMs, listeners: {}, hop: { lifetimeMs: 60_000 }, policySet, ...changes };
}

/** Control's side of the channel in memory: remembers what a new opening must be told, pushes the rest as it happens. */
export class TestFeed implements SnapshotFeed {
  readonly snapshotSigner = generateSigner("EdDSA").signer;
  readonly ringSigner = generateSigner("ES256").signer;
  /** Keys for audiences that know only RSA, as they are pushed. */
  #legacy: readonly LegacyRingKey[] = [];
  readonly sent: UpMessage[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  /** Tokens by the digest of their handle. */
  readonly handles = new Map<string, string>();
  /** Private halves (base64url) by thumbprint, as a test gateway "opens" them. */
  readonly tokenKeys = new Map<string, string>();
  /** Pairs that payloads are sealed to, by data subject. */
  readonly payloadKeys = new Map<string, ReturnType<typeof createRecipientKeyPair>>();
  withholdsPayloadKeys = false;
  /** What is said about tokens for providers; absent: control is gone. */
  nextHop: ((request: NextHopRequest) => Promise<NextHopAnswer>) | null = null;
  /** Digests and key names that were asked for, in order. */
  readonly asked: string[] = [];
  /** Questions about tokens of issuers outside, in order. */
  readonly introspected: IntrospectionQuestion[] = [];
  /** What is answered to them. */
  introspects: (question: IntrospectionQuestion) => IntrospectionReply | Promise<IntrospectionReply> = () => ({
    active: false,
  });
  /** What an answer about a handle waits for. */
  answering: Promise<void> = Promise.resolve();
  readonly #now: () => number;
  #on: ((message: DownMessage) => void) | null = null;
  #keySeq = 1;
  #revocations: Revocation[] = [];
  #snapshot: SignedManifest | null = null;
  #hop: DownMessage | null = null;
  /** While true nothing is said at all: control is gone. */
  silent = false;
  certifiesHopKeys = true;
  opened = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  async blob(id: string): Promise<Uint8Array> {
    const bytes = this.blobs.get(id);
    if (bytes === undefined) throw new Error("unknown blob");
    return bytes;
  }

  async handle(digest: string): Promise<string | null> {
    this.asked.push(digest);
    await this.answering;
    if (this.silent) throw new Error("control is gone");
    return this.handles.get(digest) ?? null;
  }

  async tokenKey(kid: string): Promise<string | null> {
    this.asked.push(kid);
    if (this.silent) throw new Error("control is gone");
    return this.tokenKeys.get(kid) ?? null;
  }

  async introspect(question: IntrospectionQuestion): Promise<IntrospectionReply> {
    this.introspected.push(question);
    await this.answering;
    if (this.silent) throw new Error("control is gone");
    return this.introspects(question);
  }

  async payloadKey({ subject, days }: PayloadKeyRequest): Promise<PayloadKeyAnswer> {
    this.asked.push(`${days} ${subject}`);
    await this.answering;
    if (this.silent || this.withholdsPayloadKeys) throw new Error("control has no key to give");
    const { publicKey } = this.payloadKeys.get(subject) ?? this.#makePayloadKey(subject);
    return {
      key: Buffer.from(publicKey).toString("base64url"),
      endsAt: this.#now() + days * 86_400_000,
      freshMs: 60_000,
    };
  }

  async nextHopToken(request: NextHopRequest): Promise<NextHopAnswer> {
    if (this.nextHop === null || this.silent) throw new Error("control is gone");
    return this.nextHop(request);
  }

  #makePayloadKey(subject: string): ReturnType<typeof createRecipientKeyPair> {
    const pair = createRecipientKeyPair({ bytes: (length) => randomBytes(length) });
    this.payloadKeys.set(subject, pair);
    return pair;
  }

  open(on: (message: DownMessage) => void): { send(message: UpMessage): Promise<void>; close(): Promise<void> } {
    this.#on = on;
    this.opened++;
    queueMicrotask(() => this.#greet());
    return {
      send: async (message) => {
        this.sent.push(message);
        if (message.t === "hop-key" && this.certifiesHopKeys) this.#certify(message.jwk);
      },
      close: async () => {
        if (this.#on === on) this.#on = null;
      },
    };
  }

  publish(built: BuiltSnapshot): void {
    for (const [id, bytes] of built.blobs) this.blobs.set(id, bytes);
    this.#snapshot = built.signed;
    this.push({ t: "snapshot", signed: built.signed });
  }

  heartbeat(): void {
    this.push({ t: "heartbeat", at: this.#now(), keySeq: this.#keySeq, revocationSeq: this.#revocations.length });
  }

  revoke(kind: RevocationKind, value: string, notBefore = this.#now()): void {
    const entry: Revocation = {
      seq: this.#revocations.length + 1,
      kind,
      value,
      notBefore,
      until: notBefore + 3_600_000,
    };
    this.#revocations.push(entry);
    this.push({ t: "revocations", from: entry.seq, through: entry.seq, entries: [entry] });
  }

  /** A change of the ring: beside its own key these. */
  changeLegacy(legacy: readonly LegacyRingKey[]): void {
    this.#legacy = legacy;
    this.#keySeq += 1;
    this.#pushKeys();
  }

  #pushKeys(): void {
    this.push({
      t: "keys",
      seq: this.#keySeq,
      keys: [{ kid: this.ringSigner.kid, alg: "ES256", jwk: { ...this.ringSigner.jwk }, state: "active" }],
      ...(this.#legacy.length === 0 ? {} : { legacy: this.#legacy }),
    });
  }

  push(message: DownMessage): void {
    if (!this.silent) this.#on?.(message);
  }

  #greet(): void {
    this.push({ t: "hello", node: "gw-test", epoch: 1, at: this.#now() });
    this.#pushKeys();
    this.push({ t: "revocations", from: 1, through: this.#revocations.length, entries: this.#revocations });
    if (this.#snapshot !== null) this.push({ t: "snapshot", signed: this.#snapshot });
    if (this.#hop !== null) this.push(this.#hop);
    this.heartbeat();
  }

  #certify(jwk: Readonly<Record<string, string>>): void {
    const kid = createHash("sha256")
      .update(`{"crv":"P-256","kty":"EC","x":"${jwk["x"]}","y":"${jwk["y"]}"}`)
      .digest("base64url");
    // The gateway sends the public half of an ES256 key; these are its members.
    const own = { kty: "EC", crv: "P-256", x: jwk["x"] ?? "", y: jwk["y"] ?? "" } as const;
    const jws = signHopKey(
      { iss: issuer, sub: "gw-test", exp: Math.floor(this.#now() / 1000) + 86_400, jwk: own },
      this.snapshotSigner,
    );
    this.#hop = { t: "hop-certificate", kid, jws };
    this.push(this.#hop);
  }
}

/** Raw X25519 public key, standing for control's: nothing here opens references. */
export function referenceRecipient(): Uint8Array {
  const { publicKey } = generateKeyPairSync("x25519");
  return new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
}
