// A provider whose own authorization server makes the token it is called with, at a real control plane and a real gateway: what that server is shown, what it may answer,
// and what never passes (docs/identity/next-hop.md "From the provider's own authorization server"). Its server speaks RFC 8693 over TLS and bends as a test wants.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { nextHopRefusedMs } from "@sallyport/gateway/exchange/next-hop-tokens.ts";
import { issueTestLeaf, newTestCa } from "@sallyport/gateway/testing/test-certificates.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
const json = { "content-type": "application/json" };
const timeout = 120_000;
const invoice = "/billing/v1/invoices/in-1";

const forms: URLSearchParams[] = [];
const shown: IncomingHttpHeaders[] = [];
let answer: (token: string) => Answer | Promise<Answer>;
let installation: Installation;
let base: string;
let endpoint: string;
const tokens: string[] = [];

const given =
  (changes: Readonly<Record<string, unknown>> = {}) =>
  (token: string) => ({
    status: 200,
    headers: json,
    body: JSON.stringify({
      access_token: token,
      issued_token_type: accessToken,
      token_type: "Bearer",
      expires_in: 120,
      scope: "invoices.read",
      ...changes,
    }),
  });

const ca = newTestCa("partner");
const leaf = issueTestLeaf(ca, { dns: ["localhost"] }, { usage: "server" });
const authorization = createTlsServer({ cert: leaf.cert, key: leaf.key }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", async () => {
    forms.push(new URLSearchParams(Buffer.concat(chunks).toString("utf8")));
    const token = `partner.${randomBytes(16).toString("hex")}`;
    tokens.push(token);
    const { status, headers, body } = await answer(token);
    response.on("error", () => undefined);
    response.writeHead(status, headers).end(body);
  });
});
const api = createServer((request, response) => {
  shown.push(request.headers);
  response.writeHead(200, json).end("{}");
});

const tomorrow = new Date(Date.now() + 20 * 86_400_000).toISOString().slice(0, 10);
const billing = (grant: string, more = "") =>
  `system: billing
url: ${base}
allowPrivate: true
nextHop:
  bearer: { reason: The partner's API knows bearer tokens alone until its next release, until: ${tomorrow} }
  identity: false
  outside:
    endpoint: ${endpoint}
    grant: ${grant}
    client: sallyport-acme
    issuer: https://login.partner.example
    resource: https://api.partner.example/billing
    scopes: [invoices.read]
    allowPrivate: true
    tls: { ca: partner }
${more}operations:
  invoice.create: { match: POST /v1/invoices, nextHopScope: [invoices.write] }
  invoice.read: GET /v1/invoices/{id}
`;

