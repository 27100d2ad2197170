// Pages of browsers: which may call and read, what their preflights are told, and every way round a list of origins.
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, before, test } from "node:test";
import type { CorsObject } from "@sallyport/protocol/snapshot/cors-object.ts";
import { denialsOfTheirOwn, denialWindowMs } from "./record/denial-windows.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog, type TestLog } from "./testing/open-test-log.ts";
import { sendRaw } from "./testing/raw-socket.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, call, TestCaller } from "./testing/test-caller.ts";
import { newTestCa, tlsListener } from "./testing/test-certificates.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const shop = "https://shop.example";
const portalPage = "http://localhost:5173";
const cors = (changes: Partial<CorsObject> = {}): CorsObject => ({
  origins: [shop],
  allowHeaders: ["x-request-id"],
  exposeHeaders: ["etag"],
  maxAgeSeconds: 600,
  ...changes,
});
const certificates = newTestCa("workloads");
let upstream: CountingUpstream;
let bed: TestGateway;
let log: TestLog;
let orders: TestCaller;
let portal: TestCaller;
let url: string;
/** Facts of denials, as operators get them. */
const told: Readonly<Record<string, string>>[] = [];

type Change = (estate: TestEstate) => TestEstate;
const both: Readonly<Record<string, CorsObject>> = {
  "orders-to-billing": cors(),
  "portal-to-billing": cors({
    origins: [portalPage, shop],
    allowHeaders: ["x-page"],
    exposeHeaders: [],
    maxAgeSeconds: 60,
  }),
};

function estateWith(
  pages: Readonly<Record<string, CorsObject>> = both,
  change: Change = (estate) => estate,
): TestEstate {
  const { systems, integrations } = marketplace(upstream.url);
  return change({
    systems: systems.map((system) =>
      system.id === "billing"
        ? {
            ...system,
            operations: [
              ...(system.operations ?? []),
              { name: "options.read", method: "OPTIONS", path: "/v1/invoices/{id}" },
              { name: "head.read", method: "HEAD", path: "/v1/refunds" },
            ],
          }
        : system,
    ),
    integrations: integrations.map((one) => {
      const page = pages[one.id];
      const operations = [...one.operations, ...(one.id === "orders-to-billing" ? [{ name: "options.read" }] : [])];
      return { ...one, operations, ...(page === undefined ? {} : { cors: page }) };
    }),
  });
}

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estateWith(),
    openLog: async (directory) => {
      log = await openTestLog(directory);
      return log;
    },
    changes: { observers: [{ crossing: (_exchange, { deny }) => void told.push(deny?.facts ?? {}) }] },
    listeners: [
      { name: "public", host: "127.0.0.1", port: 0 },
      { ...tlsListener(certificates), name: "secure" },
    ],
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders");
  portal = new TestCaller(bed.feed, "portal");
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const invoice = "/billing/v1/invoices/1";

interface Asking {
  readonly origin?: string | string[];
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

const preflight = ({ origin = shop, method = "GET", path = invoice, headers = {} }: Asking = {}): Promise<Answer> =>
  call(`${url}${path}`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": "authorization,dpop",
      ...headers,
    },
  });

const wordsIn = ({ headers }: Pick<Answer, "headers">): string[] =>
  Object.keys(headers)
    .filter((name) => name.startsWith("access-control-"))
    .sort();

/** What a page at another place than those named gets: the 401 of every stranger, without a word to pages. */
async function assertUntold(answer: Answer, reached: number, what: string): Promise<void> {
  assert.deepEqual([answer.status, wordsIn(answer)], [401, []], what);
  assert.equal(upstream.seen.length, reached, what);
}

