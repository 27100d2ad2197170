// Attributes that another system knows, over real sockets: asked for by the gateway itself, once for all who wait, kept for a time, and a no wherever
// there is no plain answer (docs/attributes.md).
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import type { LookupRule } from "@sallyport/protocol/snapshot/lookup-rule.ts";
import { Lookups, lookupPath } from "./authorize/lookups.ts";
import { referenceOf } from "./record/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const rule = (more: Partial<LookupRule> = {}): LookupRule => ({
  ...{
    system: "crm",
    operation: "customer.read",
    with: { id: { from: "path", name: "id", type: "string" } },
    timeoutMs: 10_000,
    keepMs: 60_000,
    missMs: 60_000,
  },
  ...more,
});
const cedar = '@id("gold-only") forbid (principal, action, resource) unless { resource.tier == "gold" };';
const tier = { from: "lookup", name: "customer:$.account.tier", type: "string" } as const;

function reads(name: string, lookup: LookupRule, more: Partial<TestOperation> = {}): TestOperation {
  return {
    name,
    method: "GET",
    path: `/${name}/{id}`,
    attributes: { tier },
    cedar,
    changes: { lookups: { customer: lookup } },
    ...more,
  };
}

function estate(provider: string, crm: string): TestEstate {
  const operations = [
    reads("kept", rule()),
    reads("fresh", rule({ keepMs: 0, missMs: 0 })),
    reads("brief", rule({ keepMs: 1, missMs: 1 })),
    reads("quick", rule({ keepMs: 0, timeoutMs: 50 })),
    reads("queried", rule({ with: { id: { from: "query", name: "who", type: "string" } }, keepMs: 0 })),
    reads("gone", rule({ operation: "nothing.read" })),
    reads("closed", rule({ system: "shut" })),
  ];
  const account = { type: "object", required: ["account"], properties: { account: { type: "object" } } };
  return {
    systems: [
      { id: "billing", url: provider, operations },
      {
        id: "crm",
        url: crm,
        operations: [
          {
            name: "customer.read",
            method: "GET",
            path: "/v1/customers/{id}",
            response: { schemas: { "2XX": account } },
          },
        ],
      },
      {
        id: "shut",
        url: "http://127.0.0.1:9",
        operations: [{ name: "customer.read", method: "GET", path: "/v1/customers/{id}" }],
      },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: operations.map(({ name }) => ({ name })) },
    ],
  };
}

let provider: CountingUpstream;
let crm: CountingUpstream;
let bed: TestGateway;
let caller: TestCaller;
let url = "";
const references: object[] = [];
before(async () => {
  [provider, crm] = await Promise.all([startCountingUpstream(), startCountingUpstream()]);
  bed = await startTestGateway({
    estate: estate(provider.url, crm.url),
    openLog: openTestLog,
    changes: { observers: [{ crossing: (exchange, { deny }) => void references.push(referenceOf(exchange, deny)) }] },
  });
  url = `${bed.addresses[0]?.url}/billing`;
  caller = new TestCaller(bed.feed, "orders");
  await caller.learnNonce(url);
});
after(async () => {
  await bed?.close();
  await provider?.close();
  await crm?.close();
});
beforeEach(() => {
  crm.answer = says({ account: { tier: "gold" } });
});

const says =
  (value: unknown, status = 200) =>
  (_: unknown, response: ServerResponse) =>
    void response
      .writeHead(status, { "content-type": "application/json" })
      .end(typeof value === "string" ? value : JSON.stringify(value));

async function passes(path: string): Promise<void> {
  const answer = await caller.send(`${url}${path}`);
  assert.equal(answer.status, 200, answer.text);
}

async function refused(code: string, path: string) {
  const reached = provider.seen.length;
  const answer = await caller.send(`${url}${path}`);
  assert.deepEqual([answer.code, provider.seen.length], [code, reached], answer.text);
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual([leaf.code, leaf.stage, leaf.verdict], [code, "authorize", "deny"]);
  return { answer, leaf };
}

