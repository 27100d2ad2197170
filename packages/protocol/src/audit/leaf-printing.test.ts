import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { problems } from "../problem.ts";
import type { Leaf } from "./leaf.ts";
import { endedMembers, formerMembers, issuedMembers, leafMembers, leafVersions, tokenMembers } from "./leaf-form.ts";
import { LeafRefused, printLeaf } from "./leaf-format.ts";
import { createMemberPrinter, remembered } from "./member-printer.ts";

/** The plain way, as an oracle: all of it as JSON, and then one pattern over the whole text. */
function printPlainly(leaf: Readonly<Record<string, unknown>>): string | null {
  const t = leaf["t"] as Leaf["t"];
  const isFormer = t === "issuance" && !("grantType" in leaf);
  const hasToken = "token" in leaf && t !== "issuance";
  const isIssued = hasToken || "issuer" in leaf || "messagesIn" in leaf;
  const later = hasToken ? tokenMembers : { ...issuedMembers, ...endedMembers };
  const issued = Object.entries(later).find(([name]) => name === t)?.[1];
  const members = isIssued ? issued : isFormer ? formerMembers[t] : leafMembers[t];
  const v = hasToken ? 3 : isIssued ? 2 : isFormer ? 1 : (leafVersions[t] ?? 1);
  if (members === undefined) return null;
  const body = members.map(({ name, value }) => `,"${name}":${value}`).join("");
  const text = `{"v":${v},"t":"${leaf["t"]}"${members.map(({ name }) => `,"${name}":${JSON.stringify(leaf[name])}`).join("")}}`;
  if (!new RegExp(`^\\{"v":${v},"t":"${leaf["t"]}"${body}\\}$`).test(text)) return null;
  if (Object.keys(leaf).length !== members.length + 1) return null;
  if (leaf["verdict"] === "deny" && (leaf["code"] === null || leaf["stage"] === null)) return null;
  if (leaf["verdict"] === "deny" && leaf["outcome"] === "denied" && /observe|passthrough/.test(String(leaf["mode"])))
    return null;
  return text;
}

function printed(leaf: Readonly<Record<string, unknown>>): string | null {
  try {
    return Buffer.from(printLeaf(leaf as unknown as Leaf)).toString("latin1");
  } catch (error) {
    assert.ok(error instanceof LeafRefused);
    return null;
  }
}

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const pseudonym = fc.stringMatching(/^20[0-9]{2}:[A-Za-z0-9_-]{21}[AQgw]$/);
const hash = fc.stringMatching(/^[0-9a-f]{64}$/);
const ulid = fc.stringMatching(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
const operation = fc.stringMatching(/^[a-z]{1,5}:[a-z]{1,5}(\.[a-z_]{1,5})?$/);
const count = fc.oneof(fc.nat(), fc.constantFrom(0, 999_999_999_999_999));
const orNull = <T>(good: fc.Arbitrary<T>) => fc.option(good, { nil: null });
const status = fc.oneof(fc.constant(0), fc.integer({ min: 100, max: 999 }));

const good: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  id: ulid.map((text) => `gw-1-${text}`),
  at: count,
  tenant: word,
  environment: word,
  region: word,
  node: word,
  kind: fc.constant("api"),
  caller: orNull(pseudonym),
  subject: orNull(pseudonym),
  proof: orNull(fc.constantFrom("mtls", "dpop", "bearer")),
  operation: orNull(operation),
  integration: orNull(word),
  mode: fc.constantFrom("enforce", "enforce", "observe", "passthrough"),
  verdict: fc.constantFrom("allow", "deny"),
  code: orNull(fc.constantFrom(...Object.keys(problems))),
  stage: orNull(fc.constantFrom("receive", "bind", "forward")),
  policies: fc.array(word, { maxLength: 4 }),
  policySet: orNull(hash),
  inputs: orNull(hash),
  address: orNull(pseudonym),
  addressClass: fc.constantFrom("loopback", "private", "other"),
  outcome: fc.constantFrom("success", "denied", "unknown"),
  status,
  upstreamStatus: status,
  bytesIn: count,
  bytesOut: count,
  totalUs: count,
  upstreamUs: count,
  prefix: pseudonym,
  count,
  windowMs: count,
  from: count,
  to: count,
  seen: count,
  upTo: count,
  early: count,
  crossings: count,
  intents: count,
  counted: count,
  refused: count,
  unread: count,
  closed: fc.constantFrom("time", "stop"),
  direction: fc.constantFrom("request", "response"),
  dataSubject: pseudonym,
  key: fc.stringMatching(/^[0-9a-f]{16}$/),
  content: hash,
  bytes: count,
  endsAt: count,
  reason: fc.constantFrom("no-subject", "not-json"),
  origin: word.map((text) => `${text}/main`),
  previous: orNull(hash),
  previousOrigin: orNull(word.map((text) => `${text}/main`)),
  previousSize: count,
  role: fc.constantFrom("all", "control", "gateway"),
  version: fc.constant("0.1.0"),
  recovered: count,
  actor: pseudonym,
  action: word,
  object: word,
  facts: orNull(hash),
  client: orNull(pseudonym),
  audience: orNull(fc.constant("https://id.example/main")),
  token: orNull(pseudonym),
  expiresAt: count,
  issuer: word,
  grantType: orNull(fc.constantFrom("client_credentials", "token-exchange")),
  grants: fc.array(fc.stringMatching(/^grt_[A-Za-z0-9_-]{22}$/), { maxLength: 3 }),
  operations: orNull(fc.array(operation, { maxLength: 4 })),
  messagesIn: count,
  messagesOut: count,
};

