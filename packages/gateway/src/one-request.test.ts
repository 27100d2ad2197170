// Route, policy, schema, provider and record read one request: what the policy saw is what the provider gets, or nobody gets anything.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

/** Payouts only as a dry run, rows of `me` only, and refunds up to 100. */
function deciding(url: string): TestEstate {
  const json = { content: "json" as const, contentType: "application/json" };
  const only = (name: string, unless: string) =>
    `forbid(principal, action == Action::"billing:${name}", resource) unless { ${unless} };`;
  return {
    systems: [
      {
        id: "billing",
        url,
        operations: [
          {
            name: "payout.create",
            method: "POST",
            path: "/v1/payouts",
            attributes: { dryRun: { from: "header", name: "X-Dry-Run", type: "boolean" } },
            body: json,
            cedar: only("payout.create", "resource.dryRun"),
          },
          {
            name: "row.read",
            method: "GET",
            path: "/v1/rows",
            attributes: { owner: { from: "query", name: "owner_id", type: "string" } },
            cedar: only("row.read", 'resource.owner == "me"'),
          },
          {
            name: "hop.read",
            method: "GET",
            path: "/v1/hop",
            attributes: { te: { from: "header", name: "TE", type: "string" } },
            cedar: only("hop.read", 'resource.te == "trailers"'),
          },
          {
            name: "refund.create",
            method: "POST",
            path: "/v1/refunds",
            attributes: { amount: { from: "body", name: "$.refund.amount", type: "long" } },
            body: json,
            cedar: only("refund.create", "resource.amount <= 100"),
          },
        ],
      },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      {
        id: "orders-to-billing",
        from: "orders",
        to: "billing",
        operations: ["payout.create", "row.read", "hop.read", "refund.create"].map((name) => ({ name })),
      },
    ],
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let url: string;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: deciding(upstream.url), openLog: openTestLog });
  url = `${bed.addresses[0]?.url}/billing/v1`;
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${bed.addresses[0]?.url}/`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Answer> =>
  orders.send(`${url}${path}`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });

/** The public code and that of the record; the provider must not have been asked. */
async function refused(send: () => Promise<Answer>): Promise<readonly unknown[]> {
  const reached = upstream.seen.length;
  const answer = await send();
  assert.equal(upstream.seen.length, reached, "the provider was reached");
  const leaf = (await bed.leaves(answer.id)).at(-1);
  return [answer.status, leaf?.t === "crossing" ? leaf.code : leaf?.t];
}

describe("a header that decides", () => {
  test("reaches the provider when the policy saw it", async () => {
    assert.equal((await post("/payouts", "{}", { "x-dry-run": "true" })).status, 200);
    assert.equal(upstream.seen.at(-1)?.headers["x-dry-run"], "true");
  });

  test("cannot be taken from the provider by naming it in Connection", async () => {
    const trick = (connection: string) => () => post("/payouts", "{}", { "x-dry-run": "true", connection });
    assert.deepEqual(await refused(trick("x-dry-run")), [400, "bad-header"]);
    assert.deepEqual(await refused(trick("keep-alive, X-Dry-Run")), [400, "bad-header"]);
  });

  test("is no attribute where its field ends at this hop", async () => {
    const send = () => orders.send(`${url}/hop`, { headers: { te: "trailers" } });
    assert.equal((await refused(send))[1], "attribute-missing");
  });
});

describe("a query parameter that decides", () => {
  test("passes alone and beside others", async () => {
    assert.equal((await orders.send(`${url}/rows?owner_id=me&filter[]=x&owner=z`)).status, 200);
  });

  for (const query of [
    "owner_id=me&owner_id[]=you",
    "owner_id=me&owner_id%5B0%5D=you",
    "owner_id=me&Owner_ID=you",
    "owner_id=me&owner.id=you",
    "owner_id=me&+owner_id=you",
    "owner_id=me&owner[id=you",
    "owner_id=me&owner_id=you",
  ])
    test(`has no second reading: ${query}`, async () => {
      assert.equal((await refused(() => orders.send(`${url}/rows?${query}`)))[1], "attribute-missing");
    });

  test("cannot be doubled behind a semicolon", async () => {
    const send = () => orders.send(`${url}/rows?x=1;owner_id=you&owner_id=me`);
    assert.deepEqual(await refused(send), [400, "bad-request-line"]);
  });
});

describe("a member of the body that decides", () => {
  const refund = (body: string) => () => post("/refunds", body);

  test("passes as a plain integer, with other numbers beside it", async () => {
    assert.equal((await post("/refunds", '{"refund":{"amount":100,"rate":1.5},"x":1e2}')).status, 200);
    assert.equal((await refused(refund('{"refund":{"amount":101}}')))[1], "policy-denied");
  });

  for (const literal of ["100.000000000000001", "100.0", "1e2", "1.0E+2", "-0", "9007199254740993"])
    test(`is not rounded on its way to the policy: ${literal}`, async () => {
      assert.equal((await refused(refund(`{"refund":{"amount":${literal}}}`)))[1], "attribute-missing");
    });

  for (const body of [
    '{"refund":{"amount":100,"Amount":1000000}}',
    '{"refund":{"AMOUNT":1000000,"amount":100}}',
    '{"refund":{"amount":100},"Refund":{"amount":1000000}}',
    '{"refund":{"amount":100,"\\u0041mount":1000000}}',
  ])
    test(`has no twin in another case: ${body}`, async () => {
      assert.equal((await refused(refund(body)))[1], "body-malformed");
    });

  test("has twins elsewhere, where nothing decides", async () => {
    assert.equal((await post("/refunds", '{"refund":{"amount":1},"note":{"amount":1,"Amount":2}}')).status, 200);
  });
});