describe("what is looked up", () => {
  test("decides, and the record says what was asked, without what was found", async () => {
    await passes("/kept/c-1");
    assert.deepEqual(crm.seen.at(-1)?.url, "/v1/customers/c-1");
    const { lookups, decision } = references.at(-1) as {
      lookups: unknown;
      decision: { resource: { attributes: unknown } };
    }; // made a line above
    assert.deepEqual(lookups, [{ name: "customer", operation: "crm:customer.read", outcome: "found", kept: false }]);
    assert.deepEqual(decision.resource.attributes, { tier: "gold" });
    crm.answer = says({ account: { tier: "lead" } });
    await refused("policy-denied", "/kept/c-2");
  });

  test("is asked in the gateway's own name, and the caller's token and fields stay here", async () => {
    await caller.send(`${url}/fresh/c-3`, { headers: { "x-secret": "canary" } });
    const headers: Readonly<Record<string, unknown>> = crm.seen.at(-1)?.headers ?? {};
    const claims = JSON.parse(
      Buffer.from(String(headers["sallyport-identity"]).split(".")[1] ?? "", "base64url").toString("utf8"),
    );
    assert.deepEqual(
      [claims.sub, claims.op, claims.int, claims.subject, claims.act],
      ["sallyport", "crm:customer.read", "lookup:billing:fresh:customer", undefined, undefined],
    );
    assert.deepEqual(
      [headers["authorization"], headers["dpop"], headers["x-secret"], headers["accept-encoding"]],
      [undefined, undefined, undefined, "identity"],
    );
  });

  test("is kept for its time, also that nothing is there, and never where the rule says `0ms`", async () => {
    const asked = () => crm.seen.length;
    await passes("/kept/k-1");
    const once = asked();
    await passes("/kept/k-1");
    assert.equal(asked(), once);
    const { lookups } = references.at(-1) as { lookups: readonly { kept: boolean }[] }; // made a line above
    assert.equal(lookups[0]?.kept, true);
    crm.answer = says("", 404);
    await refused("attribute-missing", "/kept/k-404");
    const missed = asked();
    crm.answer = says({ account: { tier: "gold" } });
    await refused("attribute-missing", "/kept/k-404");
    assert.equal(asked(), missed);
    await passes("/fresh/k-2");
    await passes("/fresh/k-2");
    assert.equal(asked(), missed + 2);
  });

  test("is asked once for all who wait for it", async () => {
    const lookups = new Lookups();
    let count = 0;
    const { promise, resolve } = Promise.withResolvers<{ value: unknown }>();
    const ask = () => {
      count += 1;
      return promise;
    };
    const on = { rule: rule(), nowMs: () => 0, ask };
    const found = [lookups.find("k", on), lookups.find("k", on), lookups.find("other", on)];
    resolve({ value: 1 });
    assert.deepEqual(
      (await Promise.all(found)).map((one) => one.kept),
      [false, false, false],
    );
    assert.equal(count, 2, "once for each key");
    let nowMs = 59_999;
    assert.equal((await lookups.find("k", { ...on, nowMs: () => nowMs })).kept, true);
    nowMs = 60_000;
    assert.equal((await lookups.find("k", { ...on, nowMs: () => nowMs })).kept, false);
  });
});

