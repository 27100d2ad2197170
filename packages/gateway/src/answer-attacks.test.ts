// How a field that is taken out of answers could get out all the same: each way over real sockets, through a real gateway, from a provider that does it
// (docs/inspection.md). A canary stands for the field; it may reach the caller in no header and no byte.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { inspectedBytesInAllMax } from "./forward/upstream-answer.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const canary = "canary-12345678901";
const bytesMax = 128 * 1024;
/** `{ name, taxId: pii, pin: secret }` */
const customer = {
  schemas: {
    "2XX": {
      type: "object",
      properties: { name: { type: "string" }, taxId: { type: "string" }, pin: { type: "string" } },
    },
  },
  labels: [
    { members: { name: 1, taxid: 2, pin: 3 }, scalar: false },
    {},
    { classes: ["pii"] },
    { classes: ["secret"] },
  ],
  bytesMax,
} as const;

function estate(url: string): TestEstate {
  const operations = [
    { name: "customer.read", method: "GET", path: "/v1/customers/{id}", response: customer },
    {
      name: "customer.create",
      method: "POST",
      path: "/v1/customers",
      body: { content: "json", contentType: "application/json" },
      response: customer,
    },
    { name: "plain.read", method: "GET", path: "/v1/plain" },
    { name: "typed.read", method: "GET", path: "/v1/typed", response: { contentType: "text/csv" } },
  ] as const;
  return {
    systems: [
      { id: "crm", url, operations },
      { id: "watched", url, operations, changes: { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } },
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
    ],
    integrations: [
      {
        id: "orders-to-crm",
        from: "orders",
        to: "crm",
        data: [],
        operations: [
          { name: "customer.read" },
          { name: "customer.create" },
          { name: "plain.read", redact: ["$.customer.taxId", "$.list[*].taxId"] },
          { name: "typed.read" },
        ],
      },
      {
        id: "portal-to-crm",
        from: "portal",
        to: "crm",
        data: ["pii", "secret"],
        operations: [{ name: "customer.read" }, { name: "plain.read" }],
      },
      { id: "orders-to-watched", from: "orders", to: "watched", operations: [{ name: "customer.read" }] },
    ],
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let portal: TestCaller;
let url = "";

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: estate(upstream.url), openLog: openTestLog });
  url = `${bed.addresses[0]?.url}/crm`;
  orders = new TestCaller(bed.feed, "orders");
  portal = new TestCaller(bed.feed, "portal");
  await orders.learnNonce(url);
  portal.nonce = orders.nonce;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});
beforeEach(() => {
  upstream.answer = null;
});

const json = { "content-type": "application/json" };
type Fields = Readonly<Record<string, string | string[]>>;

/** The provider answers so; the caller's answer holds no canary. */
async function asked(
  answer: { readonly body: string | Buffer; readonly headers?: Fields; readonly status?: number },
  how: CallOptions & { readonly path?: string; readonly by?: TestCaller } = {},
): Promise<Answer> {
  upstream.answer = (_request, response: ServerResponse) =>
    response.writeHead(answer.status ?? 200, answer.headers ?? json).end(answer.body);
  const { path = "/v1/customers/1", by = orders, ...options } = how;
  const got = await by.send(`${url}${path}`, options);
  if (by === orders)
    assert.ok(!got.text.includes(canary) && !JSON.stringify(got.headers).includes(canary), "the canary got out");
  return got;
}