before(async () => {
  await new Promise<void>((resolve) => authorization.listen(0, "localhost", resolve));
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
  endpoint = `https://localhost:${(authorization.address() as AddressInfo).port}/token`;
  base = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  installation = await Installation.open();
  const trust = join(installation.estate, "trust");
  mkdirSync(trust, { recursive: true });
  writeFileSync(join(trust, "partner.pem"), ca.certificatePem);
  const both = "  invoice.create: {}\n  invoice.read: { timeout: 10s }\n";
  const grant = (installation.files()["integrations/orders-to-billing.yaml"] ?? "").replace(
    / {2}invoice\.read.*\n/,
    both,
  );
  installation.writeEstate({
    "systems/billing.yaml": billing("token-exchange"),
    "trust/partner.yaml": "trust: partner\nroots: [partner.pem]\n",
    "integrations/orders-to-billing.yaml": grant,
  });
  answer = given();
  await installation.startControl();
  installation.trustRoots();
  await installation.startGateway();
});
after(async () => {
  await installation?.close();
  for (const server of [authorization, api]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const issuer = () => `https://127.0.0.1:${installation.ports.identity}/main/production`;
const keysAt = async (name: string) =>
  createLocalJWKSet((await (await fetch(`${issuer()}/${name}`)).json()) as JSONWebKeySet);

/** A caller with a token that no cache has seen. */
const newCaller = () => installation.caller();

async function crosses(): Promise<Response> {
  return newCaller().fetch(invoice);
}

async function codeOf(response: Response): Promise<string> {
  const problem = (await response.json()) as { code: string; detail?: string };
  return `${response.status} ${problem.code} ${/\(([a-z-]+)\)$/.exec(problem.detail ?? "")?.[1] ?? ""}`.trim();
}

test("its token endpoint is asked with a token of ours about the caller and an assertion of control, and the provider gets what it gave", {
  timeout,
}, async () => {
  const caller = newCaller();
  const response = await caller.fetch(invoice);
  assert.equal(response.status, 200, await response.clone().text());
  const form = forms.at(-1) ?? assert.fail();
  const named = ["grant_type", "requested_token_type", "resource", "scope", "client_id"].map((name) => form.get(name));
  assert.deepEqual(named, [
    exchangeGrant,
    accessToken,
    "https://api.partner.example/billing",
    "invoices.read",
    "sallyport-acme",
  ]);
  const audience = "https://login.partner.example";
  const subject = await jwtVerify(form.get("subject_token") ?? "", await keysAt("jwks"), {
    issuer: issuer(),
    audience,
  });
  const { sub, client_id, act, scope, iat = 0, exp = 0 } = subject.payload;
  assert.deepEqual(
    [sub, client_id, act, scope],
    ["orders", "orders", { sub: "gateway:production-default" }, "billing:invoice.read"],
  );
  assert.ok(exp - iat <= 60);
  const own = await jwtVerify(form.get("client_assertion") ?? "", await keysAt("next-hop-jwks"), {
    issuer: "sallyport-acme",
    subject: "sallyport-acme",
    audience,
  });
  assert.ok((own.payload.exp ?? 0) - (own.payload.iat ?? 0) <= 60);
  const seen = shown.at(-1) ?? assert.fail();
  assert.deepEqual([seen.authorization, seen["sallyport-identity"]], [`Bearer ${tokens.at(-1)}`, undefined]);
  const theirs = await caller.token();
  assert.ok(!form.toString().includes(theirs) && !JSON.stringify(shown).includes(theirs));
  const asked = forms.length;
  assert.equal((await caller.fetch(invoice)).status, 200);
  assert.equal(forms.length, asked, "and is asked once");
});

test("an operation asks for its own words of scope, and never shares a token with another", { timeout }, async () => {
  answer = given({ scope: undefined });
  const caller = newCaller();
  assert.equal((await caller.fetch(invoice)).status, 200);
  const first = shown.at(-1)?.authorization;
  const created = await caller.fetch("/billing/v1/invoices", {
    method: "POST",
    headers: json,
    body: "{}",
  });
  assert.equal(created.status, 200, await created.clone().text());
  assert.equal(forms.at(-1)?.get("scope"), "invoices.write");
  assert.notEqual(shown.at(-1)?.authorization, first);
});

test("attack: an answer with a wider scope, another kind of token, ours in return, HTML, a redirect or a huge body is no token", {
  timeout,
}, async () => {
  const page = { status: 200, headers: { "content-type": "text/html" }, body: "<html>sign in</html>" };
  const cases: readonly [string, (token: string) => Answer][] = [
    ["wider scope", given({ scope: "invoices.read invoices.write" })],
    ["bound to somebody's key", given({ token_type: "DPoP" })],
    ["N_A", given({ token_type: "N_A" })],
    ["an ID token", given({ issued_token_type: "urn:ietf:params:oauth:token-type:id_token" })],
    ["a refresh token", given({ issued_token_type: "urn:ietf:params:oauth:token-type:refresh_token" })],
    ["no kind", given({ issued_token_type: undefined })],
    ["ours", () => given({ access_token: forms.at(-1)?.get("subject_token") })("")],
    ["a header in it", given({ access_token: "a\r\nx-admin: 1" })],
    ["no life", given({ expires_in: -1 })],
    ["a life in words", given({ expires_in: "3600" })],
    ["HTML", () => page],
    ["a redirect", () => ({ status: 302, headers: { location: `${base}/steal`, ...json }, body: "{}" })],
    ["twice", () => ({ status: 200, headers: json, body: '{"access_token":"a","access_token":"b"}' })],
    ["huge", () => ({ status: 200, headers: json, body: `{"access_token":"${"a".repeat(2_000_000)}"}` })],
    ["an error of its own", () => ({ status: 500, headers: json, body: '{"error":"server_error"}' })],
  ];
  for (const [name, bent] of cases) {
    answer = bent;
    const reached = shown.length;
    // After a failure the endpoint is left alone for a second.
    let code = "";
    const asked = forms.length;
    await until(`an answer about ${name}`, async () => {
      code = await codeOf(await crosses());
      return forms.length > asked;
    });
    assert.equal(code, "503 next-hop-unavailable", name);
    assert.equal(shown.length, reached, `${name}: nothing reached the provider`);
  }
});

test("attack: a life that is longer than the caller's own proof does not make the token live longer", {
  timeout,
}, async () => {
  answer = given({ expires_in: 86_400 });
  let caller = newCaller();
  await until("a token", async () => {
    caller = newCaller();
    return (await caller.fetch(invoice)).status === 200;
  });
  const mine = JSON.parse(Buffer.from((await caller.token()).split(".")[1] ?? "", "base64url").toString()) as {
    exp: number;
    jti: string;
  };
  const record = await installation.issuanceOf(`xch_${mine.jti}`);
  assert.deepEqual([record["t"], record["verdict"], record["proof"]], ["issuance", "allow", "bearer"]);
  assert.ok(Number(record["expiresAt"]) <= mine.exp * 1_000 + 1_000);
  assert.ok(!JSON.stringify(record).includes(tokens.at(-1) ?? "-"), "the record has no token");
});

test("its no is a 403 that says so, and is not asked for again at once", { timeout }, async () => {
  answer = () => ({ status: 400, headers: json, body: '{"error":"invalid_target","error_description":"<b>x</b>"}' });
  const caller = newCaller();
  const before = forms.length;
  // A no is kept for a while: crossings that took longer say nothing of it.
  await until("two crossings within it", async () => {
    const [asked, from] = [forms.length, performance.now()];
    for (let n = 0; n < 2; n += 1)
      assert.equal(await codeOf(await caller.fetch(invoice)), "403 next-hop-refused outside-invalid-target");
    if (performance.now() - from >= nextHopRefusedMs) return false;
    assert.ok(forms.length <= asked + 1);
    return true;
  });
  assert.ok(forms.length > before);
});

test("a provider that knows no exchange: client_credentials, one token for all callers, and no word about any of them", {
  timeout,
}, async () => {
  answer = given({ issued_token_type: undefined });
  installation.writeEstate({ "systems/billing.yaml": billing("client-credentials") });
  const applied = await runBinary(["apply", installation.estate, "--operator", installation.operatorKey]);
  assert.equal(applied.exit, 0, applied.err + applied.out);
  await until("a token of the other grant", async () => {
    await crosses();
    return forms.at(-1)?.get("grant_type") === "client_credentials";
  });
  const form = forms.at(-1) ?? assert.fail();
  assert.deepEqual([form.has("subject_token"), form.get("scope")], [false, "invoices.read"]);
  assert.equal((await crosses()).status, 200);
  const asked = forms.length;
  assert.equal((await crosses()).status, 200);
  assert.equal(forms.length, asked);
});
