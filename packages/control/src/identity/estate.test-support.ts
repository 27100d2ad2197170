// Promises a running identity listener with a production and a staging issuer over a real store, for tests. Trusts nothing outside the test.
// Used by *.test.ts of this folder only.
import { randomBytes } from "node:crypto";
import { kekFromBytes } from "@sallyport/kernel/seal/key-file.ts";
import { Keyring, type KeyStorage, type WrappedKey } from "@sallyport/kernel/seal/keyring.ts";
import { pseudonymize } from "@sallyport/kernel/seal/pseudonym.ts";
import { createRecipientKeyPair } from "@sallyport/kernel/seal/recipient.ts";
import { eventIds, idSeedBytes } from "@sallyport/kernel/store/event-id.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { LegacyAlgorithm, SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import { testCertificate } from "./certificates.test-support.ts";
import { type ClientKey, type Directory, directoryOf } from "./directory.ts";
import { type IdentityListener, listenIdentity, type ServedIssuer } from "./identity-listener.ts";
import { createIssuanceRecorder, type IssuanceRecorder } from "./issuance-record.ts";
import {
  assertion,
  dpopProof,
  form,
  send,
  type TestAnswer,
  type TestKey,
  type TestSend,
  testKey,
} from "./issuer.test-support.ts";
import { createIssuer, type IssuerOptions, issuerUrl } from "./issuer.ts";
import { type KeyRing, openKeyRing } from "./keys.ts";
import type { MintPorts } from "./mint.ts";
import { createNonceBook } from "./nonce.ts";
import { grantsAlone, type IssuancePolicy } from "./policy/issuance-policy.ts";
import { type IssuanceSignals, noSignals } from "./policy/issuance-signals.ts";
import { checkCertificate, createProofCheck } from "./possession.ts";
import { createReplayGuard } from "./replay.ts";
import type { IdentityCommands, Place } from "./store.ts";

export const clock = { now: () => Date.now(), monotonic: () => performance.now() };
export const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };

/** Keys of keys in memory: what kernel/seal would keep in the store. */
export function memoryKeyring(): Keyring {
  const rows: WrappedKey[] = [];
  const storage: KeyStorage = {
    list: async () => [...rows],
    insert: async (row) => {
      if (
        rows.some(
          (other) => other.tenant === row.tenant && other.purpose === row.purpose && other.version === row.version,
        )
      )
        return false;
      rows.push(row);
      return true;
    },
  };
  return new Keyring(kekFromBytes(random.bytes(32), "the test"), { storage, random, clock });
}

export interface TestEnvironment {
  readonly issuer: string;
  readonly served: ServedIssuer;
  readonly ring: KeyRing;
  readonly leaves: Leaf[];
  /** Sealed with the last leaf. */
  reference?: Uint8Array | undefined;
  readonly record: IssuanceRecorder;
  /** What gateways have acknowledged. */
  acknowledged: number;
  /** What some audience wants beside the ring's own algorithm; followed at the next tick. */
  legacy: readonly LegacyAlgorithm[];
  /** Next appends fail: the log is full. */
  logBroken: boolean;
  directory: Directory;
  policy: IssuancePolicy;
  signals: IssuanceSignals;
}

export interface TestEstate {
  readonly url: string;
  readonly ca: string;
  readonly listener: IdentityListener;
  readonly production: TestEnvironment;
  readonly staging: TestEnvironment;
  readonly faults: unknown[];
  readonly orders: TestKey;
  readonly analytics: TestKey;
  readonly holder: TestKey;
  /** A token request as a client would send it: fetches a nonce first unless told. */
  token(over?: TokenOver): Promise<TestAnswer>;
  post(issuer: string, body: string, options?: TestSend): Promise<TestAnswer>;
  nonce(): Promise<string>;
  close(): Promise<void>;
}

export interface TokenOver {
  readonly issuer?: string;
  readonly client?: string;
  readonly assertion?: string;
  readonly form?: Readonly<Record<string, string>>;
  readonly proof?: string | null;
  readonly send?: TestSend;
}

/** What refusals are sealed to in tests. */
export const testRecipient = createRecipientKeyPair(random);

const memoryLog = (environment: { leaves: Leaf[]; logBroken: boolean; reference?: Uint8Array | undefined }) => ({
  append: async (leaf: Uint8Array, reference?: Uint8Array) => {
    if (environment.logBroken) throw new Error("log-full");
    // Printed by the line below from a Leaf.
    environment.reference = reference;
    environment.leaves.push(JSON.parse(Buffer.from(leaf).toString()) as Leaf);
    return { index: environment.leaves.length - 1 };
  },
});

export function testRecorder(environment: { leaves: Leaf[]; logBroken: boolean }, name: string): IssuanceRecorder {
  const pseudonymKey = random.bytes(32);
  const nextUlid = eventIds(Date.now(), random.bytes(idSeedBytes));
  return createIssuanceRecorder({
    tenant: "main",
    environment: name,
    region: "eu",
    node: "test",
    clock,
    random,
    recipient: testRecipient.publicKey,
    log: memoryLog(environment),
    pseudonym: (domain, value) => pseudonymize(pseudonymKey, "2026", domain, value),
    nextId: () => `test-${nextUlid()}`,
  });
}

