// Promises that a refusal is believed three times: by what the caller got, byte for byte, by the provider's own count, and by the leaf's reason code;
// and that its nearest allow passes on the same gateway. Trusts the provider's counter and the log on disk, not the gateway's word.
// Specified in DESIGN §7.15; the codes are in protocol/src/problem.ts.
import assert from "node:assert/strict";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { type ProblemCode, problems } from "@sallyport/protocol/problem.ts";
import type { OutsideAccessRule } from "@sallyport/protocol/token/outside-access-token.ts";
import type { Outcome, StageName } from "@sallyport/protocol/verdict.ts";
import { afterVerdict } from "../record/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "./counting-upstream.ts";
import { marketplace } from "./marketplace-estate.ts";
import { openTestLog, type TestLog } from "./open-test-log.ts";
import {
  type MovableClock,
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
  until,
} from "./start-test-gateway.ts";
import { type Answer, TestCaller } from "./test-caller.ts";
import type { TestEstate, TestOperation } from "./test-estate.ts";
import { TestIssuer } from "./test-issuer.ts";

/** A gateway, its provider and three callers: orders and portal are granted billing, analytics is not (or not any more). */
export interface Bench {
  readonly bed: TestGateway;
  readonly upstream: CountingUpstream;
  readonly log: TestLog;
  /** Every leaf the log made durable, in order. */
  readonly appended: readonly Leaf[];
  readonly url: string;
  readonly invoice: string;
  readonly orders: TestCaller;
  readonly portal: TestCaller;
  readonly analytics: TestCaller;
  /** Publishes the bench's estate (again) and waits until the gateway is ready. */
  publish(): Promise<void>;
  close(): Promise<void>;
}

export interface BenchOptions extends Partial<Omit<TestGatewayOptions, "estate" | "openLog">> {
  readonly estate?: (upstreamUrl: string) => TestEstate;
}

/** Trusted by every bench: its users' tokens of the client `portal-web` stand for portal. */
export const keycloak = new TestIssuer("keycloak", "https://sso.example/realms/shop");
export const portalWeb: OutsideAccessRule = {
  system: "portal",
  party: "portal-web",
  claims: {},
  speaksFor: "user",
  audiences: { "billing-api": ["billing"] },
};

/** Answers are an object with a truth value, and perhaps a secret, which nobody is classified for. */
const watched = {
  schemas: { "2XX": { type: "object", required: ["ok"], properties: { ok: { type: "boolean" }, pin: {} } } },
  bytesMax: 256,
  labels: [{ members: { ok: 1, pin: 2 }, scalar: false }, {}, { classes: ["secret"] }],
} satisfies TestOperation["response"];

/** For so long `fragile` is left alone once it failed: longer than a busy machine takes to ask again. */
export const fragileMs = 20_000;

/** Where nobody listens: the discard port of this machine's loopback. */
const deadUrl = "http://127.0.0.1:9";

/** Who decides about it is where nobody listens. */
const askedElsewhere = {
  name: "thing.ask",
  method: "GET",
  path: "/v1/asked",
  changes: { opa: { url: deadUrl, path: "things/allow", timeoutMs: 300, allowPrivate: true } },
};

/** Holds texts against a rule about threats. */
const guarded = {
  ...{ name: "thing.find", method: "GET", path: "/v1/found" },
  changes: { threats: { block: ["sql-injection"] as const, shadow: [], except: [] } },
};

