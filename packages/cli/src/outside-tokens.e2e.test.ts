// A Keycloak-shaped issuer with real HTTPS on loopback, a real control and a real gateway: the page's file, a key that is rotated, a user who is revoked,
// a control that is away, a rule that is taken back. docs/identity/outside-access-tokens.md.
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import { issueTestLeaf, newTestCa } from "@sallyport/gateway/testing/test-certificates.ts";
import {
  type OutsideChanges,
  type OutsideKeyPair,
  rsaKeyPair,
  TestIssuer,
} from "@sallyport/gateway/testing/test-issuer.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { outsideSubject } from "@sallyport/protocol/token/outside-subject.ts";
import { Installation, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(new URL("../../../docs/identity/outside-access-tokens.md", import.meta.url), "utf8");
/** The first file of the page, as a reader copies it. */
const written = /```yaml\n# issuers\/keycloak\.yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
const url = "https://sso.acme.example/realms/shop";

let installation: Installation;
let control: Served;
let gateway: Served;
let server: Server;
let keycloak: TestIssuer;
let published: readonly OutsideKeyPair[] = [];
let fetches = 0;

const grant = (from: string) => `integration: ${from}-to-billing
from: ${from}
to: billing
purpose: Show a customer the invoices of an order
proof:
  accept: [dpop, bearer]
  reason: The web client binds its tokens from its release 9 on
  until: 2099-01-15
operations: [invoice.read]
`;

async function openIssuer(): Promise<{ readonly jwksUri: string; readonly root: string }> {
  const ca = newTestCa("sso");
  const { cert, key } = issueTestLeaf(ca, { dns: ["localhost"] }, { usage: "server" });
  server = createServer({ cert, key }, (_request, response) => {
    fetches += 1;
    const keys = published.map(({ kid, jwk }) => ({ ...jwk.jwk, kid, alg: "RS256", use: "sig", x5c: ["AAAA"] }));
    const encryption = { kty: "RSA", n: "AQAB", e: "AQAB", kid: "enc", alg: "RSA-OAEP", use: "enc" };
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ keys: [...keys, encryption] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address !== "string");
  return { jwksUri: `https://localhost:${address.port}/certs`, root: ca.certificatePem };
}

before(async () => {
  keycloak = new TestIssuer("keycloak", url);
  published = [keycloak.key];
  const { jwksUri, root } = await openIssuer();
  installation = await Installation.open();
  installation.writeEstate({
    "systems/portal.yaml": "system: portal\n",
    "systems/analytics.yaml": "system: analytics\n",
    "integrations/portal-to-billing.yaml": grant("portal"),
    "integrations/analytics-to-billing.yaml": grant("analytics"),
    "trust/sso.yaml": "trust: sso\nroots: [sso.pem]\n",
    "trust/sso.pem": root,
    "issuers/keycloak.yaml": `${written.replace(/^jwksUri: .*$/m, `jwksUri: ${jwksUri}`)}allowPrivate: true\ntls: { ca: sso }\n`,
  });
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(async () => {
  await installation?.close();
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve));
});

/** Of a user who is revoked below. */
let leaver = "";

const bearer = (token: string) =>
  fetch(`https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`, {
    headers: { authorization: `Bearer ${token}` },
  });
const present = (changes: OutsideChanges = {}) => bearer(keycloak.token(changes));
const statusFor = async (token: string): Promise<number> => {
  const answer = await bearer(token);
  await answer.arrayBuffer();
  return answer.status;
};
const statusOf = (changes: OutsideChanges = {}) => statusFor(keycloak.token(changes));
const operator = () => ["--operator", installation.operatorKey];
const stateOf = async () =>
  (await installation.operator().call<ControlStatus>("GET", "/v1/status")).issuers.find(
    ({ issuer }) => issuer === "keycloak",
  );

test(
  "the file of the page is all it takes: a user's token and a service account's open billing, no other token does",
  bounded,
  async () => {
    assert.match(written, /^issuer: keycloak\n/);
    await until("the issuer's keys to reach the gateway", async () => (await statusOf()) === 200);
    const robot = /subject: (\S+)/.exec(written)?.[1] ?? "";
    assert.equal(await statusOf({ claims: { azp: "analytics", client_id: "analytics", sub: robot } }), 200);
    assert.equal(await statusOf({ claims: { azp: "analytics" } }), 401, "one of its users");
    assert.equal(await statusOf({ claims: { aud: "account" } }), 401);
    assert.equal(await statusOf({ claims: { typ: "ID" } }), 401);
    assert.equal(await statusOf({ claims: { scope: "openid" } }), 403);
    const now = Math.floor(Date.now() / 1000);
    assert.equal(await statusOf({ claims: { iat: now, exp: now + 301 } }), 401, "longer than `lifetime`");
  },
);

