// Policies in shadow at a real gateway: every crossing is decided as if they were not there, and its record says what they would have changed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ShadowVerdict } from "@sallyport/kernel/policy/port.ts";
import type { Exchange } from "./exchange.ts";
import { referenceOf } from "./record/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";

const read = (name: string, cedar: string, changes: { authorize?: "grant" | "policy" } = {}) => ({
  ...{
    name,
    method: "GET",
    path: `/v1/${name}`,
    cedar: cedar.replaceAll("SCOPE", `principal, action == Action::"billing:${name}", resource`),
  },
  changes,
});
const operations = [
  read("forbidden", '@id("no") @shadow("2026-11-30") forbid(SCOPE);'),
  read("permitted", '@id("yes") @shadow("2026-11-30") permit(SCOPE);', { authorize: "policy" }),
  read(
    "failing",
    '@id("sum") @shadow("2026-11-30") forbid(SCOPE) when { context.stalenessMs * 9223372036854775807 + 9223372036854775807 > -1 };',
  ),
  read("unfit", '@id("typo") @shadow("2026-11-30") forbid(SCOPE) when { resource.nothing };'),
  read("signalled", '@id("net") @shadow("2026-11-30") forbid(SCOPE) when { context.addressClass == "loopback" };'),
  read("plain", '@id("never") forbid(SCOPE) when { context.zone == "nowhere" };'),
];

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let last: Exchange | null = null;
const observers = [
  {
    crossing: (exchange: Exchange) => {
      last = exchange;
    },
  },
];

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    openLog: openTestLog,
    changes: { observers },
    estate: {
      systems: [
        { id: "orders", clients: ["orders"] },
        { id: "billing", url: upstream.url, operations },
      ],
      integrations: [
        {
          id: "orders-to-billing",
          from: "orders",
          to: "billing",
          operations: operations.map(({ name }) => ({ name })),
        },
      ],
    },
  });
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

async function call(name: string) {
  const answer = await orders.send(`${bed.addresses[0]?.url}/billing/v1/${name}`);
  assert.ok(last !== null);
  // The text that is sealed beside the leaf.
  const reference = JSON.parse(JSON.stringify(referenceOf(last, null))) as {
    readonly shadow?: readonly ShadowVerdict[];
  };
  const shadow = reference.shadow?.map(({ policy, would }) => `${policy} ${would}`);
  const [leaf] = await bed.leaves(last.id);
  return { status: answer.status, code: answer.code, shadow, verdict: leaf?.t === "crossing" ? leaf.verdict : null };
}

test("attack: a forbid in shadow does not enforce; the provider is reached and the record says that it would have denied", async () => {
  const before = upstream.seen.length;
  assert.deepEqual(await call("forbidden"), { status: 200, code: undefined, shadow: ["no deny"], verdict: "allow" });
  assert.equal(upstream.seen.length, before + 1);
});

test("attack: a permit in shadow does not grant; the provider is not reached and the record says that it would have allowed", async () => {
  const before = upstream.seen.length;
  assert.deepEqual(await call("permitted"), {
    status: 403,
    code: "policy-denied",
    shadow: ["yes allow"],
    verdict: "deny",
  });
  assert.equal(upstream.seen.length, before);
});

test("attack: a policy in shadow that fails, or that does not fit, changes nothing but the record", async () => {
  assert.deepEqual((await call("failing")).status, 200);
  assert.deepEqual(await call("unfit"), { status: 200, code: undefined, shadow: ["typo error"], verdict: "allow" });
});

test("what only a policy in shadow reads is made for it", async () => {
  assert.deepEqual(await call("signalled"), { status: 200, code: undefined, shadow: ["net deny"], verdict: "allow" });
});

test("where nothing is in shadow, nothing of it is in the exchange or its record", async () => {
  assert.deepEqual(await call("plain"), { status: 200, code: undefined, shadow: undefined, verdict: "allow" });
  assert.equal(last?.shadow, null);
});

test("metrics count it by policy and by what it would have done", async () => {
  const text = await bed.gateway.metricsText();
  for (const [policy, would] of [
    ["no", "deny"],
    ["yes", "allow"],
    ["typo", "error"],
    ["net", "deny"],
  ] as const)
    assert.match(
      text,
      new RegExp(`sallyport_shadow_policy_total\\{policy="${policy}",would="${would}"\\} [1-9]`),
      policy,
    );
});
