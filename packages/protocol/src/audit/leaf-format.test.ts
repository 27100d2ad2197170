import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Leaf } from "./leaf.ts";
import { endedMembers, issuedMembers, leafMembers, tokenMembers } from "./leaf-form.ts";
import { LeafRefused, leafBytesMax, parseLeaf, peekLeaf, printLeaf } from "./leaf-format.ts";

const place = { at: 1_795_305_600_000, tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const id = "gw-1-01KAMZZZZZ0000000000000000";
const pseudonym = "2026:abcdefghijklmnopqrstuQ";
const hash = "ab".repeat(32);
const decision = {
  kind: "api",
  caller: pseudonym,
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.create",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "deny",
  code: "policy-denied",
  stage: "authorize",
  policies: ["grant:orders-to-billing", "eu-only"],
  policySet: hash,
  inputs: hash,
  address: pseudonym,
  addressClass: "private",
} as const;
const outcome = {
  outcome: "denied",
  status: 403,
  upstreamStatus: 0,
  bytesIn: 0,
  bytesOut: 210,
  totalUs: 900,
  upstreamUs: 0,
} as const;

const leaves: Record<Leaf["t"], Leaf> = {
  crossing: { t: "crossing", id, ...place, ...decision, ...outcome },
  intent: { t: "intent", id, ...place, ...decision, verdict: "allow", code: null, stage: null, policies: [] },
  progress: { t: "progress", id, ...place, bytesIn: 1, bytesOut: 999_999_999_999_999 },
  outcome: { t: "outcome", id, ...place, ...outcome },
  denials: { t: "denials", id, ...place, code: "token-expired", prefix: pseudonym, count: 41, windowMs: 10_000 },
  tally: {
    t: "tally",
    id,
    ...place,
    from: 1_795_305_600_000,
    to: 1_795_305_610_000,
    seen: 42,
    crossings: 30,
    intents: 8,
    counted: 4,
    refused: 0,
    unread: 1,
    closed: "time",
  },
  payload: {
    t: "payload",
    id,
    ...place,
    direction: "request",
    dataSubject: pseudonym,
    key: "0123456789abcdef",
    content: hash,
    bytes: 412,
    endsAt: 1_803_168_000_000,
  },
  unkept: { t: "unkept", id, ...place, direction: "response", reason: "not-json", bytes: 210 },
  buffered: { t: "buffered", id, ...place, upTo: 1_024 },
  settled: { t: "settled", id, ...place, early: 12 },
  origin: {
    t: "origin",
    ...place,
    origin: "sallyport.local/main/production/gw-1/gateway/2026",
    previous: null,
    previousOrigin: null,
    previousSize: 0,
  },
  start: { t: "start", ...place, role: "gateway", version: "0.1.0-rc.1", recovered: 2 },
  admin: {
    t: "admin",
    id: "01KAMZZZZZ0000000000000000",
    ...place,
    actor: pseudonym,
    action: "integration.suspend",
    object: "integration/orders-to-billing",
    facts: hash,
  },
  issuance: {
    t: "issuance",
    id,
    ...place,
    client: pseudonym,
    audience: "https://id.acme.example/main/production/systems/billing",
    verdict: "allow",
    code: null,
    token: pseudonym,
    proof: "mtls",
    expiresAt: 1_795_305_900_000,
    grantType: "token-exchange",
    subject: pseudonym,
    grants: ["grt_AAAAAAAAAAAAAAAAAAAAAA", "xch_BBBBBBBBBBBBBBBBBBBBBB"],
    operations: ["billing:invoice.read"],
    policies: ["grant:orders-to-billing"],
    inputs: null,
  },
};

const textOf = (leaf: Leaf) => Buffer.from(printLeaf(leaf)).toString("latin1");
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

for (const leaf of Object.values(leaves)) {
  test(`a ${leaf.t} leaf parses to what was printed and prints to the same bytes`, () => {
    const bytes = printLeaf(leaf);
    assert.deepEqual(parseLeaf(bytes), leaf);
    assert.deepEqual(printLeaf(parseLeaf(bytes)), bytes);
    assert.equal(peekLeaf(textOf(leaf))?.id, "id" in leaf ? leaf.id : null);
  });
}

test("an issuance of 0.1.0 is read for ever, and prints to the bytes it was read from", () => {
  const {
    grantType: _,
    subject: _s,
    grants: _g,
    operations: _o,
    policies: _p,
    inputs: _i,
    ...former
  } = leaves.issuance as Extract<Leaf, { grantType: unknown }>;
  const text = `{"v":1,"t":"issuance","id":"${id}",${JSON.stringify(place).slice(1, -1)},"client":"${pseudonym}","audience":"https://id.acme.example/main/production/systems/billing","verdict":"allow","code":null,"token":"${pseudonym}","proof":"mtls","expiresAt":1795305900000}`;
  assert.deepEqual(parseLeaf(bytesOf(text)), former);
  assert.equal(textOf(parseLeaf(bytesOf(text))), text);
  assert.deepEqual(peekLeaf(text), { t: "issuance", id });
  for (const spoiled of [text.replace('"v":1', '"v":2'), textOf(leaves.issuance).replace('"v":2', '"v":1')])
    assert.throws(() => parseLeaf(bytesOf(spoiled)), LeafRefused, spoiled);
});

test("a crossing that an issuer outside proved says whose in v2, one without stays v1, and neither passes for the other", () => {
  for (const leaf of [leaves.crossing, leaves.intent] as Leaf[]) {
    const issued = { ...leaf, issuer: "keycloak" } as Leaf;
    const text = textOf(issued);
    assert.match(text, /^\{"v":2,.*,"proof":"dpop","issuer":"keycloak","operation":/);
    assert.deepEqual(parseLeaf(bytesOf(text)), issued);
    assert.deepEqual(peekLeaf(text), { t: leaf.t, id });
    assert.match(textOf(leaf), /^\{"v":1,/);
    for (const spoiled of [
      text.replace('"v":2', '"v":1'),
      textOf(leaf).replace('"v":1', '"v":2'),
      text.replace('"keycloak"', "null"),
      text.replace('"keycloak"', '"https://sso.acme.example"'),
      text.replace(',"issuer":"keycloak"', ""),
    ])
      assert.throws(() => parseLeaf(bytesOf(spoiled)), LeafRefused, spoiled);
  }
  assert.throws(() => printLeaf({ ...leaves.outcome, issuer: "keycloak" } as Leaf), LeafRefused);
});

test("a crossing with a token says which in v3, with its issuer or null, and no other version passes for it", () => {
  for (const leaf of [leaves.crossing, leaves.intent] as Leaf[]) {
    for (const issuer of [null, "keycloak"]) {
      const used = { ...leaf, issuer, token: pseudonym } as Leaf;
      const text = textOf(used);
      assert.ok(
        text.includes(`,"proof":"dpop","issuer":${JSON.stringify(issuer)},"token":"${pseudonym}","operation":`),
      );
      assert.match(text, /^\{"v":3,/);
      assert.deepEqual(parseLeaf(bytesOf(text)), used);
      assert.deepEqual(peekLeaf(text), { t: leaf.t, id });
      for (const spoiled of [
        text.replace('"v":3', '"v":2'),
        text.replace('"v":3', '"v":1'),
        text.replace(`"token":"${pseudonym}"`, '"token":null'),
        text.replace(`"token":"${pseudonym}"`, '"token":"eyJhbGciOiJFUzI1NiJ9"'),
        text.replace(`,"token":"${pseudonym}"`, ""),
      ])
        assert.throws(() => parseLeaf(bytesOf(spoiled)), LeafRefused, spoiled);
    }
    assert.throws(() => printLeaf({ ...leaf, token: pseudonym } as Leaf), LeafRefused, "without its issuer");
  }
  assert.throws(() => printLeaf({ ...leaves.outcome, token: pseudonym } as Leaf), LeafRefused);
});

test("an outcome that says why or how many messages is v2, one without stays v1, and neither passes for the other", () => {
  const ended = { ...leaves.outcome, code: "token-revoked", stage: "identify", messagesIn: 3, messagesOut: 0 } as Leaf;
  const text = textOf(ended);
  assert.match(text, /^\{"v":2,"t":"outcome",/);
  assert.ok(text.endsWith(',"upstreamUs":0,"code":"token-revoked","stage":"identify","messagesIn":3,"messagesOut":0}'));
  assert.deepEqual(parseLeaf(bytesOf(text)), ended);
  assert.deepEqual(peekLeaf(text), { t: "outcome", id });
  assert.match(textOf(leaves.outcome), /^\{"v":1,/);
  for (const spoiled of [
    text.replace('"v":2', '"v":1'),
    textOf(leaves.outcome).replace('"v":1', '"v":2'),
    text.replace(',"stage":"identify"', ""),
    text.replace('"token-revoked"', '"because"'),
    text.replace('"messagesIn":3', '"messagesIn":null'),
  ])
    assert.throws(() => parseLeaf(bytesOf(spoiled)), LeafRefused, spoiled);
  assert.throws(() => printLeaf({ ...leaves.outcome, code: "token-revoked" } as Leaf), LeafRefused);
  assert.throws(() => printLeaf({ ...leaves.crossing, messagesIn: 3 } as Leaf), LeafRefused);
});

test("the example of docs/formats/leaf.md is a leaf and has the hash it states", () => {
  const page = readFileSync(new URL("../../../../docs/formats/leaf.md", import.meta.url), "utf8");
  const example = /^\{"v":1,.*\}$/m.exec(page)?.[0] ?? "";
  const hash = createHash("sha256").update(`\0${example}`).digest("hex");
  assert.equal(parseLeaf(bytesOf(example)).t, "outcome");
  assert.ok(page.includes(`leaf hash is \`${hash}\``), `the page should state ${hash}`);
});

test("docs/formats/leaf.md names every member of every leaf type", () => {
  const page = readFileSync(new URL("../../../../docs/formats/leaf.md", import.meta.url), "utf8");
  for (const [type, members] of [
    ...Object.entries(leafMembers),
    ...Object.entries(issuedMembers),
    ...Object.entries(endedMembers),
    ...Object.entries(tokenMembers),
  ]) {
    assert.ok(page.includes(`\`${type}\``), type);
    for (const { name } of members) assert.match(page, new RegExp(`\\b${name}\\b`), `${type}.${name}`);
  }
});

test("a leaf with an unknown, missing or moved member, a space, an escape or another number spelling is refused", () => {
  const good = textOf(leaves.outcome);
  const spoiled = [
    good.replace('"status":403', '"status":403,"note":"x"'),
    good.replace(',"bytesIn":0', ""),
    good.replace('"v":1,"t":"outcome"', '"t":"outcome","v":1'),
    good.replace('"bytesIn":0,"bytesOut":210', '"bytesOut":210,"bytesIn":0'),
    good.replace(":403", ": 403"),
    good.replace(":403", ":403.0"),
    good.replace(":403", ":0403"),
    good.replace(":403", ":-403"),
    good.replace(":210", ":1e3"),
    good.replace(":210", ":1000000000000000"),
    good.replace("denied", "\\u0064enied"),
    good.replace('"v":1', '"v":2'),
    `${good}\n`,
    ` ${good}`,
    "",
    "{}",
  ];
  for (const text of spoiled) {
    assert.notEqual(text, good);
    assert.throws(() => parseLeaf(bytesOf(text)), LeafRefused, text);
  }
});

test("attack: what was judged in one leaf does not carry a wrong beginning, end or reason through in the next", () => {
  const whole = Buffer.from(printLeaf(leaves.crossing)).toString();
  const refuse = (text: string) => assert.throws(() => parseLeaf(Buffer.from(text)), LeafRefused, text);
  parseLeaf(Buffer.from(whole));
  refuse(whole.replace(id, id.toLowerCase()));
  refuse(whole.replace('"upstreamUs":0', '"upstreamUs":00'));
  refuse(whole.replace(',"inputs":', ',"inputs":null,"inputs":'));
  const unreasoned = whole.replace('"stage":"authorize"', '"stage":null');
  for (let again = 0; again < 2; again++) refuse(unreasoned);
  const observed = whole.replace('"mode":"enforce"', '"mode":"observe"');
  parseLeaf(Buffer.from(observed.replace('"outcome":"denied"', '"outcome":"success"')));
  refuse(observed);
});

test("every single-byte change of a leaf is either refused or another leaf that prints to exactly those bytes", () => {
  const bytes = printLeaf(leaves.crossing);
  for (let at = 0; at < bytes.length; at++) {
    for (const flip of [1, 0x80]) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ flip;
      try {
        assert.deepEqual(printLeaf(parseLeaf(changed)), changed);
      } catch (error) {
        assert.ok(error instanceof LeafRefused);
      }
    }
  }
});

const stranger = '"},{"admin":true,"x":"';
const attacks: [string, Leaf][] = [
  ["a crossing id", { ...leaves.intent, id: stranger } as Leaf],
  ["an operation", { ...leaves.intent, operation: "/etc/passwd\n" } as Leaf],
  ["a caller in clear", { ...leaves.intent, caller: "orders" } as Leaf],
  ["a user's mail address as subject", { ...leaves.intent, subject: "ada@acme.example" } as Leaf],
  ["an address in clear", { ...leaves.intent, address: "203.0.113.7" } as Leaf],
  ["a made-up code", { ...leaves.crossing, code: "hello-world" } as unknown as Leaf],
  ["a policy id with a quote", { ...leaves.intent, policies: ['a"b'] } as Leaf],
  ["a client_id in clear", { ...leaves.issuance, client: "orders" } as Leaf],
  ["an issuer by its address", { ...leaves.intent, issuer: "https://sso.example" } as Leaf],
  ["a user id in clear", { ...leaves.issuance, subject: "usr_ana" } as Leaf],
  ["a scope that is no operation", { ...leaves.issuance, operations: ["openid"] } as Leaf],
  ["a token text as grant", { ...leaves.issuance, grants: ["eyJhbGciOiJFUzI1NiJ9.e30.x"] } as Leaf],
  ["facts in clear", { ...leaves.admin, facts: "because" } as Leaf],
  ["an actor in clear", { ...leaves.admin, actor: "operator:ada" } as Leaf],
  ["an object with a space", { ...leaves.admin, object: "integration/a b" } as Leaf],
  ["a member of its own", { ...leaves.start, comment: "hi" } as unknown as Leaf],
  ["a number that is not whole", { ...leaves.progress, bytesIn: 0.5 } as Leaf],
  ["no number", { ...leaves.progress, bytesIn: Number.NaN } as Leaf],
  ["a deny without a code", { ...leaves.crossing, code: null } as Leaf],
  ["an operation longer than its bound", { ...leaves.intent, operation: `billing:${"a".repeat(250)}` } as Leaf],
];
for (const [what, leaf] of attacks) {
  test(`the printer refuses ${what} and does not repeat it`, () => {
    assert.throws(
      () => printLeaf(leaf),
      (error) => error instanceof LeafRefused && !error.message.includes("ada@") && !error.message.includes(stranger),
    );
  });
}

test("the longest leaf of every form stays under the bound of an entry", () => {
  const policies = Array.from({ length: 64 }, () => `a${"/".repeat(254)}`);
  const bytes = printLeaf({ ...leaves.crossing, policies } as Leaf);
  assert.ok(bytes.length < leafBytesMax);
  assert.throws(() => printLeaf({ ...leaves.crossing, policies: [...policies, "one-more"] } as Leaf), LeafRefused);
});
