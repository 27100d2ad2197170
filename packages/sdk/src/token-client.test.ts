import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, test } from "node:test";
import { signAccessToken, verifyAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { accessTokenHash, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { SallyportFault } from "./fault.ts";
import { generateClientKey, nodeCrypto, publicJwks, signerFromJwk, signerFromPem } from "./node-crypto.ts";
import { sallyportFetch } from "./sallyport-fetch.ts";
import { TokenClient } from "./token-client.ts";

// A small authorization server and a small gateway on real sockets, which verify with protocol's own verifier: the SDK is judged by what a
// server accepts, not by what it says itself.

const running: Server[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void;

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

const clientKey = generateClientKey().signer;
const ringKey = generateClientKey().signer;

class Estate {
  now = Date.UTC(2026, 10, 22, 12);
  nonce = "n-1";
  issued = 0;
  lifetimeSeconds = 300;
  /** What the token endpoint does instead, if anything. */
  token: Handler | null = null;
  metadata: ((issuer: string) => object) | null = null;
  seen: string[] = [];
  /** `jti` of tokens the gateway refuses. */
  readonly revoked = new Set<string>();
  readonly cutOff = new Set<string>();
  #onIssued: (() => void) | null = null;
  issuer = "";
  origin = "";

  async start(): Promise<this> {
    this.origin = await listen((request, body, response) => this.#answer(request, body, response));
    this.issuer = `${this.origin}/main/production`;
    return this;
  }

  client(change: Partial<ConstructorParameters<typeof TokenClient>[0]> = {}): TokenClient {
    return new TokenClient({ issuer: this.issuer, clientId: "orders", key: clientKey, now: () => this.now, ...change });
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

  #answer(request: IncomingMessage, body: string, response: ServerResponse): void {
    this.seen.push(`${request.method} ${request.url}`);
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
    const claims = parseJsonObject(assertion.payload);
    assert.deepEqual([claims?.["iss"], claims?.["sub"], claims?.["aud"]], ["orders", "orders", this.issuer]);
    const proof = verifyDpopProof(
      String(request.headers["dpop"]),
      { method: "POST", url: `${this.issuer}/token`, ath: null, now: this.now },
      nodeCrypto,
    );
    if (proof.kind === "deny" || proof.nonce !== this.nonce) {
      assert.ok(proof.kind !== "deny" || proof.code === "dpop-nonce", JSON.stringify(proof));
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
      json(response, 401, {}, { "dpop-nonce": this.nonce, "www-authenticate": 'DPoP error="use_dpop_nonce"' });
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
      json(response, 401, { verdict, proof }, { "www-authenticate": 'DPoP error="invalid_token"' });
    } else {
      json(response, 200, { jti: verdict.claims.jti, scope: verdict.claims.scope ?? null, body });
    }
  }
}

function json(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "no fault";
  } catch (error) {
    assert.ok(error instanceof SallyportFault, String(error));
    return error.code;
  }
}

test("a client gets a bound token after learning the nonce, and asks with an assertion for the issuer alone", async () => {
  const estate = await new Estate().start();
  const token = await estate.client().token({ resource: estate.resource, scope: "billing:invoice.read" });
  assert.equal(estate.issued, 1);
  assert.equal(token.ath, accessTokenHash(token.token, nodeCrypto));
  assert.deepEqual(estate.seen, [
    "GET /.well-known/oauth-authorization-server/main/production",
    "POST /main/production/token",
    "POST /main/production/token",
  ]);
});

test("a hundred concurrent calls make one token request", async () => {
  const estate = await new Estate().start();
  const client = estate.client();
  const tokens = await Promise.all(Array.from({ length: 100 }, () => client.token({ resource: estate.resource })));
  assert.equal(new Set(tokens.map((one) => one.token)).size, 1);
  assert.equal(estate.issued, 1);
});

test("different scopes are different tokens", async () => {
  const estate = await new Estate().start();
  const client = estate.client();
  await client.token({ resource: estate.resource, scope: "a" });
  await client.token({ resource: estate.resource, scope: "b" });
  await client.token({ resource: estate.resource, scope: "a" });
  assert.equal(estate.issued, 2);
});

test("a token near its end still serves while the next one is fetched, and a token past it is never used", async () => {
  const estate = await new Estate().start();
  const client = estate.client();
  const request = { resource: estate.resource };
  const first = await client.token(request);
  estate.now += 224_000;
  assert.equal((await client.token(request)).token, first.token);
  assert.equal(estate.issued, 1, "three quarters of its life are not over");
  estate.now += 2_000;
  const renewed = estate.nextIssued();
  assert.equal((await client.token(request)).token, first.token, "the old one serves at once");
  assert.equal((await client.token(request)).token, first.token, "and starts no second renewal");
  await renewed;
  estate.now += 64_001;
  const second = await client.token(request);
  assert.notEqual(second.token, first.token);
  assert.equal(estate.issued, 2);
});

test("a failing background renewal disturbs nobody; past the end the fault is told", async () => {
  const estate = await new Estate().start();
  const client = estate.client();
  const request = { resource: estate.resource };
  const first = await client.token(request);
  estate.token = (_request, _body, response) => json(response, 500, {});
  estate.now += 230_000;
  assert.equal((await client.token(request)).token, first.token);
  estate.now += 60_001;
  assert.equal(await faultOf(client.token(request)), "token-endpoint-refused");
  estate.token = null;
  assert.notEqual((await client.token(request)).token, first.token, "and it recovers by itself");
});

const badAnswers: readonly (readonly [string, number, object, string])[] = [
  [
    "a Bearer token in place of a bound one",
    200,
    { access_token: "a.b.c", token_type: "Bearer", expires_in: 300 },
    "token-answer-unusable",
  ],
  [
    "a token with a newline",
    200,
    { access_token: "a\nb", token_type: "DPoP", expires_in: 300 },
    "token-answer-unusable",
  ],
  [
    "a lifetime as text",
    200,
    { access_token: "a.b.c", token_type: "DPoP", expires_in: "300" },
    "token-answer-unusable",
  ],
  ["no lifetime", 200, { access_token: "a.b.c", token_type: "DPoP" }, "token-answer-unusable"],
  ["an answer beyond the bound", 200, { padding: "x".repeat(300_000) }, "token-answer-unusable"],
  ["invalid_client", 401, { error: "invalid_client" }, "token-endpoint-refused"],
  ["use_dpop_nonce without end", 400, { error: "use_dpop_nonce" }, "token-endpoint-refused"],
  ["a redirect", 307, {}, "token-endpoint-unreachable"],
];
for (const [name, status, body, expected] of badAnswers) {
  test(`${expected}: the token endpoint answers with ${name}`, async () => {
    const estate = await new Estate().start();
    let asked = 0;
    estate.token = (_request, _body, response) =>
      json(response, status, body, { "dpop-nonce": `n-${asked++}`, location: "/elsewhere" });
    assert.equal(await faultOf(estate.client().token({ resource: estate.resource })), expected);
    assert.ok(asked <= 2, "at most one repetition");
  });
}

const badMetadata: readonly (readonly [string, (issuer: string) => object])[] = [
  ["another issuer (mix-up)", (issuer) => ({ issuer: `${issuer}/`, token_endpoint: `${issuer}/token` })],
  ["no token endpoint", (issuer) => ({ issuer })],
  ["a token endpoint of another scheme", (issuer) => ({ issuer, token_endpoint: "file:///etc/passwd" })],
];
for (const [name, metadata] of badMetadata) {
  test(`metadata with ${name} is not used, and no assertion leaves`, async () => {
    const estate = await new Estate().start();
    estate.metadata = metadata;
    assert.equal(await faultOf(estate.client().token({ resource: estate.resource })), "metadata-unusable");
    assert.equal(estate.seen.length, 1);
  });
}

test("no answer at all is a fault whose message shows neither token nor assertion", async () => {
  const client = new TokenClient({ issuer: "http://127.0.0.1:1/main/production", clientId: "orders", key: clientKey });
  await assert.rejects(
    client.token({ resource: "x" }),
    (error: SallyportFault) => error.code === "metadata-unusable" && !error.message.includes("eyJ"),
  );
});

function gatewayFetch(estate: Estate) {
  return sallyportFetch({ client: estate.client(), gateway: estate.origin, resource: estate.resource });
}

test("a request carries a token and a proof for its very method and URL, and goes through", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  const response = await call("/billing/v1/invoices?page=2", {
    method: "post",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  assert.deepEqual(await response.json(), { jti: "t-1", scope: null, body: "{}" });
});

test("when the gateway moves to a new nonce the request is repeated once, with its body, and the caller does not notice", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.nonce = "n-2";
  estate.seen = [];
  const response = await call("/billing/x", { method: "PUT", body: "again" });
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { jti: "t-1", scope: null, body: "again" });
  assert.deepEqual(estate.seen, ["PUT /billing/x", "PUT /billing/x"]);
});

test("a streamed body is not sent twice: the caller gets the 401", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  estate.nonce = "n-2";
  // `duplex` is what fetch demands for a streamed body; the DOM types do not know it yet.
  const init = { method: "PUT", body: new Blob(["once"]).stream(), duplex: "half" } as RequestInit;
  assert.equal((await call("/billing/x", init)).status, 401);
});

test("a token that the gateway refuses is not used again", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.revoked.add("t-1");
  assert.equal((await call("/billing/x")).status, 401, "the refusal is the caller's to see");
  const response = await call("/billing/x");
  assert.deepEqual(await response.json(), { jti: "t-2", scope: null, body: "" });
});

