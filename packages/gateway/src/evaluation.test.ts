// Services that ask about callers of their own operations, over real sockets: what is decided, who may ask about what, and what stands on record.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { limitService, questionBytesMax, questionRate } from "./authorizer/evaluation-stages.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";
import { allocateRateTable, openRateTable } from "./limit/gcra.ts";
import { referenceOf } from "./record/reference.ts";
import { ask, proxyUrl } from "./testing/asking-bench.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
let service: TestCaller;
const servicesUrl = "http://decide.acme.example";
const references: object[] = [];

before(async () => {
  bench = await openBench({
    estate: (upstream) => {
      const base = marketplace(upstream);
      const systems = base.systems.map((one) => {
        if (one.id !== "billing") return one;
        const operations = (one.operations ?? []).map((operation) =>
          operation.name === "slow.read"
            ? { ...operation, cedar: 'forbid(principal, action, resource) when { context.proof == "mtls" };' }
            : operation,
        );
        return { ...one, clients: ["billing-service"], operations };
      });
      const listeners = {
        services: { url: servicesUrl, trustedProxies: [], authorizer: { proxy: "services" } },
        nginx: { url: proxyUrl, trustedProxies: ["127.0.0.1"], authorizer: { proxy: "nginx" } },
      } as const;
      return { ...base, systems, estate: { listeners } };
    },
    listeners: ["public", "services", "nginx"].map((name) => ({ name, host: "127.0.0.1", port: 0 })),
    changes: { observers: [{ crossing: (exchange, { deny }) => void references.push(referenceOf(exchange, deny)) }] },
  });
  service = new TestCaller(bench.bed.feed, "billing-service", () => bench.bed.clock.now());
});
after(() => bench?.close());

const port = (name: string) => bench.bed.addresses.find((one) => one.name === name)?.port ?? 0;
const base = () => `http://127.0.0.1:${port("services")}`;

const whole = {
  subject: { type: "system", id: "orders" },
  action: { name: "billing:invoice.read" },
  resource: { type: "billing", id: "inv-1" },
};
type Body = Readonly<Record<string, unknown>>;

interface Sent {
  readonly who?: TestCaller;
  readonly path?: string;
  readonly text?: string;
  readonly method?: string;
}

async function send(
  body: Body,
  { who = service, path = "/access/v1/evaluation", text, method = "POST" }: Sent = {},
): Promise<Answer> {
  if (who.nonce === undefined) await who.learnNonce(`${base()}/decide`);
  const token = who.token("billing");
  const dpop = who.proof(method, `${servicesUrl}${path}`, token);
  const headers = { authorization: `DPoP ${token}`, dpop, "content-type": "application/json" };
  return call(`${base()}${path}`, {
    method,
    headers,
    ...(method === "GET" ? {} : { body: text ?? JSON.stringify(body) }),
  });
}

const decided = (answer: Answer) => JSON.parse(answer.text);

async function no(code: string, body: Body, sent: Sent = {}): Promise<void> {
  const answer = await send(body, sent);
  assert.equal(answer.status, 200, answer.text);
  const { decision, context } = decided(answer);
  assert.deepEqual([decision, context.code], [false, code], answer.text);
  const { asked } = references.at(-1) as { readonly asked: { readonly decision: boolean; readonly code: string } }; // made by the line above
  assert.deepEqual([asked.decision, asked.code], [false, code]);
}

async function refused(status: number, code: string, body: Body, sent: Sent = {}): Promise<void> {
  const answer = await send(body, sent);
  assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
}

test("yes where a crossing would pass; question and decision are on record under the service's name", async () => {
  for (const path of ["/access/v1/evaluation", "/decide"]) {
    const answer = await send(whole, { path });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(decided(answer), { decision: true, context: { crossing: answer.id } });
    assert.equal(answer.headers["cache-control"], "no-store");
    const [leaf] = await bench.bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual([leaf.operation, leaf.outcome, leaf.verdict], ["sallyport:decision.read", "success", "allow"]);
    const { asked } = references.at(-1) as { readonly asked: object }; // made by the line above
    assert.deepEqual(asked, {
      caller: "orders",
      user: null,
      operation: "invoice.read",
      attributes: {},
      decision: true,
      outside: [],
    });
  }
  assert.equal(bench.upstream.seen.length, 0);
});

