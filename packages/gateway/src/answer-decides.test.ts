// Policies over what the provider answered, asked before any of it is released, and what an answer says of its outcome (docs/inspection.md). Real sockets,
// real Cedar, a real log; denials are believed three times.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { type DecisionPoint, startDecisionPoint } from "./testing/decision-point.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { movableClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type CallOptions, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const canary = "canary-12345678901";
const fromAnswer = (name: string, type: AttributeSource["type"] = "string"): AttributeSource => ({
  from: "response",
  name,
  type,
});
const own = (action: string) =>
  `forbid(principal, action == Action::"crm:${action}", resource) unless { principal.region == resource.region };`;

const reads: readonly TestOperation[] = [
  {
    name: "customer.read",
    method: "GET",
    path: "/v1/customers/{id}",
    attributes: { region: fromAnswer("$.customer.region") },
    cedar: own("customer.read"),
  },
  {
    name: "hidden.read",
    method: "GET",
    path: "/v1/hidden/{id}",
    attributes: { region: fromAnswer("$.region") },
    response: { redact: ["$.region"] },
    cedar: own("hidden.read"),
  },
  {
    name: "amount.read",
    method: "GET",
    path: "/v1/amounts/{id}",
    attributes: { amount: fromAnswer("$.amount", "long") },
    cedar:
      'forbid(principal, action == Action::"crm:amount.read", resource) when { resource.amount * 9007199254740991 > 1 };',
  },
  {
    name: "kept.read",
    method: "GET",
    path: "/v1/kept/{id}",
    attributes: { region: fromAnswer("$.region") },
    changes: { classification: "restricted" },
    cedar: own("kept.read"),
  },
];
const outside: TestOperation = {
  name: "outside.read",
  method: "GET",
  path: "/v1/outside/{id}",
  attributes: { region: fromAnswer("$.region") },
  cedar: own("outside.read"),
};
const signs: readonly TestOperation[] = [
  {
    name: "charge.create",
    method: "POST",
    path: "/v1/charges",
    body: { content: "json", contentType: "application/json" },
    response: { redact: ["$.error"] },
    changes: {
      businessErrors: [409],
      businessErrorsIn: [{ path: "$.error" }, { path: "$.lines[*].state", is: ["declined", 7, false] }],
    },
  },
  {
    name: "charge.read",
    method: "GET",
    path: "/v1/charges/{id}",
    changes: { businessErrorsIn: [{ path: "$..error" }] },
  },
];

function estate(url: string): TestEstate {
  const observed = { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } as const;
  const opa = { url: point.url, path: "crm/allow", timeoutMs: 2_000, allowPrivate: true };
  const crm = [...reads, { ...outside, changes: { opa } }, ...signs];
  const named = (operations: readonly TestOperation[]) => operations.map(({ name }) => ({ name }));
  const first = reads.slice(0, 1).map((one) => ({ ...one, cedar: (one.cedar ?? "").replace("crm:", "watched:") }));
  return {
    systems: [
      { id: "crm", url, operations: crm },
      { id: "watched", url, operations: first, changes: observed },
      { id: "orders", clients: ["orders"], attributes: { region: "eu" } },
    ],
    integrations: [
      { id: "orders-to-crm", from: "orders", to: "crm", operations: named(crm) },
      { id: "orders-to-watched", from: "orders", to: "watched", operations: named(first) },
    ],
  };
}

const clock = movableClock();
let upstream: CountingUpstream;
let point: DecisionPoint;
let bed: TestGateway;
let orders: TestCaller;
let origin = "";

before(async () => {
  upstream = await startCountingUpstream();
  point = await startDecisionPoint();
  bed = await startTestGateway({ estate: estate(upstream.url), openLog: openTestLog, clock });
  origin = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders", () => clock.now());
});
after(async () => {
  await bed?.close();
  await upstream?.close();
  await point?.close();
});
beforeEach(async () => {
  upstream.answer = null;
  bed.feed.heartbeat();
  await orders.learnNonce(`${origin}/crm`);
});

const json = { "content-type": "application/json" };

function answerWith(body: string, status = 200, headers: Readonly<Record<string, string>> = json): void {
  upstream.answer = (_request, response) => void response.writeHead(status, headers).end(body);
}

