// Promises the shop front as a backend-for-frontend: it signs customers in and calls orders and billing for them, and what their browsers get is a
// page, a cookie and where to go, never a token. Trusts openid-client and the marketplace's own roots. Told in docs/identity/browser-apps.md.
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import * as oauth from "openid-client";
import type { Reply } from "./call.ts";
import { type CallerIdentity, sendProtected } from "./callers.ts";
import type { KeyedCertificate } from "./workloads.ts";

export interface Portal {
  readonly name: "portal";
  readonly origin: string;
  /** Every token of a customer that the portal ever held, by what it is. */
  tokens(): readonly { readonly what: string; readonly token: string }[];
  /** A call with what the portal held for the last customer, as somebody who copied its memory would make it. */
  callAsThief(path: string): Promise<Reply>;
  close(): Promise<void>;
}

export interface PortalOptions {
  readonly identity: CallerIdentity;
  readonly tls: KeyedCertificate;
  /** Asked at the first request, when control has started. */
  readonly issuer: string;
  readonly gateway: string;
}

/** A browser that went to sign in; kept until it is back. */
interface Begun {
  readonly state: string;
  readonly nonce: string;
  readonly pkceCodeVerifier: string;
}

/** What a signed-in browser's cookie stands for. */
interface Session {
  /** For orders. */
  readonly accessToken: string;
  /** For billing, by operation: each says no more than its one call needs. */
  readonly exchanged: Map<string, string>;
}

interface Client {
  readonly config: oauth.Configuration;
  readonly DPoP: oauth.DPoPHandle;
}

/** `__Host-`: from this origin, over TLS, for every path; scripts cannot read it and no other site's form brings it along. */
const cookie = (name: string, value: string, maxAgeSeconds?: number) =>
  `__Host-${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax${maxAgeSeconds === undefined ? "" : `; Max-Age=${maxAgeSeconds}`}`;
const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessTokenType = "urn:ietf:params:oauth:token-type:access_token";
const signInSeconds = 600;
const bodyBytesMax = 4_096;

