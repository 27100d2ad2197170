// A gateway as the authoriser of Envoy over gRPC: asked by somebody else's client of gRPC over real TLS, and by octets that no client would send.
import assert from "node:assert/strict";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { after, before, beforeEach, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { askingEstate, credentials, proxyUrl } from "./testing/asking-bench.ts";
import {
  type CheckClient,
  type CheckEnd,
  type Checked,
  checkMethod,
  encodeCheck,
  type HeaderOption,
  openCheckClient,
  type Question,
  readChecked,
} from "./testing/check-client.ts";
import { call, type TestCaller } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const workloads = newTestCa("workloads");
const ca = workloads.certificatePem;
const edge = newTestCa("edge");
let bench: Bench;
let client: CheckClient;
const clients: CheckClient[] = [];
/** Of refusals that nobody can be named for, the first few of each window have a leaf of their own. */
const windowMs = 10_000;
const clock = {
  shiftMs: 0,
  now: () => Date.now() + clock.shiftMs,
  monotonic: () => performance.now() + clock.shiftMs,
};
const nextWindow = (): void => {
  clock.shiftMs += windowMs;
  bench.bed.feed.heartbeat();
};

before(async () => {
  const certificate = { trust: "proxies", kind: "dns", value: "edge.acme.internal" } as const;
  const listeners = {
    checks: { url: proxyUrl, trustedProxies: ["127.0.0.1"], authorizer: { proxy: "envoy-grpc" } },
    known: { url: proxyUrl, trustedProxies: [], authorizer: { proxy: "envoy-grpc", certificate } },
    elsewhere: { url: proxyUrl, trustedProxies: ["10.0.0.1"], authorizer: { proxy: "envoy-grpc" } },
    questions: { url: proxyUrl, trustedProxies: ["127.0.0.1"], authorizer: { proxy: "caddy" } },
  } as const;
  bench = await openBench({
    clock,
    estate: (url) => {
      const estate = withCertificates(askingEstate(url, listeners), workloads);
      return { ...estate, trust: [...(estate.trust ?? []), { name: "proxies", roots: [edge.certificatePem] }] };
    },
    listeners: Object.keys(listeners).map((name) => ({ ...tlsListener(workloads), name })),
  });
  client = clientTo("checks");
});
after(async () => {
  for (const one of clients) one.close();
  await bench?.close();
});

/** The same later: the step of the nonce may be over. */
const fresh = (): void => {
  nextWindow();
  bench.orders.nonce = undefined;
};

const portOf = (name: string): number => bench.bed.addresses.find((one) => one.name === name)?.port ?? 0;

function clientTo(name: string, pair: { readonly cert?: string; readonly key?: string } = {}): CheckClient {
  const opened = openCheckClient(portOf(name), { ca, ...pair });
  clients.push(opened);
  return opened;
}

function answerOf(end: CheckEnd): Checked {
  assert.ok("answer" in end, "error" in end ? end.error.message : "");
  return end.answer;
}

const valuesOf = (options: readonly HeaderOption[] | undefined): Record<string, string> =>
  Object.fromEntries((options ?? []).map(({ header }) => [header.key, header.value]));

/** As Envoy asks about a request of this caller, with everything right but what a test says. */
async function prove(caller: TestCaller, question: Question = {}, by = client): Promise<Checked> {
  if (caller.nonce === undefined) {
    const stranger = answerOf(await by.ask({}));
    caller.nonce = String(valuesOf(stranger.denied_response?.headers)["dpop-nonce"]);
  }
  const { method = "GET", path = "/billing/v1/invoices/1" } = question;
  const headers = { ...credentials(caller, { method, target: path }), ...question.headers };
  return answerOf(await by.ask({ ...question, headers }));
}

const allowedOf = (answer: Checked): NonNullable<Checked["ok_response"]> => {
  assert.ok(answer.ok_response, answer.denied_response?.body ?? "");
  assert.equal(answer.status.code ?? 0, 0);
  return answer.ok_response;
};

/** A no, three times: to Envoy, at the provider, on the record. */
async function refused(code: ProblemCode, status: number, answer: Checked): Promise<Record<string, string>> {
  assert.equal(answer.ok_response, undefined, "no yes");
  assert.ok(answer.denied_response, code);
  assert.equal(answer.denied_response.status.code, status, answer.denied_response.body);
  assert.equal(answer.status.code, status === 401 ? 16 : 7);
  const headers = valuesOf(answer.denied_response.headers);
  const { status: said } = JSON.parse(answer.denied_response.body);
  assert.equal(said, status);
  assert.equal(headers["content-type"], "application/problem+json");
  assert.equal(headers["content-length"], undefined, "Envoy frames its answer");
  await onRecord(code, headers["sallyport-crossing"] ?? "");
  return headers;
}

async function onRecord(code: ProblemCode, id: string): Promise<void> {
  assert.equal(bench.upstream.seen.length, 0, "no provider hears of a question");
  const [leaf] = await bench.bed.leaves(id);
  assert.ok(leaf?.t === "crossing", id);
  assert.deepEqual([leaf.code, leaf.verdict], [code, "deny"]);
}

const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString("utf8"));