/** The estate: orders and analytics may call billing, reports accepts bearer until a date; staging knows only analytics. */
export function directoryWith(name: string, keys: ReadonlyMap<string, readonly ClientKey[]>): Directory {
  const uri = { trust: "internal", kind: "uri", value: "spiffe://main/orders" } as const;
  const system = (id: string, clients: readonly string[], certificates: readonly (typeof uri)[] = []) => ({
    id,
    clients: clients.map((client) => ({ id: client, keys: [] })),
    certificates,
  });
  const grant = (from: string, to: string, operations: readonly string[]) => ({
    id: `${from}-to-${to}`,
    from,
    to,
    proof: ["dpop", "mtls"] as const,
    operations: operations.map((operation) => ({ name: operation })),
  });
  return directoryOf({
    systems: [
      system("orders", name === "production" ? ["orders"] : [], [uri]),
      system("analytics", ["analytics"]),
      system("billing", []),
      system("reports", []),
    ],
    integrations: [
      grant("orders", "billing", ["invoice.create", "invoice.read"]),
      grant("analytics", "billing", ["invoice.read"]),
      grant("analytics", "reports", ["report.read"]),
      { ...grant("orders", "reports", ["report.read"]), proof: ["bearer"], bearerUntilMs: Date.now() + 86_400_000 },
    ],
    isActive: (id) => id !== "analytics-to-reports",
    rows: keys,
  });
}

/** Grants, endpoints, routes and authentication beyond the built-in ones, for both issuers. */
export type TestParts = Pick<
  IssuerOptions,
  "authentication" | "grants" | "openGrants" | "endpoints" | "routes" | "metadata" | "authorization"
> &
  Pick<MintPorts, "present">;

/** What parts may stand on. */
export interface TestMade {
  readonly issuer: string;
  readonly place: Place;
  readonly keyring: Keyring;
  readonly record: IssuanceRecorder;
  readonly directory: () => Directory;
}

/** Starts everything on 127.0.0.1; the caller closes it. `alg` is asked at every change of a ring. */
export async function startEstate(
  store: Store<IdentityCommands>,
  parts: (made: TestMade) => TestParts = () => ({}),
  alg: () => SigningAlgorithm = () => "ES256",
): Promise<TestEstate> {
  const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const faults: unknown[] = [];
  const listener = await listenIdentity({ host: "127.0.0.1", port: 0, tls, onFault: (fault) => faults.push(fault) });
  const url = `https://127.0.0.1:${listener.address.port}`;
  const orders = testKey();
  const analytics = testKey();
  const holder = testKey();
  const keys = new Map([
    ["orders", [{ jwk: { ...orders.jwk, kid: orders.kid } }]],
    ["analytics", [{ jwk: analytics.jwk }]],
  ]);
  const keyring = memoryKeyring();
  const environmentOf = async (name: string): Promise<TestEnvironment> => {
    const issuer = issuerUrl(url, "main", name);
    const state = {
      leaves: [] as Leaf[],
      logBroken: false,
      acknowledged: Number.POSITIVE_INFINITY,
      legacy: [] as readonly LegacyAlgorithm[],
      directory: directoryWith(name, keys),
      policy: grantsAlone,
      signals: noSignals,
    };
    const record = testRecorder(state, name);
    const ring = await openKeyRing({
      tenant: "main",
      environment: name,
      store,
      keyring,
      clock,
      alg,
      legacy: () => state.legacy,
      acknowledgedKeySeq: () => state.acknowledged,
      rotateEveryMs: () => Number.POSITIVE_INFINITY,
      onChange: () => undefined,
    });
    const { present, ...own } = parts({
      issuer,
      place: { tenant: "main", environment: name },
      keyring,
      record,
      directory: () => state.directory,
    });
    const served = createIssuer({
      tenant: "main",
      environment: name,
      identityUrl: url,
      ring: () => ring.view(),
      ports: {
        clock,
        random,
        record,
        directory: () => state.directory,
        policy: () => state.policy,
        signals: { of: (names, asked) => state.signals.of(names, asked) },
        replay: createReplayGuard(store),
        nonces: createNonceBook({ secret: random.bytes(32), domain: issuer, clock }),
        checkProof: createProofCheck(createTokenCrypto()),
        checkCertificate,
        ...(present === undefined ? {} : { present }),
      },
      onFault: (fault) => faults.push(fault),
      ...own,
    });
    return Object.assign(state, { issuer, served, ring, record });
  };
  const production = await environmentOf("production");
  const staging = await environmentOf("staging");
  listener.setIssuers([production.served, staging.served]);

  const post = (issuer: string, body: string, options: TestSend = {}) =>
    send(`${issuer}/token`, tls.cert, { ...options, body });
  const tokenBody = (over: TokenOver, issuer: string): string => {
    const client = over.client ?? "orders";
    const key = client === "analytics" ? analytics : orders;
    return form(client, over.assertion ?? assertion(client, issuer, key), {
      resource: `${issuer}/systems/billing`,
      ...over.form,
    }).toString();
  };
  const nonceOf = async (issuer: string): Promise<string> => {
    const answer = await post(issuer, tokenBody(issuer === production.issuer ? {} : { client: "analytics" }, issuer), {
      headers: { dpop: dpopProof(holder, `${issuer}/token`, undefined) },
    });
    return String(answer.headers["dpop-nonce"]);
  };
  return {
    url,
    ca: tls.cert,
    listener,
    production,
    staging,
    faults,
    orders,
    analytics,
    holder,
    post,
    nonce: () => nonceOf(production.issuer),
    token: async (over = {}) => {
      const issuer = over.issuer ?? production.issuer;
      const proof = over.proof === undefined ? dpopProof(holder, `${issuer}/token`, await nonceOf(issuer)) : over.proof;
      return post(issuer, tokenBody(over, issuer), {
        ...over.send,
        headers: { ...over.send?.headers, ...(proof === null ? {} : { dpop: proof }) },
      });
    },
    close: () => listener.close(),
  };
}
