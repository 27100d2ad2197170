// Promises an issuer of one tenant and environment and everything it gave out, for tests that carry each of it over the wall to another issuer. All issuers here
// have the same estate, the same clients with the same keys and a user of the same name: nothing tells them apart but whose they are. Trusts nothing.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Control, startControl } from "@sallyport/control/control.ts";
import {
  assertion,
  dpopProof,
  form,
  send,
  type TestAnswer,
  testKey,
} from "@sallyport/control/identity/issuer.test-support.ts";
import { type Answer, TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { openAdminClient } from "./admin-connection.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

/** Of every client, and of whoever holds a token: the same behind each wall. */
export const [clientKey, holder] = [testKey(), testKey()];
export const password = "correct horse battery";
export const verifier = "a-verifier-of-at-least-forty-three-characters";
const challenge = createHash("sha256").update(verifier).digest("base64url");
const callback = "http://127.0.0.1:49152/callback";
const everywhere = "environments: [production, staging]\n";
const people = "{ people: { signIn: [password] } }";
const grants = (to: string, operation: string) =>
  `uses:\n  - { to: ${to}, purpose: A test of walls, operations: [${operation}] }\n`;

/** Who is there, behind each wall. */
const files: Readonly<Record<string, string>> = {
  "sallyport.yaml": `environments:\n  production: ${people}\n  staging: ${people}\n`,
  "systems/billing.yaml": `system: billing\n${everywhere}url: https://billing.example\nidentity: { client: billing, keys: [all.jwks.json] }\noperations: { invoice.read: "GET /invoices/{id}" }\n`,
  "systems/orders.yaml": `system: orders\n${everywhere}identity: { client: orders, keys: [all.jwks.json] }\n${grants("billing", "invoice.read")}`,
  "systems/shop.yaml": `system: shop\n${everywhere}identity: { client: shop, secrets: { reason: A packaged client, until: 2027-01-31 } }\n${grants("billing", "invoice.read")}`,
  "systems/portal.yaml": `system: portal\n${everywhere}identity:\n  client: portal\n  public: true\n  grants: [authorization_code, refresh_token, device_code]\n  redirectUris: ["http://127.0.0.1/callback"]\n  postLogoutRedirectUris: ["http://127.0.0.1/bye"]\n${grants("billing", "invoice.read")}`,
  "systems/all.jwks.json": JSON.stringify({ keys: [{ ...clientKey.jwk, kid: clientKey.kid }] }),
};

export interface Tenant {
  readonly control: Control;
  readonly data: string;
  readonly ca: string;
  call<T>(path: string, body: unknown): Promise<T>;
}

/** A control plane of this tenant over a store that others use too; `kekOf` is the data directory whose key-encryption key it shares. */
export async function startTenant(
  tenant: string,
  place: { readonly folder: string; readonly storeUrl: string; readonly storeSchema: string; readonly kekOf?: string },
): Promise<Tenant> {
  const data = join(place.folder, tenant);
  mkdirSync(data, { mode: 0o700 });
  if (place.kekOf !== undefined) copyFileSync(join(place.kekOf, "kek.key"), join(data, "kek.key"));
  const [identity = 0, channel = 0, admin = 0] = await freePorts(3);
  const at = (port: number) => ({ host: "localhost", port, url: null });
  const { storeUrl, storeSchema } = place;
  const control = await startControl({
    ...{ tenant, region: "default", dataDirectory: data, checkpointCopy: null, storeUrl, storeSchema },
    ...{ identity: at(identity), channel: at(channel), admin: at(admin), clock: systemClock, random: systemRandom },
    logger: { info: () => undefined, warn: () => undefined, error: (fields) => assert.fail(JSON.stringify(fields)) },
    ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
  });
  const loaded = loadEstateFrom(memoryEstateIo(files, Date.now));
  assert.deepEqual(
    loaded.findings.filter(({ severity }) => severity === "error"),
    [],
  );
  await control.apply(loaded);
  const ca = readFileSync(join(data, "ca/control.pem"), "utf8");
  const call = <T>(path: string, body: unknown) =>
    openAdminClient(join(data, "operator.key.json")).call<T>("POST", path, body);
  return { control, data, ca, call };
}

/** What one issuer gave out. */
export interface Held {
  readonly token: string;
  readonly code: string;
  readonly refresh: string;
  readonly userToken: string;
  readonly idToken: string;
  readonly deviceCode: string;
  readonly userCode: string;
  readonly requestUri: string;
  readonly secret: string;
  readonly enrolmentCode: string;
  /** Path and query below the issuer. */
  readonly link: string;
  readonly nonce: string;
  readonly browser: TestBrowser;
}

export class Wall {
  readonly tenant: Tenant;
  readonly issuer: string;
  readonly path: string;
  readonly environment: string;

  constructor(tenant: Tenant, name: string, environment: string) {
    this.tenant = tenant;
    this.environment = environment;
    this.path = `/${name}/${environment}`;
    this.issuer = `${tenant.control.addresses.identity}${this.path}`;
  }

  get resource(): string {
    return `${this.issuer}/systems/billing`;
  }

  post(path: string, body: URLSearchParams, headers: Readonly<Record<string, string>> = {}): Promise<TestAnswer> {
    return send(`${this.issuer}${path}`, this.tenant.ca, { body: body.toString(), headers });
  }

  async nonce(): Promise<string> {
    const asked = { grant_type: "authorization_code", client_id: "portal", code: "none", redirect_uri: callback };
    const proof = dpopProof(holder, `${this.issuer}/token`, undefined);
    const { headers } = await this.post("/token", new URLSearchParams({ ...asked, code_verifier: verifier }), {
      dpop: proof,
    });
    return String(headers["dpop-nonce"]);
  }

  /** A token request with a proof for this very place. */
  async token(body: URLSearchParams, headers: Readonly<Record<string, string>> = {}): Promise<TestAnswer> {
    return this.post("/token", body, {
      ...headers,
      dpop: dpopProof(holder, `${this.issuer}/token`, await this.nonce()),
    });
  }

  /** A form of a client that proves itself here. */
  by(client: string, over: Readonly<Record<string, string>>): URLSearchParams {
    const body = form(client, assertion(client, this.issuer, clientKey), over);
    if (!("grant_type" in over)) body.delete("grant_type");
    return body;
  }

  ofPortal(over: Readonly<Record<string, string>>): URLSearchParams {
    return new URLSearchParams({ client_id: "portal", ...over });
  }

  redeem(code: string): Promise<TestAnswer> {
    const form = { grant_type: "authorization_code", code, redirect_uri: callback, code_verifier: verifier };
    return this.token(this.ofPortal(form));
  }

  refresh(token: string): Promise<TestAnswer> {
    return this.token(this.ofPortal({ grant_type: "refresh_token", refresh_token: token }));
  }

  poll(code: string): Promise<TestAnswer> {
    const grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    return this.token(this.ofPortal({ grant_type, device_code: code }));
  }

  machine(client = "orders"): Promise<TestAnswer> {
    return this.token(this.by(client, { grant_type: "client_credentials", resource: this.resource }));
  }

  withSecret(secret: string): Promise<TestAnswer> {
    const authorization = `Basic ${Buffer.from(`shop:${secret}`).toString("base64")}`;
    const asked = { grant_type: "client_credentials", resource: this.resource };
    return this.token(new URLSearchParams(asked), { authorization });
  }

  async introspect(token: string): Promise<Readonly<Record<string, unknown>>> {
    return (await this.post("/introspect", this.by("billing", { token }))).body;
  }

  browser(): TestBrowser {
    return new TestBrowser(this.tenant.control.addresses.identity, this.tenant.ca);
  }

  /** Path and query of an address of this tenant. */
  within(address: string | null): string {
    return (address ?? "").replace(this.tenant.control.addresses.identity, "");
  }

  account(browser: TestBrowser): Promise<Answer> {
    return browser.get(`${this.path}/account`);
  }

  /** A code, for the user of this browser. */
  async code(browser: TestBrowser): Promise<string> {
    const query = new URLSearchParams({
      ...{ client_id: "portal", response_type: "code", redirect_uri: callback, scope: "openid billing:invoice.read" },
      ...{ code_challenge: challenge, code_challenge_method: "S256", resource: this.resource, prompt: "consent" },
    });
    let page = await browser.get(`${this.path}/authorize?${query}`);
    for (let hops = 0; page.location?.startsWith(callback) !== true; hops += 1) {
      assert.ok(hops < 8, page.text);
      if (page.location !== null) page = await browser.get(this.within(page.location));
      else page = await browser.submit(page, "/consent", { answer: "allow" });
    }
    return new URL(page.location).searchParams.get("code") ?? "";
  }

  /** Everything there is to hold. */
  async give(name = "zora"): Promise<Held> {
    const { environment } = this;
    const reason = "a test of walls";
    const { link } = await this.tenant.call<{ link: string }>("/v1/users", { name, environment });
    const unused = await this.tenant.call<{ link: string }>("/v1/users", { name: `${name}.next`, environment });
    const browser = this.browser();
    const enrolled = await browser.submit(await browser.get(this.within(link)), "/enrol/password", { password });
    assert.equal(enrolled.status, 303, enrolled.text);
    const first = await this.redeem(await this.code(browser));
    assert.equal(first.status, 200, first.text);
    const machine = await this.machine();
    assert.equal(machine.status, 200, machine.text);
    const begun = await this.post("/device_authorization", this.ofPortal({ resource: this.resource }));
    const pushed = await this.post(
      "/par",
      this.ofPortal({
        ...{ response_type: "code", redirect_uri: callback, resource: this.resource },
        ...{ code_challenge: challenge, code_challenge_method: "S256" },
      }),
    );
    const { secret } = await this.tenant.call<{ secret: string }>("/v1/clients/shop/secrets", {
      ...{ environment, reason, overlapMs: 0 },
    });
    const { code } = await this.tenant.call<{ code: string }>("/v1/clients/orders/enrolment-codes", {
      ...{ environment, reason },
    });
    return {
      token: String(machine.body["access_token"]),
      userToken: String(first.body["access_token"]),
      idToken: String(first.body["id_token"]),
      refresh: String(first.body["refresh_token"]),
      code: await this.code(browser),
      deviceCode: String(begun.body["device_code"]),
      userCode: String(begun.body["user_code"]),
      requestUri: String(pushed.body["request_uri"]),
      ...{ secret, enrolmentCode: code, browser },
      link: this.within(unused.link).slice(this.path.length),
      nonce: await this.nonce(),
    };
  }
}
