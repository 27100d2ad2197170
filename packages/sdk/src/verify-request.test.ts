import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { generateClientKey, publicJwks } from "./node-crypto.ts";
import { createRequestVerifier, type RequestHeaders, type VerifyRequest } from "./verify-request.ts";

const start = Date.UTC(2026, 10, 22, 12);
let now = start;
let published: readonly TokenSigner[] = [];
let asked = 0;
let broken = false;
let server: Server;
let issuer = "";

before(async () => {
  server = createServer((request, response) => {
    asked++;
    if (broken || request.url !== "/main/production/hop-jwks") response.writeHead(503).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(publicJwks(published)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A listening TCP server always has an AddressInfo.
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/main/production`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const gateway = generateClientKey().signer;
const restarted = generateClientKey().signer;
beforeEach(() => {
  now = start;
  asked = 0;
  broken = false;
  published = [gateway];
});

const verifier = (): VerifyRequest =>
  createRequestVerifier({ issuer, audience: `${issuer}/systems/billing`, now: () => now });

function identity(signer: TokenSigner = gateway, change: Readonly<Record<string, unknown>> = {}): string {
  const iat = Math.floor(now / 1000);
  const claims = {
    iss: issuer,
    aud: `${issuer}/systems/billing`,
    sub: "orders",
    iat,
    exp: iat + 60,
    jti: "n-1",
    op: "billing:invoice.create",
    int: "orders-to-billing",
  };
  return signHopToken({ ...claims, ...change }, signer);
}

async function answer(verify: VerifyRequest, headers: RequestHeaders): Promise<string> {
  const result = await verify(headers);
  return result.kind === "deny" ? result.code : result.kind;
}

test("a request through the gateway is verified, with the caller and the operation", async () => {
  const result = await verifier()({ "sallyport-identity": identity() });
  assert.ok(result.kind === "verified");
  assert.equal(result.claims.sub, "orders");
  assert.equal(result.claims.op, "billing:invoice.create");
});

test("fetch Headers are read as well", async () => {
  assert.equal(await answer(verifier(), new Headers({ "Sallyport-Identity": identity() })), "verified");
});

test("a direct call that bypasses the gateway is refused", async () => {
  assert.equal(await answer(verifier(), {}), "credentials-missing");
  assert.equal(asked, 0);
});

test("two identities in one request are refused, however the server joined them", async () => {
  const verify = verifier();
  assert.equal(await answer(verify, { "sallyport-identity": `${identity()}, ${identity()}` }), "token-malformed");
  assert.equal(await answer(verify, { "sallyport-identity": [identity(), identity()] }), "token-malformed");
});

test("a token for another provider, another issuer or past its end is refused", async () => {
  const verify = verifier();
  assert.equal(
    await answer(verify, { "sallyport-identity": identity(gateway, { aud: `${issuer}/systems/analytics` }) }),
    "token-audience",
  );
  assert.equal(
    await answer(verify, { "sallyport-identity": identity(gateway, { iss: `${issuer}2` }) }),
    "token-issuer",
  );
  const old = identity();
  now += 65_000;
  assert.equal(await answer(verify, { "sallyport-identity": old }), "token-expired");
});

test("a gateway that restarted with a new key is known at its first request", async () => {
  const verify = verifier();
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "verified");
  published = [gateway, restarted];
  now += 1_000;
  assert.equal(await answer(verify, { "sallyport-identity": identity(restarted) }), "verified");
});

test("a key that was taken out of the published set is refused after the next look", async () => {
  const verify = verifier();
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "verified");
  published = [restarted];
  now += 1_000;
  assert.equal(await answer(verify, { "sallyport-identity": identity(restarted) }), "verified");
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "token-key-unknown");
});

test("a flood of unknown keys asks for the published set at most once a second", async () => {
  const verify = verifier();
  const strangers = Array.from({ length: 50 }, () => ({ "sallyport-identity": identity(generateClientKey().signer) }));
  const answers = await Promise.all(strangers.map((headers) => answer(verify, headers)));
  assert.deepEqual(new Set(answers), new Set(["token-key-unknown"]));
  for (const headers of strangers.slice(0, 5)) await answer(verify, headers);
  assert.equal(asked, 1);
});

test("while the publisher is away known keys go on serving, for a day and no longer", async () => {
  const verify = verifier();
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "verified");
  broken = true;
  now += 23 * 3_600_000;
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "verified");
  now += 2 * 3_600_000;
  assert.equal(await answer(verify, { "sallyport-identity": identity() }), "token-key-unknown");
});
