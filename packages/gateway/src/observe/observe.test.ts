// What an observer is told of a crossing, over real sockets: Server-Timing for callers we know, spans for a collector, nothing for strangers.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "../testing/start-test-gateway.ts";
import { call, TestCaller } from "../testing/test-caller.ts";
import { createTracing, isSampled, tracedCrossingsMax } from "./tracing.ts";

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, string>> }[];
}
interface Batch {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[];
}

let upstream: CountingUpstream;
let bench: TestGateway;
let caller: TestCaller;
let url = "";
const bodies: string[] = [];
const spans = (): readonly Span[] =>
  bodies.flatMap((body) =>
    // What the gateway printed; its shape is what the tests judge.
    (JSON.parse(body) as Batch).resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)),
  );
const attribute = (span: Span | undefined, key: string): string | undefined => {
  const value = span?.attributes.find((one) => one.key === key)?.value;
  return value?.["stringValue"] ?? value?.["intValue"];
};
const ofCrossing = async (id: string): Promise<readonly Span[]> => {
  const find = () => spans().find((span) => attribute(span, "sallyport.crossing") === id);
  await until(() => find() !== undefined, `spans of ${id}`);
  return spans().filter((span) => span.traceId === find()?.traceId);
};
const trace = (flags: string) => {
  const traceId = randomBytes(16).toString("hex");
  const parentId = randomBytes(8).toString("hex");
  return { traceId, parentId, field: `00-${traceId}-${parentId}-${flags}` };
};

before(async () => {
  upstream = await startCountingUpstream();
  bench = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog: openTestLog,
    changes: {
      serverTiming: true,
      traces: {
        ratio: 0,
        version: "0.1.0",
        send: async (body) => void bodies.push(body),
      },
    },
  });
  url = bench.addresses[0]?.url ?? "";
  caller = new TestCaller(bench.feed, "orders");
});
after(async () => {
  await bench.close();
  await upstream.close();
});

test("Server-Timing tells a known caller what each stage took, for an allowed and for a denied crossing", async () => {
  const allowed = await caller.send(`${url}/billing/v1/invoices/7`);
  assert.equal(allowed.status, 200);
  const names = String(allowed.headers["server-timing"])
    .split(", ")
    .map((metric) => /^([a-z]+);dur=\d+\.\d\d$/.exec(metric)?.[1]);
  assert.deepEqual(names, [
    "receive",
    "admit",
    "route",
    "identify",
    "bind",
    "limit",
    "authorize",
    "inspect",
    "idempotency",
    "intent",
    "exchange",
    "forward",
    "outcome",
    "total",
  ]);
  const denied = await caller.send(`${url}/billing/v1/invoices/7`, { method: "DELETE" });
  assert.equal(denied.status, 403);
  assert.match(String(denied.headers["server-timing"]), /identify;dur=[\d.]+, bind;dur=[\d.]+, total;dur=/);
});

test("attack: a stranger gets no Server-Timing, which would be a clock to measure the gateway with", async () => {
  const answer = await call(`${url}/billing/v1/invoices/7`, { headers: { authorization: "Bearer x.y.z" } });
  assert.equal(answer.status, 401);
  assert.equal(answer.headers["server-timing"], undefined);
});

test("a sampled trace of a known caller is continued: one span per stage, and the provider's parent is the span of forward", async () => {
  const { traceId, parentId, field } = trace("01");
  const answer = await caller.send(`${url}/billing/v1/invoices/7`, { headers: { traceparent: field } });
  const found = await ofCrossing(answer.id);
  const server = found.find((span) => span.kind === 2);
  assert.deepEqual([server?.traceId, server?.parentSpanId, server?.name], [traceId, parentId, "billing:invoice.read"]);
  assert.equal(attribute(server, "http.response.status_code"), "200");
  assert.equal(attribute(server, "http.route"), "/v1/invoices/{id}");
  const stages = found.filter((span) => span !== server);
  assert.equal(stages.length, 13);
  for (const span of stages) {
    assert.equal(span.parentSpanId, server?.spanId, span.name);
    assert.match(span.spanId, /^[0-9a-f]{16}$/);
    assert.ok(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano), span.name);
    assert.ok(BigInt(span.startTimeUnixNano) >= BigInt(server?.startTimeUnixNano ?? 0), span.name);
    assert.ok(BigInt(span.endTimeUnixNano) <= BigInt(server?.endTimeUnixNano ?? 0), span.name);
  }
  const forward = stages.find((span) => span.name === "forward");
  assert.equal(forward?.kind, 3);
  const sent = upstream.seen.at(-1)?.headers["traceparent"];
  assert.equal(sent, `00-${traceId}-${forward?.spanId}-01`);
});

