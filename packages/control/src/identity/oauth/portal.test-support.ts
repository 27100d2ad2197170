// Promises an estate with clients that ask users: `portal` (a backend that authenticates) and `app` (public, on the user's machine), and a user who
// allows or refuses at once. Trusts nothing outside the test. Used by *.test.ts of this folder and of its neighbours.
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import * as client from "openid-client";
import type { TokenLives } from "../../registry/config/estate.ts";
import { directoryOf } from "../directory.ts";
import { clock, random, startEstate, type TestEstate } from "../estate.test-support.ts";
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
import type { GrantRequest } from "../seams.ts";
import type { IdentityCommands } from "../store.ts";
import { revocation } from "../tokens/revocation.ts";
import type { TokensCommands } from "../tokens/store.ts";
import type { AuthorizationDesk, LoginResult } from "./interaction.ts";
import { createOAuth } from "./parts.ts";
import type { OAuthCommands } from "./store.ts";

export const portalCallback = "https://portal.example/callback";

export interface Portal {
  readonly estate: TestEstate;
  readonly issuer: string;
  /** The audience of a system: `<issuer>/systems/<id>`. */
  resource(system: string): string;
  readonly portalKey: TestKey;
  readonly desk: AuthorizationDesk;
  /** How often something was pushed to gateways. */
  readonly pushes: { count: number };
  readonly ca: string;
}

export interface Asked {
  readonly client?: "portal" | "app";
  /** null leaves a parameter out. */
  readonly over?: Readonly<Record<string, string | null>>;
  readonly resources?: readonly string[];
}

export interface UnderWay {
  readonly id: string;
  readonly cookie: string;
}

export function login(over: Partial<LoginResult["subject"]> = {}): LoginResult {
  return {
    subject: {
      id: "usr_0123456789abcdefghijkl",
      session: "ses_1",
      acr: "urn:sallyport:acr:mfa",
      amr: ["pwd", "otp"],
      authTime: Math.floor(Date.now() / 1000),
      ...over,
    },
    scopes: null,
    consented: false,
  };
}

export async function startPortal(store: Store<IdentityCommands & OAuthCommands & TokensCommands>): Promise<Portal> {
  const desks = new Map<string, AuthorizationDesk>();
  const pushes = { count: 0 };
  const estate: TestEstate = await startEstate(store, ({ issuer, place, keyring, record, directory }) => {
    const revoked = async () => {
      pushes.count += 1;
    };
    const made = createOAuth({ issuer, place, store, keyring, record, directory, clock, random, revoked });
    desks.set(place.environment, made.desk);
    const endpoint = {
      path: "/revoke",
      parameters: ["token", "token_type_hint"],
      // Asked when a request comes: the estate is there by then.
      handle: (request: GrantRequest) =>
        revocation({
          ...place,
          issuer,
          store,
          ring: () => estate.production.ring.view(),
          directory: () => estate.production.directory,
          crypto: createTokenCrypto(),
          read: async (text) => text,
          clock,
          revoked,
        }).handle(request),
    };
    return {
      grants: made.grants,
      authorization: made.authorization,
      endpoints: [() => endpoint],
      metadata: () => made.metadata,
    };
  });
  const portalKey = testKey();
  for (const environment of [estate.production, estate.staging])
    environment.directory = portalDirectory([{ jwk: { ...portalKey.jwk, kid: portalKey.kid } }]);
  const { issuer } = estate.production;
  const desk = desks.get("production");
  if (desk === undefined) throw new Error("the issuer was made with its desk");
  return {
    estate,
    issuer,
    resource: (system) => `${issuer}/systems/${system}`,
    portalKey,
    desk,
    pushes,
    ca: estate.ca,
  };
}

/** portal and app may call orders and billing; another client may too, so that one client's code can be tried by another. */
export function portalDirectory(
  keys: readonly { readonly jwk: Readonly<Record<string, unknown>> }[],
  suspended: readonly string[] = [],
  tokens: Partial<TokenLives> = {},
) {
  const grantTypes = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
  const system = (id: string, clients: readonly object[]) => ({
    id,
    certificates: [],
    clients: clients.map((one) => ({ id, keys: [], ...one })),
  });
  const uses = (from: string, to: string, operations: readonly string[]) => ({
    id: `${from}-to-${to}`,
    from,
    to,
    proof: ["dpop"] as const,
    operations: operations.map((name) => ({ name })),
  });
  const native = { isPublic: true, redirectUris: ["http://127.0.0.1/callback", "com.example.app:/callback"] };
  return directoryOf({
    systems: [
      system("portal", [{ grantTypes, tokens, redirectUris: [portalCallback, "https://portal.example/other?x=1"] }]),
      system("shop", [{ grantTypes, redirectUris: ["https://shop.example/callback"] }]),
      system("app", [{ ...native, grantTypes }]),
      system("batch", [{}]),
      system("orders", []),
      system("billing", []),
    ],
    integrations: ["portal", "shop", "app", "batch"].flatMap((from) => [
      uses(from, "orders", ["order.list", "order.create"]),
      uses(from, "billing", ["invoice.read"]),
    ]),
    isActive: (id) => !suspended.includes(id),
    rows: new Map(["portal", "shop", "batch"].map((id) => [id, keys])),
  });
}

