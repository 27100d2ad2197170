// Promises an issuer that serves every grant type over an estate read from files, with policies that can be changed while it runs. Trusts nothing outside
// the test. Used by *.test.ts of this folder only.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { IssuanceFields, Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { memoryEstateIo } from "../../registry/config/estate-io.ts";
import { loadEstateFrom } from "../../registry/config/load.ts";
import { operationsOf } from "../../snapshot/compile-token-policies.ts";
import { deviceGrantType } from "../device/device-authorization.ts";
import { createDevices } from "../device/parts.ts";
import { directoryOf } from "../directory.ts";
import { clock, random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { tokenExchangeGrantType } from "../exchange/decide-exchange.ts";
import { tokenExchange } from "../exchange/exchange-grant.ts";
import { type ExchangeCommands, isRevokedIn } from "../exchange/revoked.ts";
import { accessTokenUrn } from "../exchange/subject-token.ts";
import { dpopProof, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import type { AuthorizationDesk, DeviceDesk, LoginResult } from "../oauth/interaction.ts";
import { createOAuth } from "../oauth/parts.ts";
import {
  codeFor,
  login,
  type Portal,
  portalCallback,
  postForm,
  redeem,
  refreshWith,
} from "../oauth/portal.test-support.ts";
import { digestOf } from "../oauth/sealed-objects.ts";
import type { OAuthCommands } from "../oauth/store.ts";
import type { IdentityCommands } from "../store.ts";
import type { TokensCommands } from "../tokens/store.ts";
import { jwtBearer, jwtBearerGrantType } from "../trust/assertion-grant.ts";
import type { TrustCommands } from "../trust/store.ts";
import { createTrustedIssuers, type TrustedIssuers } from "../trust/trusted-issuers.ts";
import { createIssuancePolicy } from "./issuance-policy.ts";

export type EveryCommands = IdentityCommands & OAuthCommands & TokensCommands & TrustCommands & ExchangeCommands;
export const ci = "https://ci.example/oidc";

export const estateFiles = (as = "delegate"): Readonly<Record<string, string>> => ({
  "systems/portal.yaml": `system: portal
attributes: { region: eu }
identity:
  client: portal
  keys: [portal.jwks.json]
  grants: [client_credentials, authorization_code, device_code, refresh_token]
  redirectUris: ["${portalCallback}"]
uses:
  - { to: orders, purpose: Show a customer their orders, operations: [order.list, order.create] }
`,
  "systems/orders.yaml": `system: orders
url: https://orders.example
operations:
  order.list: GET /orders
  order.create: POST /orders
`,
  "systems/billing.yaml": `system: billing
url: https://billing.example
attributes: { tier: gold }
operations:
  invoice.read: GET /invoices/{id}
  invoice.refund: POST /refunds
`,
  "systems/batch.yaml": `system: batch
identity: { client: batch, keys: [batch.jwks.json] }
uses:
  - { to: billing, purpose: Close the books at night, operations: [invoice.read] }
`,
  "integrations/portal-to-billing.yaml": `integration: portal-to-billing
from: portal
to: billing
purpose: Show a customer their invoices
operations: [invoice.read, invoice.refund]
exchange:
  - { subject: own, as: ${as} }
`,
});

export interface EveryGrant {
  readonly portal: Portal;
  readonly estate: TestEstate;
  /** Takes up the estate with these policy files, and whatever other files are changed. */
  take(policies: Readonly<Record<string, string>>, changed?: Readonly<Record<string, string>>): void;
  clientCredentials(over?: Readonly<Record<string, string>>): Promise<TestAnswer>;
  code(subject?: Partial<LoginResult["subject"]>): Promise<TestAnswer>;
  refresh(token: string, holder?: TestKey): Promise<TestAnswer>;
  /** Begun, allowed and asked for. */
  device(): Promise<TestAnswer>;
  jwtBearer(assertion?: string): Promise<TestAnswer>;
  exchange(subjectToken: string, over?: Readonly<Record<string, string>>): Promise<TestAnswer>;
  /** Issuance leaves since the last call; challenges for a nonce are left out. */
  records(): readonly (Leaf & IssuanceFields)[];
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** What the CI of the estate says about one job. */
export function ciAssertion(issuer: string): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: ci,
    sub: "repo:acme/batch",
    aud: issuer,
    iat: now,
    exp: now + 300,
    jti: randomBytes(8).toString("hex"),
  };
  const input = `${encode({ alg: "RS256", kid: "r1", typ: "JWT" })}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), rsa.privateKey).toString("base64url")}`;
}

export async function startEveryGrant(store: Store<EveryCommands>): Promise<EveryGrant> {
  const desks = new Map<string, AuthorizationDesk>();
  const deviceDesks = new Map<string, DeviceDesk>();
  const pushes = { count: 0 };
  const jwks = Buffer.from(
    JSON.stringify({ keys: [{ ...rsa.publicKey.export({ format: "jwk" }), kid: "r1", alg: "RS256" }] }),
  );
  const estate: TestEstate = await startEstate(store, ({ issuer, place, keyring, record, directory }) => {
    const revoked = async () => void pushes.count++;
    const oauth = createOAuth({ issuer, place, store, keyring, record, directory, clock, random, revoked });
    desks.set(place.environment, oauth.desk);
    const devices = createDevices({
      ...{ issuer, place, store, keyring, record, directory, clock, random, revoked },
      secret: random.bytes(32),
      servesPeople: () => true,
    });
    deviceDesks.set(place.environment, devices.desk);
    const trusted = trustedOf(issuer, { store, place, jwks });
    const keys = () => estate.production.ring.view().keys;
    const isRevoked = (token: Parameters<typeof isRevokedIn>[2]) => isRevokedIn(store, place, token);
    const read = async (text: string) => text;
    return {
      grants: [
        ...oauth.grants,
        devices.grant,
        tokenExchange({ issuer, keys, trusted, crypto: createTokenCrypto(), read, isRevoked }),
      ],
      openGrants: [jwtBearer({ trusted, isRevoked })],
      authorization: oauth.authorization,
      endpoints: [devices.endpoint],
      metadata: () => oauth.metadata,
    };
  });
  const { issuer } = estate.production;
  const desk = desks.get("production") ?? assert.fail("the issuer was made with its desk");
  const portalKey = testKey();
  const resource = (system: string) => `${issuer}/systems/${system}`;
  const portal: Portal = { estate, issuer, resource, portalKey, desk, pushes, ca: estate.ca };
  const take = takeWith(estate, portalKey);
  take({});
  let seen = 0;
  return {
    portal,
    estate,
    take,
    ...askingAs(portal, deviceDesks.get("production") ?? assert.fail("made with its desk")),
    records: () => {
      const fresh = estate.production.leaves.slice(seen);
      seen = estate.production.leaves.length;
      return fresh.flatMap((leaf) =>
        leaf.t === "issuance" && "grantType" in leaf && leaf.code !== "dpop-nonce" ? [leaf] : [],
      );
    },
  };
}

function trustedOf(
  issuer: string,
  {
    store,
    place,
    jwks,
  }: { store: Store<EveryCommands>; place: { tenant: string; environment: string }; jwks: Uint8Array },
): TrustedIssuers {
  const fetchJwks = async () => jwks;
  const trusted = createTrustedIssuers(issuer, {
    ...place,
    store,
    clock,
    random,
    fetchJwks,
    issuerKeysChanged: () => undefined,
    fault: () => undefined,
  });
  const place0 = { file: "issuers/ci.yaml", line: 1, column: 1 };
  trusted.use(
    [
      {
        id: "ci",
        url: ci,
        kind: "assertion",
        algorithms: ["RS256"],
        audiences: [],
        companions: [],
        parties: null,
        lifetimeSecondsMax: 3_600,
        keys: { from: "uri", uri: `${ci}/jwks`, allowPrivate: false },
        systems: [{ system: "batch", subject: "repo:acme/batch", claims: {} }],
        declaredAt: place0,
      },
    ],
    [],
  );
  return trusted;
}

function takeWith(estate: TestEstate, portalKey: TestKey): EveryGrant["take"] {
  const compiler = createSliceCompiler();
  const engine = createPolicyEngine({ memoEntriesMax: 1_000 });
  const jwks = (key: TestKey) => JSON.stringify({ keys: [{ ...key.jwk, kid: key.kid }] });
  const keys = { "systems/portal.jwks.json": jwks(portalKey), "systems/batch.jwks.json": jwks(testKey()) };
  return (policies, changed = {}) => {
    const io = memoryEstateIo({ ...estateFiles(), ...keys, ...changed, ...policies }, () => Date.now());
    const loaded = loadEstateFrom(io);
    const [environment] = loaded.estate.environments;
    assert.ok(environment !== undefined);
    assert.deepEqual(environment.broken, []);
    estate.production.directory = directoryOf({ ...environment, isActive: () => true });
    const isOperation = operationsOf([environment]);
    estate.production.policy = createIssuancePolicy({ environment, isOperation, compiler, engine: () => engine });
  };
}

function askingAs(portal: Portal, devices: DeviceDesk): Omit<EveryGrant, "portal" | "estate" | "take" | "records"> {
  const { issuer, estate, ca } = portal;
  const url = `${issuer}/token`;
  const prove = async (): Promise<string> => {
    const params = new URLSearchParams({ grant_type: "client_credentials", resource: portal.resource("orders") });
    const challenged = await postForm(portal, "/token", params, { proof: dpopProof(estate.holder, url, undefined) });
    return dpopProof(estate.holder, url, String(challenged.headers["dpop-nonce"]));
  };
  const post = async (form: Readonly<Record<string, string>>) =>
    postForm(portal, "/token", new URLSearchParams(form), { proof: await prove() });
  return {
    clientCredentials: (over = {}) =>
      post({ grant_type: "client_credentials", resource: portal.resource("billing"), ...over }),
    code: async (subject) => redeem(portal, await codeFor(portal, {}, login(subject))),
    refresh: (token, holder) => refreshWith(portal, token, holder === undefined ? {} : { holder }),
    device: async () => {
      const asked = new URLSearchParams({ resource: portal.resource("orders") });
      const { body } = await postForm(portal, "/device_authorization", asked);
      const code = String(body["device_code"]);
      assert.equal(await devices.allow(digestOf(code), login()), true);
      return post({ grant_type: deviceGrantType, device_code: code });
    },
    jwtBearer: async (assertion = ciAssertion(issuer)) => {
      const form = new URLSearchParams({
        grant_type: jwtBearerGrantType,
        assertion,
        resource: portal.resource("billing"),
      });
      return send(url, ca, { body: form.toString(), headers: { dpop: await prove() } });
    },
    exchange: (token, over = {}) =>
      post({
        grant_type: tokenExchangeGrantType,
        subject_token: token,
        subject_token_type: accessTokenUrn,
        resource: portal.resource("billing"),
        ...over,
      }),
  };
}
