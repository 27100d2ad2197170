// Promises an issuer with devices: clients `portal` (authenticates), `app` (public) and `shop` (another one), the pages of people over the same sockets, and
// a clock that can be moved. Trusts nothing outside the test. Used by *.test.ts of this folder and by oauth/independent-clients.test.ts.
import type { Store } from "@sallyport/kernel/store/port.ts";
import * as client from "openid-client";
import { memoryKeyring, startEstate, type TestEstate, type TestMade, type TestParts } from "../estate.test-support.ts";
import {
  assertion,
  dpopProof,
  fetchOver,
  form,
  send,
  type TestAnswer,
  type TestKey,
  testKey,
  webKey,
} from "../issuer.test-support.ts";
import type { DeviceDesk } from "../oauth/interaction.ts";
import { createOAuth } from "../oauth/parts.ts";
import { portalDirectory } from "../oauth/portal.test-support.ts";
import { type Answer, TestBrowser } from "../people/browser.test-support.ts";
import { createPasswords } from "../people/password.ts";
import { addTestUser, type PeopleTestCommands, random, standingClock } from "../people/people.test-support.ts";
import { openPeople, seedPurpose } from "../people/people.ts";
import { deviceGrantType } from "./device-authorization.ts";
import { createDevices } from "./parts.ts";

export const password = "correct horse battery";
export const base = "/main/production";

/** Stands where the machine's clock was until it is moved, so that no bucket refills while a test runs. */
export const movableClock = () => standingClock(Date.now());

export interface DevicePlace {
  readonly estate: TestEstate;
  readonly issuer: string;
  readonly key: TestKey;
  readonly desk: DeviceDesk;
  readonly pushes: { count: number };
  /** Whether the environment lets people sign in. */
  readonly serves: { people: boolean };
  resource(system: string): string;
  /** A browser with a person signed in. */
  person(): Promise<{ readonly browser: TestBrowser; readonly user: string; readonly name: string }>;
  browser(): TestBrowser;
  /** Codes of refusals in the log, of this issuer. */
  refusals(): readonly string[];
}

/** Starts it; what `more` gives is served besides. */
export async function startDevices(
  store: Store<PeopleTestCommands>,
  clock: ReturnType<typeof movableClock>,
  more: (made: TestMade) => TestParts = () => ({}),
): Promise<DevicePlace> {
  const pushes = { count: 0 };
  const serves = { people: true };
  const desks = new Map<string, DeviceDesk>();
  const secret = random.bytes(32);
  const seeds = await memoryKeyring().ring("main", seedPurpose);
  const passwords = createPasswords({ random, parameters: { memory: 8, passes: 1, parallelism: 1 } });
  const estate: TestEstate = await startEstate(store, (made) => {
    const { issuer, place: at, keyring, record, directory } = made;
    const added = more(made);
    const revoked = async () => {
      pushes.count += 1;
    };
    const options = { issuer, place: at, store, keyring, record, directory, clock, random, revoked };
    const oauth = createOAuth(options);
    const devices = createDevices({ ...options, secret, servesPeople: () => serves.people });
    desks.set(at.environment, devices.desk);
    const { routes } = openPeople({
      ...{
        tenant: "main",
        environment: at.environment,
        issuer,
        store,
        seeds,
        secret,
        record,
        clock,
        random,
        revoked,
        passwords,
      },
      desk: oauth.desk,
      clients: () => directory().clients,
      bundles: () => [],
      fetchProvider: () => Promise.reject(new Error("nobody signs in elsewhere here")),
      ring: () => (at.environment === "production" ? estate.production : estate.staging).ring.view(),
      devices: devices.desk,
      config: () => (serves.people ? { signIn: ["password"], idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 } : null),
    });
    return {
      ...added,
      grants: [...oauth.grants, devices.grant, ...(added.grants ?? [])],
      authorization: oauth.authorization,
      endpoints: [devices.endpoint, ...(added.endpoints ?? [])],
      metadata: () => ({ ...oauth.metadata, ...devices.metadata, ...added.metadata?.() }),
      routes,
    };
  });
  const key = testKey();
  for (const environment of [estate.production, estate.staging])
    environment.directory = portalDirectory([{ jwk: { ...key.jwk, kid: key.kid } }]);
  const desk = desks.get("production");
  if (desk === undefined) throw new Error("the issuer was made with its desk");
  const { issuer } = estate.production;
  const browser = () => new TestBrowser(estate.url, estate.ca);
  let count = 0;
  return {
    estate,
    issuer,
    key,
    desk,
    pushes,
    serves,
    resource: (system) => `${issuer}/systems/${system}`,
    browser,
    person: async () => {
      count += 1;
      const name = `person${count}`;
      const { user, link } = await addTestUser(store, name, clock.now());
      const own = browser();
      const page = await own.get(`${base}/enrol?link=${link}`);
      const done = await own.submit(page, "/enrol/password", { password });
      if (done.status !== 303) throw new Error(`${done.status} ${done.text}`);
      return { browser: own, user, name };
    },
    refusals: () =>
      estate.production.leaves.flatMap((leaf) =>
        leaf.t === "issuance" && leaf.verdict === "deny" && leaf.code !== null ? [leaf.code] : [],
      ),
  };
}

