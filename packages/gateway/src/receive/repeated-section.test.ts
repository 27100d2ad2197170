// A connection whose requests say the same again is judged anew each time, and what is known of one request is never said of another.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, describe, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "../testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "../testing/test-caller.ts";

const unbound = { cnf: undefined } as unknown as { readonly cnf: { readonly jkt: string } }; // a token without a key
const operation = { name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" } as const;
const create = { name: "invoice.create", method: "POST", path: "/v1/invoices" } as const;
const json = { content: "json" as const, contentType: "application/json" };

let upstream: CountingUpstream;
let bed: TestGateway;
let url: string;
let agent: Agent;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: {
      systems: [
        { id: "billing", url: upstream.url, operations: [operation, { ...create, body: json }] },
        { id: "orders", clients: ["orders"] },
        { id: "portal", clients: ["portal"] },
      ],
      integrations: ["orders", "portal"].map((from) => ({
        id: `${from}-to-billing`,
        from,
        to: "billing",
        proof: ["bearer"],
        operations: [{ name: "invoice.read" }, { name: "invoice.create" }],
      })),
    },
    openLog: openTestLog,
  });
  url = `${bed.addresses[0]?.url}/billing/v1/invoices`;
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
after(async () => {
  agent?.destroy();
  await bed?.close();
  await upstream?.close();
});

const bearer = (client: string, jti: string) =>
  `Bearer ${new TestCaller(bed.feed, client).token("billing", { ...unbound, jti })}`;
const get = (headers: Readonly<Record<string, string>>, id = "1"): Promise<Answer> =>
  call(`${url}/${id}`, { agent, headers });

/** Who the provider was told called. */
function callerOf(index: number): string {
  const [, payload = ""] = String(upstream.seen[index]?.headers["sallyport-identity"]).split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString()).sub;
}

describe("the same header section again, on one connection", () => {
  test("each crossing has its own id, its own trace and its own path", async () => {
    const from = upstream.seen.length;
    const authorization = bearer("orders", "same-section-again");
    const answers = [];
    for (const id of ["1", "2", "3"]) answers.push(await get({ authorization, "x-a": "1" }, id));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const seen = upstream.seen.slice(from);
    assert.deepEqual(
      seen.map(({ url: path, headers }) => [path, headers["x-a"], headers["sallyport-crossing"]]),
      answers.map(({ id }, i) => [`/v1/invoices/${i + 1}`, "1", id]),
    );
    assert.equal(new Set(answers.map(({ id }) => id)).size, 3);
    assert.equal(new Set(seen.map(({ headers }) => headers["traceparent"])).size, 3);
    for (const { rawHeaders } of seen) {
      const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
      assert.equal(new Set(names).size, names.length, "no field twice");
      assert.ok(!names.includes("authorization"));
    }
  });

  test("attack: a token that was revoked, or that has expired, is not taken for what it was a moment before", async () => {
    const authorization = bearer("orders", "revoked-between");
    assert.equal((await get({ authorization })).status, 200);
    assert.equal((await get({ authorization })).status, 200);
    bed.feed.revoke("jti", "revoked-between");
    assert.equal((await get({ authorization })).code, "unauthenticated");
    const other = bearer("orders", "expires-between");
    assert.equal((await get({ authorization: other })).status, 200);
    bed.clock.shiftMs += 306_000;
    try {
      assert.equal((await get({ authorization: other })).status, 401);
    } finally {
      bed.clock.shiftMs -= 306_000;
    }
  });

  test("attack: two callers in turns behind one connection: the provider is told who each of them is", async () => {
    const from = upstream.seen.length;
    const [orders, portal] = [bearer("orders", "in-turns-orders"), bearer("portal", "in-turns-portal")];
    for (const authorization of [orders, portal, orders, orders, portal, portal, orders])
      assert.equal((await get({ authorization, "x-caller": authorization.slice(-12) })).status, 200);
    const told = upstream.seen.slice(from).map(({ headers }, i) => [callerOf(from + i), headers["x-caller"]]);
    const [o, p] = [
      ["orders", orders.slice(-12)],
      ["portal", portal.slice(-12)],
    ];
    assert.deepEqual(told, [o, p, o, o, p, p, o]);
  });

  test("attack: a field that changes between two requests is the one that arrives, also when it changes back", async () => {
    const from = upstream.seen.length;
    const authorization = bearer("orders", "field-changes");
    const values = ["1", "1", "2", "1", "11", "2", "2"];
    for (const value of values) assert.equal((await get({ authorization, "x-a": value })).status, 200);
    assert.deepEqual(
      upstream.seen.slice(from).map(({ headers }) => headers["x-a"]),
      values,
    );
  });

  test("an effect has a token of its own each time, and the content of this very request", async () => {
    const from = upstream.seen.length;
    const authorization = bearer("orders", "effects-again");
    const headers = { authorization, "content-type": "application/json" };
    for (const amount of [1, 2, 3]) {
      const answer = await call(url, { agent, headers, method: "POST", body: `{"amount":${amount}}` });
      assert.equal(answer.status, 200);
    }
    const seen = upstream.seen.slice(from);
    assert.deepEqual(
      seen.map(({ body }) => body),
      ['{"amount":1}', '{"amount":2}', '{"amount":3}'],
    );
    assert.equal(new Set(seen.map(({ headers: of }) => of["sallyport-identity"])).size, 3);
  });

  test("an answer whose head comes again is the caller's with fields of its own, and another one is another", async () => {
    const authorization = bearer("orders", "answers-again");
    const say = (...fields: readonly [string, string][]) => {
      upstream.answer = (_request, response) => {
        response.sendDate = false;
        for (const [name, value] of fields) response.appendHeader(name, value);
        response.end("ok");
      };
      return get({ authorization });
    };
    try {
      const a = [["x-b", "1"]] as const;
      const answers = [];
      for (const fields of [a, a, [["x-b", "2"]], a, [["set-cookie", "a=1"]], [["set-cookie", "a=2"]]] as const)
        answers.push(await say(...fields.map(([name, value]): [string, string] => [name, value])));
      assert.deepEqual(
        answers.map(({ headers }) => headers["x-b"] ?? headers["set-cookie"]?.[0]),
        ["1", "1", "2", "1", "a=1", "a=2"],
      );
      assert.ok(
        answers.every(({ status, text, headers }) => status === 200 && text === "ok" && headers.date !== undefined),
      );
      assert.equal(new Set(answers.map(({ id }) => id)).size, 6);
    } finally {
      upstream.answer = null;
    }
  });
});