test("a proven request is allowed: who calls and the target for the provider, the nonce for the client, and the caller's own proof taken away", async () => {
  const spoofed = {
    "sallyport-identity": "forged",
    "x-forwarded-user": "admin",
    "x-envoy-retry-on": "5xx",
    accept: "a",
  };
  const question = { path: "/billing/v1/invoices/7?full=1", headers: spoofed };
  const ok = allowedOf(await prove(bench.orders, question));
  const headers = valuesOf(ok.headers);
  assert.equal(headers["sallyport-target"], "/v1/invoices/7?full=1");
  const claims = claimsOf(headers["sallyport-identity"]);
  assert.deepEqual([claims["sub"], claims["op"]], ["orders", "billing:invoice.read"]);
  for (const option of ok.headers ?? [])
    assert.deepEqual(
      [option.append?.value ?? false, option.append_action],
      [false, 2],
      "takes the place of another one",
    );
  assert.ok(ok.headers?.every(({ append }) => append !== undefined && append !== null));
  assert.deepEqual([...(ok.headers_to_remove ?? [])].sort(), [
    "authorization",
    "dpop",
    "x-envoy-retry-on",
    "x-forwarded-user",
  ]);
  const toClient = valuesOf(ok.response_headers_to_add);
  assert.equal(toClient["sallyport-crossing"], headers["sallyport-crossing"]);
  assert.equal(toClient["content-length"], undefined);
  const leaves = await bench.bed.leaves(String(headers["sallyport-crossing"]));
  assert.equal(leaves.length, 1);
  const [leaf] = leaves;
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual(
    [leaf.verdict, leaf.outcome, leaf.operation, leaf.bytesIn],
    ["allow", "unobserved", "billing:invoice.read", 0],
  );
  assert.equal(bench.upstream.seen.length, 0);
});

test("both ways of telling header fields are read: each for itself, and joined in a map", async () => {
  for (const joined of [{}, { joined: true }] as const) {
    const headers = { "user-agent": "a (b, like c)", accept: "text/html, */*", "x-request-id": "1" };
    allowedOf(await prove(bench.orders, { ...joined, headers }));
  }
});

test("an effect: its intent is durable before the yes", async () => {
  const ok = allowedOf(await prove(bench.orders, { method: "POST", path: "/billing/v1/notes/n-1/lock" }));
  const leaves = await bench.bed.leaves(String(valuesOf(ok.headers)["sallyport-crossing"]));
  assert.deepEqual(
    leaves.map(({ t }) => t),
    ["intent", "outcome"],
  );
});

test("without credentials a stranger's 401, with what the client needs to come back right", async () => {
  const headers = await refused("credentials-missing", 401, answerOf(await client.ask({})));
  assert.match(String(headers["www-authenticate"]), /^DPoP /);
  assert.ok(String(headers["dpop-nonce"]).length > 10);
  assert.match(String(headers["sallyport-verdict"]), /^deny; by=gateway/);
});

test("what a caller did wrong is a no with its own status; limits, grants and policies hold", async () => {
  await refused("no-route", 404, await prove(bench.orders, { path: "/billing/v1/nothing" }));
  await refused("policy-denied", 403, await prove(bench.orders, { path: "/billing/v1/regions/us" }));
  await refused("not-granted", 403, await prove(bench.portal, { method: "POST", path: "/billing/v1/notes" }));
  for (let i = 0; i < 3; i++) allowedOf(await prove(bench.portal));
  const headers = await refused("rate-limited", 429, await prove(bench.portal));
  assert.ok(Number(headers["retry-after"]) > 0);
  for (const method of ["CONNECT", "TRACE"])
    await refused("method-not-supported", 501, await prove(bench.orders, { method }));
});

