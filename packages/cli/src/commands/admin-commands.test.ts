import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { type Answers, runAgainst } from "../program.test-support.ts";
import { readEstateFiles } from "./estate.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-admin-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;

const now = 1_795_219_200_000;
const group = {
  environment: "production",
  group: "production-eu",
  epoch: 1,
  version: 4,
  expiresAt: 1_795_305_600_000,
  broken: [],
};
const gateway = {
  node: "gw-1",
  environment: "production",
  group: "production-eu",
  state: "active",
  connected: true,
  connectedSince: now - 7_300_000,
  snapshot: { epoch: 1, version: 4 },
  heardAt: now,
  lastSeenAt: now - 1_000,
  refusal: null,
  report: {
    ...{ at: now, receivedAt: now, skewMs: 40, version: "0.1.0", stalenessMs: 400 },
    ...{ logOrigin: "sallyport.local/main/production/gw-1/gateway/2026", logLeaves: 90_211, inFlight: 2, waitingMs: 0 },
  },
};
const status = {
  version: "0.1.0",
  ready: true,
  now,
  served: [{ environment: "production", approval: "none", systems: 2, operations: 3, integrations: { active: 1 } }],
  groups: [group],
  gateways: [gateway],
  inactive: [],
  issuers: [
    {
      ...{ environment: "production", issuer: "keycloak", url: "https://sso.example", gateways: true, from: "uri" },
      ...{ keys: 2, fetchedAt: now - 180_000, believedUntil: now + 86_220_000, failure: null },
    },
  ],
  log: {
    origin: "sallyport.local/main/sallyport/c/control/2026",
    leaves: 9,
    checkpointCopy: false,
    cosigners: 0,
    waiting: 0,
    waitingMs: 0,
    kept: [],
  },
  notices: [],
  warnings: ["no witness is configured"],
};
const broken = { object: "system/billing", file: "systems/billing.yaml", line: 3, why: "not a URL" };
const report = { created: [], changed: [], removed: [], findings: [] };
const finding = {
  severity: "error",
  file: "systems/billing.yaml",
  line: 3,
  column: 6,
  message: "not a URL",
  fix: "write one",
};
const crossing = "gw-1-01KAMZZZZZ0000000000000000";
const leaf = (verdict: string) =>
  JSON.stringify({ t: "crossing", id: crossing, verdict, code: verdict === "deny" ? "scope-missing" : null });
const integration = {
  id: "orders-to-billing",
  environment: "production",
  from: "orders",
  to: "billing",
  owner: "team:shop",
  state: "suspended",
  declaredAt: "integrations/x.yaml:1",
};

function estateFolder(): string {
  const directory = join(folder, `estate-${folders++}`);
  mkdirSync(join(directory, "systems"), { recursive: true });
  writeFileSync(join(directory, "systems/billing.yaml"), "system: billing\n");
  return directory;
}

const directory = estateFolder();
/** Every command that speaks to control, with an answer and the exit code it deserves. */
const clientStatus = {
  client: "shop",
  system: "shop",
  environment: "production",
  method: "client_secret_basic",
  until: Date.parse("2027-01-01T00:00:00Z"),
  keys: [],
  secrets: [{ id: "3f9a01c2d4", createdAt: 1, notAfter: null, usedAt: null, state: "live" }],
};

const issuerRow = {
  ...{ id: "keycloak", environment: "production", url: "https://sso.example", use: "tokens" },
  keys: { from: "uri", keys: 2, fetchedAt: now - 180_000, believedUntil: now + 86_220_000, failure: null, now },
  says: ["tokens of keycloak are believed"],
};
const exchangeRow = {
  ...{ environment: "production", integration: "portal-to-billing", state: "suspended" },
  ...{ says: "clients of portal may exchange tokens", declaredAt: "integrations/p.yaml:1" },
};