test(
  "status, doctor, why, why --from and show know the issuer; the record names it and no word of the token",
  bounded,
  async () => {
    const state = await stateOf();
    assert.deepEqual([state?.keys, state?.gateways, state?.failure, state?.from], [1, true, null, "uri"]);
    assert.match(
      (await runBinary(["status", ...operator()])).out,
      /issuer keycloak \(production\): 1 key, fetched \d+ (?:s|min) ago/,
    );
    const shownIssuer = await runBinary(["issuer", "show", "keycloak", ...operator()]);
    assert.equal(shownIssuer.exit, 0, shownIssuer.err);
    assert.match(
      shownIssuer.out,
      /^keycloak \(production\) is for tokens; keys: 1 key, fetched \d+ (?:s|min) ago\n[\s\S]*whoever has a token of keycloak with azp "portal-web" may present it at gateways as portal; acting for the user it names; audience "billing-api" opens billing; scope "invoices\.read" stands for billing:invoice\.read/,
    );
    const answer = await present({ claims: { email: "ada@acme.example" } });
    const id = answer.headers.get("sallyport-crossing") ?? "";
    const why = await runBinary(["why", id, ...operator()]);
    assert.match(why.out, /^issuer +keycloak$/m);
    assert.match(why.out, /principal\.issuer +keycloak/);
    assert.match(why.out, /principal\.subject +ext_[A-Za-z0-9_-]{22}/);
    assert.doesNotMatch(why.out, /ada@acme|7d1c4a0e/);
    const refused = (await present({ claims: { azp: "stranger" } })).headers.get("sallyport-crossing") ?? "";
    const denied = await runBinary(["why", refused, ...operator()]);
    assert.match(
      denied.out,
      /token-unmapped[\s\S]*sent +azp stranger[\s\S]*fix +in issuers\/keycloak\.yaml write a rule/,
    );
    assert.doesNotMatch(denied.out, /7d1c4a0e/);
    const asked = await runBinary(["why", "--from", "portal", "--op", "billing:invoice.read", ...operator()]);
    assert.match(
      asked.out,
      /with a token of keycloak \(issuers\/keycloak\.yaml:1\) for azp portal-web, aud billing-api, scope invoices\.read/,
    );
    const shown = await runBinary(["show", "issuer:keycloak", "--config", installation.estate]);
    assert.match(shown.out, /speaksFor: user +# issuers\/keycloak\.yaml:\d+/);
    const checked = await runBinary(["check", installation.estate]);
    assert.doesNotMatch(checked.out + checked.err, /load-error|caller-without-identity|outside-token-audience/);
  },
);

test("a user is revoked by the subject of the record", bounded, async () => {
  const sub = "leaver";
  leaver = keycloak.token({ claims: { sub } });
  assert.equal(await statusFor(leaver), 200);
  const subject = outsideSubject(url, sub, { sha256 });
  const { exit, err } = await runBinary(["revoke", "subject", subject, "--reason", "left", ...operator()]);
  assert.equal(exit, 0, err);
  await until("the revocation", async () => (await statusFor(leaver)) === 401);
  assert.equal(await statusOf(), 200);
});

test(
  "a rotated key is refused at once, looked for by control alone, and believed without a change of the configuration; the old one goes with the set",
  bounded,
  async () => {
    const old = keycloak.key;
    keycloak.key = rsaKeyPair("realm-key-2");
    published = [keycloak.key];
    const before = fetches;
    assert.equal(await statusOf(), 401);
    // As a caller does that is refused: a gateway asks at most every 5 s, and not again of its own accord.
    let triedAt = performance.now();
    await until("control to look", async () => {
      if (performance.now() - triedAt > 3_000) {
        triedAt = performance.now();
        await statusOf();
      }
      return fetches > before;
    });
    await until("the new key at the gateway", async () => (await statusOf()) === 200);
    assert.equal(await statusOf({ key: old }), 401);
    assert.ok(fetches - before <= 2, "a storm of tokens is no storm of fetches");
  },
);

test(
  "control is away: the gateway goes on, also after a restart, with the issuer and keys of its last snapshot",
  bounded,
  async () => {
    await control.signal("SIGKILL");
    assert.equal(await statusOf(), 200);
    await gateway.signal("SIGTERM");
    gateway = await installation.startGateway();
    assert.equal(await statusOf(), 200);
    assert.equal(await statusOf({ key: rsaKeyPair("unknown") }), 401);
    assert.equal(await statusFor(leaver), 401, "what was revoked stays so");
  },
);

test(
  "control comes back beside an issuer that is away: it believes what it saw, says so, and a rule that is taken back ends its tokens",
  bounded,
  async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    control = await installation.startControl();
    await until("the failed fetch to be said", async () => (await stateOf())?.failure !== null);
    assert.equal(await statusOf(), 200);
    const state = await stateOf();
    assert.equal(state?.keys, 1);
    const { out } = await runBinary(["status", ...operator()]);
    assert.match(
      out,
      /issuer keycloak \(production\): 1 key, fetched .* STALE, believed for another \d+ h; the last try failed/,
    );
    rmSync(join(installation.estate, "issuers/keycloak.yaml"));
    await runBinary(["apply", installation.estate, ...operator()]);
    await until("the rule to be gone", async () => (await statusOf()) === 401);
    await gateway.signal("SIGTERM");
    const log = join(installation.data("gateway"), "log");
    const verified = await runBinary(["audit", "verify", log]);
    assert.equal(verified.exit, 0, verified.out + verified.err);
  },
);