test("a failure of ours is no CheckResponse but an error, so that it is never a yes", async () => {
  await prove(bench.orders);
  bench.log.full = true;
  const headers = credentials(bench.orders);
  const end = await client.ask({ headers }).finally(() => {
    bench.log.full = false;
  });
  assert.ok("error" in end);
  assert.equal(end.error.code, 14);
  assert.deepEqual(end.error.metadata.get("sallyport-code"), ["record-unavailable"]);
});

test("the address on record is the client's that Envoy saw", async () => {
  for (const [address, kind] of [
    ["203.0.113.9", "public-v4"],
    ["2001:db8::1", "public-v6"],
    ["127.0.0.1", "loopback"],
  ] as const) {
    const source = { address: { socket_address: { address, port_value: 1 } } };
    const ok = allowedOf(await prove(bench.orders, { source }));
    const [leaf] = await bench.bed.leaves(String(valuesOf(ok.headers)["sallyport-crossing"]));
    assert.ok(leaf?.t === "crossing");
    assert.equal(leaf.addressClass, kind, address);
  }
  const pipe = allowedOf(await prove(bench.orders, { source: { address: { pipe: { path: "/run/edge.sock" } } } }));
  const [leaf] = await bench.bed.leaves(String(valuesOf(pipe.headers)["sallyport-crossing"]));
  assert.ok(leaf?.t === "crossing" && leaf.addressClass === "loopback");
  const named = { address: { socket_address: { address: "client.example", port_value: 1 } } };
  await refused("proxy-request", 400, await prove(bench.orders, { source: named }));
});

describe("the told request is judged as strictly as one that came itself", () => {
  const field = (name: string, value: string | readonly string[]): Question => ({ headers: { [name]: value } });
  const strict: readonly (readonly [string, Question, ProblemCode])[] = [
    ["a fragment (CVE-2021-39156)", { path: "/billing/v1/invoices/1#x" }, "bad-request-line"],
    ["a double slash (CVE-2021-29492)", { path: "//billing/v1/invoices/1" }, "ambiguous-path"],
    ["an encoded slash", { path: "/billing/v1%2Finvoices/1" }, "ambiguous-path"],
    ["a dot segment (CVE-2019-9901)", { path: "/billing/v1/x/../invoices/1" }, "ambiguous-path"],
    ["an absolute target", { path: "https://evil.example/billing/v1/invoices/1" }, "bad-request-line"],
    ["a path without its slash (CVE-2026-33186)", { path: "billing/v1/invoices/1" }, "bad-request-line"],
    ["two hosts", { host: "api.acme.example, evil.example" }, "bad-host"],
    ["user information in the host", { host: "api.acme.example@evil.example" }, "bad-host"],
    ["a line end in the value of a field", field("x-a", "1\r\nauthorization: DPoP x"), "bad-header"],
    ["a line end in the path", { path: "/billing/v1/invoices/1\r\nx: y" }, "bad-request-line"],
    ["a name that is none", field("x a", "1"), "bad-header"],
    ["an alias with underscores (CVE-2025-64484)", field("x_forwarded_user", "admin"), "bad-header"],
    ["an octet above ASCII", field("x-a", "\u00e9"), "bad-header"],
    ["Authorization twice", field("authorization", ["DPoP a", "DPoP b"]), "duplicate-header"],
    ["a length that is none", field("content-length", "1, 2"), "bad-framing"],
    ["a length and chunks", { headers: { "content-length": "1", "transfer-encoding": "chunked" } }, "bad-framing"],
    ["a Connection that names another field", field("connection", "dpop"), "bad-header"],
    ["a WebSocket", { headers: webSocket() }, "upgrade-not-supported"],
    ["a name in upper case", field("X-A", "1"), "proxy-request"],
  ];
  for (const [what, question, code] of strict)
    test(`attack: ${what}`, async () => {
      await refused(code, 400, await prove(bench.orders, question));
    });

  for (const [name, value] of [
    [":method", "DELETE"],
    [":path", "/billing/v1/secrets/1"],
    [":authority", "evil.example"],
    [":scheme", "http"],
    ["host", "evil.example"],
    [":protocol", "websocket"],
  ] as const)
    test(`attack: ${name} among the fields says something else than the question (CVE class of two readings)`, async () => {
      for (const joined of [{}, { joined: true }] as const)
        await refused("proxy-request", 400, await prove(bench.orders, { ...joined, ...field(name, value) }));
    });

  for (const name of ["authorization", "dpop", "content-type", "idempotency-key", "x-region"])
    test(`attack: ${name} twice, joined by Envoy into one value (CVE-2026-26308)`, async () => {
      const answer = await prove(bench.orders, { joined: true, ...field(name, ["a", "b"]) });
      await refused("duplicate-header", 400, answer);
    });

  test("a scheme that is not the listener's, and parts that are not told", async () => {
    await refused("proxy-request", 400, await prove(bench.orders, { scheme: "http" }));
    for (const part of ["method", "path", "host", "scheme"])
      await refused("proxy-request", 400, await prove(bench.orders, { http: { [part]: "" } }));
  });

  test("attack: a query or a fragment beside the path, where Envoy says none", async () => {
    for (const part of ["query", "fragment"])
      await refused("proxy-request", 400, await prove(bench.orders, { http: { [part]: "x=1" } }));
  });

  test("attack: content in the question (CVE class of body re-framing)", async () => {
    for (const http of [{ body: "amount=1" }, { raw_body: Buffer.from([0xff]) }])
      await refused("proxy-request", 400, await prove(bench.orders, { http }));
  });

  test("header fields in both ways at once, or one value in both", async () => {
    await refused("proxy-request", 400, await prove(bench.orders, { http: { headers: { accept: "a" } } }));
    const header_map = { headers: [{ key: "accept", value: "a", raw_value: Buffer.from("b") }] };
    await refused("proxy-request", 400, await prove(bench.orders, { http: { header_map } }));
  });

  test("content that the head announces and the operation does not take is refused", async () => {
    for (const headers of [{ "content-length": "1" }, { "transfer-encoding": "chunked" }])
      await refused("content-type", 415, await prove(bench.orders, { headers }));
    allowedOf(await prove(bench.orders, { headers: { "content-length": "0" } }));
    const headers = { "content-length": "9", "content-type": "application/json" };
    allowedOf(await prove(bench.orders, { method: "POST", path: "/billing/v1/notes", headers }));
  });

  test("operations whose rules nobody would keep are refused", async () => {
    for (const [method, path] of [
      ["POST", "/billing/v1/invoices"],
      ["GET", "/billing/v1/looks/n-1"],
      ["GET", "/billing/v1/exports/1"],
    ] as const)
      await refused("not-in-authorizer-mode", 403, await prove(bench.orders, { method, path }));
  });
});