export const verifierOfTests = "a-verifier-of-at-least-forty-three-characters";
const challengeOfTests = await client.calculatePKCECodeChallenge(verifierOfTests);

/** Parameters of an authorization request that is in order. */
export function requestParameters(portal: Portal, asked: Asked = {}): URLSearchParams {
  const { client: clientId = "portal", over = {}, resources = [portal.resource("orders")] } = asked;
  const params = new URLSearchParams({
    client_id: clientId,
    response_type: "code",
    redirect_uri: clientId === "portal" ? portalCallback : "http://127.0.0.1:49152/callback",
    code_challenge: challengeOfTests,
    code_challenge_method: "S256",
    state: "state-of-this-browser",
  });
  for (const resource of resources) params.append("resource", resource);
  for (const [name, value] of Object.entries(over)) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  return params;
}

/** Sends a form as a client: the portal with an assertion, the app with its name alone. */
export async function postForm(
  portal: Portal,
  path: string,
  params: URLSearchParams,
  options: { readonly client?: string; readonly proof?: string; readonly key?: TestKey } = {},
): Promise<TestAnswer> {
  const { client: clientId = "portal", proof, key = portal.portalKey } = options;
  const body =
    clientId === "app"
      ? new URLSearchParams({ client_id: "app" })
      : form(clientId, assertion(clientId, portal.issuer, key));
  body.delete("grant_type");
  for (const [name, value] of params) if (name !== "client_id") body.append(name, value);
  const headers = proof === undefined ? {} : { dpop: proof };
  return send(`${portal.issuer}${path}`, portal.ca, { body: body.toString(), headers });
}

/** Pushes (the portal) or sends (the app) a request through the browser, up to the page. */
export async function ask(portal: Portal, asked: Asked = {}): Promise<UnderWay> {
  const params = requestParameters(portal, asked);
  const query =
    asked.client === "app"
      ? params
      : new URLSearchParams({
          client_id: "portal",
          request_uri: String((await postForm(portal, "/par", params)).body["request_uri"]),
        });
  const answer = await send(`${portal.issuer}/authorize?${query}`, portal.ca);
  return underWay(answer);
}

/** Where an answer of the authorization endpoint led the browser. */
export function underWay(answer: TestAnswer): UnderWay {
  const location = String(answer.headers["location"]);
  const id = /\/interaction\/([A-Za-z0-9_-]+)$/.exec(location)?.[1];
  if (id === undefined) throw new Error(`no page: ${answer.status} ${location} ${answer.text}`);
  const set = answer.headers["set-cookie"];
  const cookie = (Array.isArray(set) ? set : []).map((one) => one.split(";", 1)[0]).join("; ");
  return { id, cookie };
}

/** A code that was just allowed. */
export async function codeFor(portal: Portal, asked: Asked = {}, result: LoginResult = login()): Promise<string> {
  const { id, cookie } = await ask(portal, asked);
  const done = await portal.desk.allow(id, cookie, result);
  if (done === null) throw new Error("the request was not there any more");
  return new URL(done.location).searchParams.get("code") ?? "";
}

export interface Exchange {
  readonly client?: "portal" | "app" | "shop";
  readonly holder?: TestKey;
  readonly over?: Readonly<Record<string, string | null>>;
  readonly proof?: string | null;
  readonly nonce?: string;
}

export async function nonceFor(portal: Portal, holder: TestKey): Promise<string> {
  const proof = dpopProof(holder, `${portal.issuer}/token`, undefined);
  const params = new URLSearchParams({ grant_type: "refresh_token", refresh_token: "none" });
  return String((await postForm(portal, "/token", params, { proof })).headers["dpop-nonce"]);
}

async function exchange(portal: Portal, params: URLSearchParams, on: Exchange): Promise<TestAnswer> {
  const { holder = portal.estate.holder, over = {} } = on;
  for (const [name, value] of Object.entries(over)) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  const proof =
    on.proof === undefined
      ? dpopProof(holder, `${portal.issuer}/token`, on.nonce ?? (await nonceFor(portal, holder)))
      : on.proof;
  return postForm(portal, "/token", params, {
    ...(on.client === undefined ? {} : { client: on.client }),
    ...(proof === null ? {} : { proof }),
  });
}

export function redeem(portal: Portal, code: string, on: Exchange = {}): Promise<TestAnswer> {
  const params = new URLSearchParams({
    grant_type: "authorization_code",
    code,
    redirect_uri: on.client === "app" ? "http://127.0.0.1:49152/callback" : portalCallback,
    code_verifier: verifierOfTests,
  });
  return exchange(portal, params, on);
}

export function refreshWith(portal: Portal, token: string, on: Exchange = {}): Promise<TestAnswer> {
  return exchange(portal, new URLSearchParams({ grant_type: "refresh_token", refresh_token: token }), on);
}

/** openid-client as the portal would use it. */
export async function openidClient(portal: Portal): Promise<client.Configuration> {
  const authentication = client.PrivateKeyJwt({ key: await webKey(portal.portalKey), kid: portal.portalKey.kid });
  const config = await client.discovery(new URL(portal.issuer), "portal", undefined, authentication, {
    [client.customFetch]: fetchOver(portal.ca),
  });
  config[client.customFetch] = fetchOver(portal.ca);
  return config;
}
