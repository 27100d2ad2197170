// A decision point outside, asked once policies allowed, over real sockets: it can deny and not allow, and what is not its plain yes is a no.
import assert from "node:assert/strict";
import { request, type ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { answerBytesMax, decideReply } from "./authorize/outside-decision.ts";
import { referenceOf } from "./record/reference.ts";
import { type DecisionPoint, startDecisionPoint } from "./testing/decision-point.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { until } from "./testing/start-test-gateway.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
let point: DecisionPoint;
const references: object[] = [];

const path = "sallyport/invoice/allow";
const timeoutMs = 2_000;

function estate(url: string, rule = path): TestEstate {
  const base = marketplace(url);
  const asks = (at: string, allowPrivate: boolean) => ({ opa: { url: at, path: rule, timeoutMs, allowPrivate } });
  const changed: Readonly<Record<string, TestOperation["changes"]>> = {
    "invoice.read": asks(point.url, true),
    "invoice.create": asks(point.url, true),
    "region.read": asks(point.url, true),
    // Nobody listens there.
    "slow.read": asks("http://127.0.0.1:9", true),
    // It stands on loopback, and no word says that it may.
    "secret.read": asks(point.url, false),
  };
  return {
    ...base,
    systems: base.systems.map((system) => ({
      ...system,
      operations: (system.operations ?? []).map((one) => ({
        ...one,
        changes: { ...one.changes, ...changed[one.name] },
      })),
    })),
  };
}

before(async () => {
  point = await startDecisionPoint();
  bench = await openBench({
    estate: (url) => estate(url),
    changes: { observers: [{ crossing: (exchange, { deny }) => void references.push(referenceOf(exchange, deny)) }] },
  });
});
after(async () => {
  await bench?.close();
  await point?.close();
});

const invoice = { amount: 5, customer: "c-1" };

async function refused(code: ProblemCode, status: number, target = bench.invoice): Promise<void> {
  const reached = bench.upstream.seen.length;
  const answer = await bench.orders.send(target);
  assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
  assert.equal(bench.upstream.seen.length, reached, "the provider was not reached");
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual([leaf.code, leaf.stage, leaf.verdict, leaf.outcome], [code, "authorize", "deny", "denied"]);
  assert.deepEqual(leaf.policies, [`opa:${path}`]);
}

test("a yes lets the crossing go on, and the record names who decided and its id of it", async () => {
  point.rules.set(path, () => true);
  const answer = await bench.orders.send(bench.invoice);
  assert.equal(answer.status, 200, answer.text);
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual(leaf.policies, ["grant:orders-to-billing", `opa:${path}`]);
  const { outside } = references.at(-1) as { readonly outside?: object }; // made a line above
  assert.deepEqual(outside, { policy: `opa:${path}`, id: point.decisions.at(-1) });
});

test("it is asked what policies here are asked, and nothing about the token", async () => {
  point.rules.set(path, () => true);
  await bench.orders.send(bench.invoice);
  const { input } = point.asked.at(-1) ?? {};
  const { context, ...rest } = input as { readonly context: Readonly<Record<string, unknown>> }; // an object, by the line below
  assert.deepEqual(rest, {
    action: "billing:invoice.read",
    principal: { id: "orders", attributes: { region: "eu" } },
    resource: { system: "billing", attributes: {} },
  });
  assert.deepEqual([context["integration"], context["proof"]], ["orders-to-billing", "dpop"]);
  assert.ok(!JSON.stringify(input).includes("eyJ"));
});

test("a no denies what policies here allow", async () => {
  point.rules.set(path, () => false);
  await refused("policy-denied", 403);
  point.rules.set(path, () => true);
});

test("an effect is denied before its intent: the provider hears nothing", async () => {
  point.rules.set(path, () => false);
  const reached = bench.upstream.seen.length;
  const url = `${bench.url}/billing/v1/invoices`;
  const sent = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(invoice) };
  const denied = await bench.orders.send(url, sent);
  assert.deepEqual([denied.status, denied.code, bench.upstream.seen.length], [403, "policy-denied", reached]);
  assert.deepEqual(
    (await bench.bed.leaves(denied.id)).map(({ t }) => t),
    ["crossing"],
  );
  point.rules.set(path, () => true);
  assert.equal((await bench.orders.send(url, sent)).status, 200);
});

test("it can only narrow: what policies here deny, it is not even asked about", async () => {
  point.rules.set(path, () => true);
  const asked = point.asked.length;
  const answer = await bench.orders.send(`${bench.url}/billing/v1/regions/us`);
  assert.deepEqual([answer.status, answer.code], [403, "policy-denied"]);
  assert.equal(point.asked.length, asked);
  assert.equal((await bench.orders.send(`${bench.url}/billing/v1/regions/eu`)).status, 200);
  assert.equal(point.asked.length, asked + 1);
});