test("a preflight is answered here: the origin, the method, the lists of the estate, and nothing reaches the provider", async () => {
  const reached = upstream.seen.length;
  const answer = await preflight({ headers: { "access-control-request-headers": "x-other, evil" } });
  assert.equal(answer.status, 204);
  assert.deepEqual(wordsIn(answer), [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-max-age",
  ]);
  assert.equal(answer.headers["access-control-allow-origin"], shop);
  assert.equal(answer.headers["access-control-allow-methods"], "GET");
  assert.equal(
    answer.headers["access-control-allow-headers"],
    "authorization, dpop, content-type, idempotency-key, x-request-id, x-page",
    "of both integrations that name the origin",
  );
  assert.equal(answer.headers["access-control-max-age"], "60", "the shorter one");
  assert.match(String(answer.headers["vary"]), /^Origin, /);
  assert.equal(answer.text, "");
  assert.equal(upstream.seen.length, reached);
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual(
    [leaf.verdict, leaf.code, leaf.stage, leaf.status, leaf.caller, leaf.outcome],
    ["deny", "credentials-missing", "route", 204, null, "denied"],
  );
});

test("the page then calls, and reads the 401 with its nonce, the answer and the denials", async () => {
  const first = await call(`${url}${invoice}`, { headers: { origin: shop } });
  assert.deepEqual([first.status, first.headers["access-control-allow-origin"]], [401, shop]);
  const exposed = String(first.headers["access-control-expose-headers"]);
  for (const name of [
    "dpop-nonce",
    "www-authenticate",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "sallyport-crossing",
  ])
    assert.ok(exposed.split(", ").includes(name), name);
  assert.ok(first.headers["dpop-nonce"] !== undefined);
  const answer = await orders.send(`${url}${invoice}`, { headers: { origin: shop } });
  assert.deepEqual([answer.status, answer.headers["access-control-allow-origin"]], [200, shop]);
  assert.match(String(answer.headers["access-control-expose-headers"]), /, etag$/);
  assert.equal(answer.headers["vary"], "Origin");
  assert.equal(answer.headers["access-control-allow-credentials"], undefined);
  const path = "/billing/v1/regions/us";
  const denied = await orders.send(`${url}${path}`, { headers: { origin: shop } });
  assert.deepEqual(
    [denied.status, denied.code, denied.headers["access-control-allow-origin"]],
    [403, "policy-denied", shop],
  );
  const lines: Answer[] = [];
  for (let i = 0; i < 4; i++) lines.push(await portal.send(`${url}${invoice}`, { headers: { origin: portalPage } }));
  const limited = lines.at(-1);
  assert.deepEqual([limited?.status, limited?.headers["access-control-allow-origin"]], [429, portalPage]);
  assert.ok(limited?.headers["retry-after"] !== undefined);
});

test("once the caller is known, the pages of its own integration alone read its answers", async () => {
  const answer = await orders.send(`${url}${invoice}`, { headers: { origin: portalPage } });
  assert.equal(answer.status, 200, "no page's word is needed to cross");
  assert.deepEqual([wordsIn(answer), answer.headers["vary"]], [[], "Origin"]);
});

test("every answer of such an operation varies by origin, with one and without, and others do not", async () => {
  for (const headers of [{}, { origin: shop }, { origin: "https://evil.example" }])
    for (const send of [
      () => orders.send(`${url}${invoice}`, { headers }),
      () => call(`${url}${invoice}`, { headers }),
    ])
      assert.equal((await send()).headers["vary"], "Origin");
  const elsewhere = await orders.send(`${url}/billing/v1/nothing`, { headers: { origin: shop } });
  assert.deepEqual([elsewhere.status, wordsIn(elsewhere), elsewhere.headers["vary"]], [404, [], undefined]);
});