export interface Codes {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly complete: string;
}

interface Sent {
  readonly client?: "portal" | "app" | "shop" | "batch";
  /** null leaves a parameter out. */
  readonly over?: Readonly<Record<string, string | null>>;
  readonly proof?: string;
}

/** A form of a client: `app` with its name alone, the others with an assertion. */
export function post(at: DevicePlace, path: string, params: URLSearchParams, sent: Sent = {}): Promise<TestAnswer> {
  const { client: id = "app", over = {}, proof } = sent;
  const body = id === "app" ? new URLSearchParams({ client_id: id }) : form(id, assertion(id, at.issuer, at.key));
  body.delete("grant_type");
  for (const [name, value] of params) body.append(name, value);
  for (const [name, value] of Object.entries(over)) {
    body.delete(name);
    if (value !== null) body.set(name, value);
  }
  const headers = proof === undefined ? {} : { dpop: proof };
  return send(`${at.issuer}${path}`, at.estate.ca, { body: body.toString(), headers });
}

export function begin(at: DevicePlace, sent: Sent = {}): Promise<TestAnswer> {
  const params = new URLSearchParams({ resource: at.resource("orders"), scope: "orders:order.list" });
  return post(at, "/device_authorization", params, sent);
}

/** Codes of a device that has begun. */
export async function codes(at: DevicePlace, sent: Sent = {}): Promise<Codes> {
  const { status, body, text } = await begin(at, sent);
  if (status !== 200) throw new Error(`${status} ${text}`);
  return {
    deviceCode: String(body["device_code"]),
    userCode: String(body["user_code"]),
    complete: String(body["verification_uri_complete"]),
  };
}

export async function nonceFor(at: DevicePlace): Promise<string> {
  const params = new URLSearchParams({ grant_type: deviceGrantType, device_code: "none" });
  const proof = dpopProof(at.estate.holder, `${at.issuer}/token`, undefined);
  return String((await post(at, "/token", params, { proof })).headers["dpop-nonce"]);
}

export interface Poll extends Omit<Sent, "proof"> {
  readonly holder?: TestKey;
  readonly nonce?: string;
}

/** One poll, with a fresh proof. */
export async function poll(at: DevicePlace, deviceCode: string, on: Poll = {}): Promise<TestAnswer> {
  const proof = dpopProof(on.holder ?? at.estate.holder, `${at.issuer}/token`, on.nonce ?? (await nonceFor(at)));
  const params = new URLSearchParams({ grant_type: deviceGrantType, device_code: deviceCode });
  return post(at, "/token", params, { ...on, proof });
}

/** The page that asks, after the code was typed. */
export async function typeCode(browser: TestBrowser, userCode: string): Promise<Answer> {
  return browser.submit(await browser.get(`${base}/device`), "/device", { user_code: userCode });
}

export async function answer(browser: TestBrowser, userCode: string, word: "allow" | "deny"): Promise<Answer> {
  return browser.submit(await typeCode(browser, userCode), "/device/decide", { answer: word });
}

/** openid-client as a device would use it. */
export async function openidClient(at: DevicePlace, id: "portal" | "app"): Promise<client.Configuration> {
  const authentication =
    id === "app" ? client.None() : client.PrivateKeyJwt({ key: await webKey(at.key), kid: at.key.kid });
  const options = { [client.customFetch]: fetchOver(at.estate.ca) };
  const config = await client.discovery(new URL(at.issuer), id, undefined, authentication, options);
  config[client.customFetch] = fetchOver(at.estate.ca);
  return config;
}