test("no where a crossing would not pass: another grant, no system, no operation, another attribute", async () => {
  await no("not-granted", { ...whole, subject: { type: "system", id: "analytics" } });
  await no("not-granted", { ...whole, subject: { type: "system", id: "nobody" } });
  await no("no-route", { ...whole, action: { name: "invoice.burn" } });
  const region = (value: unknown) => ({
    ...whole,
    action: { name: "region.read" },
    resource: { type: "billing", id: "r", properties: { region: value } },
  });
  assert.equal(decided(await send(region("eu"))).decision, true);
  await no("policy-denied", region("us"));
  await no("attribute-missing", region(1));
  await no("attribute-missing", { ...region("eu"), resource: { type: "billing", id: "r" } });
  await no("attribute-missing", { ...whole, resource: { type: "billing", id: "r", properties: { admin: true } } });
});

test("what needs the caller's own request is a no: a log-in, a stale snapshot, a proof of any accepted kind", async () => {
  await no("insufficient-user-authentication", { ...whole, action: { name: "payout.read" } });
  // A crossing with mTLS would be denied, and which proof the caller gave nobody says here.
  await no("policy-denied", { ...whole, action: { name: "slow.read" } });
});

test("a user is whom policies see as the subject", async () => {
  const answer = await send({ ...whole, subject: { type: "system", id: "orders", properties: { user: "usr_1" } } });
  assert.equal(decided(answer).decision, true);
  const { asked } = references.at(-1) as { readonly asked: { readonly user: string } }; // made by the line above
  assert.equal(asked.user, "usr_1");
});

describe("who may ask, and about what", () => {
  test("attack: a service that asks about another system's operations", async () => {
    for (const body of [
      { ...whole, action: { name: "ledger:entry.read" } },
      { ...whole, resource: { type: "ledger", id: "x" } },
    ])
      await refused(403, "not-granted", body);
    await refused(403, "not-granted", whole, { who: bench.orders });
  });

  test("a stranger gets the 401 of every path", async () => {
    const answer = await call(`${base()}/access/v1/evaluation`, { method: "POST", body: JSON.stringify(whole) });
    assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"]);
  });

  test("it serves nobody, answers no proxy, and a listener for proxies answers no service", async () => {
    await refused(404, "no-route", whole, { path: "/billing/v1/invoices/1" });
    await refused(404, "no-route", whole, { method: "GET" });
    const asProxy = await ask(base(), "nginx");
    assert.equal(asProxy.status, 401);
    const token = service.token("billing");
    const dpop = service.proof("POST", `${proxyUrl}/access/v1/evaluation`, token);
    const headers = { authorization: `DPoP ${token}`, dpop, "content-type": "application/json" };
    const answer = await call(`http://127.0.0.1:${port("nginx")}/access/v1/evaluation`, {
      method: "POST",
      headers,
      body: JSON.stringify(whole),
    });
    assert.deepEqual([answer.status, answer.code], [403, "proxy-request"]);
  });
});

describe("a question has one form", () => {
  const cases: readonly (readonly [string, Body])[] = [
    ["a subject that is a user", { ...whole, subject: { type: "user", id: "alice" } }],
    ["a context that nobody would look at", { ...whole, context: { time: "now" } }],
    ["a member nobody knows", { ...whole, evaluations: [] }],
    ["no action", { subject: whole.subject, resource: whole.resource }],
    ["properties of the action", { ...whole, action: { name: "invoice.read", properties: { a: 1 } } }],
    ["a claim about the proof", { ...whole, subject: { type: "system", id: "orders", properties: { proof: "mtls" } } }],
    ["an id that is a number", { ...whole, resource: { type: "billing", id: 1 } }],
  ];
  for (const [what, body] of cases) test(`refused: ${what}`, () => refused(400, "body-malformed", body));

  test("refused: a member twice, another media type, more than may be read", async () => {
    const text = `{"subject":{"type":"system","id":"analytics"},${JSON.stringify(whole).slice(1)}`;
    await refused(400, "body-malformed", whole, { text });
    await refused(413, "body-too-large", whole, { text: `{"a":"${"x".repeat(questionBytesMax)}"}` });
  });
});

test("attack: a flood of questions is held to its rate, and another service asks beside it", () => {
  const limiter = openRateTable(allocateRateTable(1_024), new Uint8Array(32));
  const gate = { limiter, clock: { now: () => 0, monotonic: () => 0 } } as unknown as Gate; // it reads nothing else
  const ofSystem = (caller: string) => ({ principal: { caller }, rate: null }) as unknown as Exchange; // as above
  for (let i = 0; i < questionRate.burst; i++) assert.equal(limitService(ofSystem("billing"), gate), null);
  assert.equal(limitService(ofSystem("billing"), gate)?.code, "rate-limited");
  assert.equal(limitService(ofSystem("ledger"), gate), null);
});
