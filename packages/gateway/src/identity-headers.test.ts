// Rule 3: only a gateway says who a caller is. What callers say about it ends here, on every path a crossing can take, errors included.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { CountingUpstream } from "./testing/counting-upstream.ts";
import { until } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, call } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const canary = "canary-admin";
/** One of each family a server somewhere believes, and the ones that are ours to set. */
const spoofed: Readonly<Record<string, string>> = {
  "sallyport-identity": canary,
  "sallyport-crossing": canary,
  "sallyport-verdict": canary,
  "x-sallyport-user": canary,
  forwarded: `for=${canary}`,
  "x-forwarded-for": canary,
  "x-forwarded-user": canary,
  "x-forwarded-client-cert": canary,
  "x-real-ip": canary,
  "x-original-url": `/${canary}`,
  "x-http-method-override": canary,
  "remote-user": canary,
  "x-auth-request-user": canary,
  "x-consumer-username": canary,
  "x-goog-authenticated-user-email": canary,
  "x-ms-client-principal": canary,
  "ssl-client-s-dn": canary,
  "client-cert": canary,
  "x-endpoint-api-userinfo": canary,
  "x-apigateway-api-userinfo": canary,
};

let bench: Bench;
before(async () => {
  bench = await openBench();
});
after(() => bench?.close());

type Send = (options: CallOptions) => Promise<Answer>;

async function answering<T>(answer: CountingUpstream["answer"], run: () => Promise<T>): Promise<T> {
  bench.upstream.answer = answer;
  try {
    return await run();
  } finally {
    bench.upstream.answer = null;
  }
}

const to =
  (path: string, own: CallOptions = {}): Send =>
  ({ headers, ...rest }) =>
    bench.orders.send(`${bench.url}${path}`, { ...own, ...rest, headers: { ...own.headers, ...headers } });

const status =
  (code: number): CountingUpstream["answer"] =>
  (_request, response) =>
    void response.writeHead(code).end();
const create: CallOptions = {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ amount: 5, customer: "c-1" }),
};

/** Every path on which a provider is reached, with the status it ends in. */
const reaching: readonly [string, number, Send, CountingUpstream["answer"]][] = [
  ["a read", 200, to("/billing/v1/invoices/1"), null],
  ["HEAD", 200, to("/billing/v1/invoices/1", { method: "HEAD" }), null],
  ["an effect with a checked body", 200, to("/billing/v1/invoices", create), null],
  [
    "a streamed upload",
    200,
    to("/billing/v1/invoices/1/scan", {
      method: "PUT",
      headers: { "content-type": "application/pdf" },
      body: "p".repeat(100_000),
    }),
    null,
  ],
  [
    "a long answer",
    200,
    to("/billing/v1/invoices/1"),
    (_request, response) => void response.writeHead(200).end("x".repeat(200_000)),
  ],
  ["a no of the provider", 404, to("/billing/v1/invoices/1"), status(404)],
  ["a fault of the provider", 500, to("/billing/v1/invoices/1"), status(500)],
  [
    "an answer that is not HTTP",
    502,
    to("/billing/v1/invoices/1"),
    (request) => void request.socket.end("SSH-2.0\r\n\r\n"),
  ],
  ["no answer in time", 504, to("/billing/v1/slow"), () => {}],
];

describe("a caller's word about identity never reaches a provider, and ours always does", () => {
  for (const [path, code, send, answer] of reaching) {
    test(`reaching the provider by ${path}, it gets our word about identity and not the caller's`, async () => {
      const reached = bench.upstream.seen.length;
      const got = await answering(answer, () => send({ headers: spoofed }));
      assert.equal(got.status, code, got.text);
      await until(() => bench.upstream.seen.length === reached + 1, "the provider's own count");
      const seen = bench.upstream.seen.at(-1);
      assert.ok(!JSON.stringify([seen?.rawHeaders, seen?.url]).includes(canary));
      assert.equal(String(seen?.headers["sallyport-identity"]).split(".").length, 3, "the gateway's own identity");
      assert.equal(seen?.headers["sallyport-crossing"], got.id);
    });
  }
});

describe("a caller's word about identity changes no denial and comes back in none", () => {
  const denials: readonly [string, Send][] = [
    ["a stranger", (options) => call(bench.invoice, options)],
    ["a bad token", (options) => call(bench.invoice, { headers: { ...options.headers, authorization: "Bearer a.b" } })],
    ["no route", to("/nowhere/x")],
    ["not granted", to("/billing/v1/invoices/1", { method: "DELETE" })],
    ["not active", (options) => bench.analytics.send(bench.invoice, options)],
    ["a policy", to("/billing/v1/regions/us")],
    ["a body that breaks its schema", to("/billing/v1/invoices", { ...create, body: "{}" })],
    ["a provider that is away", to("/away/v1/thing")],
  ];
  const face = ({ status, text, id, headers }: Answer) => [
    status,
    text.replaceAll(id, "ID"),
    headers["sallyport-verdict"],
  ];
  for (const [name, send] of denials) {
    test(`denied by ${name}, no caller's word about identity changes the answer or comes back`, async () => {
      const reached = bench.upstream.seen.length;
      const plain = await send({});
      const spoofing = await send({ headers: spoofed });
      assert.ok(plain.status >= 400);
      assert.deepEqual(face(spoofing), face(plain));
      assert.ok(!JSON.stringify([spoofing.headers, spoofing.text]).includes(canary));
      assert.equal(bench.upstream.seen.length, reached);
      const leaves = await bench.bed.log.find(spoofing.id);
      assert.ok(!leaves.some(({ leaf }) => Buffer.from(leaf).toString("latin1").includes(canary)));
    });
  }

  test("a request that is refused before it is read: an underscore alias, and garbage", async () => {
    const alias = await call(bench.invoice, { headers: { ...spoofed, X_Forwarded_User: canary } });
    assert.equal(alias.code, "bad-header");
    assert.ok(!JSON.stringify([alias.headers, alias.text]).includes(canary));
  });
});