function webSocket(): Record<string, string> {
  const key = Buffer.alloc(16).toString("base64");
  return { connection: "upgrade", upgrade: "websocket", "sec-websocket-key": key, "sec-websocket-version": "13" };
}

describe("proofs", () => {
  test("a proof names the proxy's url and the method that was told", async () => {
    const wrong = credentials(bench.orders, { url: "https://127.0.0.1" });
    await refused("dpop-url", 401, await prove(bench.orders, { headers: wrong }));
    const other = credentials(bench.orders, { method: "POST" });
    await refused("dpop-method", 401, await prove(bench.orders, { headers: other }));
  });

  test("attack: a proof is good for one question", async () => {
    await prove(bench.orders);
    const headers = credentials(bench.orders);
    allowedOf(answerOf(await client.ask({ headers })));
    await refused("dpop-replayed", 401, answerOf(await client.ask({ headers })));
  });
});

describe("octets that are no CheckRequest", () => {
  beforeEach(nextWindow);
  const good = (): Buffer => encodeCheck({});
  const varint = (number: number, value: number): Buffer => Buffer.from([number * 8, value]);
  const piece = (number: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([number * 8 + 2, content.length]), content]);
  const http = (...fields: Buffer[]): Buffer => piece(1, piece(4, piece(2, Buffer.concat(fields))));
  const parts = [
    piece(2, Buffer.from("GET")),
    piece(4, Buffer.from("/")),
    piece(5, Buffer.from("h")),
    piece(6, Buffer.from("https")),
  ];

  test("unknown fields of every type there is are skipped", async () => {
    const unknown = [
      varint(15, 1),
      piece(14, Buffer.from("x")),
      Buffer.from([121, 1, 2, 3, 4, 5, 6, 7, 8]),
      Buffer.from([125, 1, 2, 3, 4]),
    ];
    await refused("credentials-missing", 401, answerOf(await client.ask(http(...parts, ...unknown))));
  });

  const malformed: readonly (readonly [string, () => Buffer])[] = [
    ["nothing", () => Buffer.alloc(0)],
    ["a message that is cut", () => good().subarray(0, -1)],
    ["the attributes twice", () => Buffer.concat([good(), good()])],
    ["the method twice", () => http(...parts, piece(2, Buffer.from("DELETE")))],
    ["a text as a number", () => http(...parts, varint(7, 1))],
    ["a text that is no UTF-8", () => http(...parts.slice(1), piece(2, Buffer.from([0xc3, 0x28])))],
    ["a group", () => http(...parts, Buffer.from([15 * 8 + 3, 0]))],
    ["a type that is none", () => http(...parts, Buffer.from([15 * 8 + 7, 0]))],
    ["a field with the number 0", () => http(...parts, Buffer.from([2, 0]))],
    ["a number without end", () => http(...parts, Buffer.concat([Buffer.from([120]), Buffer.alloc(11, 0xff)]))],
    ["a length beyond the message", () => http(...parts, Buffer.from([15 * 8 + 2, 0xff, 0xff, 0xff, 0xff, 0x7f]))],
    [
      "a name of the map twice",
      () =>
        http(
          ...parts,
          ...["a", "b"].map((value) =>
            piece(3, Buffer.concat([piece(1, Buffer.from("accept")), piece(2, Buffer.from(value))])),
          ),
        ),
    ],
    [
      "the key of an entry twice",
      () => http(...parts, piece(3, Buffer.concat([piece(1, Buffer.from("a")), piece(1, Buffer.from("b"))]))),
    ],
    ...parts.map((_, i): readonly [string, () => Buffer] => [
      `part ${i} missing`,
      () => http(...parts.toSpliced(i, 1)),
    ]),
    ["more than 64 KiB", () => encodeCheck({ headers: { "x-a": "a".repeat(65_536) } })],
  ];
  for (const [what, octets] of malformed)
    test(`attack: ${what}`, async () => {
      await refused("proxy-request", 400, answerOf(await client.ask(octets())));
    });
});

