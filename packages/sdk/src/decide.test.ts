// decide(): what is asked, what an answer has to be, and that nothing else is a yes. The gateway's side: packages/gateway/src/evaluation.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "./decide.ts";
import { DeniedError } from "./denial.ts";
import { SallyportFault } from "./fault.ts";
import type { SallyportFetch } from "./sallyport-fetch.ts";

const question = { caller: "orders", operation: "billing:invoice.read", resource: "inv-1" };
const answering =
  (body: string, init: ResponseInit = {}): SallyportFetch =>
  async () =>
    new Response(body, { headers: { "content-type": "application/json" }, ...init });

test("asks the AuthZEN question about one operation of the service", async () => {
  const sent: unknown[] = [];
  const fetch: SallyportFetch = async (input, init) => {
    sent.push([input, init?.method, JSON.parse(String(init?.body))]);
    return new Response('{"decision":true,"context":{"crossing":"gw-1-X"}}');
  };
  const asked = { ...question, user: "usr_1", attributes: { amount: 5 } };
  assert.deepEqual(await decide(fetch, asked), { allowed: true, crossing: "gw-1-X" });
  assert.deepEqual(sent, [
    [
      "/access/v1/evaluation",
      "POST",
      {
        subject: { type: "system", id: "orders", properties: { user: "usr_1" } },
        action: { name: "billing:invoice.read" },
        resource: { type: "billing", id: "inv-1", properties: { amount: 5 } },
      },
    ],
  ]);
});

test("a no says why", async () => {
  const fetch = answering('{"decision":false,"context":{"crossing":"gw-1-X","code":"not-granted","reason":"ask"}}');
  const told = { allowed: false, crossing: "gw-1-X", code: "not-granted", reason: "ask" };
  assert.deepEqual(await decide(fetch, question), told);
});

for (const body of [
  "",
  "{}",
  "null",
  "true",
  '{"decision":"true","context":{"crossing":"x"}}',
  '{"decision":true}',
  "[]",
])
  test(`nothing is allowed by an answer that is none: ${body || "empty"}`, () =>
    assert.rejects(decide(answering(body), question), (fault) => {
      assert.ok(fault instanceof SallyportFault && fault.code === "decision-unusable");
      return true;
    }));

test("nothing is allowed by another status, whatever stands in the answer", async () => {
  const yes = '{"decision":true,"context":{"crossing":"x"}}';
  await assert.rejects(decide(answering(yes, { status: 201 }), question), SallyportFault);
  await assert.rejects(decide(answering(yes, { status: 503 }), question), DeniedError);
});
