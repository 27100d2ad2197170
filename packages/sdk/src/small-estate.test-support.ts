// Promises a small authorization server and a small gateway on real sockets for the tests of the SDK. Trusts protocol's verifier.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { signAccessToken, verifyAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { accessTokenHash, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { parseJsonText } from "@sallyport/protocol/token/json.ts";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { SallyportFault } from "./fault.ts";
import { generateClientKey, nodeCrypto } from "./node-crypto.ts";
import { sallyportFetch } from "./sallyport-fetch.ts";
import { TokenClient } from "./token-client.ts";

// A small authorization server and a small gateway on real sockets, which verify with protocol's own verifier: the SDK is judged by what a
// server accepts, not by what it says itself.

const running: Server[] = [];

/** For `afterEach`. */
export async function closeEstates(): Promise<void> {
  for (const server of running.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

export type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void;

async function listen(handler: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => handler(request, body, response));
  });
  running.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A listening TCP server always has an AddressInfo.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export const clientKey = generateClientKey().signer;
export const ringKey = generateClientKey().signer;

export const denied = { "sallyport-verdict": "deny; by=gateway; code=unauthenticated" };

export class Estate {
  now = Date.UTC(2026, 10, 22, 12);
  nonce = "n-1";
  issued = 0;
  lifetimeSeconds = 300;
  /** What the token endpoint does instead, if anything. */
  token: Handler | null = null;
  /** The server's clock as its `Date` says it; null: none is sent. */
  date: (() => number) | null = null;
  /** What the provider behind the gateway answers, if not what it saw. */
  provider: Handler | null = null;
  metadata: ((issuer: string) => object) | null = null;
  seen: string[] = [];
  /** `jti` of tokens the gateway refuses. */
  readonly revoked = new Set<string>();
  readonly cutOff = new Set<string>();
  #onIssued: (() => void) | null = null;
  issuer = "";
  origin = "";

  async start(): Promise<this> {
    this.origin = await listen((request, body, response) => this.answer(request, body, response));
    this.issuer = `${this.origin}/main/production`;
    return this;
  }

  client(change: Partial<ConstructorParameters<typeof TokenClient>[0]> = {}): TokenClient {
    return new TokenClient({
      issuer: this.issuer,
      clientId: "orders",
      key: clientKey,
      now: () => this.now,
      random: () => 0,
      ...change,
    });
  }

  /** Resolves at the next token issued. */
  nextIssued(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIssued = resolve;
    });
  }

  get resource(): string {
    return `${this.issuer}/systems/billing`;
  }

  answer(request: IncomingMessage, body: string, response: ServerResponse): void {
    this.seen.push(`${request.method} ${request.url}`);
    response.sendDate = false;
    if (this.date !== null) response.setHeader("date", new Date(this.date()).toUTCString());
    if (request.url === "/.well-known/oauth-authorization-server/main/production") {
      const metadata = this.metadata?.(this.issuer) ?? { issuer: this.issuer, token_endpoint: `${this.issuer}/token` };
      json(response, 200, metadata);
    } else if (request.url !== "/main/production/token") this.#cross(request, body, response);
    else if (this.token === null) this.#issue(request, body, response);
    else this.token(request, body, response);
  }

  #issue(request: IncomingMessage, body: string, response: ServerResponse): void {
    const form = new URLSearchParams(body);
    assert.equal(form.get("grant_type"), "client_credentials");
    assert.equal(form.get("resource"), this.resource);
    const assertion = parseCompactJws(form.get("client_assertion") ?? "", { bytesMax: 4096, keyMember: "kid" });
    const key = nodeCrypto.importKey(clientKey.jwk);
    assert.ok(assertion.kind === "jws" && key !== null && checkSignature(assertion, key) === null);
    const claims = parseJsonText(assertion.payload);
    assert.deepEqual([claims?.["iss"], claims?.["sub"], claims?.["aud"]], ["orders", "orders", this.issuer]);
    const proof = verifyDpopProof(
      String(request.headers["dpop"]),
      { method: "POST", url: `${this.issuer}/token`, ath: null, now: this.now },
      nodeCrypto,
    );
    if (proof.kind === "deny" || proof.nonce !== this.nonce) {
      if (proof.kind === "deny" && proof.code !== "dpop-nonce") {
        json(response, 400, { error: "invalid_dpop_proof" });
        return;
      }
      json(response, 400, { error: "use_dpop_nonce" }, { "dpop-nonce": this.nonce });
      return;
    }
    this.issued++;
    const iat = this.now / 1000;
    const scope = form.get("scope") ?? undefined;
    const base = {
      iss: this.issuer,
      sub: "orders",
      aud: this.resource,
      exp: iat + this.lifetimeSeconds,
      iat,
      jti: `t-${this.issued}`,
      client_id: "orders",
    };
    const token = signAccessToken(
      { ...base, ...(scope === undefined ? {} : { scope }), cnf: { jkt: proof.jkt } },
      ringKey,
    );
    json(response, 200, { access_token: token, token_type: "DPoP", expires_in: this.lifetimeSeconds });
    response.once("finish", () => this.#onIssued?.());
  }

  #cross(request: IncomingMessage, body: string, response: ServerResponse): void {
    const token = String(request.headers.authorization).replace("DPoP ", "");
    const url = `${this.origin}${(request.url ?? "").split("?", 1)[0]}`;
    const rules = { method: request.method ?? "", url, ath: accessTokenHash(token, nodeCrypto), now: this.now };
    const proof = verifyDpopProof(String(request.headers["dpop"]), rules, nodeCrypto);
    const stale = proof.kind === "deny" ? proof.code === "dpop-nonce" : proof.nonce !== this.nonce;
    if (stale) {
      json(
        response,
        401,
        {},
        { "dpop-nonce": this.nonce, "www-authenticate": 'DPoP error="use_dpop_nonce"', ...denied },
      );
      return;
    }
    const key = nodeCrypto.importKey(ringKey.jwk);
    const ring = { find: (kid: string) => (kid === key?.kid ? key : undefined) };
    const use = {
      audience: this.resource,
      now: this.now,
      scheme: "DPoP" as const,
      revocations: { isRevoked: (_kind: string, value: string) => this.revoked.has(value) },
    };
    const verdict = verifyAccessToken(
      token,
      { issuer: this.issuer, keys: ring, lifetimeSecondsMax: 300 },
      proof.kind === "proof" ? { ...use, jkt: proof.jkt } : use,
    );
    if (verdict.kind === "verified" && this.cutOff.has(verdict.claims.jti)) {
      json(response, 403, {}, { "sallyport-verdict": "deny; by=gateway; code=not-active" });
    } else if (verdict.kind === "deny" || proof.kind === "deny") {
      json(response, 401, { verdict, proof }, { "www-authenticate": 'DPoP error="invalid_token"', ...denied });
    } else if (this.provider !== null) this.provider(request, body, response);
    else {
      json(response, 200, { jti: verdict.claims.jti, scope: verdict.claims.scope ?? null, body });
    }
  }
}

export function json(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

export async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "no fault";
  } catch (error) {
    assert.ok(error instanceof SallyportFault, String(error));
    return error.code;
  }
}

export function gatewayFetch(estate: Estate) {
  return sallyportFetch({ client: estate.client(), gateway: estate.origin, resource: estate.resource });
}