/** The marketplace, with a suspended grant, a provider that is away and one at an address that may not be dialled. */
export function benchEstate(url: string): TestEstate {
  const base = marketplace(url);
  const read = { name: "thing.read", method: "GET", path: "/v1/thing" };
  return {
    systems: [
      ...base.systems,
      {
        id: "keeper",
        url,
        operations: [
          {
            name: "thing.keep",
            method: "POST",
            path: "/v1/things/{id}",
            body: { content: "json", contentType: "application/json" },
            changes: {
              payload: {
                subject: { from: "path", name: "id", type: "string" },
                days: 1,
                bytesMax: 1_024,
                request: [{}],
              },
            },
          },
        ],
      },
      {
        id: "lines",
        url,
        operations: [
          {
            name: "line.open",
            method: "GET",
            path: "/v1/line",
            changes: {
              webSocket: { origins: [], protocols: [], messageBytesMax: 1_024, bytesMax: 65_536, idleMs: 60_000 },
            },
          },
        ],
      },
      { id: "away", url: deadUrl, operations: [read, askedElsewhere] },
      { id: "watched", url, operations: [{ ...read, response: watched }, guarded] },
      {
        id: "fragile",
        operations: [read],
        changes: {
          upstream: {
            url,
            allowPrivate: true,
            resilience: { breaker: { failures: 1, requests: 1, openMs: fragileMs, openMsMax: fragileMs } },
          },
        },
      },
      {
        id: "narrow",
        operations: [read],
        changes: {
          upstream: { url, allowPrivate: true, resilience: { inFlight: { total: 1, waiting: 0, waitMs: 10 } } },
        },
      },
      {
        id: "metadata",
        operations: [read],
        changes: { upstream: { url: "http://169.254.169.254", allowPrivate: false } },
      },
    ],
    integrations: [
      ...base.integrations,
      {
        id: "analytics-to-billing",
        from: "analytics",
        to: "billing",
        operations: [{ name: "invoice.read" }],
        state: "suspended",
      },
      { id: "orders-to-keeper", from: "orders", to: "keeper", operations: [{ name: "thing.keep" }] },
      {
        id: "orders-to-watched",
        from: "orders",
        to: "watched",
        operations: [{ name: read.name }, { name: guarded.name }],
      },
      { id: "orders-to-lines", from: "orders", to: "lines", operations: [{ name: "line.open" }] },
      {
        id: "orders-to-away",
        from: "orders",
        to: "away",
        operations: [{ name: read.name }, { name: askedElsewhere.name }],
      },
      { id: "orders-to-fragile", from: "orders", to: "fragile", operations: [{ name: read.name }] },
      { id: "orders-to-narrow", from: "orders", to: "narrow", operations: [{ name: read.name }] },
      { id: "orders-to-metadata", from: "orders", to: "metadata", operations: [{ name: read.name }] },
    ],
    issuers: [keycloak.object([portalWeb], { introspection: { providers: ["billing"], keepMs: 30_000 } })],
  };
}

const nonceStepMs = 60_000;

/** A clock that begins a nonce step, so that no step turns while a test looks at one. */
function steadyClock(): MovableClock {
  const aheadMs = nonceStepMs - (Date.now() % nonceStepMs);
  return {
    shiftMs: aheadMs,
    now() {
      return Date.now() + this.shiftMs;
    },
    monotonic() {
      return performance.now() + this.shiftMs;
    },
  };
}

export async function openBench({ estate = benchEstate, ...options }: BenchOptions = {}): Promise<Bench> {
  const upstream = await startCountingUpstream();
  const appended: Leaf[] = [];
  const opened: TestLog[] = [];
  const clock = options.clock ?? steadyClock();
  const openLog = async (directory: string): Promise<LogHandle> => {
    const log = await openTestLog(directory);
    opened.push(log);
    log.durable = (leaf) => appended.push(parseLeaf(leaf));
    return log;
  };
  const bed = await startTestGateway({ estate: estate(upstream.url), openLog, clock, ...options });
  const [log] = opened;
  assert.ok(log !== undefined);
  const url = bed.addresses[0]?.url ?? "";
  const caller = (client: string): TestCaller => new TestCaller(bed.feed, client, () => clock.now());
  return {
    bed,
    upstream,
    log,
    appended,
    url,
    invoice: `${url}/billing/v1/invoices/1`,
    orders: caller("orders"),
    portal: caller("portal"),
    analytics: caller("analytics"),
    async publish() {
      await bed.publish(estate(upstream.url));
      await until(() => bed.gateway.readiness().ready, "readiness");
    },
    async close() {
      await bed.close();
      await upstream.close();
    },
  };
}