interface Raw {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly content: Buffer;
}

/** One request on a connection of its own, with what no client of gRPC would send. */
function sendRaw(
  name: string,
  {
    fields = {},
    content = [],
    from,
  }: { readonly fields?: Record<string, string>; readonly content?: readonly Buffer[]; readonly from?: string },
): Promise<Raw> {
  const socket = { ca, host: "127.0.0.1", port: portOf(name), servername: "localhost", ALPNProtocols: ["h2"] };
  const session = connectHttp2("https://localhost", {
    createConnection: () => connectTls({ ...socket, ...(from === undefined ? {} : { localAddress: from }) }),
  });
  const head = { ":method": "POST", ":path": checkMethod, "content-type": "application/grpc", te: "trailers" };
  return new Promise<Raw>((resolve, reject) => {
    session.once("error", reject);
    const stream = session.request({ ...head, ...fields });
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const pieces: Buffer[] = [];
    stream.on("response", (got) => {
      headers = got;
    });
    stream.on("trailers", (got) => {
      trailers = got;
    });
    stream.on("data", (got: Buffer) => pieces.push(got));
    stream.once("error", reject);
    stream.once("close", () => resolve({ headers, trailers, content: Buffer.concat(pieces) }));
    for (const one of content) stream.write(one);
    stream.end();
  }).finally(() => session.close());
}

const framed = (octets: Buffer, flag = 0): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag, 0);
  prefix.writeUInt32BE(octets.length, 1);
  return Buffer.concat([prefix, octets]);
};