export async function startPortal(options: PortalOptions): Promise<Portal> {
  const portal = new PortalServer(options);
  const server = createServer(options.tls, (request, response) => {
    portal.serve(request, response).catch((error: unknown) => {
      // What went wrong may hold what was asked for: only its name is told.
      answer(response, 500, { fault: error instanceof Error ? error.name : "unknown" });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  // A listening TCP server's address is never a string.
  portal.origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  return {
    name: "portal",
    origin: portal.origin,
    tokens: () => portal.tokens,
    callAsThief: (path) => portal.callAsThief(path),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

class PortalServer {
  origin = "";
  readonly tokens: { readonly what: string; readonly token: string }[] = [];
  readonly #options: PortalOptions;
  readonly #begun = new Map<string, Begun>();
  readonly #sessions = new Map<string, Session>();
  #last: Session | null = null;
  #client: Promise<Client> | null = null;

  constructor(options: PortalOptions) {
    this.#options = options;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.origin);
    const session = this.#sessions.get(cookieOf(request, "portal") ?? "") ?? null;
    if (request.method === "GET" && url.pathname === "/sign-in") return this.#signIn(url, response);
    if (request.method === "GET" && url.pathname === "/callback") return this.#callback(url, request, response);
    if (session === null) return answer(response, 401, { signIn: "/sign-in" });
    // A cookie comes along whoever made the page; only a page of ours may change anything (docs/identity/browser-apps.md "Other sites").
    if (request.method !== "GET" && request.headers.origin !== this.origin)
      return answer(response, 403, { refused: "this form is of another site" });
    const [, kind, id = ""] = url.pathname.split("/");
    if (kind === "orders") return this.#pass(response, session.accessToken, `/orders/v1/orders/${id}`);
    if (kind === "invoices") {
      const token = await this.#exchange(session, "billing:invoice.read");
      return this.#pass(response, token, `/billing/v1/shops/shop-north/invoices/${id}`);
    }
    if (kind === "payouts" && request.method === "POST") {
      const token = await this.#exchange(session, "billing:payout.create");
      return this.#pass(response, token, "/billing/v1/payouts", await readBody(request));
    }
    answer(response, url.pathname === "/" ? 200 : 404, { signedIn: true });
  }

  /** Authorization code with PKCE; the request is pushed, so that the browser carries a reference and nothing to change (RFC 9126). */
  async #signIn(asked: URL, response: ServerResponse): Promise<void> {
    const { config, DPoP } = await this.#ready();
    const begun: Begun = {
      state: oauth.randomState(),
      nonce: oauth.randomNonce(),
      pkceCodeVerifier: oauth.randomPKCECodeVerifier(),
    };
    const stepUp = ["acr_values", "max_age"].flatMap((name) => {
      const value = asked.searchParams.get(name);
      return value === null ? [] : [[name, value] as const];
    });
    const parameters = new URLSearchParams({
      redirect_uri: `${this.origin}/callback`,
      scope: "openid orders:order.read orders:order.create",
      resource: this.#resource("orders"),
      code_challenge: await oauth.calculatePKCECodeChallenge(begun.pkceCodeVerifier),
      code_challenge_method: "S256",
      state: begun.state,
      nonce: begun.nonce,
      ...Object.fromEntries(stepUp),
    });
    const location = await oauth.buildAuthorizationUrlWithPAR(config, parameters, { DPoP });
    const id = randomBytes(32).toString("base64url");
    this.#begun.set(id, begun);
    redirect(response, location.href, [cookie("portal-begun", id, signInSeconds)]);
  }

  async #callback(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = cookieOf(request, "portal-begun") ?? "";
    const begun = this.#begun.get(id);
    this.#begun.delete(id);
    // Somebody else's answer, sent to this browser, would sign it in as somebody else (RFC 6749 §10.12).
    if (begun === undefined) return answer(response, 400, { refused: "this browser did not ask to sign in" });
    const { config, DPoP } = await this.#ready();
    const tokens = await oauth.authorizationCodeGrant(
      config,
      url,
      { pkceCodeVerifier: begun.pkceCodeVerifier, expectedState: begun.state, expectedNonce: begun.nonce },
      undefined,
      { DPoP },
    );
    this.#keep("a customer's access token", tokens.access_token);
    this.#keep("a customer's refresh token", tokens.refresh_token);
    this.#keep("a customer's ID token", tokens.id_token);
    this.#sessions.delete(cookieOf(request, "portal") ?? "");
    // Never the id a browser came with: one that was planted there would be its planter's too.
    const fresh = randomBytes(32).toString("base64url");
    const session: Session = { accessToken: tokens.access_token, exchanged: new Map() };
    this.#sessions.set(fresh, session);
    this.#last = session;
    redirect(response, "/", [cookie("portal", fresh), cookie("portal-begun", "", 0)]);
  }

  async callAsThief(path: string): Promise<Reply> {
    if (this.#last === null) throw new Error("nobody has signed in");
    return this.#call(this.#last.accessToken, path);
  }

  /** One call for the customer. The answer's status and body go on, and the crossing's id for whoever asks for help; nothing else. */
  async #pass(response: ServerResponse, token: string, path: string, body?: string): Promise<void> {
    const reply = await this.#call(token, path, body);
    const wanted = reply.headers["www-authenticate"] ?? "";
    const kept = ["sallyport-crossing", "sallyport-verdict", "content-type"].flatMap((name) => {
      const value = reply.headers[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const next = reply.code === "insufficient-user-authentication" ? { "portal-sign-in": stepUpPath(wanted) } : {};
    response.writeHead(reply.status, { ...Object.fromEntries(kept), ...next, "cache-control": "no-store" });
    response.end(reply.text);
  }

  async #call(token: string, path: string, body?: string): Promise<Reply> {
    const url = new URL(path, this.#options.gateway);
    const post = body === undefined ? {} : { method: "POST", body, headers: { "content-type": "application/json" } };
    return sendProtected(await this.#ready(), token, url, post);
  }

  /** The customer's token traded for one that names billing, this one operation, and the portal as who acts (RFC 8693). */
  async #exchange({ accessToken, exchanged }: Session, scope: string): Promise<string> {
    const known = exchanged.get(scope);
    if (known !== undefined) return known;
    const { config, DPoP } = await this.#ready();
    const parameters = {
      subject_token: accessToken,
      subject_token_type: accessTokenType,
      resource: this.#resource("billing"),
      scope,
    };
    const answered = await oauth.genericGrantRequest(config, exchangeGrant, parameters, { DPoP });
    this.#keep("an exchanged token for billing", answered.access_token);
    exchanged.set(scope, answered.access_token);
    return answered.access_token;
  }

  #keep(what: string, token: string | undefined): void {
    if (token !== undefined) this.tokens.push({ what: `${what} (${this.tokens.length + 1})`, token });
  }

  #resource(system: string): string {
    return `${this.#options.issuer}/systems/${system}`;
  }

  #ready(): Promise<Client> {
    this.#client ??= connect(this.#options);
    return this.#client;
  }
}

async function connect({ identity, issuer }: PortalOptions): Promise<Client> {
  const { clientId, key } = identity;
  const der = createPrivateKey(key.pem).export({ format: "der", type: "pkcs8" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const signing = await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  const proof = oauth.PrivateKeyJwt({ key: signing, kid: key.signer.kid });
  const config = await oauth.discovery(new URL(issuer), clientId, { id_token_signed_response_alg: "ES256" }, proof, {
    algorithm: "oauth2",
  });
  return { config, DPoP: oauth.getDPoPHandle(config, await oauth.randomDPoPKeyPair("ES256")) };
}

/** Where the browser has to go for the log-in that the gateway asked for (RFC 9470 §3). Pure. */
export function stepUpPath(challenge: string): string {
  const wanted = ["acr_values", "max_age"].flatMap((name) => {
    const value = new RegExp(`[ ,]${name}="([^"]*)"`).exec(challenge)?.[1];
    return value === undefined ? [] : [[name, value] as const];
  });
  return `/sign-in?${new URLSearchParams(Object.fromEntries(wanted))}`;
}

function cookieOf(request: IncomingMessage, name: string): string | null {
  const pairs = (request.headers.cookie ?? "").split("; ").filter((pair) => pair.startsWith(`__Host-${name}=`));
  // Two of one name: one of them was planted.
  return pairs.length === 1 ? (pairs[0]?.slice(`__Host-${name}=`.length) ?? null) : null;
}

function redirect(response: ServerResponse, location: string, cookies: string[]): void {
  response.writeHead(303, { location, "set-cookie": cookies, "cache-control": "no-store", "content-length": 0 });
  response.end();
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > bodyBytesMax) throw new RangeError("the body is too large for the portal");
  }
  return text;
}
