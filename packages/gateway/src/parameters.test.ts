// Parameters that are declared, over real sockets: what the provider could read otherwise than the schema was held against never reaches it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { decideParameters } from "./inspect/parameters.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const fields = [
  { in: "path", name: "id", type: "integer" },
  { in: "query", name: "limit", type: "integer" },
  { in: "query", name: "state", type: "string", list: "repeated" },
  { in: "query", name: "ids", type: "integer", list: "commas" },
  { in: "query", name: "exact", type: "boolean" },
  { in: "query", name: "ratio", type: "number" },
  { in: "header", name: "x-region", type: "string" },
] as const;
const schema = {
  type: "object",
  properties: {
    path: { type: "object", properties: { id: { type: "integer", minimum: 1 } }, required: ["id"] },
    query: {
      type: "object",
      properties: {
        limit: { type: "integer", minimum: 1, maximum: 100 },
        state: { type: "array", items: { enum: ["open", "paid"] }, maxItems: 2 },
        ids: { type: "array", items: { type: "integer" } },
        exact: { type: "boolean" },
        ratio: { type: "number", exclusiveMaximum: 1 },
      },
      required: ["limit"],
    },
    header: { type: "object", properties: { "x-region": { enum: ["eu", "us"] } } },
  },
};

function estate(url: string): TestEstate {
  const read = (name: string, undeclaredQuery: "keep" | "refuse"): TestOperation => ({
    name,
    method: "GET",
    path: `/${name}/{id}`,
    parameters: { fields, schema, undeclaredQuery },
  });
  return {
    systems: [
      { id: "billing", url, operations: [read("open", "keep"), read("closed", "refuse")] },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: [{ name: "open" }, { name: "closed" }] },
    ],
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let caller: TestCaller;
let url = "";
before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: estate(upstream.url), openLog: openTestLog });
  url = `${bed.addresses[0]?.url}/billing`;
  caller = new TestCaller(bed.feed, "orders");
  await caller.learnNonce(url);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

async function passes(target: string, headers: Readonly<Record<string, string | string[]>> = {}): Promise<void> {
  const before = upstream.seen.length;
  const answer = await caller.send(`${url}${target}`, { headers });
  assert.deepEqual([answer.status, upstream.seen.length], [200, before + 1], `${target}: ${answer.text}`);
  assert.equal(upstream.seen.at(-1)?.url, target);
}

async function refused(
  target: string,
  why: RegExp,
  headers: Readonly<Record<string, string | string[]>> = {},
): Promise<void> {
  const before = upstream.seen.length;
  const answer = await caller.send(`${url}${target}`, { headers });
  assert.deepEqual(
    [answer.status, answer.code, upstream.seen.length],
    [422, "schema-mismatch", before],
    `${target}: ${answer.text}`,
  );
  assert.match(answer.text, why);
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.code === "schema-mismatch", target);
}

describe("parameters that are declared", () => {
  test("are values of their type and match the schema, and the bytes checked are the bytes sent", async () => {
    await passes("/open/7?limit=10&state=open&state=paid&ids=1,2,3&exact=true&ratio=0.25", { "x-region": "eu" });
    await passes("/open/7?limit=10&other=anything");
    await passes("/closed/7?limit=%31%30");
  });

  test("are refused by their schema, or as no value of their type", async () => {
    for (const [target, why] of [
      ["/open/0?limit=1", /properties\/path/],
      ["/open/x?limit=1", /path:id: not a whole number/],
      ["/open/7", /required/],
      ["/open/7?limit=101", /maximum\. query:limit must be <= 100"/],
      ["/open/7?limit=", /query:limit: not a whole number/],
      ["/open/7?limit=1&state=gone", /enum/],
      ["/open/7?limit=1&state=open&state=open&state=open", /maxItems/],
      ["/open/7?limit=1&ids=1,x", /query:ids: not a list/],
      ["/open/7?limit=1&exact=yes", /query:exact: not true or false/],
      ["/open/7?limit=1&ratio=1", /exclusiveMaximum/],
      ["/closed/7?limit=1&other=1", /query: a parameter that is not declared/],
    ] as const)
      await refused(target, why);
    await refused("/open/7?limit=1", /enum/, { "x-region": "cn" });
  });

  test("attack: a number in another spelling than the schema was held against", async () => {
    for (const text of [
      "+1",
      "1.0",
      "1e1",
      "0x10",
      "01",
      "%201",
      "1%20",
      "1_0",
      "%C2%A01",
      "99999999999999999",
      "١",
      "-0",
    ])
      await refused(
        `/open/7?limit=${text.startsWith("%") || /^[\x21-\x7e]+$/.test(text) ? text.replace("+", "%2B") : encodeURIComponent(text)}`,
        /query:limit: not a whole number/,
      );
    for (const text of ["NaN", "Infinity", "1e999", ".5", "0x0", "1.", "0.1234567890123456"])
      await refused(`/open/7?limit=1&ratio=${text}`, /query:ratio/);
  });

  test("attack: a second value, or a second name that some server reads as the same one", async () => {
    await refused("/open/7?limit=1&limit=1000", /query:limit: it is there more than once/);
    for (const name of ["LIMIT", "limit[]", "limit%5B%5D", "limit[0]", "Limit", "%20limit", "limit%20"])
      await refused(`/open/7?limit=1&${name}=1000`, /query:limit: a second name/);
    await refused("/open/7?limit=1&exact=true&e%78act=false", /query:exact: it is there more than once/);
    await refused("/open/7?limit=1&ids=1&ids=2", /query:ids: it is there more than once/);
    await refused("/open/7?limit=1", /header:x-region: it is there more than once/, { "x-region": ["eu", "cn"] });
    await refused("/open/7?limit=1", /enum/, { "x-region": "eu, cn" });
  });

  test("attack: more values than a list may have cost no more than reading them", async () => {
    const many: Record<string, readonly string[]> = { limit: ["1"], state: Array.from({ length: 257 }, () => "open") };
    const rule = { fields, schema: "", undeclaredQuery: "keep" } as const;
    const passing = () => ({ valid: true, why: "" });
    const denied = decideParameters(rule, { parameters: { id: "1" }, query: many, headers: {} }, passing);
    assert.equal(denied?.facts["why"], "query:state: more than 256 values");
    await refused(
      `/open/7?limit=1&ids=${Array.from({ length: 300 }, () => "1").join(",")}`,
      /query:ids: more than 256 values/,
    );
  });

  test("attack: names that an object has without being given them", () => {
    const seen: unknown[] = [];
    const check = (value: unknown) => {
      seen.push(value);
      return { valid: true, why: "" };
    };
    const named = ["constructor", "toString", "hasOwnProperty"].map(
      (name) => ({ in: "query", name, type: "string" }) as const,
    );
    const query: Record<string, readonly string[]> = Object.create(null);
    assert.equal(
      decideParameters(
        { fields: named, schema: "", undeclaredQuery: "keep" },
        { parameters: {}, query, headers: {} },
        check,
      ),
      null,
    );
    assert.equal(JSON.stringify(seen), '[{"path":{},"query":{},"header":{}}]');
    // What compiled schemas read to find out whether something is there.
    const [value] = seen as [{ query: Record<string, unknown> }];
    assert.deepEqual([value.query["constructor"], value.query["toString"]], [undefined, undefined]);
    query["x"] = ["1"];
    assert.equal(
      decideParameters(
        { fields: named, schema: "", undeclaredQuery: "refuse" },
        { parameters: {}, query, headers: {} },
        check,
      )?.code,
      "schema-mismatch",
    );
  });
});