describe("attack: a look", () => {
  test("attack: what one operation may keep for a minute does not decide about another that asks each time, or for a moment", async () => {
    await passes("/kept/shared");
    // Taken from the customer meanwhile, which the other operations have to see.
    crm.answer = says({ account: { tier: "lead" } });
    await refused("policy-denied", "/fresh/shared");
    crm.answer = says({ account: { tier: "gold" } });
    await passes("/kept/brief");
    crm.answer = says({ account: { tier: "lead" } });
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    await refused("policy-denied", "/brief/brief");
    crm.answer = says("", 404);
    await refused("attribute-missing", "/kept/absent");
    crm.answer = says({ account: { tier: "gold" } });
    await passes("/fresh/absent");
  });

  test("attack: an answer that is none, or not one that two readers agree on", async () => {
    for (const [body, status] of [
      ["", 500],
      ["", 200],
      ["gold", 200],
      ['{"account":{"tier":"lead"},"account":{"tier":"gold"}}', 200],
      ['{"tier":"gold"}', 200],
      ['{"account":"gold"}', 200],
      [`{"account":{"tier":"gold","x":"${"x".repeat(70_000)}"}}`, 200],
      ['{"account":{"tier":"gold"}}', 203],
      ['{"account":{"tier":"gold"}}', 302],
    ] as const) {
      crm.answer = says(body, status);
      const { answer, leaf } = await refused("decision-unavailable", `/fresh/x-${status}`);
      assert.deepEqual([answer.status, leaf.policies], [503, ["lookup:customer"]]);
    }
    for (const value of [
      { account: { tier: 1 } },
      { account: { tier: ["gold"] } },
      { account: [{ tier: "gold" }] },
      { account: { Tier: "gold", tier: "gold" } },
      { account: {} },
      { account: { tier: null } },
    ]) {
      crm.answer = says(value);
      await refused("attribute-missing", "/fresh/y").catch(async (error: unknown) => {
        // A list where the schema has an object is no answer.
        if (!Array.isArray(value.account)) throw error;
        await refused("decision-unavailable", "/fresh/y");
      });
    }
  });

  test("attack: a value of the request that leads elsewhere than to its place", async () => {
    const begun = crm.seen.length;
    for (const value of [
      "..%2fadmin",
      "a%2f..%2fb",
      "%2e%2e",
      ".",
      "",
      "a%5cb",
      "a%3fx",
      "a%23x",
      "a%3bx",
      "a%0ab",
      "%252e%252e",
    ])
      assert.equal((await caller.send(`${url}/queried/1?who=${value}`)).status >= 400, true, value);
    assert.equal((await caller.send(`${url}/queried/1?who=a&who=b`)).code, "attribute-missing");
    assert.equal((await caller.send(`${url}/queried/1`)).code, "attribute-missing");
    assert.equal(crm.seen.length, begun);
    assert.equal(lookupPath("/a/{id}", { id: "x y" }), "/a/x%20y");
  });

  test("attack: a system that is away or slow fails closed, and is asked again", async () => {
    crm.answer = () => undefined;
    const { leaf } = await refused("decision-unavailable", "/quick/z");
    assert.deepEqual(leaf.policies, ["lookup:customer"]);
    crm.answer = says({ account: { tier: "gold" } });
    await refused("decision-unavailable", "/closed/z");
    await refused("decision-unavailable", "/gone/z");
    crm.answer = says("", 500);
    await refused("decision-unavailable", "/kept/z-1");
    crm.answer = says({ account: { tier: "gold" } });
    await passes("/kept/z-1");
  });

  test("attack: more looks than may be under way or kept", async () => {
    const lookups = new Lookups();
    const never = new Promise<null>(() => undefined);
    for (let n = 0; n < 256; n += 1) void lookups.find(`w${n}`, { rule: rule(), nowMs: () => 0, ask: () => never });
    const { found } = await lookups.find("one more", {
      rule: rule(),
      nowMs: () => 0,
      ask: () => Promise.resolve(null),
    });
    assert.match(String(found), /more than 256/);
    const full = new Lookups();
    let asked = 0;
    const ask = () => {
      asked += 1;
      return Promise.resolve(null);
    };
    for (let n = 0; n < 8_193; n += 1) await full.find(`k${n}`, { rule: rule(), nowMs: () => 0, ask });
    await full.find("k8192", { rule: rule(), nowMs: () => 0, ask });
    assert.equal(asked, 8_193);
    await full.find("k0", { rule: rule(), nowMs: () => 0, ask });
    assert.equal(asked, 8_194, "the oldest went");
  });
});
