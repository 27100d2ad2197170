// Promises an issuer that serves every grant and endpoint at once, with the pages people use, for libraries that know it by its metadata alone.
// Trusts nothing outside the test. Used by independent-clients.test.ts only.
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto, sha256 } from "@sallyport/kernel/token-crypto.ts";
import { readOutsideKeys } from "@sallyport/protocol/token/outside-jwk.ts";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import { type DevicePlace, type movableClock, startDevices } from "../device/device.test-support.ts";
import { type DirectoryParts, directoryOf } from "../directory.ts";
import {
  random,
  type TestEnvironment,
  type TestMade,
  type TestParts,
  clock as wallClock,
} from "../estate.test-support.ts";
import { tokenExchange } from "../exchange/exchange-grant.ts";
import { isRevokedIn } from "../exchange/revoked.ts";
import { type TestKey, testKey } from "../issuer.test-support.ts";
import { logoutMetadata } from "../people/routes/logout-routes.ts";
import { introspection } from "../tokens/introspection.ts";
import type { JudgePorts } from "../tokens/judge-token.ts";
import { tokenMetadata } from "../tokens/metadata.ts";
import { revocation } from "../tokens/revocation.ts";
import { jwtBearer } from "../trust/assertion-grant.ts";
import { createTrustedIssuers } from "../trust/trusted-issuers.ts";
import type { IndependentCommands } from "./commands.test-support.ts";
import { portalCallback } from "./portal.test-support.ts";

export const bye = "https://portal.example/bye";
const ci = "https://ci.example/oidc";
const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const published = readOutsideKeys(
  Buffer.from(JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "r1", alg: "RS256" }] })),
  ["RS256"],
  { sha256 },
);
const ciIssuer: IssuerConfig = {
  id: "ci",
  url: ci,
  kind: "assertion",
  algorithms: ["RS256"],
  audiences: [],
  companions: [],
  parties: null,
  lifetimeSecondsMax: 3_600,
  keys: { from: "file", keys: published?.keys ?? [] },
  systems: [{ system: "batch", subject: "repo:acme/shop:ref:refs/heads/main", claims: { repository_id: "42" } }],
  declaredAt: { file: "issuers/ci.yaml", line: 1, column: 1 },
};

/** What the build system would hand to a job of `batch`: an assertion for this issuer. */
export function ciAssertion(issuer: string): string {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const sub = "repo:acme/shop:ref:refs/heads/main";
  const jti = randomBytes(8).toString("hex");
  const claims = { iss: ci, sub, aud: issuer, iat, exp: iat + 300, jti, repository_id: "42" };
  const input = `${encode({ alg: "RS256", kid: "r1", typ: "JWT" })}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), pair.privateKey).toString("base64url")}`;
}

export interface IndependentPlace extends DevicePlace {
  /** Key of the client `orders`, the provider that looks tokens up. `key` is the portal's. */
  readonly ordersKey: TestKey;
}

export async function startIndependents(
  store: Store<IndependentCommands>,
  clock: ReturnType<typeof movableClock>,
): Promise<IndependentPlace> {
  const started: { place?: DevicePlace } = {};
  const environmentOf = (name: string): TestEnvironment => {
    if (started.place === undefined) throw new Error("asked before it was started");
    return name === "production" ? started.place.estate.production : started.place.estate.staging;
  };
  const place = await startDevices(store, clock, (made) => everythingElse(made, { store, environmentOf }));
  started.place = place;
  const ordersKey = testKey();
  place.estate.production.directory = directoryWith(place.key, ordersKey);
  return { ...place, ordersKey };
}

interface Lately {
  readonly store: Store<IndependentCommands>;
  readonly environmentOf: (name: string) => TestEnvironment;
}

/** Token exchange, assertions of the build system, introspection and revocation. */
function everythingElse({ issuer, place, directory }: TestMade, { store, environmentOf }: Lately): TestParts {
  const ring = () => environmentOf(place.environment).ring.view();
  const crypto = createTokenCrypto();
  const read = async (text: string) => text;
  const trusted = createTrustedIssuers(issuer, {
    ...place,
    store,
    clock: wallClock,
    random,
    fetchJwks: () => Promise.reject(new Error("keys are in a file")),
    issuerKeysChanged: () => undefined,
    fault: (fault) => {
      throw fault;
    },
  });
  trusted.use([ciIssuer], []);
  const judging: JudgePorts = { ...place, issuer, ring, directory, store, crypto, read, clock: wallClock };
  const isRevoked = (token: Parameters<typeof isRevokedIn>[2]) => isRevokedIn(store, place, token);
  return {
    grants: [tokenExchange({ issuer, keys: () => ring().keys, trusted, crypto, read, isRevoked })],
    openGrants: [jwtBearer({ trusted, isRevoked })],
    endpoints: [
      ({ signer }) => introspection({ ...judging, signer }),
      () => revocation({ ...judging, store, revoked: async () => undefined }),
    ],
    metadata: () => ({ ...tokenMetadata(issuer, ["ES256"]), ...logoutMetadata(issuer) }),
  };
}

/** portal may call orders, and billing for who called it; batch may call orders; orders looks up what it is called with. */
function directoryWith(portal: TestKey, orders: TestKey) {
  const grantTypes = [
    "client_credentials",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
  ];
  const uses = (from: string, to: string, operation: string): DirectoryParts["integrations"][number] => ({
    id: `${from}-to-${to}`,
    from,
    to,
    proof: ["dpop"],
    operations: [{ name: operation }],
  });
  const rule = {
    subject: "own",
    as: "delegate",
    operations: ["invoice.read"],
    carries: { "orders:order.list": ["invoice.read"] },
    depth: 1,
    binding: "keep",
  } as const;
  const own = { id: "portal", keys: [], grantTypes, redirectUris: [portalCallback], postLogoutRedirectUris: [bye] };
  return directoryOf({
    systems: [
      { id: "portal", certificates: [], clients: [own] },
      { id: "orders", certificates: [], clients: [{ id: "orders", keys: [] }] },
      { id: "batch", certificates: [], clients: [{ id: "batch", keys: [] }] },
      { id: "billing", certificates: [], clients: [] },
    ],
    integrations: [
      uses("portal", "orders", "order.list"),
      { ...uses("portal", "billing", "invoice.read"), exchange: [rule] },
      uses("batch", "orders", "order.list"),
    ],
    isActive: () => true,
    rows: new Map([
      ["portal", [{ jwk: { ...portal.jwk, kid: portal.kid } }]],
      ["orders", [{ jwk: { ...orders.jwk, kid: orders.kid } }]],
    ]),
  });
}