const cases: readonly {
  readonly argv: readonly string[];
  readonly answers: Answers;
  readonly exit: number;
  readonly says: RegExp;
}[] = [
  {
    argv: ["status"],
    answers: { "GET /v1/status": status },
    exit: 0,
    says: /ready[\s\S]*production: 2 systems, 3 operations, integrations: 1 active[\s\S]*gw-1 .*connected {2}2 h +1\.4 .*0\.4 s .* 0\.0 s .*90211 leaves[\s\S]*warning: no witness/,
  },
  { argv: ["status"], answers: { "GET /v1/status": { ...status, ready: false } }, exit: 1, says: /not ready/ },
  {
    argv: ["status"],
    answers: { "GET /v1/status": status },
    exit: 0,
    says: /issuer keycloak \(production\): 2 keys, fetched 3 min ago; tokens presented at gateways/,
  },
  {
    argv: ["status"],
    answers: {
      "GET /v1/status": {
        ...status,
        issuers: [{ ...status.issuers[0], fetchedAt: now - 7_200_000, failure: "connect-failed" }],
      },
    },
    exit: 0,
    says: /2 keys, fetched 2 h ago STALE, believed for another 24 h; the last try failed: connect-failed/,
  },
  {
    argv: ["status"],
    answers: { "GET /v1/status": { ...status, groups: [{ ...group, broken: [broken] }] } },
    exit: 1,
    says: /NOT SERVED {3}system\/billing \(production\) {2}systems\/billing.yaml:3: not a URL/,
  },
  {
    argv: ["status"],
    answers: { "GET /v1/status": { ...status, gateways: [{ ...gateway, connected: false }] } },
    exit: 1,
    says: /AWAY +seen 1 s ago/,
  },
  {
    argv: ["status"],
    answers: {
      "GET /v1/status": {
        ...status,
        gateways: [{ ...gateway, report: { ...gateway.report, faults: ["the data-plane store cannot be used: no"] } }],
      },
    },
    exit: 1,
    says: /\n {2}gw-1: the data-plane store cannot be used: no\n/,
  },
  {
    argv: ["status"],
    answers: { "GET /v1/status": { ...status, gateways: [{ ...gateway, state: "revoked", connected: false }] } },
    exit: 0,
    says: /revoked/,
  },
  {
    argv: ["status"],
    answers: {
      "GET /v1/status": {
        ...status,
        inactive: [
          {
            id: "orders-to-billing",
            environment: "production",
            state: "suspended",
            declaredAt: "integrations/x.yaml:1",
          },
        ],
      },
    },
    exit: 1,
    says: /NOT SERVED {3}integration\/orders-to-billing \(production\) {2}integrations\/x\.yaml:1: it is suspended\n +fix: sallyport integration activate/,
  },
  {
    argv: ["status"],
    answers: {
      "GET /v1/status": {
        ...status,
        gateways: [{ ...gateway, snapshot: { epoch: 1, version: 3 }, report: { ...gateway.report, skewMs: -4_000 } }],
        notices: [
          {
            ...{
              urgency: "7 days",
              object: "integration/x",
              environment: "production",
              text: "the time for its review ends on 2026-12-01",
            },
            ...{ fix: "review it", at: now, file: "integrations/x.yaml", line: 4 },
          },
        ],
      },
    },
    // What is due does not make the answer no.
    exit: 0,
    says: /1\.3 \(newest 1\.4\).*-4\.0 s OFF[\s\S]*within 7 days: integration\/x: .*\(integrations\/x\.yaml:4\)\n +fix: review it/,
  },
  {
    argv: ["why", crossing],
    answers: {
      [`GET /v1/crossings/${crossing}`]: {
        id: crossing,
        node: "gw-1",
        leaves: [leaf("deny")],
        decision: { facts: { sent: "a\u001b[2J" } },
      },
    },
    exit: 1,
    says: /verdict +deny\n[\s\S]*scope-missing[\s\S]*facts\.sent +a\\u001b\[2J/,
  },
  {
    argv: ["why", crossing],
    answers: {
      [`GET /v1/crossings/${crossing}`]: { id: crossing, node: "gw-1", leaves: [leaf("allow")], decision: null },
    },
    exit: 0,
    says: /kept no decision inputs/,
  },
  { argv: ["plan", directory], answers: { "POST /v1/estate/plan": report }, exit: 0, says: /no changes/ },
  {
    argv: ["plan", directory],
    answers: { "POST /v1/estate/plan": { ...report, created: ["system/x"] } },
    exit: 1,
    says: /system\/x would be created/,
  },
  {
    argv: ["plan", directory],
    answers: { "POST /v1/estate/plan": { ...report, findings: [finding] } },
    exit: 1,
    says: /billing.yaml:3:6: error: not a URL\n {4}fix: write one/,
  },
  {
    argv: ["apply", directory],
    answers: { "POST /v1/estate/apply": { ...report, changed: ["system/x"] } },
    exit: 0,
    says: /system\/x was changed/,
  },
  {
    argv: ["apply", directory],
    answers: { "POST /v1/estate/apply": { ...report, findings: [finding] } },
    exit: 1,
    says: /not a URL/,
  },
  {
    argv: ["integration", "list"],
    answers: { "GET /v1/integrations": [integration] },
    exit: 0,
    says: /orders-to-billing +production +suspended/,
  },
  {
    argv: ["plan", directory],
    answers: {
      "POST /v1/estate/plan": {
        ...report,
        changed: ["production/issuer/keycloak"],
        trust: [
          { environment: "production", about: "issuer/keycloak", change: "added", before: null, after: "a may" },
          { environment: "production", about: "issuer/keycloak", change: "removed", before: "b may", after: null },
          { environment: "production", about: "issuer/keycloak", change: "changed", before: "c may", after: "d may" },
        ],
      },
    },
    exit: 1,
    says: /would be changed\n\+ production: a may\n- production: b may\n~ was production: c may\n~ now production: d may\n$/,
  },
  {
    argv: ["plan", directory],
    answers: {
      "POST /v1/estate/plan": {
        ...report,
        changed: ["production/system/billing"],
        schemas: [
          { environment: "production", operation: "billing:invoice.create", part: "body", says: ["one", "two"] },
        ],
      },
    },
    exit: 1,
    says: /changed\n~ production: billing:invoice.create, body: one\n~ production: billing:invoice.create, body: two\n$/,
  },
  {
    argv: ["issuer", "list"],
    answers: { "GET /v1/issuers": [issuerRow] },
    exit: 0,
    says: /keycloak +production +tokens +https:\/\/sso\.example +2 keys, fetched 3 min ago/,
  },
  { argv: ["issuer", "list"], answers: { "GET /v1/issuers": [] }, exit: 0, says: /nobody outside is believed/ },
  {
    argv: ["issuer", "show", "keycloak", "--environment", "production"],
    answers: { "GET /v1/issuers/keycloak": [issuerRow, { ...issuerRow, environment: "staging" }] },
    exit: 0,
    says: /^keycloak \(production\) is for tokens; keys: 2 keys, fetched 3 min ago\n {2}tokens of keycloak are believed\n$/,
  },
  {
    argv: ["issuer", "show", "keycloak"],
    answers: {
      "GET /v1/issuers/keycloak": [
        { ...issuerRow, keys: { ...issuerRow.keys, failure: "connect-failed" } },
        { ...issuerRow, environment: "staging", use: "log-in", keys: null },
      ],
    },
    exit: 1,
    says: /STALE.*connect-failed[\s\S]*keycloak \(staging\) is for log-in; keys: read at each log-in/,
  },
  {
    argv: ["exchange", "list"],
    answers: { "GET /v1/exchanges": [exchangeRow] },
    exit: 0,
    says: /portal-to-billing \(production\) suspended {2}integrations\/p\.yaml:1\n {2}clients of portal may exchange tokens\n/,
  },
  ...(["activate", "suspend", "retire"] as const).map((verb) => ({
    argv: ["integration", verb, "orders-to-billing", "--reason", "test"],
    answers: { [`POST /v1/integrations/orders-to-billing/${verb}`]: integration },
    exit: 0,
    says: /orders-to-billing \(production\) is suspended/,
  })),
  {
    argv: ["gateway", "list"],
    answers: { "GET /v1/gateways": [gateway] },
    exit: 0,
    says: /gw-1 +production +production-eu +active +yes +1\.4 +-/,
  },
  {
    argv: ["gateway", "revoke", "gw-1", "--reason", "stolen"],
    answers: { "POST /v1/gateways/gw-1/revoke": {} },
    exit: 0,
    says: /gw-1 is revoked/,
  },
  {
    argv: ["key", "rotate"],
    answers: { "POST /v1/keys/rotate": { active: "a", next: "b" } },
    exit: 0,
    says: /active a\n/,
  },
  {
    argv: ["key", "kill", "k1", "--reason", "leaked"],
    answers: { "POST /v1/keys/k1/kill": {} },
    exit: 0,
    says: /k1 is dead/,
  },
  {
    argv: ["revoke", "token", "j1", "--reason", "leaked"],
    answers: { "POST /v1/revocations": { seq: 7 } },
    exit: 0,
    says: /entry 7/,
  },
  {
    argv: ["revoke", "client", "orders", "--reason", "leaked"],
    answers: { "POST /v1/revocations": { seq: 8 } },
    exit: 0,
    says: /entry 8/,
  },
  ...(["grant", "session", "subject"] as const).map((kind) => ({
    argv: ["revoke", kind, "x1", "--reason", "leaked"],
    answers: { "POST /v1/revocations": { seq: 9 } },
    exit: 0,
    says: /entry 9/,
  })),
  {
    argv: ["client", "list"],
    answers: { "GET /v1/clients": [clientStatus] },
    exit: 0,
    says: /shop +production +client_secret_basic +secret 3f9a01c2d4 +live +2027-01-01T00:00 +-/,
  },
  {
    argv: ["client", "secret", "end", "shop", "3f9a01c2d4", "--reason", "leaked", "--leaked"],
    answers: { "POST /v1/clients/shop/secrets/end": {} },
    exit: 0,
    says: /secret 3f9a01c2d4 of shop is refused, and so is every token it holds/,
  },
  {
    argv: ["client", "key", "end", "orders", "k1", "--reason", "host gone"],
    answers: { "POST /v1/clients/orders/keys/end": {} },
    exit: 0,
    says: /key k1 of orders is refused\n/,
  },
];

for (const { argv, answers, exit, says } of cases) {
  test(`sallyport ${argv.join(" ").replace(folder, "…")} says ${says} and is exit ${exit}; with --json it is one JSON value`, async () => {
    const words = await runAgainst(answers, argv);
    assert.equal(words.exit, exit);
    assert.match(words.out.join(""), says);
    const json = await runAgainst(answers, argv, true);
    assert.equal(json.exit, exit);
    assert.equal(json.out.length, 1);
    assert.doesNotThrow(() => JSON.parse(json.out.join("")));
  });
}

test("an id on the command line stays one segment of the path", async () => {
  const answers = { "POST /v1/gateways/..%2Fkeys%2Frotate%3Fx/revoke": {} };
  assert.equal((await runAgainst(answers, ["gateway", "revoke", "../keys/rotate?x", "--reason", "test"])).exit, 0);
});

const making = (out: string) => ["gateway", "token", "--group", "production-eu", "--out", out];
const made = { "POST /v1/groups/production-eu/join-tokens": { token: "spj1_c2VjcmV0", expiresAt: 1_795_305_600_000 } };

test("a join token is written to a file of its owner alone and is printed nowhere", async () => {
  const path = join(folder, "token");
  const { exit, out, asked } = await runAgainst(made, [...making(path), "--lifetime", "15m"]);
  assert.equal(exit, 0);
  assert.doesNotMatch(out.join(""), /spj1_/);
  assert.equal(readFileSync(path, "utf8"), "spj1_c2VjcmV0\n");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(asked[0]?.body, { lifetimeMs: 900_000 });
});

test("no join token is made where its file cannot be, and no empty file stays where no token was made", async () => {
  const taken = join(folder, "taken");
  writeFileSync(taken, "mine");
  symlinkSync(join(folder, "elsewhere"), join(folder, "link"));
  for (const out of [taken, join(folder, "none", "token"), join(folder, "link")]) {
    const { exit, asked, end } = await runAgainst(made, making(out));
    assert.deepEqual([exit, asked.length], [2, 0]);
    assert.ok(end?.fix);
  }
  assert.equal(readFileSync(taken, "utf8"), "mine");
  assert.equal(existsSync(join(folder, "elsewhere")), false, "the link was not followed");
  const refused = join(folder, "refused");
  const { exit } = await runAgainst(
    { "POST /v1/groups/production-eu/join-tokens": new CommandEnd(4, "no") },
    making(refused),
  );
  assert.deepEqual([exit, existsSync(refused)], [4, false]);
});

test("what is sent of an estate are its configuration files, by relative path; other files stay, links out of it are refused", async () => {
  const own = estateFolder();
  writeFileSync(join(own, "notes.txt"), "private");
  assert.deepEqual(Object.keys(await readEstateFiles(own)), ["systems/billing.yaml"]);
  writeFileSync(join(folder, "outside.yaml"), "secret: 1\n");
  symlinkSync(join(folder, "outside.yaml"), join(own, "systems/linked.yaml"));
  await assert.rejects(readEstateFiles(own), { exit: 2, message: /systems\/linked\.yaml is a symbolic link out/ });
  await assert.rejects(readEstateFiles(join(folder, "none")), { exit: 2 });
});

const makingSecret = (out: string) => ["client", "secret", "add", "shop", "--out", out, "--reason", "rotation"];
const secretText = "sps1_bm90IGEgc2VjcmV0";
const madeSecret = {
  "POST /v1/clients/shop/secrets": {
    client: "shop",
    id: "3f9a01c2d4",
    secret: secretText,
    notAfter: null,
    follows: null,
  },
};

test("a client secret is written to a file of its owner alone and is printed nowhere; a refused one leaves no file", async () => {
  const path = join(folder, "shop.secret");
  for (const json of [false, true]) {
    const { exit, out } = await runAgainst(madeSecret, makingSecret(`${path}${json}`), json);
    assert.equal(exit, 0);
    assert.equal(out.join("").includes(secretText), false);
    assert.equal(readFileSync(`${path}${json}`, "utf8"), `${secretText}\n`);
    assert.equal(statSync(`${path}${json}`).mode & 0o777, 0o600);
  }
  await assert.rejects(runAgainst({}, makingSecret(path)), /no answer/);
  assert.equal(existsSync(path), false);
});

test("a key is added from a JWKS of exactly one public key", async () => {
  const path = join(folder, "orders.jwks.json");
  writeFileSync(path, JSON.stringify({ keys: [{ kty: "EC" }] }));
  const answers = { "POST /v1/clients/orders/keys": { client: "orders", kid: "k1" } };
  const { exit, out } = await runAgainst(answers, [
    "client",
    "key",
    "add",
    "orders",
    "--file",
    path,
    "--reason",
    "new host",
  ]);
  assert.equal(exit, 0);
  assert.match(out.join(""), /key k1 speaks for orders/);
  writeFileSync(path, JSON.stringify({ keys: [] }));
  assert.equal(
    (await runAgainst(answers, ["client", "key", "add", "orders", "--file", path, "--reason", "x y"])).exit,
    2,
  );
});

test("token inspect says what each claim means and what ended the token; it is exit 1 unless the token is good", async () => {
  const path = join(folder, "found.jwt");
  writeFileSync(path, "a.b.c\n");
  const report = {
    state: "revoked",
    environment: "production",
    kid: "k1",
    claims: { sub: "orders", exp: 1_795_219_200, cnf: { jkt: "j" } },
    revoked: { kind: "client", value: "orders", seq: 7, notBefore: now },
    why: null,
  };
  const inspect = (answer: object, json = false) =>
    runAgainst({ "POST /v1/tokens/inspect": answer }, ["token", "inspect", path], json);
  const words = await inspect(report);
  assert.equal(words.exit, 1);
  assert.match(words.out.join(""), /^revoked: ended before its time\nby client orders, at \S+ \(entry 7\)/);
  assert.match(words.out.join("\n"), /exp +2026-\S+ +ends/);
  assert.match(words.out.join("\n"), /cnf +\{"jkt":"j"\} +the key or certificate/);
  assert.deepEqual(words.asked.at(-1)?.body, { token: "a.b.c" });
  assert.equal((await inspect({ ...report, state: "active", revoked: null })).exit, 0);
  const foreign = await inspect({
    state: "foreign",
    environment: null,
    kid: null,
    claims: null,
    revoked: null,
    why: "token-type",
  });
  assert.match(foreign.out.join(""), /no key in use here has signed it: .* \(token-type\)/);
  assert.deepEqual(JSON.parse((await inspect(report, true)).out.join("")), report);
});

test("revoke token --file ends the token in a file by its id and in its environment, whatever --environment says, and prints no token", async () => {
  const path = join(folder, "leaked.jwt");
  writeFileSync(path, "eyJhbGciOiJFUzI1NiJ9.e30.c2ln\n");
  const claims = { jti: "m3Yk0cJ0S2mWn5yq8cXo0A", client_id: "orders", aud: "https://id/main/staging/systems/billing" };
  const report = { state: "active", environment: "staging", kid: "k1", claims, revoked: null, why: null };
  const answers = { "POST /v1/tokens/inspect": report, "POST /v1/revocations": { seq: 7 } };
  const argv = ["revoke", "token", "--file", path, "--reason", "in a chat"];
  const done = await runAgainst(answers, argv);
  assert.equal(done.exit, 0);
  assert.match(done.out.join(""), /^revoked m3Yk0cJ0S2mWn5yq8cXo0A of orders for \S+billing \(entry 7\)/);
  assert.equal(done.out.join("").includes("eyJ"), false);
  assert.deepEqual(done.asked.at(-1)?.body, {
    ...{ environment: "staging", reason: "in a chat", kind: "jti", value: claims.jti },
  });
  const foreign = { ...report, state: "foreign", environment: null, claims: null, why: "token-key-unknown" };
  const none = await runAgainst({ ...answers, "POST /v1/tokens/inspect": foreign }, argv);
  assert.equal(none.exit, 1);
  assert.equal(none.asked.length, 1, "nothing was revoked");
  for (const both of [["j1", "--file", path], []])
    assert.equal((await runAgainst(answers, ["revoke", "token", ...both, "--reason", "x"])).exit, 2);
});

test("a token on the command line is not sent, not repeated, and answered with how it is given", async () => {
  const jwt = `eyJhbGciOiJFUzI1NiJ9.e30.${"c".repeat(86)}`;
  const jwe = `eyJhbGciOiJkaXIifQ..${"c".repeat(16)}.${"c".repeat(86)}.${"c".repeat(22)}`;
  for (const token of [`spt1_${"A".repeat(48)}`, jwt, jwe])
    for (const argv of [
      ["revoke", "token", token, "--reason", "leaked"],
      ["token", "inspect", token],
    ]) {
      const { exit, end, out, asked } = await runAgainst({}, argv);
      assert.equal(exit, 2);
      assert.equal(asked.length, 0);
      assert.match(end?.message ?? "", /that is a token/);
      assert.equal([...out, end?.message, end?.fix].join("").includes(token), false);
    }
});

test("a token made for debugging is bound to a key made here, both in files of their owner alone and printed nowhere", async () => {
  const out = join(folder, "debug");
  const answers = { "POST /v1/tokens/issue": { token: "a.b.c", jti: "j1", expiresAt: now } };
  const argv = ["token", "issue", "--client", "orders", "--for", "billing", "--out", out, "--reason", "ticket"];
  const made = await runAgainst(answers, argv);
  assert.equal(made.exit, 0);
  assert.equal(made.out.join("").includes("a.b.c"), false);
  assert.equal(readFileSync(`${out}.jwt`, "utf8"), "a.b.c\n");
  for (const file of [`${out}.jwt`, `${out}.key.pem`]) assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(readFileSync(`${out}.key.pem`, "utf8"), /PRIVATE KEY/);
  assert.equal((await runAgainst(answers, argv)).exit, 2, "never overwritten");
});
