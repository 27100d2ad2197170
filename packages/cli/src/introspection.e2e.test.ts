// Opaque tokens of a real oidc-provider over HTTPS, a real control and a real gateway: the page's file, our key there, a token that ends there and one that is revoked
// here, answers nobody may believe, an issuer that is away and a control that is away. docs/identity/outside-introspection.md.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import { OpaqueIssuer } from "@sallyport/control/identity/trust/opaque-issuer.test-support.ts";
import { issueTestLeaf, newTestCa } from "@sallyport/gateway/testing/test-certificates.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { outsideSubject } from "@sallyport/protocol/token/outside-subject.ts";
import { Installation, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(new URL("../../../docs/identity/outside-introspection.md", import.meta.url), "utf8");
/** The file of the page, as a reader copies it. */
const written = /```yaml\n# issuers\/sso\.yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? "";

let installation: Installation;
let control: Served;
let gateway: Served;
let sso: OpaqueIssuer;
let root: string;

const grant = `integration: portal-to-billing
from: portal
to: billing
purpose: Show a customer the invoices of an order
proof:
  accept: [dpop, bearer]
  reason: The web client binds its tokens from its release 9 on
  until: 2099-01-15
operations: [invoice.read]
`;

function issuerFile(keep: string): string {
  const here = written
    .replace("keep: 30s", `keep: ${keep}`)
    .replaceAll(/https:\/\/sso\.acme\.example\/token\/introspection/g, sso.endpoint)
    .replaceAll("https://sso.acme.example", sso.url);
  return `${here}allowPrivate: true\ntls: { ca: sso }\n`;
}

before(async () => {
  const ca = newTestCa("sso");
  root = ca.certificatePem;
  const { cert, key } = issueTestLeaf(ca, { dns: ["localhost"] }, { usage: "server" });
  sso = new OpaqueIssuer({ cert, key });
  await sso.start();
  installation = await Installation.open();
  installation.writeEstate({
    "systems/portal.yaml": "system: portal\n",
    "integrations/portal-to-billing.yaml": grant,
    "trust/sso.yaml": "trust: sso\nroots: [sso.pem]\n",
    "trust/sso.pem": root,
    "issuers/sso.yaml": issuerFile("0s"),
  });
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
  sso.register(await ourKeys());
}, bounded);
after(async () => {
  await installation?.close();
  sso?.stop();
});

async function ourKeys(): Promise<{ readonly keys: readonly Record<string, unknown>[] }> {
  const answer = await fetch(`https://127.0.0.1:${installation.ports.identity}/main/production/introspection-jwks`);
  assert.equal(answer.status, 200);
  return JSON.parse(await answer.text());
}

const present = (token: string) =>
  fetch(`https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`, {
    headers: { authorization: `Bearer ${token}` },
  });
async function statusFor(token: string): Promise<number> {
  const answer = await present(token);
  await answer.arrayBuffer();
  return answer.status;
}
const asked = (token: string) => sso.asked.filter((one) => one.get("token") === token).length;

test(
  "the file of the page is all it takes: a user's opaque token opens billing, asked about by our own key",
  bounded,
  async () => {
    const { keys } = await ourKeys();
    assert.deepEqual(
      keys.map(({ alg, use, d }) => [alg, use, d]),
      [["ES256", "sig", undefined]],
    );
    assert.equal(await statusFor(await sso.token()), 200);
    const form = sso.asked.at(-1);
    assert.equal(form?.get("token_type_hint"), "access_token");
    const claims = JSON.parse(
      Buffer.from(form?.get("client_assertion")?.split(".")[1] ?? "", "base64url").toString("utf8"),
    );
    assert.deepEqual([claims.iss, claims.sub, claims.aud], ["sallyport", "sallyport", sso.url]);
  },
);

test(
  "attack: made up, of a client nobody named, a refresh token, ended there, bound and shown as bearer: all refused",
  bounded,
  async () => {
    assert.equal(await statusFor(randomBytes(32).toString("base64url")), 401);
    assert.equal(await statusFor(await sso.token({ client: "somebody-else" })), 401);
    assert.equal(await statusFor(await sso.refreshToken()), 401);
    const ended = await sso.token();
    assert.equal(await statusFor(ended), 200);
    await sso.end(ended);
    assert.equal(await statusFor(ended), 401);
    assert.equal(await statusFor(await sso.token({ jkt: "A".repeat(43) })), 401);
  },
);

const operator = () => ["--operator", installation.operatorKey];
const stateOf = async () =>
  (await installation.operator().call<ControlStatus>("GET", "/v1/status")).issuers.find(
    ({ issuer }) => issuer === "sso",
  );

test("status, why and show know the issuer; no record, log or word of theirs has the token", bounded, async () => {
  const state = await stateOf();
  assert.equal(state?.introspection?.trouble, null);
  assert.match(
    (await runBinary(["status", ...operator()])).out,
    /issuer sso \(production\): asked about opaque tokens, last answered \d+ s ago/,
  );
  const shown = await runBinary(["issuer", "show", "sso", ...operator()]);
  assert.match(
    shown.out,
    /sso is asked about opaque tokens that are presented for billing; at https:\/\/localhost:\d+\/token\/introspection with the roots of sso; private addresses too; as its client "sallyport"/,
  );
  const token = await sso.token();
  const answer = await present(token);
  const why = await runBinary(["why", answer.headers.get("sallyport-crossing") ?? "", ...operator()]);
  assert.match(why.out, /^issuer +sso$/m);
  const made = randomBytes(32).toString("base64url");
  const refused = await present(made);
  const denied = await runBinary(["why", refused.headers.get("sallyport-crossing") ?? "", ...operator()]);
  assert.match(denied.out, /token-inactive[\s\S]*issuer sso says the token is not active/);
  const said = [why.out, denied.out, JSON.stringify([control.lines, gateway.lines])].join("\n");
  for (const one of [token, made]) assert.equal(said.includes(one), false);
});

