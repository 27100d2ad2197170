// Answers of before, for when a provider fails: whose, to what, how old, and within which bounds (docs/resilience.md "Fallback").
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type FailingProvider, startFailingProvider } from "../testing/failing-provider.ts";
import { billing, marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "../testing/start-test-gateway.ts";
import { type CallOptions, TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";
import { keepable, StaleAnswers, staleBytesInAllMax, staleBytesMax, staleKey } from "./stale-answers.ts";

const staleMs = 60_000;
const declared = { status: 200, contentType: "application/json", body: '{"amount":null}' };

let provider: FailingProvider;
let bed: TestGateway;
let url: string;
let orders: TestCaller;

function estate(redacted = false): TestEstate {
  const base = marketplace(provider.url);
  const [, ...others] = base.systems;
  const served = billing(provider.url);
  const response = {
    schemas: {},
    contentType: "application/json",
    bytesMax: 65_536,
    ...{ redact: ["$.from"], undeclared: "keep" as const, labels: [] },
  };
  const operations =
    served.operations?.map((one) =>
      one.method === "GET"
        ? { ...one, changes: { ...one.changes, timeoutMs: 20_000, staleMs, ...(redacted ? { response } : {}) } }
        : one,
    ) ?? [];
  const upstream = { url: provider.url, allowPrivate: true, resilience: {} };
  return { ...base, systems: [{ ...served, operations, changes: { upstream } }, ...others] };
}

before(async () => {
  provider = await startFailingProvider();
  bed = await startTestGateway({ estate: estate(), openLog: openTestLog });
  url = `${bed.addresses[0]?.url}/billing/v1/invoices`;
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
});
after(async () => {
  await bed?.close();
  await provider?.close();
});

function later(ms: number): void {
  bed.clock.shiftMs += ms;
  bed.feed.heartbeat();
  orders.nonce = undefined;
}

/** Asks while the provider is well, then while it fails. */
async function failingAfter(path: string, options: CallOptions = {}, later: CallOptions = options) {
  provider.behaviour = "ok";
  assert.equal((await orders.send(`${url}/${path}`, options)).status, 200);
  provider.behaviour = "reset";
  return orders.send(`${url}/${path}`, later);
}

const none = [502, "upstream-unreachable"];

test("a principal gets its own answer of before while the provider fails, marked with its age, and the record says what the provider did", async () => {
  const stale = await failingAfter("kept-1");
  assert.deepEqual([stale.status, stale.text], [200, '{"from":"one"}']);
  assert.match(String(stale.headers["sallyport-fallback"]), /^stale; age=\d+; code=upstream-unreachable$/);
  assert.deepEqual([stale.headers["cache-control"], stale.headers["content-type"]], ["no-store", "application/json"]);
  const [leaf] = await bed.leaves(stale.id);
  assert.ok(leaf?.t === "crossing");
  const { verdict, code, outcome, status, upstreamStatus } = leaf;
  assert.deepEqual(
    [verdict, code, outcome, status, upstreamStatus],
    ["allow", "upstream-unreachable", "system-error", 200, 0],
  );
  later(30_000);
  const older = await orders.send(`${url}/kept-1`);
  assert.ok(Number(older.headers["age"]) >= 30, String(older.headers["age"]));
  later(staleMs);
  const gone = await orders.send(`${url}/kept-1`);
  assert.deepEqual([gone.status, gone.code], none, "it is too old");
});

test("attack: another path, another query, another principal, or another kind of answer is not given what was kept", async () => {
  assert.equal((await failingAfter("kept-2?page=1")).status, 200);
  const accepting = { headers: { accept: "text/csv" } };
  for (const [path, options] of [
    ["kept-2", {}],
    ["kept-2?page=2", {}],
    ["kept-3", {}],
    ["kept-2?page=1", accepting],
    ["kept-2?page=1", { headers: { range: "bytes=0-3" } }],
    ["kept-2?page=1", { method: "HEAD" }],
  ] as const) {
    const { status, code } = await orders.send(`${url}/${path}`, options);
    assert.deepEqual([status, code ?? "upstream-unreachable"], none, path);
  }
  const other = orders.token("billing", { sub: "ada", jti: "of-a-user" });
  assert.notEqual((await orders.send(`${url}/kept-2?page=1`, { token: other })).status, 200);
  const analytics = new TestCaller(bed.feed, "analytics", () => bed.clock.now());
  assert.equal((await analytics.send(`${url}/kept-2?page=1`)).code, "not-granted");
});

for (const [what, mine, theirs] of [
  ["a cookie", { cookie: "session=ann" }, { cookie: "session=ben" }],
  ["no cookie", { cookie: "session=ann" }, {}],
  ["a field of its own", { "x-on-behalf-of": "ann" }, { "x-on-behalf-of": "ben" }],
  ["two fields in the place of one", { "x-account": "a, b" }, { "x-account": ["a", "b"] }],
] satisfies [string, CallOptions["headers"], CallOptions["headers"]][])
  test(`attack: a caller that acts for many people gets for one what was answered for another, told apart by ${what}`, async () => {
    const path = `for-somebody-${what.length}`;
    const { status, code } = await failingAfter(path, { headers: mine }, { headers: theirs });
    assert.deepEqual([status, code], none);
    assert.equal((await orders.send(`${url}/${path}`, { headers: mine })).text, '{"from":"one"}');
  });

test("what is of one request alone does not hide what was kept", async () => {
  const first = { headers: { "x-request-id": "1", "user-agent": "one", "if-none-match": '"a"' } };
  const { status } = await failingAfter("kept-whatever", first, { headers: { "x-request-id": "2" } });
  assert.equal(status, 200);
});

for (const [fields, why] of [
  ["Cache-Control: max-age=5, no-store\r\n", "the provider forbids it"],
  ["Cache-Control: must-revalidate\r\n", "the provider forbids it"],
  ["Set-Cookie: session=1\r\n", "it belongs to a session"],
  ["Vary: Accept, X-Plan\r\n", "it depends on a field that is not looked at"],
  ["Vary: *\r\n", "it depends on anything"],
] as const)
  test(`not kept: ${fields.trim()}, for ${why}`, async () => {
    provider.fields = fields;
    try {
      const { status, code } = await failingAfter(`not-kept-${fields.length}`);
      assert.deepEqual([status, code], none);
    } finally {
      provider.fields = "";
    }
  });

test("attack: what may not be seen any more is taken out of an answer of before, too", async () => {
  assert.equal((await failingAfter("kept-4")).text, '{"from":"one"}');
  await bed.publish(estate(true));
  try {
    const stale = await orders.send(`${url}/kept-4`);
    assert.deepEqual([stale.status, JSON.parse(stale.text)], [200, {}]);
  } finally {
    await bed.publish(estate());
  }
});

test("a provider's 503 leaves what was kept, and its 404 ends it", async () => {
  await failingAfter("kept-6");
  provider.behaviour = 503;
  for (const _ of [1, 2]) assert.equal((await orders.send(`${url}/kept-6`)).status, 200);
  provider.behaviour = 404;
  assert.equal((await orders.send(`${url}/kept-6`)).status, 404);
  provider.behaviour = "reset";
  assert.equal((await orders.send(`${url}/kept-6`)).code, "upstream-unreachable");
});

test("what is declared stands in where nothing so young is kept", async () => {
  const both = estate();
  const systems = both.systems.map((system) => ({
    ...system,
    operations: (system.operations ?? []).map((one) =>
      one.changes?.staleMs === undefined ? one : { ...one, changes: { ...one.changes, fallback: declared } },
    ),
  }));
  await bed.publish({ ...both, systems });
  try {
    assert.match(String((await failingAfter("kept-5")).headers["sallyport-fallback"]), /^stale;/);
    const never = await orders.send(`${url}/never-asked`);
    assert.deepEqual(
      [never.text, never.headers["sallyport-fallback"]],
      [declared.body, "static; code=upstream-unreachable"],
    );
  } finally {
    await bed.publish(estate());
  }
});

const principal: Principal = {
  ...{ tenant: "main", environment: "production", caller: "orders", scopes: null, expiresAtMs: 0 },
  proof: { kind: "dpop" },
};
const asked = {
  ...{ principal, operation: "billing:invoice.read", places: [{ origin: "https://a", basePath: "" }] },
  request: { path: "/v1/invoices/1", query: "", headers: {} },
};

test("attack: whatever may have made an answer what it is makes another key", () => {
  const others = [
    { ...asked, operation: "billing:invoice.list" },
    { ...asked, places: [{ origin: "https://b", basePath: "" }] },
    { ...asked, request: { ...asked.request, path: "/v1/invoices/2" } },
    { ...asked, request: { ...asked.request, query: "a=1" } },
    ...["accept", "accept-encoding", "accept-language", "origin"].map((name) => ({
      ...asked,
      request: { ...asked.request, headers: { [name]: ["x"] } },
    })),
    ...[
      { caller: "shop" },
      { client: "orders-2" },
      { issuer: "partner" },
      { subject: "ada" },
      { subject: "ada", issuer: "partner" },
      { act: { sub: "agent" } },
      { acr: "gold" },
      { scopes: ["read"] },
    ].map((change) => ({ ...asked, principal: { ...principal, ...change } })),
  ];
  const keys = [asked, ...others].map(staleKey);
  assert.equal(new Set(keys).size, keys.length);
});

test("only a whole 200 of at most 64 KiB is kept, with the fields that are as true later; and a copy of its bytes", () => {
  const content = Buffer.from("{}");
  const fields = ["Content-Type", "application/json", "Date", "today", "X-Internal", "1", "ETag", '"a"'];
  const kept = keepable({ status: 200, fields, content });
  assert.deepEqual(kept?.fields, ["content-type", "application/json", "etag", '"a"']);
  content.write("xx");
  assert.equal(kept?.content.toString(), "{}");
  for (const status of [201, 204, 206, 301, 304, 404, 500]) assert.equal(keepable({ status, fields, content }), null);
  assert.notEqual(keepable({ status: 200, fields, content: Buffer.alloc(staleBytesMax) }), null);
  assert.equal(keepable({ status: 200, fields, content: Buffer.alloc(staleBytesMax + 1) }), null);
});

test("attack: answers to ever new requests stay within the bound of all, and the oldest go first", () => {
  const answers = new StaleAnswers();
  const answer = { status: 200, fields: [], content: Buffer.alloc(staleBytesMax) };
  const count = Math.ceil(staleBytesInAllMax / staleBytesMax) + 10;
  for (let n = 0; n < count; n += 1) {
    answers.keep(`key ${n}`, answer, n);
    assert.ok(answers.bytes <= staleBytesInAllMax);
  }
  const at = { nowMs: count, ageMsMax: count };
  assert.equal(answers.find("key 0", at), null);
  assert.notEqual(answers.find(`key ${count - 1}`, at), null);
  const before = answers.bytes;
  answers.keep(`key ${count - 1}`, answer, count);
  assert.equal(answers.bytes, before, "one that is kept again is counted once");
  answers.keep(`key ${count - 1}`, { ...answer, status: 404 }, count);
  assert.ok(answers.bytes < before, "an answer that may not be kept ends the one before it");
});