describe("whatever is not a plain yes in time is a no (CVE-2023-27488's class)", { timeout: 120_000 }, () => {
  const json = (value: string) => (response: ServerResponse) =>
    response.writeHead(200, { "content-type": "application/json" }).end(value);
  const odd: readonly (readonly [string, (response: ServerResponse) => void])[] = [
    ["an empty answer", json("")],
    ["no value, as of a path that names no rule", json("{}")],
    ["a text that says true", json('{"result":"true"}')],
    ["an object", json('{"result":{"allow":true}}')],
    ["one", json('{"result":1}')],
    ["two results", json('{"result":false,"result":true}')],
    ["a member nobody knows", json('{"result":true,"allow":true}')],
    ["an id that is a sentence", json('{"result":true,"decision_id":"so it is"}')],
    ["a yes with another status", (response) => response.writeHead(201).end('{"result":true}')],
    ["an error", (response) => response.writeHead(500).end('{"code":"internal_error","message":"x"}')],
    ["a redirect", (response) => response.writeHead(307, { location: "/v1/data/x" }).end('{"result":true}')],
  ];
  for (const [what, answer] of odd)
    test(`${what} is an error of the policy`, async () => {
      point.answer = (_request, response) => answer(response);
      await refused("policy-error", 403).finally(() => {
        point.answer = null;
      });
    });

  const away: readonly (readonly [string, (response: ServerResponse) => void])[] = [
    ["silence", () => {}],
    ["an answer that does not end", (response) => void response.writeHead(200).write('{"result":true')],
    ["an answer without end", (response) => response.writeHead(200).end(" ".repeat(answerBytesMax + 1))],
    ["a connection that is cut", (response) => response.destroy()],
  ];
  for (const [what, answer] of away)
    test(`${what} is no decision, and soon`, async () => {
      point.answer = (_request, response) => answer(response);
      const started = performance.now();
      await refused("decision-unavailable", 503).finally(() => {
        point.answer = null;
      });
      assert.ok(performance.now() - started < 30 * timeoutMs);
    });

  test("nobody there is no decision", () => refused("decision-unavailable", 503, `${bench.url}/billing/v1/slow`));

  test("attack: a private address that no word of the configuration allows is not dialled", async () => {
    const asked = point.asked.length;
    bench.bed.feed.heartbeat();
    await refused("decision-unavailable", 503, `${bench.url}/billing/v1/secrets/1`);
    assert.equal(point.asked.length, asked);
  });
});

/** One event stream of orders, as far as it has come. */
async function openStream(): Promise<{ text: string; ended: boolean }> {
  const token = bench.orders.token("billing");
  const dpop = bench.orders.proof("GET", bench.invoice, token);
  const got = { text: "", ended: false };
  await new Promise<void>((resolve, reject) => {
    request(bench.invoice, { headers: { authorization: `DPoP ${token}`, dpop }, agent: false }, (response) => {
      response.on("data", (chunk) => {
        got.text += String(chunk);
        resolve();
      });
      response.once("close", () => {
        got.ended = true;
      });
      response.on("error", () => {});
    })
      .once("error", reject)
      .end();
  });
  return got;
}

test("a stream goes on under its first yes while the same rule decides, and ends when another does", async () => {
  point.rules.set(path, () => true);
  await bench.orders.send(bench.invoice);
  let events: ServerResponse | null = null;
  bench.upstream.answer = (_request, response) => {
    events = response;
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  };
  try {
    const got = await openStream();
    const asked = point.asked.length;
    await bench.publish();
    const write = (text: string): unknown => events?.write(text);
    write("data: 2\n\n");
    await until(() => got.text.includes("data: 2") || got.ended, "an event after the snapshot");
    assert.ok(got.text.includes("data: 2"), "it went on");
    assert.equal(point.asked.length, asked, "nobody was asked again");
    await bench.bed.publish(estate(bench.upstream.url, "sallyport/other"));
    await until(() => got.ended, "the end under another rule");
  } finally {
    bench.upstream.answer = null;
    await bench.publish();
  }
});

test("the answer alone decides: the same bytes, the same decision", () => {
  const reply = (text: string) => decideReply({ status: 200, bytes: Buffer.from(text) }, "opa:p");
  assert.deepEqual(reply('{"result":true,"decision_id":"d-1"}'), { policy: "opa:p", id: "d-1", deny: null });
  assert.equal(reply('{"result":false}').deny?.code, "policy-denied");
  assert.equal(reply('{"result":null}').deny?.code, "policy-error");
});