test(
  "attack: answers nobody may believe let nobody in, and are named: active as a text, a name twice, too much, HTML, a redirect, our client refused",
  bounded,
  async () => {
    const yes = (more: string) =>
      `{"active":true,"client_id":"portal-web","sub":"u","aud":"billing-api","token_type":"Bearer","scope":"invoices.read","iat":${Math.floor(Date.now() / 1_000)},"exp":${Math.floor(Date.now() / 1_000) + 200}${more}}`;
    const json =
      (text: string, status = 200, headers = {}) =>
      (res: ServerResponse) =>
        void res.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
    const cases = [
      ["malformed", json(yes("").replace("true", '"true"'))],
      ["malformed", json(yes(',"active":true'))],
      ["malformed", json(yes(',"sub":"v"'))],
      ["malformed", json(yes(`,"more":"${"x".repeat(20_000)}"`))],
      ["malformed", json(`[${yes("")}]`)],
      ["malformed", json("")],
      ["malformed", json(yes(""), 200, { "content-type": "text/html" })],
      ["malformed", json(yes(""), 201)],
      ["malformed", json("", 302, { location: sso.endpoint })],
      ["client-refused", json('{"error":"invalid_client"}', 401)],
      ["unreachable", json("", 503)],
      ["unreachable", json("", 429)],
    ] as const;
    for (const [trouble, answer] of cases) {
      sso.bent = (_req, res) => {
        answer(res);
        return true;
      };
      const token = await sso.token();
      const before = sso.asked.length;
      assert.equal(await statusFor(token), 503, trouble);
      assert.equal((await stateOf())?.introspection?.trouble, trouble);
      assert.equal(sso.asked.length, before + 1, "asked once; a redirect is not followed");
      // The nearest good one: the same answer as it should be.
      sso.bent = (_req, res) => {
        json(yes(""))(res);
        return true;
      };
      assert.equal(await statusFor(token), 200, "no failure is kept");
    }
    sso.bent = null;
  },
);

test("attack: an issuer that never ends its answer costs a crossing no more than its time", bounded, async () => {
  sso.bent = (_req, res) => {
    res.writeHead(200, { "content-type": "application/json" }).write("{");
    return true;
  };
  assert.equal(await statusFor(await sso.token()), 503);
  assert.equal((await stateOf())?.introspection?.trouble, "unreachable");
  sso.bent = null;
});

test("a user is revoked here by the subject of the record, whatever the issuer goes on saying", bounded, async () => {
  const token = await sso.token({ subject: "leaver" });
  assert.equal(await statusFor(token), 200);
  const subject = outsideSubject(sso.url, "leaver", { sha256 });
  const { exit, err } = await runBinary(["revoke", "subject", subject, "--reason", "left", ...operator()]);
  assert.equal(exit, 0, err);
  await until("the revocation", async () => (await statusFor(token)) === 401);
  assert.equal(await statusFor(await sso.token()), 200);
});

test(
  "a yes is used again while its time is not over, though issuer and control are away; what is new is 503, and control comes back with the same key",
  bounded,
  async () => {
    installation.writeEstate({ "issuers/sso.yaml": issuerFile("5m") });
    const applied = await runBinary(["apply", installation.estate, ...operator()]);
    assert.equal(applied.exit, 0, applied.err);
    const held = await sso.token();
    // The file in force is the one with `keep: 5m` as soon as a second crossing asks nobody.
    await until("the new rule", async () => {
      const before = asked(held);
      return (await statusFor(held)) === 200 && asked(held) === before;
    });
    const fresh = await sso.token();
    sso.bent = (req) => {
      req.socket.destroy();
      return true;
    };
    assert.equal(await statusFor(held), 200);
    assert.equal(await statusFor(fresh), 503);
    sso.bent = null;
    const keys = await ourKeys();
    await control.signal("SIGKILL");
    assert.equal(await statusFor(held), 200);
    assert.equal(await statusFor(fresh), 503);
    control = await installation.startControl();
    assert.deepEqual(await ourKeys(), keys);
    await until("the channel to stand again", async () => (await statusFor(fresh)) === 200);
  },
);

test(
  "what the issuer's file no longer says holds at once: nobody with an opaque token gets in, and nobody is asked",
  bounded,
  async () => {
    const token = await sso.token();
    assert.equal(await statusFor(token), 200);
    rmSync(join(installation.estate, "issuers/sso.yaml"));
    await runBinary(["apply", installation.estate, ...operator()]);
    await until("the rule to be gone", async () => (await statusFor(token)) === 401);
    const before = sso.asked.length;
    assert.equal(await statusFor(await sso.token()), 401);
    assert.equal(sso.asked.length, before);
  },
);