async function ask(path: string, options: CallOptions = {}) {
  const reached = upstream.seen.length;
  const answer = await orders.send(`${origin}${path}`, options);
  assert.equal(upstream.seen.length - reached, 1, "the provider was asked once");
  const leaves = await bed.leaves(answer.id);
  return { answer, leaves, leaf: leaves.at(-1) };
}

async function denied(code: ProblemCode, status: number, path: string, options: CallOptions = {}): Promise<void> {
  const { answer, leaves, leaf } = await ask(path, options);
  assert.equal(answer.status, status, answer.text);
  if (options.method !== "HEAD") assert.equal(answer.code, code);
  assert.ok(!answer.text.includes(canary) && !JSON.stringify(answer.headers).includes(canary));
  assert.ok(leaves.length === 1 && leaf?.t === "crossing");
  assert.deepEqual([leaf.verdict, leaf.code, leaf.stage, leaf.outcome], ["deny", code, "authorize", "denied"]);
}

const customer = (region: unknown) => JSON.stringify({ customer: { region, name: canary } });

describe("attributes from the answer", () => {
  test("the caller's own region passes as it came, with the policies on record; another's is denied, and no byte or field of it leaves", async () => {
    answerWith(customer("eu"));
    const { answer, leaf } = await ask("/crm/v1/customers/1");
    assert.equal(answer.text, customer("eu"));
    assert.ok(leaf?.t === "crossing" && leaf.verdict === "allow" && leaf.policies.length > 0);
    answerWith(customer("us"), 200, { ...json, "x-name": canary, etag: `"${canary}"` });
    await denied("policy-denied", 403, "/crm/v1/customers/1");
  });

  test("a value that is missing, of another type, in a list, or beside a twin in another case is none", async () => {
    for (const body of [
      "{}",
      "[]",
      customer(7),
      customer(null),
      customer(["eu"]),
      `[${customer("eu")}]`,
      '{"customer":[{"region":"eu"}]}',
      '{"customer":{"region":"eu","Region":"us"}}',
      '{"customer":{"region":"eu"},"Customer":{"region":"us"}}',
    ]) {
      answerWith(body);
      await denied("attribute-missing", 403, "/crm/v1/customers/1");
    }
  });

  test("errors and answers without content have no attributes, so they are denied alike", async () => {
    answerWith(`{"title":"${canary}"}`, 404, { "content-type": "application/problem+json" });
    await denied("attribute-missing", 403, "/crm/v1/customers/1");
    answerWith("", 204, {});
    await denied("attribute-missing", 403, "/crm/v1/customers/1");
    answerWith("", 200, { ...json, "x-name": canary });
    await denied("attribute-missing", 403, "/crm/v1/customers/1", { method: "HEAD" });
  });

  test("no condition goes on to the provider: an answer that says only that nothing changed has no attributes", async () => {
    answerWith(customer("eu"));
    const headers = { "if-none-match": '"a"', "if-modified-since": "Mon, 30 Nov 2026 00:00:00 GMT" };
    await ask("/crm/v1/customers/1", { headers });
    const sent = upstream.seen.at(-1)?.headers ?? {};
    assert.deepEqual([sent["if-none-match"], sent["if-modified-since"]], [undefined, undefined]);
  });

  test("what cannot be read decides nothing: it is refused, not passed on", async () => {
    for (const body of [`${customer("eu")}}`, `\ufeff${customer("eu")}`]) {
      answerWith(body);
      const { answer, leaf } = await ask("/crm/v1/customers/1");
      assert.deepEqual([answer.status, answer.code], [502, "response-content"]);
      assert.ok(leaf?.t === "crossing" && leaf.code === "response-content" && !answer.text.includes(canary));
    }
  });

  test("a policy that overflows on a value of the answer denies instead of being skipped, and a fraction is no whole number", async () => {
    answerWith('{"amount":9007199254740991}');
    await denied("policy-error", 403, "/crm/v1/amounts/1");
    answerWith('{"amount":1.0}');
    await denied("attribute-missing", 403, "/crm/v1/amounts/1");
    answerWith('{"amount":0}');
    assert.equal((await ask("/crm/v1/amounts/1")).answer.status, 200);
  });

  test("a field may decide that no caller gets", async () => {
    answerWith('{"region":"eu","n":1}');
    assert.equal((await ask("/crm/v1/hidden/1")).answer.text, '{"n":1}');
    answerWith(`{"region":"us","n":"${canary}"}`);
    await denied("policy-denied", 403, "/crm/v1/hidden/1");
  });

  test("a gateway that heard nothing while the provider thought is as stale as at the door", async () => {
    upstream.answer = (_request, response) => {
      clock.shiftMs += 4_000;
      response.writeHead(200, json).end(`{"region":"eu","name":"${canary}"}`);
    };
    await denied("stale-snapshot", 503, "/crm/v1/kept/1");
  });

  test("a decision point outside is asked once, about the answer, and after the policies; its no is a no", async () => {
    const asked = point.asked.length;
    point.rules.set("crm/allow", () => true);
    answerWith('{"region":"eu"}');
    assert.equal((await ask("/crm/v1/outside/1")).answer.status, 200);
    const { input } = point.asked.at(-1) as { readonly input: { readonly resource: object } }; // as it is asked, checked on the next line
    assert.deepEqual(input.resource, { system: "crm", attributes: { region: "eu" } });
    assert.equal(point.asked.length, asked + 1);
    point.rules.set("crm/allow", () => false);
    answerWith(`{"region":"eu","name":"${canary}"}`);
    await denied("policy-denied", 403, "/crm/v1/outside/1");
    answerWith('{"region":"us"}');
    await denied("policy-denied", 403, "/crm/v1/outside/1");
    assert.equal(point.asked.length, asked + 2, "of what policies deny it is not asked");
  });

  test("where nothing is enforced the answer passes, and the record says what would have been said", async () => {
    answerWith(customer("us"));
    const { answer, leaf } = await ask("/watched/v1/customers/1");
    assert.equal(answer.text, customer("us"));
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual(
      [leaf.mode, leaf.verdict, leaf.code, leaf.outcome],
      ["observe", "deny", "policy-denied", "success"],
    );
  });
});