describe("a call that is none", () => {
  beforeEach(nextWindow);
  const checkedOf = ({ content }: Raw): Checked => readChecked(content.subarray(5));

  test("one whole message is answered with one message, and a status behind it", async () => {
    const raw = await sendRaw("checks", { content: [framed(encodeCheck({}))] });
    assert.deepEqual([raw.headers[":status"], raw.headers["content-type"]], [200, "application/grpc"]);
    assert.equal(raw.trailers["grpc-status"], "0");
    assert.equal(raw.content.readUInt32BE(1), raw.content.length - 5);
    await refused("credentials-missing", 401, checkedOf(raw));
  });

  const one = (): Buffer => framed(encodeCheck({}));
  const wrong: readonly (readonly [string, () => readonly Buffer[]])[] = [
    ["a compressed message", () => [framed(encodeCheck({}), 1)]],
    ["two messages", () => [one(), one()]],
    ["no message", () => []],
    ["a prefix alone", () => [one().subarray(0, 4)]],
    ["a message that is cut", () => [one().subarray(0, -1)]],
    ["a field behind the message", () => [one(), Buffer.from([15 * 8, 1])]],
    ["a message that says it is long", () => [Buffer.from([0, 0xff, 0xff, 0xff, 0xff])]],
  ];
  for (const [what, content] of wrong)
    test(`attack: ${what}`, async () => {
      await refused("proxy-request", 400, checkedOf(await sendRaw("checks", { content: content() })));
    });

  const others: readonly (readonly [string, Record<string, string>])[] = [
    ["another method of HTTP", { ":method": "PUT" }],
    ["another method of the service", { ":path": "/envoy.service.auth.v3.Authorization/Other" }],
    ["an older version of the API", { ":path": "/envoy.service.auth.v2.Authorization/Check" }],
    ["a query", { ":path": `${checkMethod}?a=1` }],
    ["another media type", { "content-type": "application/grpc-web" }],
    ["the form over HTTP", { ":method": "GET", ":path": "/authz/billing/v1/invoices/1", "x-forwarded-proto": "https" }],
  ];
  for (const [what, fields] of others)
    test(`attack: ${what} gets no answer that the form over HTTP would read as a yes`, async () => {
      const raw = await sendRaw("checks", { fields });
      assert.equal(raw.headers[":status"], 400);
      assert.equal(raw.headers["grpc-status"], undefined);
      assert.equal(JSON.parse(raw.content.toString()).code, "proxy-request");
      await onRecord("proxy-request", String(raw.headers["sallyport-crossing"]));
    });

  test("attack: the call over HTTP/1.1", async () => {
    const headers = { "content-type": "application/grpc" };
    const url = `https://localhost:${portOf("checks")}${checkMethod}`;
    const answer = await call(url, { method: "POST", headers, body: "x", tls: { ca } });
    assert.deepEqual([answer.status, answer.code], [400, "proxy-request"]);
  });

  test("other proxies are offered no HTTP/2", async () => {
    const socket = connectTls({
      ca,
      host: "127.0.0.1",
      port: portOf("questions"),
      servername: "localhost",
      ALPNProtocols: ["h2", "http/1.1"],
    });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    assert.equal(socket.alpnProtocol, "http/1.1");
    socket.destroy();
  });
});

describe("who may ask", () => {
  beforeEach(fresh);
  test("attack: a client that reaches the listener itself, from another address", async () => {
    const question = encodeCheck({ headers: credentials(bench.orders) });
    const raw = await sendRaw("checks", { from: "127.0.0.2", content: [framed(question)] });
    assert.equal(raw.headers[":status"], 403);
    assert.equal(JSON.parse(raw.content.toString()).code, "proxy-not-trusted");
    await onRecord("proxy-not-trusted", String(raw.headers["sallyport-crossing"]));
    const end = await clientTo("elsewhere").ask({ headers: credentials(bench.orders) });
    assert.ok("error" in end, "a client of gRPC takes it for an error");
    assert.equal(end.error.code, 7);
  });

  test("a certificate proves the proxy, and nobody else's does; it never proves the caller", async () => {
    const proxy = clientTo("known", issueTestLeaf(edge, { dns: ["edge.acme.internal"] }));
    allowedOf(await prove(bench.orders, {}, proxy));
    await refused("credentials-missing", 401, answerOf(await proxy.ask({})));
    const strangers = [
      {},
      issueTestLeaf(edge, { dns: ["other.acme.internal"] }),
      issueTestLeaf(workloads, { uri: ordersUri }),
    ];
    for (const pair of strangers) {
      const end = await clientTo("known", pair).ask({ headers: credentials(bench.orders) });
      assert.ok("error" in end);
      assert.equal(end.error.code, 7);
    }
  });
});

test("many questions at once on one connection, each with its own answer", async () => {
  fresh();
  await prove(bench.orders);
  const targets = Array.from({ length: 300 }, (_, i) => `/billing/v1/invoices/${i}`);
  const answers = await Promise.all(targets.map((path) => prove(bench.orders, { path })));
  assert.deepEqual(
    answers.map((answer) => valuesOf(allowedOf(answer).headers)["sallyport-target"]),
    targets.map((target) => target.slice("/billing".length)),
  );
});
