// Message signatures by whoever stands between a signer and its gateway: what they may change of a signed request without breaking it, over real sockets
// (docs/identity/message-signatures.md).
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { decidingFields } from "./identify/deciding-fields.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { movableClock, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { type Answer, call } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";
import { TestSigner, type ToSign } from "./testing/test-signer.ts";

const clock = movableClock();
const orders = new TestSigner("orders-2026", "ed25519", () => clock.now());
const observed = { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } as const;
const hourMs = 3_600_000;
const json = { content: "json", contentType: "application/json" } as const;
const header = (name: string) => ({ from: "header", name, type: "string" }) as const;

const operations: readonly TestOperation[] = [
  {
    name: "payment.make",
    method: "POST",
    path: "/payments",
    body: json,
    changes: { idempotency: { key: "optional", ttlMs: hourMs } },
  },
  { name: "account.change", method: "PUT", path: "/account", body: json, changes: { precondition: "if-match" } },
  {
    name: "book.read",
    method: "GET",
    path: "/book",
    parameters: {
      fields: [{ in: "header", name: "x-branch", type: "string" }],
      schema: { type: "object" },
      undeclaredQuery: "keep",
    },
  },
  {
    name: "customer.read",
    method: "GET",
    path: "/customer",
    attributes: { tier: { from: "lookup", name: "whom:$.tier", type: "string" } },
    cedar: '@id("gold-only") forbid (principal, action, resource) unless { resource.tier == "gold" };',
    changes: {
      lookups: {
        whom: {
          ...{ system: "crm", operation: "tier.read", timeoutMs: 10_000, keepMs: 0, missMs: 0 },
          with: { id: header("X-Customer") },
        },
      },
    },
  },
  { name: "note.write", method: "PUT", path: "/note", body: json, changes: { bodyBytesMax: 1_024 } },
  {
    name: "form.send",
    method: "POST",
    path: "/form",
    body: {
      content: "multipart",
      contentType: "multipart/form-data",
      parts: ["note", "memo"].map((name) => ({ name, types: [], bytesMax: 1_024, required: false, most: 1 })),
    },
  },
];