test("attack: an origin that is nearly one that is named is told nothing, nor is one that is reflected, null, or everybody's", async () => {
  const reached = upstream.seen.length;
  const origins = [
    "null",
    "*",
    "",
    `${shop}.evil.example`,
    `https://evil.example/${shop}`,
    "https://evilshop.example",
    "https://a.shop.example",
    `${shop}:443`,
    `${shop}:8443`,
    `${shop}/`,
    `${shop}.`,
    "https://SHOP.example",
    "HTTPS://shop.example",
    "http://shop.example",
    "https://shop.example%00",
    `${shop}, https://evil.example`,
    `https://evil.example ${shop}`,
    "http://localhost",
    "http://127.0.0.1:5173",
  ];
  for (const origin of origins) {
    await assertUntold(await preflight({ origin }), reached, origin);
    await assertUntold(await call(`${url}${invoice}`, { headers: { origin } }), reached, origin);
    const answer = await orders.send(`${url}${invoice}`, { headers: { origin } });
    assert.deepEqual([answer.status, wordsIn(answer)], [200, []], origin);
    upstream.seen.length = reached;
  }
});

test("attack: two Origin fields, or two methods asked about, are no question", async () => {
  const head = [`OPTIONS ${invoice} HTTP/1.1`, `Host: ${new URL(url).host}`, "Connection: close"];
  const ask = async (...lines: readonly string[]) =>
    (await sendRaw(url, `${[...head, ...lines].join("\r\n")}\r\n\r\n`)).text;
  const method = "Access-Control-Request-Method: GET";
  assert.match(await ask(`Origin: ${shop}`, method), /^HTTP\/1\.1 204 /, "the nearest that is one");
  for (const lines of [
    [`Origin: ${shop}`, "Origin: https://evil.example", method],
    ["Origin: https://evil.example", `Origin: ${shop}`, method],
    [`Origin: ${shop}`, method, "Access-Control-Request-Method: POST"],
    [`Origin: ${shop}`, method, "Content-Length: 2", "", "{}"],
  ])
    assert.doesNotMatch(await ask(...lines), /^HTTP\/1\.1 2|access-control-/i, lines.join());
});

test("attack: what is asked for is not repeated, however it is written, and however much it is", async () => {
  const names = ["x-evil", "*", "x-request-id,x-evil", "a".repeat(6_000), Array(2_000).fill("x").join(",")];
  const expected = (await preflight()).headers["access-control-allow-headers"];
  for (const name of names) {
    const answer = await preflight({ headers: { "access-control-request-headers": name } });
    assert.deepEqual([answer.status, answer.headers["access-control-allow-headers"]], [204, expected]);
  }
  const head = [`OPTIONS ${invoice} HTTP/1.1`, `Host: ${new URL(url).host}`, `Origin: ${shop}`, "Connection: close"];
  const injected = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: a\rset-cookie: x=1";
  const { text } = await sendRaw(url, `${head.join("\r\n")}\r\n${injected}\r\n\r\n`);
  assert.match(text, /^HTTP\/1\.1 400 /);
  assert.doesNotMatch(text, /set-cookie|access-control-/i);
});

test("attack: a preflight for what is not granted, not there, or another method than one that is", async () => {
  const reached = upstream.seen.length;
  const asked: readonly Asking[] = [
    { method: "DELETE" },
    { method: "PATCH" },
    { method: "get" },
    { method: "GET, DELETE" },
    { method: "*" },
    { method: "CONNECT" },
    { method: "__proto__" },
    { path: "/billing/v1/nothing" },
    { path: "/ledger/v1/x" },
    { path: "/.well-known/sallyport/receipts/x" },
    { path: "/billing/v1/secrets/1", origin: portalPage },
    { path: "/billing/v1/refunds", method: "HEAD" },
  ];
  for (const one of asked) await assertUntold(await preflight(one), reached, JSON.stringify(one));
  assert.equal((await preflight({ path: "/billing/v1/secrets/1" })).status, 204, "the nearest that is granted");
  assert.equal((await preflight({ path: "/billing/v1/invoices", method: "POST" })).status, 204);
});

