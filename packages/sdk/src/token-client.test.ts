import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { inspect } from "node:util";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { accessTokenHash } from "@sallyport/protocol/token/dpop.ts";
import type { SallyportFault } from "./fault.ts";
import { generateClientKey, nodeCrypto, publicJwks, signerFromJwk, signerFromPem } from "./node-crypto.ts";
import { clientKey, closeEstates, Estate, faultOf, json } from "./small-estate.test-support.ts";
import { TokenClient, tokenClient } from "./token-client.ts";

afterEach(closeEstates);

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

test("a clock that is an hour wrong is corrected by the issuer's Date before anything is signed by it", async () => {
  const estate = await new Estate().start();
  estate.date = () => estate.now;
  for (const wrongMs of [-3_600_000, 3_600_000]) {
    estate.seen = [];
    const client = estate.client({ now: () => estate.now + wrongMs });
    await client.token({ resource: estate.resource });
    assert.equal(estate.seen.length, 3, "metadata, nonce, token: no refusal for time");
    const { usableUntil } = await client.token({ resource: estate.resource });
    assert.equal(usableUntil, estate.now + wrongMs + 290_000, "its life is counted by the machine's own clock");
  }
});

test("a clock that jumps after the first token is corrected by the refusal's Date, with one repetition", async () => {
  const estate = await new Estate().start();
  estate.date = () => estate.now;
  let wrongMs = 0;
  const client = estate.client({ now: () => estate.now + wrongMs });
  await client.token({ resource: estate.resource });
  wrongMs = 1_800_000;
  estate.seen = [];
  await client.token({ resource: estate.resource });
  assert.deepEqual(estate.seen, ["POST /main/production/token", "POST /main/production/token"]);
});

test("a Date out of a cache, of another day or unreadable moves no clock", async () => {
  const estate = await new Estate().start();
  const proofs = estate.client().proofs;
  const learn = (headers: Record<string, string>) => {
    proofs.learn("https://a.example", new Headers(headers), undefined);
    return proofs.nowAt("https://a.example") - estate.now;
  };
  const date = (ms: number) => new Date(estate.now + ms).toUTCString();
  assert.equal(learn({ date: date(3_600_000), age: "3600" }), 0);
  assert.equal(learn({ date: date(30 * 3_600_000) }), 0);
  assert.equal(learn({ date: "soon" }), 0);
  assert.equal(learn({ date: date(2_000) }), 0, "a difference that may be the way");
  assert.equal(learn({ date: date(3_600_000) }), 3_600_500);
  assert.equal(proofs.nowAt("https://b.example"), estate.now, "and only for the server that said so");
});

test("renewals of a fleet are spread over a tenth of the token's life", async () => {
  const estate = await new Estate().start();
  for (const [random, seconds] of [
    [0, 225],
    [1, 255],
  ] as const) {
    const client = estate.client({ random: () => random });
    await client.token({ resource: estate.resource });
    const { issued } = estate;
    estate.now += seconds * 1000 - 1;
    await client.token({ resource: estate.resource });
    assert.equal(estate.issued, issued);
    estate.now += 1;
    const renewed = estate.nextIssued();
    await client.token({ resource: estate.resource });
    await renewed;
  }
});

test("printing a token, its client or a fault shows no token and no key", async () => {
  const estate = await new Estate().start();
  const { signer, pem } = generateClientKey();
  const client = estate.client({ dpopKey: pem });
  const token = await client.token({ resource: estate.resource });
  assert.ok(signer.kid.length === 43 && token.token.startsWith("eyJ"));
  for (const printed of [inspect([token, client], { depth: 9, showHidden: true }), JSON.stringify([token, client])])
    assert.ok(!printed.includes("eyJ") && !printed.includes("PRIVATE"), printed);
});

test("a key that is none is a fault that says what a key may be", async () => {
  const estate = await new Estate().start();
  for (const key of ["no key at all", { kty: "oct", k: "c2VjcmV0" }]) {
    // Wrong on purpose.
    const client = estate.client({ key: key as string });
    await assert.rejects(
      client.token({ resource: estate.resource }),
      (error: SallyportFault) =>
        error.code === "key-unusable" && /P-256/.test(error.fix) && !/c2VjcmV0/.test(error.message),
    );
  }
});

test("options that contradict each other are refused at once", () => {
  const options = { issuer: "https://id.example/main/production", clientId: "orders", key: clientKey };
  assert.throws(() => tokenClient({ ...options, proof: "mtls" }), /a certificate is needed/);
  assert.throws(() => tokenClient({ ...options, tls: {}, fetch: globalThis.fetch }), /not both/);
  assert.throws(() => tokenClient({ ...options, tls: { cert: "x" } }), /needs its key/);
});