/** One way to be refused. Status, stage and outcome are written out: the table of codes does not grade itself. */
export interface DenialCase {
  readonly what: string;
  readonly status: number;
  readonly stage: StageName;
  /** Of the leaf; `deny` and `denied` unless the provider or the world failed after the verdict. */
  readonly verdict?: "allow" | "deny";
  readonly outcome?: Outcome;
  /** What the answer calls itself where that is not the code: the one face of all 401s. */
  readonly face?: string;
  /** Requests that may have reached the provider: 0 unless it is the provider that fails. */
  readonly reaches?: number;
  /** There can be no leaf, because it is the log that fails. */
  readonly unrecorded?: true;
  /** Before the refusal. */
  prepare?(bench: Bench): void | Promise<void>;
  /** Sends it. `null`: the caller went away, so there is no answer to judge. */
  refused(bench: Bench): Promise<Answer | null>;
  /** After the refusal, also a failed one. */
  mend?(bench: Bench): void | Promise<void>;
  /** The nearest request that passes; orders reading an invoice where nothing is said. */
  allowed?(bench: Bench): Promise<Answer>;
}

/** Refuses, judges the refusal three ways, mends, and lets the nearest allow pass. */
export async function judgeDenial(bench: Bench, code: ProblemCode, one: DenialCase): Promise<void> {
  try {
    await one.prepare?.(bench);
    const reached = bench.upstream.seen.length;
    const recorded = bench.appended.length;
    const answer = await one.refused(bench);
    if (answer !== null) judgeAnswer(answer, code, one);
    assert.equal(bench.upstream.seen.length - reached, one.reaches ?? 0, "requests the provider counted");
    const fresh = bench.appended.slice(recorded);
    if (one.unrecorded) assert.deepEqual(fresh, [], "the log says nothing, rather than something wrong");
    else judgeLeaf(leafOf(fresh, answer), code, one);
  } finally {
    await one.mend?.(bench);
  }
  const reached = bench.upstream.seen.length;
  const allowed = await (one.allowed?.(bench) ?? bench.orders.send(bench.invoice));
  assert.equal(allowed.status, 200, `the nearest allow: ${allowed.text}`);
  assert.equal(allowed.headers["sallyport-verdict"], undefined);
  assert.equal(bench.upstream.seen.length, reached + 1, "the nearest allow reaches the provider once");
  const leaves = await bench.bed.leaves(allowed.id);
  const first = leaves.find(({ t }) => t !== "payload");
  assert.ok(first?.t === "crossing" || first?.t === "intent");
  assert.deepEqual([first.verdict, first.code], ["allow", null]);
}

function judgeAnswer(answer: Answer, code: ProblemCode, one: DenialCase): void {
  const face = one.face ?? code;
  assert.equal(answer.status, one.status, `${code}: ${answer.text}`);
  assert.equal(
    answer.headers["sallyport-verdict"],
    `${afterVerdict.has(one.stage) ? "allow" : "deny"}; by=gateway; code=${face}`,
  );
  assert.equal(answer.headers["content-type"], "application/problem+json");
  assert.equal(answer.headers["cache-control"], "no-store");
  assert.equal(answer.headers["www-authenticate"] !== undefined, one.status === 401 || code === "scope-missing");
  const { detail, ...body } = JSON.parse(answer.text);
  const { title, retryable, audience } = problems[code];
  assert.deepEqual(body, {
    type: `https://sallyport.dev/problems/${face}`,
    title,
    status: one.status,
    code: face,
    correlationId: answer.id,
    retryable,
  });
  if (audience === "stranger") assert.equal(detail, undefined, "a stranger is told no detail");
}

function leafOf(fresh: readonly Leaf[], answer: Answer | null): Leaf | undefined {
  if (answer === null) return fresh.at(-1);
  const own = fresh.filter((leaf) => "id" in leaf && leaf.id === answer.id);
  assert.equal(own.length, 1, "one leaf bears the id of the answer");
  return own[0];
}

function judgeLeaf(leaf: Leaf | undefined, code: ProblemCode, one: DenialCase): void {
  assert.ok(leaf?.t === "crossing", `a crossing was recorded: ${JSON.stringify(leaf)}`);
  assert.deepEqual(
    { code: leaf.code, stage: leaf.stage, verdict: leaf.verdict, outcome: leaf.outcome, status: leaf.status },
    {
      code,
      stage: one.stage,
      verdict: one.verdict ?? "deny",
      outcome: one.outcome ?? "denied",
      status: one.outcome === "aborted" ? 0 : one.status,
    },
  );
}