test("operators read of a preflight what was asked, and what would have been a yes", async () => {
  await preflight({ origin: "https://www.shop.example" });
  const refused = told.at(-1);
  assert.equal(refused?.["preflight"], "refused");
  assert.match(refused?.["expected"] ?? "", /cors\.origins/);
  assert.match(
    refused?.["sent"] ?? "",
    /^a page at https:\/\/www\.shop\.example, for GET \S+\/billing\/v1\/invoices\/1$/,
  );
  await preflight();
  assert.equal(told.at(-1)?.["preflight"], "answered");
  await call(`${url}${invoice}`, { method: "OPTIONS", headers: { origin: shop } });
  assert.equal(told.at(-1)?.["preflight"], undefined, "no question but the method itself");
});

test("attack: credentials beside the question make it no preflight: it is the method itself, and judged as that", async () => {
  const asking = { origin: shop, "access-control-request-method": "GET" };
  const bad = await preflight({ headers: { authorization: "Bearer a.b" } });
  assert.equal(bad.status, 401);
  const own = await orders.send(`${url}${invoice}`, { method: "OPTIONS", headers: asking });
  assert.equal(own.status, 200, "the declared operation with OPTIONS");
  assert.equal(upstream.seen.at(-1)?.method, "OPTIONS");
  const ungranted = await portal.send(`${url}${invoice}`, { method: "OPTIONS", headers: asking });
  assert.equal(ungranted.code, "not-granted");
});

test("attack: what the provider says to pages is cut, and cannot be put beside what the gateway says", async () => {
  upstream.answer = (_request, response) =>
    response
      .writeHead(200, {
        "content-type": "application/json",
        etag: '"1"',
        vary: "Accept",
        "Access-Control-Allow-Origin": "*",
        "access-control-allow-credentials": "true",
        "Access-Control-Expose-Headers": "x-secret",
      })
      .end("{}");
  try {
    const named = await orders.send(`${url}${invoice}`, { headers: { origin: shop } });
    assert.equal(named.headers["access-control-allow-origin"], shop);
    assert.deepEqual(wordsIn(named), ["access-control-allow-origin", "access-control-expose-headers"]);
    assert.equal(named.headers["vary"], "Accept, Origin");
    for (const headers of [{}, { origin: "https://evil.example" }])
      assert.deepEqual(wordsIn(await orders.send(`${url}${invoice}`, { headers })), []);
    await bed.publish(estateWith({}));
    const off = await orders.send(`${url}${invoice}`, { headers: { origin: shop } });
    assert.deepEqual(
      [off.status, wordsIn(off), off.headers["vary"]],
      [200, [], "Accept"],
      "also where no page may call",
    );
    const observed = { mode: { mode: "observe" as const, untilMs: Date.now() + 86_400_000, reason: "a trial" } };
    await bed.publish(estateWith({}, (estate) => ({ ...estate, estate: observed })));
    const passed = await call(`${url}${invoice}`, { headers: { origin: shop } });
    assert.deepEqual(
      [passed.status, passed.headers["access-control-allow-origin"]],
      [200, "*"],
      "where nothing is enforced",
    );
    await bed.publish(estateWith(both, (estate) => ({ ...estate, estate: observed })));
    const told = await call(`${url}${invoice}`, { headers: { origin: shop } });
    assert.deepEqual([told.status, told.headers["access-control-allow-origin"]], [200, shop], "one of the two speaks");
    assert.equal((await preflight()).status, 204, "and a preflight does not go on there either");
  } finally {
    upstream.answer = null;
    await bed.publish(estateWith());
  }
});

test("an integration that is suspended, over or broken says nothing to pages", async () => {
  const reached = upstream.seen.length;
  const only = { "orders-to-billing": cors() };
  for (const changes of [{ state: "suspended" }, { expiresAtMs: 1 }, { broken: "x: y" }] as const) {
    const change: Change = (estate) => ({
      ...estate,
      integrations: estate.integrations.map((one) => (one.id === "orders-to-billing" ? { ...one, ...changes } : one)),
    });
    await bed.publish(estateWith(only, change));
    await assertUntold(await preflight(), reached, JSON.stringify(changes));
  }
  await bed.publish(estateWith());
});