test("a caller's decision not to sample is kept, to the provider too", async () => {
  const { traceId, field } = trace("00");
  const answer = await caller.send(`${url}/billing/v1/invoices/7`, { headers: { traceparent: field } });
  assert.match(String(upstream.seen.at(-1)?.headers["traceparent"]), new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  const after = await caller.send(`${url}/billing/v1/invoices/7`, { headers: { traceparent: trace("01").field } });
  await ofCrossing(after.id);
  assert.ok(!spans().some((span) => attribute(span, "sallyport.crossing") === answer.id));
});

test("attack: a stranger neither starts nor joins a trace, however it is flagged", async () => {
  const { traceId, field } = trace("01");
  await call(`${url}/billing/v1/invoices/7`, { headers: { traceparent: field } });
  const known = await caller.send(`${url}/billing/v1/invoices/7`, { headers: { traceparent: trace("01").field } });
  await ofCrossing(known.id);
  assert.ok(!spans().some((span) => span.traceId === traceId));
});

test("attack: no path, query, header or body of a caller is in a span", async () => {
  const answer = await caller.send(`${url}/billing/v1/invoices/canary-path?x=canary-query`, {
    headers: { traceparent: trace("01").field, "x-note": "canary-header" },
  });
  await ofCrossing(answer.id);
  assert.ok(bodies.every((body) => !body.includes("canary")));
});

test("a denied crossing is traced as far as it came, with its code", async () => {
  const answer = await caller.send(`${url}/billing/v1/invoices/7`, {
    method: "DELETE",
    headers: { traceparent: trace("01").field },
  });
  assert.equal(answer.status, 403);
  const found = await ofCrossing(answer.id);
  assert.equal(attribute(found[0], "error.type"), "not-granted");
  assert.deepEqual(
    found.slice(1).map((span) => span.name),
    ["receive", "admit", "route", "identify", "bind"],
  );
});

test("the share of traces begun here is the ratio, the same for every service that sees the id", () => {
  const ids = Array.from({ length: 4_000 }, (_, i) =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
      .toString("hex")
      .replace(/^./, String(i % 10)),
  );
  const kept = ids.filter((id) => isSampled(id, 0.25)).length;
  assert.ok(kept > 850 && kept < 1_150, `${kept} of 4,000`);
  assert.equal(ids.filter((id) => isSampled(id, 0)).length, 0);
  assert.equal(ids.filter((id) => isSampled(id, 1)).length, ids.length);
  assert.ok(ids.filter((id) => isSampled(id, 0.1)).every((id) => isSampled(id, 0.25)));
});

test("a collector that does not answer costs spans, never a crossing: what waits is bounded and what is lost is counted", async () => {
  const stuck = Promise.withResolvers<void>();
  const tracing = createTracing({
    identity: { tenant: "main", environment: "production", region: "eu", group: "g", node: "gw-1" },
    random: { bytes: (length) => randomBytes(length) },
    traces: { ratio: 1, version: "0.1.0", send: () => stuck.promise },
  });
  const done = await caller.send(`${url}/billing/v1/invoices/7`);
  assert.equal(done.status, 200);
  for (let i = 0; i < tracedCrossingsMax * 2; i++)
    tracing.crossing(
      // The fields a trace reads, of a crossing that was refused before it had any.
      {
        request: null,
        principal: null,
        traceparent: null,
        operation: null,
        grant: null,
        times: null,
        id: `c-${i}`,
        startedAtMs: 0,
        startedMonotonicMs: 0,
      } as never,
      { outcome: "denied", status: 401, upstreamStatus: 0, upstreamMs: 0, deny: null },
      1,
    );
  assert.ok(tracing.lost > 0 && tracing.lost < tracedCrossingsMax * 2, String(tracing.lost));
  stuck.reject(new Error("no collector"));
  await tracing.close();
  assert.equal(tracing.lost, tracedCrossingsMax * 2);
});