/** Refused, on record as what the provider did, and never cut in the middle. */
async function refused(code: string, answered: Promise<Answer>): Promise<Answer> {
  const got = await answered;
  assert.deepEqual([got.status, got.code], [502, code], got.text);
  const [leaf] = await bed.leaves(got.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual([leaf.code, leaf.upstreamStatus], [code, Number(/status (\d+)/.exec(got.text)?.[1])]);
  return got;
}

const taxId = `{"name":"n","taxId":"${canary}"}`;

describe("what is let through", () => {
  test("the field goes, the rest is the provider's byte for byte, and the length is that of what is left", async () => {
    const got = await asked({ body: `{ "name":"n\\u0041" , "taxId":"${canary}","n":1.00}\n` });
    assert.equal(got.text, '{ "name":"n\\u0041","n":1.00}\n');
    assert.equal(got.headers["content-length"], String(got.text.length));
  });

  test("a consumer that is classified for it gets it, of the same operation", async () => {
    const got = await asked({ body: taxId }, { by: portal });
    assert.equal(got.text, taxId);
  });

  test("paths of the integration hold for its consumer alone, also of an operation that says nothing of its answers", async () => {
    const body = `{"customer":{"taxId":"${canary}","n":1},"list":[{"taxId":"${canary}"},[{"taxId":"${canary}"}]]}`;
    assert.equal((await asked({ body }, { path: "/v1/plain" })).text, '{"customer":{"n":1},"list":[{},[{}]]}');
    assert.equal((await asked({ body }, { path: "/v1/plain", by: portal })).text, body);
  });

  test("an answer longer than what is otherwise held is one record, and no byte of it leaves before it was looked into", async () => {
    const body = `{"name":"${"x".repeat(100_000)}","taxId":"${canary}"}`;
    const got = await asked({ body });
    assert.equal(got.text, `{"name":"${"x".repeat(100_000)}"}`);
    assert.deepEqual(
      (await bed.leaves(got.id)).map(({ t }) => t),
      ["crossing"],
    );
  });
});

describe("attacks on what is taken out", () => {
  test("escapes: the name with escaped letters is the name", async () => {
    assert.equal((await asked({ body: `{"\\u0074axId":"${canary}","name":"n"}` })).text, '{"name":"n"}');
  });

  test("case twin: the name in another case is the name", async () => {
    assert.equal((await asked({ body: `{"TAXID":"${canary}","name":"n"}` })).text, '{"name":"n"}');
  });

  test("duplicate member: two readers would take different ones", async () => {
    await refused("response-content", asked({ body: `{"name":"n","name":{"taxId":"${canary}"}}` }));
    await refused("response-content", asked({ body: `{"name":"n","n\\u0061me":"${canary}"}` }));
  });

  test("byte order mark, UTF-16 and Latin-1: bytes that another reader would decode otherwise", async () => {
    await refused("response-content", asked({ body: `\ufeff${taxId}` }));
    await refused("response-content", asked({ body: Buffer.from(`\ufeff${taxId}`, "utf16le") }));
    await refused("response-content", asked({ body: Buffer.from(`{"name":"\xe9","taxId":"${canary}"}`, "latin1") }));
    for (const charset of ["utf-16", "utf-7", "iso-8859-1", '"utf-16le"'])
      await refused(
        "response-content",
        asked({ body: taxId, headers: { "content-type": `application/json; charset=${charset}` } }),
      );
    const plain = { "content-type": "Application/JSON; charset=UTF-8" };
    assert.equal((await asked({ body: taxId, headers: plain })).text, '{"name":"n"}');
  });

  test("content type games: another type, none, two, or one that a reader sniffs", async () => {
    const types: readonly Fields[] = [
      ...[
        "text/plain",
        "text/html",
        "application/jsonp",
        "application/json+xml",
        "text/json",
        "application/x-ndjson",
      ].map((type) => ({ "content-type": type })),
      { "content-type": ["application/json", "text/plain"] },
      { "content-type": "application/json, text/plain" },
      {},
    ];
    for (const headers of types) await refused("response-content", asked({ body: taxId, headers }));
  });

  test("several texts: JSON lines, or JSON with something behind it", async () => {
    for (const body of [`${taxId}\n${taxId}`, `${taxId};`, `)]}',\n${taxId}`, `callback(${taxId})`])
      await refused("response-content", asked({ body }));
  });

  test("content encoding: nothing is asked for encoded, and what comes encoded all the same is refused", async () => {
    await refused(
      "response-content",
      asked(
        { body: gzipSync(taxId), headers: { ...json, "content-encoding": "gzip" } },
        { headers: { "accept-encoding": "gzip, br" } },
      ),
    );
    assert.equal(upstream.seen.at(-1)?.headers["accept-encoding"], "identity");
    await refused("response-content", asked({ body: taxId, headers: { ...json, "content-encoding": "x-rot13" } }));
  });

  test("range: no part is asked for, and a part that comes all the same is refused", async () => {
    const body = `{"name":"${canary}"}`;
    const ranged = { headers: { range: "bytes=12-", "if-range": '"x"' } };
    await refused(
      "response-content",
      asked({ body, status: 206, headers: { ...json, "content-range": "bytes 12-20/21" } }, ranged),
    );
    const { headers } = upstream.seen.at(-1) ?? assert.fail("nothing was sent");
    assert.deepEqual([headers.range, headers["if-range"]], [undefined, undefined]);
  });

  test("chunking: a field cut anywhere is the same field", async () => {
    upstream.answer = (_request, response) => {
      response.writeHead(200, json);
      for (const byte of Buffer.from(taxId)) response.write(Buffer.of(byte));
      response.end();
    };
    assert.equal((await orders.send(`${url}/v1/customers/1`)).text, '{"name":"n"}');
  });

  test("trailers end here", async () => {
    upstream.answer = (_request, response) => {
      response.writeHead(200, { ...json, trailer: "x-tax-id" });
      response.write(taxId);
      response.addTrailers({ "x-tax-id": canary });
      response.end();
    };
    const got = await orders.send(`${url}/v1/customers/1`);
    assert.equal(got.text, '{"name":"n"}');
    assert.equal(got.headers["trailer"], undefined);
  });

  test("HEAD and validators: no length, tag or digest of what was there before, and no condition on it", async () => {
    const digest = createHash("sha256").update(taxId).digest("base64");
    const tells = {
      etag: `"${digest}"`,
      "content-md5": digest,
      digest: `sha-256=${digest}`,
      "repr-digest": `sha-256=:${digest}:`,
      "content-digest": `sha-256=:${digest}:`,
      "accept-ranges": "bytes",
    };
    const headers = { ...json, ...tells, "content-length": String(taxId.length) };
    const guess = { headers: { "if-none-match": tells.etag } };
    for (const method of ["GET", "HEAD"]) {
      const got = await asked({ body: method === "GET" ? taxId : "", headers }, { method, ...guess });
      assert.equal(got.status, 200);
      for (const name of Object.keys(tells)) assert.equal(got.headers[name], undefined, `${method} ${name}`);
      assert.notEqual(got.headers["content-length"], String(taxId.length));
      assert.equal(upstream.seen.at(-1)?.headers["if-none-match"], undefined);
    }
  });

  test("error bodies: labels hold for every status, and an error that cannot be read is not passed on", async () => {
    const problem = { "content-type": "application/problem+json" };
    const got = await asked({ body: taxId, status: 409, headers: problem });
    assert.deepEqual([got.status, got.text], [409, '{"name":"n"}']);
    for (const status of [404, 500, 302])
      await refused(
        "response-content",
        asked({ body: `<p>${canary}</p>`, status, headers: { "content-type": "text/html" } }),
      );
    await refused("response-leak", asked({ body: `{"pin":"${canary}"}`, status: 500 }));
  });

  test("another shape: a text or a list where an object was declared", async () => {
    await refused("response-schema", asked({ body: `["${canary}"]` }));
    // No schema holds for errors: what cannot be told apart is withheld.
    await refused("response-leak", asked({ body: `["${canary}"]`, status: 400 }));
    await refused("response-leak", asked({ body: `"${canary}"`, status: 400 }));
  });

  test("depth bomb and a lone surrogate", async () => {
    const deep = `${'{"a":'.repeat(70)}{"taxId":"${canary}"}${"}".repeat(70)}`;
    await refused("response-content", asked({ body: deep }));
    await refused("response-content", asked({ body: `{"name":"\\ud800","taxId":"${canary}"}` }));
  });

  test("too long, an event stream, or one that never ends: nothing of it leaves, and its bytes are given back", async () => {
    const long = `{"name":"${canary}${"x".repeat(bytesMax)}"}`;
    await refused("response-too-large", asked({ body: long }));
    upstream.answer = (_request, response) => {
      response.writeHead(200, json);
      response.write(long);
    };
    await refused("response-too-large", orders.send(`${url}/v1/customers/1`));
    await refused(
      "response-too-large",
      asked({ body: `data: ${taxId}\n\n`, headers: { "content-type": "text/event-stream" } }),
    );
    upstream.answer = (_request, response) => {
      response.writeHead(200, json);
      response.write(taxId.slice(0, 20));
    };
    const late = await orders.send(`${url}/v1/customers/1`, { headers: { "request-timeout-ms": "1000" } });
    assert.deepEqual([late.status, late.code], [504, "upstream-timeout"]);
    assert.equal((await asked({ body: taxId })).text, '{"name":"n"}');
    assert.ok(inspectedBytesInAllMax >= bytesMax);
  });

  test("an effect whose answer leaks: its outcome is on record, and the caller is told that it happened", async () => {
    const post = { method: "POST", headers: json, body: "{}", path: "/v1/customers" };
    const got = await asked({ body: `{"pin":"${canary}"}`, status: 201 }, post);
    assert.deepEqual([got.status, got.code], [502, "response-leak"]);
    assert.match(got.text, /answered with status 201.*secret/);
    const leaves = await bed.leaves(got.id);
    assert.deepEqual(
      leaves.map((leaf) => [leaf.t, "outcome" in leaf && [leaf.outcome, leaf.upstreamStatus]]),
      [
        ["intent", false],
        ["outcome", ["denied", 201]],
      ],
    );
  });

  test("declared content other than JSON passes in that type alone, and nothing pretends to have read it", async () => {
    const path = "/v1/typed";
    const csv = { "content-type": "text/csv; charset=iso-8859-1" };
    assert.equal((await asked({ body: "a;b", headers: csv }, { path })).text, "a;b");
    await refused("response-content", asked({ body: taxId }, { path }));
  });

  test("where nothing is enforced, nothing is taken out either: answers pass as they came", async () => {
    upstream.answer = (_request, response) => response.writeHead(200, json).end(taxId);
    const got = await orders.send(`${bed.addresses[0]?.url}/watched/v1/customers/1`);
    assert.equal(got.text, taxId);
  });
});