test("after its integration was suspended a client asks for a new token, so that it passes as soon as the integration is active again", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.cutOff.add("t-1");
  assert.equal((await call("/billing/x")).status, 403, "the refusal is the caller's to see");
  assert.equal((await call("/billing/x")).status, 200);
});

test("while the issuer gives no token for a suspended integration the caller goes on getting the gateway's refusal", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.cutOff.add("t-1");
  estate.token = (_request, _body, response) => json(response, 400, { error: "invalid_target" });
  assert.equal((await call("/billing/x")).status, 403);
  assert.equal((await call("/billing/x")).status, 403, "not a fault of the token endpoint");
  estate.token = null;
  estate.now += 2_000;
  assert.equal((await call("/billing/x")).status, 200, "as soon as the issuer gives one again");
});

test("credentials go to the gateway and nowhere else", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal(await faultOf(call("https://evil.example/x")), "wrong-origin");
  assert.equal(await faultOf(call("//evil.example/x")), "wrong-origin");
  assert.equal(await faultOf(call(new URL(`${estate.origin.replace("http", "https")}/x`))), "wrong-origin");
  assert.equal(await faultOf(call("/x", { redirect: "follow" })), "redirect-not-followed");
  assert.deepEqual(estate.seen, []);
});

test("a caller's own Authorization or DPoP header is replaced, never added to", async () => {
  const estate = await new Estate().start();
  const response = await gatewayFetch(estate)("/billing/x", { headers: { Authorization: "Bearer x", DPoP: "y" } });
  assert.equal(response.status, 200);
});

test("the exported JWKS holds public halves only and names keys by thumbprint", () => {
  const { signer, pem } = generateClientKey("EdDSA");
  const exported = publicJwks([clientKey, signer]);
  assert.deepEqual(
    exported.keys.map((key) => key["kid"]),
    [clientKey.kid, signer.kid],
  );
  for (const key of exported.keys) assert.equal(key["d"], undefined);
  assert.equal(signerFromPem(pem).kid, signer.kid);
  const bytes = decodeBase64url(signer.jwk.x);
  assert.equal(bytes?.length, 32);
});

test("a private JWK of the wrong kind is refused without being shown", () => {
  assert.throws(
    () => signerFromJwk({ kty: "oct", k: "c2VjcmV0LWtleS1ieXRlcw" }),
    (error: Error) => !error.message.includes("c2VjcmV0"),
  );
});