/** What a member might be given by mistake or malice: near misses, other types, text that looks like printed JSON, values of other members. */
const bad: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    "null",
    "",
    "[]",
    '["a"]',
    '"a"',
    [],
    ["a"],
    [["a"]],
    [null],
    {},
    true,
    -0,
    -1,
    1.5,
    1e15,
    1e21,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    "0",
    "allow",
    'a","x":"b',
    "a\n",
    "a\\",
    "é",
    "\ud800",
    "A".repeat(300),
    "a".repeat(300),
    new Date(0),
    new String("main"),
    new Number(7),
    { toJSON: () => "main" },
  ),
  fc.string({ maxLength: 8 }),
  fc.double(),
  fc.jsonValue({ maxDepth: 1 }),
  ...Object.values(good),
);

const forms = [leafMembers, issuedMembers, endedMembers, tokenMembers].flatMap((one) => Object.entries(one));
const spoiled = fc.constantFrom(...forms).chain(([t, members]) => {
  const names = members.map(({ name }) => name);
  const whole = fc.record(Object.fromEntries(names.map((name) => [name, good[name] ?? assert.fail(name)])));
  const change = fc.array(fc.tuple(fc.constantFrom(...names, "extra", "issuer", "token", "messagesIn"), bad), {
    maxLength: 2,
  });
  return fc.tuple(whole, change).map(([fields, changes]) => ({ t, ...fields, ...Object.fromEntries(changes) }));
});

test("every leaf prints to the bytes that plain JSON under one whole pattern gives, or is refused where that is", () => {
  let taken = 0;
  const property = fc.property(spoiled, (leaf) => {
    const plain = printPlainly(leaf);
    if (plain !== null) taken++;
    assert.equal(printed(leaf), plain);
    assert.equal(printed(leaf), plain, "the second time, when everything is remembered");
  });
  fc.assert(property, { seed: 21, numRuns: 6_000 });
  assert.ok(taken > 1_000 && taken < 5_500, `${taken} of 6000 were leaves: both sides must be tried`);
});

test("memory confusion attack: a text that looks like a remembered list, or like a remembered null, is not taken for it", () => {
  const policies = createMemberPrinter({ name: "policies", value: '\\[(?:"a")?\\]', unique: false });
  assert.equal(policies(["a"]), ',"policies":["a"]');
  assert.equal(policies('["a"]'), null);
  const id = createMemberPrinter({ name: "id", value: '(?:null|"[a-z]+")', unique: false });
  assert.equal(id(null), ',"id":null');
  assert.equal(id("null"), ',"id":"null"');
  assert.equal(id('"null"'), null);
});

test("a refused value is never remembered, and the memory stays bounded while what it says stays right", () => {
  const member = createMemberPrinter({ name: "n", value: '"[a-z0-9]{1,6}"', unique: false });
  for (let i = 0; i < 3 * remembered; i++) {
    assert.equal(member(`a${i}`), `,"n":"a${i}"`);
    assert.equal(member(`A${i}`), null);
    assert.equal(member(`A${i}`), null);
  }
  assert.equal(member("a0"), ',"n":"a0"');
});