describe("what an answer says of its outcome", () => {
  const outcomeOf = async (body: string, status = 200): Promise<unknown> => {
    answerWith(body, status);
    const { answer, leaf } = await ask("/crm/v1/charges", { method: "POST", headers: json, body: "{}" });
    assert.equal(answer.status, status);
    return leaf?.t === "outcome" && leaf.outcome;
  };

  test("a sign in a successful answer is a business error, also one that is taken out of it", async () => {
    assert.equal(await outcomeOf('{"ok":true}'), "success");
    assert.equal(await outcomeOf('{"error":"no funds"}'), "business-error");
    assert.equal(await outcomeOf('{"error":null}'), "success");
    assert.equal(await outcomeOf('{"error":false}'), "success");
    assert.equal(await outcomeOf('{"lines":[{"state":"paid"},{"state":"declined"}]}'), "business-error");
    assert.equal(await outcomeOf('{"lines":[{"state":7}]}'), "business-error");
    assert.equal(await outcomeOf('{"lines":[{"state":false}]}'), "business-error");
    assert.equal(
      await outcomeOf('{"lines":{"a":{"state":"declined"}}}'),
      "business-error",
      "a wildcard is also of members",
    );
    assert.equal(await outcomeOf('{"lines":[{"state":"7"}]}'), "success");
  });

  test("a status says what it says", async () => {
    assert.equal(await outcomeOf('{"error":1}', 500), "system-error");
    assert.equal(await outcomeOf("{}", 409), "business-error");
  });

  test("of an answer that is passed on unread, what is held whole and is JSON is read for it, and nothing is refused", async () => {
    answerWith('{"a":[{"error":"x"}]}');
    const { leaf } = await ask("/crm/v1/charges/1");
    assert.ok(leaf?.t === "crossing" && leaf.outcome === "business-error");
    answerWith("<p>error</p>", 200, { "content-type": "text/html" });
    const { answer, leaf: other } = await ask("/crm/v1/charges/1");
    assert.equal(answer.text, "<p>error</p>");
    assert.ok(other?.t === "crossing" && other.outcome === "success");
  });
});