test("a preflight that cannot be recorded gets no yes", async () => {
  log.full = true;
  // Of the first eight in a window each needs a record of its own; from another network than the rest of these tests.
  const asked = { origin: shop, "access-control-request-method": "GET" };
  const answer = await call(`${url}${invoice}`, { method: "OPTIONS", headers: asked, from: "127.0.9.1" }).finally(
    () => {
      log.full = false;
    },
  );
  assert.deepEqual([answer.status, answer.code, wordsIn(answer)], [503, "record-unavailable", []]);
});

test("a flood of preflights is on record in eight leaves and a count, and the bounds of a source hold", async () => {
  const ids = new Set<string>();
  const began = Date.now();
  for (let i = 0; i < 60; i++) ids.add((await preflight({ path: `/billing/v1/invoices/${i}` })).id);
  // One may end at any moment, and then eight of the next have leaves of their own again.
  const windows = 2 * (1 + Math.floor((Date.now() - began) / denialWindowMs));
  assert.ok(ids.size <= (denialsOfTheirOwn + 1) * windows, `${ids.size} ids in at most ${windows} windows`);
});

test("over HTTP/2 a preflight and its call are answered alike", async () => {
  const secure = bed.addresses.find(({ name }) => name === "secure");
  const session = connectHttp2(`https://localhost:${secure?.port}`, { ca: certificates.certificatePem });
  session.on("error", () => {});
  try {
    const ask = (fields: Readonly<Record<string, string>>) =>
      new Promise<Record<string, unknown>>((resolve, reject) => {
        const stream = session.request({ ":path": invoice, origin: shop, ...fields }, { endStream: true });
        stream.on("response", (headers) => resolve({ ...headers }));
        stream.on("error", reject);
        stream.resume();
      });
    const asked = await ask({ ":method": "OPTIONS", "access-control-request-method": "GET" });
    assert.deepEqual([asked[":status"], asked["access-control-allow-origin"]], [204, shop]);
    const answered = await ask({ ":method": "GET" });
    assert.deepEqual([answered[":status"], answered["access-control-allow-origin"]], [401, shop]);
  } finally {
    session.destroy();
  }
});

test("HEAD is the GET beside it, decided and recorded as that, with a proof of its own; declared, it is another operation", async () => {
  const options = (method: string): CallOptions => ({ method });
  const head = await orders.send(`${url}${invoice}`, options("HEAD"));
  assert.deepEqual([head.status, head.text, upstream.seen.at(-1)?.method], [200, "", "HEAD"]);
  const [leaf] = await bed.leaves(head.id);
  assert.ok(leaf?.t === "crossing" && leaf.operation === "billing:invoice.read" && leaf.bytesOut === 0);
  const token = orders.token("billing");
  const proof = orders.proof("GET", `${url}${invoice}`, token);
  const stolen = await call(`${url}${invoice}`, {
    method: "HEAD",
    headers: { authorization: `DPoP ${token}`, dpop: proof },
  });
  assert.equal(stolen.status, 401, "a proof for GET is none for HEAD");
  assert.equal((await orders.send(`${url}/billing/v1/regions/us`, options("HEAD"))).status, 403, "by its policy");
  const declared = await orders.send(`${url}/billing/v1/refunds`, options("HEAD"));
  assert.equal(declared.status, 403, "declared, and granted to nobody");
  const post = await orders.send(`${url}/billing/v1/invoices`, options("HEAD"));
  assert.equal(post.status, 404, "there is no GET beside POST");
});

test("OPTIONS is made up from no other operation", async () => {
  const reached = upstream.seen.length;
  const known = await orders.send(`${url}/billing/v1/invoices`, { method: "OPTIONS" });
  assert.deepEqual([known.status, known.code], [404, "no-route"]);
  assert.equal((await call(`${url}/billing/v1/invoices`, { method: "OPTIONS" })).status, 401);
  const { statuses } = await sendRaw(url, `OPTIONS * HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
  assert.deepEqual(statuses, [400]);
  assert.equal(upstream.seen.length, reached);
});
