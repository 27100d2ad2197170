import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { accessTokenHash, signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { principalOf, sallyportGuard, sallyportMiddleware } from "./guard.ts";
import { generateClientKey, nodeCrypto, publicJwks } from "./node-crypto.ts";
import { ReplayGuard } from "./replay-guard.ts";
import { createDirectVerifier, type DirectRequest, type VerifyDirect } from "./verify-direct.ts";
import { fieldOf, headersOf } from "./verify-request.ts";

// A published key set on a real socket; tokens and proofs are made with protocol's own pens.
const ring = generateClientKey().signer;
const caller = generateClientKey().signer;
const url = "https://billing.example";
let now = Date.UTC(2026, 10, 22, 12);
let jwks: Server;
let issuer = "";
let verify: VerifyDirect;

before(async () => {
  jwks = createServer((_request, response) => response.end(JSON.stringify(publicJwks([ring]))));
  await new Promise<void>((resolve) => jwks.listen(0, "127.0.0.1", resolve));
  // A listening TCP server always has an AddressInfo.
  issuer = `http://127.0.0.1:${(jwks.address() as AddressInfo).port}/main/production`;
});
after(() => new Promise((resolve) => jwks.close(resolve)));
beforeEach(() => {
  verify = createDirectVerifier({ issuer, audience: `${issuer}/systems/billing`, url, now: () => now });
});

let ids = 0;

interface Change {
  readonly claims?: object;
  readonly proof?: object;
  readonly key?: typeof caller;
  readonly request?: Partial<DirectRequest>;
}

function request({ claims = {}, proof = {}, key = caller, request: changed = {} }: Change = {}): DirectRequest {
  const iat = Math.floor(now / 1000);
  const life = { iat, exp: iat + 300, jti: "t-1" };
  const base = { iss: issuer, sub: "orders", aud: `${issuer}/systems/billing`, client_id: "orders", ...life };
  const token = signAccessToken({ ...base, cnf: { jkt: caller.kid }, ...claims }, ring);
  const of = { jti: `p-${++ids}`, method: "GET", url: `${url}/v1/invoices/7`, iat, nonce: verify.nonce() };
  const dpop = signDpopProof({ ...of, ath: accessTokenHash(token, nodeCrypto), ...proof }, key);
  return { method: "GET", url: "/v1/invoices/7?full=1", headers: { authorization: `DPoP ${token}`, dpop }, ...changed };
}

async function code(one: DirectRequest): Promise<string> {
  const result = await verify(one);
  return result.kind === "deny" ? result.code : result.kind;
}

test("a token with a proof for this very request passes, with who calls and what it may", async () => {
  const result = await verify(request({ claims: { scope: "billing:invoice.read" } }));
  assert.ok(result.kind === "verified", JSON.stringify(result));
  const { caller: who, scopes, via, operation } = result.principal;
  assert.deepEqual([who, scopes, via, operation], ["orders", ["billing:invoice.read"], "direct", null]);
});

test("a user the caller acts for is the subject, not the caller", async () => {
  const result = await verify(request({ claims: { sub: "user-7" } }));
  assert.ok(result.kind === "verified");
  assert.deepEqual([result.principal.caller, result.principal.subject], ["orders", "user-7"]);
});

const attacks: readonly (readonly [string, string, () => DirectRequest])[] = [
  ["no token", "credentials-missing", () => ({ headers: {} })],
  ["a token as Bearer", "credentials-malformed", () => ({ headers: { authorization: "Bearer a.b.c" } })],
  [
    "a stolen token without its key",
    "dpop-missing",
    () => ({ headers: { authorization: fieldOf(headersOf(request()), "authorization") ?? "" } }),
  ],
  ["a stolen token with the thief's key", "dpop-key-mismatch", () => request({ key: generateClientKey().signer })],
  ["an unbound token", "token-unbound", () => request({ claims: { cnf: undefined } })],
  ["a token for another service", "token-audience", () => request({ claims: { aud: "https://x/systems/crm" } })],
  ["a token of another environment", "token-issuer", () => request({ claims: { iss: `${issuer}2` } })],
  ["a proof for another method", "dpop-method", () => request({ proof: { method: "POST" } })],
  ["a proof for another path", "dpop-url", () => request({ proof: { url: `${url}/v1/invoices/8` } })],
  [
    "a Host header that names the thief's server",
    "dpop-url",
    () => request({ request: { url: "https://evil.example/v1/invoices/8" } }),
  ],
  ["a proof without nonce", "dpop-nonce", () => request({ proof: { nonce: undefined } })],
  ["a nonce of another process", "dpop-nonce", () => request({ proof: { nonce: new ReplayGuard().nonce(now) } })],
  ["a proof for another token", "dpop-token-hash", () => request({ proof: { ath: "A".repeat(43) } })],
  [
    "a hop token in place of an access token",
    "token-type",
    () => {
      const iat = Math.floor(now / 1000);
      const claims = {
        iss: issuer,
        aud: `${issuer}/systems/billing`,
        sub: "orders",
        iat,
        exp: iat + 60,
        jti: "n",
        op: "a:b",
        int: "c",
      };
      return { ...request(), headers: { ...request().headers, authorization: `DPoP ${signHopToken(claims, ring)}` } };
    },
  ],
];
for (const [name, expected, make] of attacks) {
  test(`${expected}: ${name}`, async () => {
    assert.equal(await code(make()), expected);
    assert.equal(await code(request()), "verified", "the nearest allow");
  });
}

test("dpop-replayed: a proof passes once, also when it comes twenty times at once", async () => {
  const one = request();
  const answers = await Promise.all(Array.from({ length: 20 }, () => code(one)));
  assert.deepEqual(answers.toSorted(), [...Array(19).fill("dpop-replayed"), "verified"]);
});

test("a proof cannot come back after its id was forgotten: its nonce has ended before", async () => {
  const one = request();
  assert.equal(await code(one), "verified");
  now += 59_000;
  assert.equal(await code(one), "dpop-replayed");
  now += 120_000;
  assert.match(await code(one), /dpop-expired|dpop-nonce/);
});

test("attack: a proof does not come back when the clock of the service is set back to its time", async () => {
  const one = request();
  assert.equal(await code(one), "verified");
  now += 600_000;
  assert.equal(await code(request()), "verified");
  now -= 600_000;
  assert.match(await code(one), /dpop-nonce|dpop-replayed/);
  assert.equal(await code(request()), "verified", "whoever asks for the nonce now is served");
});

test("replay-table-full: when the set is full nothing passes, and it empties with time", () => {
  const guard = new ReplayGuard();
  for (let i = 0; i < 100_000; i++) guard.insert("k", String(i), 0);
  assert.equal(guard.insert("k", "one more", 1), "full");
  assert.equal(guard.insert("k", "7", 1), "seen");
  assert.equal(guard.insert("k", "one more", 125_001), "new");
});

test("the middleware answers a refusal with a nonce and no reason; a route without it answers nobody", async (t) => {
  const refusals: string[] = [];
  const guarded = sallyportMiddleware(verify, { onRefused: ({ code }) => refusals.push(code) });
  const server = createServer((incoming, response) =>
    guarded(incoming, response, () => response.end(principalOf(incoming).caller)),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  // As above.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // All headers of `request` are text.
  const good = request().headers as Record<string, string>;
  const allowed = await fetch(`${origin}/v1/invoices/7`, { headers: good });
  assert.deepEqual([allowed.status, await allowed.text()], [200, "orders"]);
  const refused = await fetch(`${origin}/v1/invoices/7`, { headers: { authorization: "Bearer a.b.c" } });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get("dpop-nonce"), verify.nonce());
  assert.match(refused.headers.get("www-authenticate") ?? "", /^DPoP /);
  const problem = await refused.text();
  assert.match(problem, /"code":"unauthenticated"/);
  assert.ok(!problem.includes("malformed"));
  assert.deepEqual(refusals, ["credentials-malformed"]);
  assert.throws(() => principalOf({}), /did not pass the guard/);
});

test("the guard of a fetch handler refuses with a Response and lets the rest pass", async () => {
  const guard = sallyportGuard(verify);
  // As above.
  const init = { headers: request().headers as Record<string, string> };
  const good = new Request("http://inside:8080/v1/invoices/7", init);
  assert.equal(await guard(good), null);
  assert.equal(principalOf(good).caller, "orders");
  const again = new Request("http://inside:8080/v1/invoices/7", init);
  assert.equal((await guard(again))?.status, 401);
  assert.throws(() => principalOf(again), /did not pass/);
});