function estate(url: string): TestEstate {
  const all = operations.map(({ name }) => ({ name }));
  const proof = ["signature"] as const;
  const covers: string[] = [];
  return {
    systems: [
      { id: "bank", url, operations },
      { id: "watched", url, operations, changes: observed },
      { id: "crm", url, operations: [{ name: "tier.read", method: "GET", path: "/tiers/{id}" }] },
      { id: "orders", changes: { signatures: { keys: [orders.key], covers } } },
    ],
    integrations: [
      { id: "orders-to-bank", from: "orders", to: "bank", proof, operations: all },
      { id: "orders-to-watched", from: "orders", to: "watched", proof: ["mtls"], operations: all },
    ],
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let base = "";
let lastCode: string | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  lastCode = deny?.code;
};

before(async () => {
  upstream = await startCountingUpstream();
  upstream.answer = (_request, response) =>
    void response.writeHead(200, { "content-type": "application/json" }).end('{"tier":"gold"}');
  bed = await startTestGateway({
    estate: estate(upstream.url),
    openLog: openTestLog,
    clock,
    changes: { observers: [{ crossing: remember }] },
  });
  base = bed.addresses[0]?.url ?? "";
  await until(() => bed.gateway.status().dataPlane.state === "open", "the store of keys");
  clock.shiftMs += 10_000;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** Signed over everything that its signer thinks of, then sent with `changed` in the place of what was signed. */
function send(asked: ToSign, more: readonly string[], changed: ToSign["headers"] = {}): Promise<Answer> {
  clock.shiftMs += 1_000;
  bed.feed.heartbeat();
  const digest = asked.body === undefined ? [] : ['"content-digest"'];
  const components = ['"@method"', '"@target-uri"', ...digest, ...more.map((name) => `"${name}"`)];
  const fields = orders.fields(asked, { components });
  const { url, ...rest } = asked;
  return call(url, { ...rest, headers: { ...asked.headers, ...fields, ...changed } });
}

interface Open {
  readonly what: string;
  readonly field: string;
  readonly asked: () => ToSign;
  /** What somebody on the way would rather have there. */
  readonly instead: string;
}

const part = (name: string, text: string): string =>
  `Content-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`;
// To whom the boundary is `b` it is one part, to whom it is `c` another.
const twoForms = `--b\r\n${part("note", `pay one`)}--b--\r\n`;

const open: readonly Open[] = [
  {
    what: "the key under which a payment is one effect",
    field: "idempotency-key",
    asked: () => ({
      method: "POST",
      url: `${base}/bank/payments`,
      body: '{"amount":5}',
      headers: { "content-type": "application/json", "idempotency-key": '"first"' },
    }),
    instead: '"another"',
  },
  {
    what: "the version that is changed",
    field: "if-match",
    asked: () => ({
      method: "PUT",
      url: `${base}/bank/account`,
      body: '{"amount":5}',
      headers: { "content-type": "application/json", "if-match": '"v1"' },
    }),
    instead: '"v2"',
  },
  {
    what: "a parameter that is declared",
    field: "x-branch",
    asked: () => ({ url: `${base}/bank/book`, headers: { "x-branch": "north" } }),
    instead: "south",
  },
  {
    what: "whom an attribute is looked up for",
    field: "x-customer",
    asked: () => ({ url: `${base}/bank/customer`, headers: { "x-customer": "ann" } }),
    instead: "ben",
  },
  {
    what: "where the parts of a form begin",
    field: "content-type",
    asked: () => ({
      method: "POST",
      url: `${base}/bank/form`,
      body: twoForms,
      headers: { "content-type": "multipart/form-data; boundary=b" },
    }),
    instead: "multipart/form-data; boundary=c",
  },
];

describe("a field that decides at the operation", () => {
  for (const { what, field, asked, instead } of open) {
    test(`attack: ${what} is left open (${field}), or changed on the way`, async () => {
      const reached = upstream.seen.length;
      const left = await send(asked(), []);
      assert.deepEqual([left.status, lastCode, upstream.seen.length], [401, "signature-components", reached]);
      const changed = await send(asked(), [field], { [field]: instead });
      assert.deepEqual([changed.status, lastCode, upstream.seen.length], [401, "signature-invalid", reached]);
      const whole = await send(asked(), [field]);
      assert.equal(whole.status, 200, `${whole.text} ${lastCode}`);
    });
  }

  test("is named once, from wherever the operation has it; elsewhere it is a field like any other", () => {
    const object = { attributes: { a: header("X-A"), b: { from: "query", name: "q", type: "string" } } };
    const rule = { subject: header("x-subject"), days: 1, bytesMax: 1 };
    // as: a whole one has much more that is not read here.
    const of = (changes: object) => decidingFields({ ...object, ...changes } as unknown as OperationObject);
    assert.deepEqual(of({}), ["x-a"]);
    assert.deepEqual(of({ payload: rule, serialize: header("X-A") }), ["x-a", "x-subject"]);
    assert.deepEqual(of({ body: json }), ["x-a"]);
  });
});

describe("while denials only pass", () => {
  test("a signature that was judged ends at the gateway, also where its crossing would be denied", async () => {
    const answer = await send({ url: `${base}/watched/book` }, []);
    assert.deepEqual([answer.status, lastCode], [200, undefined]);
    const { headers = {} } = upstream.seen.at(-1) ?? {};
    assert.deepEqual([headers["signature"], headers["signature-input"]], [undefined, undefined]);
  });

  test("attack: something is put before signed content that is too large to be held", async () => {
    const body = Buffer.from(JSON.stringify({ note: "a".repeat(3_000) }));
    const url = `${base}/watched/note`;
    const headers = { "content-type": "application/json" };
    assert.equal((await send({ method: "PUT", url, body, headers }, [])).status, 200);
    assert.equal(upstream.seen.at(-1)?.body, String(body));
    const whole = () => upstream.seen.filter((one) => one.url === "/note" && one.body !== "").length;
    const arrived = whole();
    clock.shiftMs += 1_000;
    const fields = orders.fields({ method: "PUT", url, body });
    const asking = request(url, { method: "PUT", headers: { ...headers, ...fields } });
    // A piece by itself, over the bound: what was held of the content, and all that was looked at.
    const answered = new Promise((resolve) => {
      asking.once("response", (answer) => resolve(answer.resume().statusCode));
      asking.once("error", () => resolve("cut"));
    });
    const reached = upstream.seen.length;
    asking.write("b".repeat(2_000));
    await until(() => upstream.seen.length > reached, "what was held goes on");
    asking.end(body);
    const status = await answered;
    assert.notEqual(status, 200);
    assert.equal(whole(), arrived, "nothing whole arrived");
  });
});
