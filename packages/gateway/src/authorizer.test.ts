// A gateway as the authoriser of a proxy, over real sockets: what a yes is and what stands on record, who may ask, and what cannot be asked.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import {
  type AskingBench,
  ask,
  askFor,
  credentials,
  kinds,
  openAskingBench,
  proxyUrl,
  type Told,
} from "./testing/asking-bench.ts";
import { problemsOf, sendRaw } from "./testing/raw-socket.ts";
import { type Answer, call } from "./testing/test-caller.ts";

let bench: AskingBench;

before(async () => {
  bench = await openAskingBench();
});
after(() => bench?.close());

/** A no, three times: to the proxy, at the provider, on the record. */
async function refused(code: ProblemCode, status: number, answer: Answer): Promise<void> {
  assert.equal(answer.status, status, `${code}: ${answer.text}`);
  assert.equal(answer.headers["sallyport-identity"], undefined);
  assert.equal(bench.upstream.seen.length, 0, "no provider hears of a question");
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing", answer.text);
  assert.deepEqual([leaf.code, leaf.verdict, leaf.outcome, leaf.status], [code, "deny", "denied", status]);
}

const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString("utf8"));

for (const kind of kinds) {
  test(`${kind}: a proven request is allowed, with who calls for the provider, and on record as unobserved`, async () => {
    const answer = await askFor(bench.orders, bench.at(kind), kind, { target: "/billing/v1/invoices/7?full=1" });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "");
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.headers["sallyport-target"], "/v1/invoices/7?full=1");
    const claims = claimsOf(answer.headers["sallyport-identity"]);
    assert.deepEqual([claims["sub"], claims["op"]], ["orders", "billing:invoice.read"]);
    const leaves = await bench.bed.leaves(answer.id);
    assert.equal(leaves.length, 1);
    const [leaf] = leaves;
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual(
      [leaf.verdict, leaf.outcome, leaf.status, leaf.upstreamStatus, leaf.operation, leaf.integration],
      ["allow", "unobserved", 200, 0, "billing:invoice.read", "orders-to-billing"],
    );
    assert.equal(bench.upstream.seen.length, 0);
  });

  test(`${kind}: without credentials a stranger's 401, with what the client needs to come back right`, async () => {
    const answer = await ask(bench.at(kind), kind);
    await refused("credentials-missing", 401, answer);
    assert.match(String(answer.headers["www-authenticate"]), /^DPoP /);
    assert.ok(String(answer.headers["dpop-nonce"]).length > 10);
    assert.equal(answer.code, "unauthenticated");
  });
}

test("an effect: its intent is durable before the yes, and its token is for this crossing alone", async () => {
  const target = "/billing/v1/notes/n-1/lock";
  const answer = await askFor(bench.orders, bench.at("nginx"), "nginx", { method: "POST", target });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(claimsOf(answer.headers["sallyport-identity"])["jti"], answer.id);
  const leaves = await bench.bed.leaves(answer.id);
  assert.deepEqual(
    leaves.map(({ t }) => t),
    ["intent", "outcome"],
  );
  const last = leaves.at(-1);
  assert.ok(last?.t === "outcome" && last.outcome === "unobserved");
});

test("what cannot be recorded is not allowed", async () => {
  for (const method of ["GET", "POST"]) {
    const target = method === "GET" ? "/billing/v1/invoices/1" : "/billing/v1/notes/n-1/lock";
    bench.log.full = true;
    const answer = await askFor(bench.orders, bench.at("caddy"), "caddy", { method, target }).finally(() => {
      bench.log.full = false;
    });
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.code, "record-unavailable");
    assert.equal(answer.headers["sallyport-identity"], undefined);
  }
});

test("the address on record is the client's that the proxy saw, and nobody's further left", async () => {
  const fields = { "x-forwarded-for": "10.9.9.9, 203.0.113.9" };
  const { status, id } = await askFor(bench.orders, bench.at("nginx"), "nginx", { fields });
  assert.equal(status, 200);
  const [leaf] = await bench.bed.leaves(id);
  assert.ok(leaf?.t === "crossing");
  assert.equal(leaf.addressClass, "public-v4");
  const bare = await askFor(bench.orders, bench.at("nginx"), "nginx", { fields: { "x-forwarded-for": undefined } });
  const plain = await bench.bed.leaves(bare.id);
  assert.ok(plain[0]?.t === "crossing" && plain[0].addressClass === "loopback");
});

describe("who may ask", () => {
  test("attack: a client that reaches the listener itself and tells what a proxy would tell", async () => {
    for (const kind of kinds) {
      const told = { from: "127.0.0.2", fields: credentials(bench.orders) };
      await refused("proxy-not-trusted", 403, await ask(bench.at(kind), kind, told));
    }
  });

  test("a listener that answers proxies serves nobody, and one that serves answers no proxy", async () => {
    const target = `${bench.at("nginx")}/billing/v1/invoices/1`;
    const token = bench.orders.token("billing");
    const proof = bench.orders.proof("GET", `${proxyUrl}/billing/v1/invoices/1`, token);
    const direct = await call(target, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
    await refused("proxy-request", 403, direct);
    const fields = credentials(bench.orders, {});
    const asked = await ask(bench.url, "nginx", { fields });
    assert.equal(asked.status, 401, "a path like any other, where nothing is published");
    assert.equal(asked.headers["sallyport-identity"], undefined);
  });
});

describe("what is asked is told once, exactly", () => {
  const nginxFields = ["x-original-method", "x-original-uri", "x-original-host", "x-original-proto"];
  const forwardedFields = ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto"];
  const cases = [
    ...nginxFields.map((name) => ["nginx", name, 403] as const),
    ...forwardedFields.flatMap((name) => [["caddy", name, 400] as const, ["traefik", name, 400] as const]),
    ["envoy", "x-forwarded-proto", 400] as const,
  ];
  for (const [kind, name, status] of cases) {
    test(`${kind}: ${name} missing, empty or twice is no question`, async () => {
      const fields = credentials(bench.orders);
      const value = "https";
      for (const wrong of [undefined, "", [value, value]])
        await refused(
          "proxy-request",
          status,
          await ask(bench.at(kind), kind, { fields: { ...fields, [name]: wrong } }),
        );
    });
  }

  test("attack: an alias of a telling field with underscores (CVE-2025-64484)", async () => {
    for (const name of ["X_Original_URI", "X_Forwarded_Uri", "X_Forwarded_User"])
      await refused(
        "bad-header",
        400,
        await askFor(bench.orders, bench.at("caddy"), "caddy", { fields: { [name]: "/x" } }),
      );
  });

  test("attack: fields of another kind of proxy decide nothing, and reach no stage (CVE-2026-40575)", async () => {
    const fields = {
      "x-forwarded-uri": "/billing/v1/secrets/1",
      "x-forwarded-method": "DELETE",
      "x-envoy-original-path": "/billing/v1/secrets/1",
      "x-http-method-override": "DELETE",
    };
    const answer = await askFor(bench.orders, bench.at("nginx"), "nginx", { fields });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(claimsOf(answer.headers["sallyport-identity"])["op"], "billing:invoice.read");
  });

  test("attack: another method or target for whoever believes a field, behind a proxy that sends on what came", async () => {
    for (const kind of ["caddy", "traefik", "envoy"] as const)
      for (const fields of [
        { "x-http-method-override": "DELETE" },
        { "X-HTTP-Method": "DELETE" },
        { "x-method-override": "DELETE" },
        { "x-original-url": "/v1/secrets/1" },
        { "x-rewrite-url": "/v1/secrets/1" },
        { "x-middleware-subrequest": "middleware" },
      ]) {
        const told = { fields: fields as Readonly<Record<string, string>> };
        await refused("proxy-request", 400, await askFor(bench.orders, bench.at(kind), kind, told));
      }
  });

  const strict: readonly (readonly [string, Told, ProblemCode])[] = [
    ["a double slash (CVE-2021-29492)", { target: "//billing/v1/invoices/1" }, "ambiguous-path"],
    ["an encoded slash", { target: "/billing/v1%2Finvoices/1" }, "ambiguous-path"],
    ["a dot segment (CVE-2019-9901)", { target: "/billing/v1/x/../invoices/1" }, "ambiguous-path"],
    ["a fragment (CVE-2021-39156)", { target: "/billing/v1/invoices/1#x" }, "bad-request-line"],
    ["an absolute target", { target: "https://evil.example/billing/v1/invoices/1" }, "bad-request-line"],
    ["two hosts", { host: "api.acme.example, evil.example" }, "bad-host"],
  ];
  for (const [what, told, code] of strict)
    test(`the told request is judged as strictly as one that came itself: ${what}`, async () =>
      refused(code, 403, await askFor(bench.orders, bench.at("nginx"), "nginx", told)));

  test("a method nobody knows, and CONNECT, are no yes", async () => {
    for (const method of ["CONNECT", "TRACE"])
      await refused("method-not-supported", 501, await askFor(bench.orders, bench.at("caddy"), "caddy", { method }));
  });

  test("attack: content left in the question (CVE class of body re-framing)", async () => {
    const fields = credentials(bench.orders);
    const told = { asking: "POST", body: "amount=1", fields };
    await refused("proxy-request", 400, await ask(bench.at("caddy"), "caddy", told));
    const raw = [
      "GET /authz HTTP/1.1",
      "Host: gw",
      "X-Forwarded-Method: GET",
      "X-Forwarded-Uri: /billing/v1/invoices/1",
      "X-Forwarded-Host: api.acme.example",
      "X-Forwarded-Proto: https",
      "Transfer-Encoding: chunked",
    ];
    const answer = await sendRaw(bench.at("caddy"), `${raw.join("\r\n")}\r\n\r\n1\r\nx\r\n0\r\n\r\n`);
    assert.deepEqual(problemsOf(answer), ["400 proxy-request"]);
  });

  test("a request that came to the proxy in clear is not one to the https url", async () =>
    refused("proxy-request", 400, await askFor(bench.orders, bench.at("traefik"), "traefik", { proto: "http" })));

  test("a protocol upgrade is not authorised", async () => {
    const fields = { connection: "upgrade", upgrade: "websocket" };
    await refused("upgrade-not-supported", 400, await askFor(bench.orders, bench.at("caddy"), "caddy", { fields }));
  });
});

describe("proofs", () => {
  test("a proof names what callers call: the proxy's url, not the listener's address", async () => {
    const wrong = credentials(bench.orders, { url: bench.at("nginx") });
    await refused("dpop-url", 401, await ask(bench.at("nginx"), "nginx", { fields: wrong }));
    const other = credentials(bench.orders, { method: "POST" });
    await refused("dpop-method", 401, await ask(bench.at("nginx"), "nginx", { fields: other }));
  });

  test("attack: a proof is good for one question, whichever proxy asks the second", async () => {
    const fields = credentials(bench.orders);
    assert.equal((await ask(bench.at("nginx"), "nginx", { fields })).status, 200);
    await refused("dpop-replayed", 401, await ask(bench.at("caddy"), "caddy", { fields }));
  });

  test("attack: a proof that another node has seen: its nonce is good nowhere else", async () => {
    const other = await openAskingBench();
    try {
      const nonce = String((await ask(other.at("nginx"), "nginx")).headers["dpop-nonce"]);
      const token = bench.orders.token("billing");
      const proof = bench.orders.proof("GET", `${proxyUrl}/billing/v1/invoices/1`, token, { nonce });
      const fields = { authorization: `DPoP ${token}`, dpop: proof };
      await refused("dpop-nonce", 401, await ask(bench.at("nginx"), "nginx", { fields }));
    } finally {
      await other.close();
    }
  });
});

describe("what an authoriser cannot keep", () => {
  const cases: readonly (readonly [string, Told])[] = [
    ["a body of a schema", { method: "POST", target: "/billing/v1/invoices" }],
    ["an attribute from the answer", { target: "/billing/v1/own/n-1" }],
    ["answers whose content is mapped", { target: "/billing/v1/signs/n-1" }],
    ["answers that are looked into", { target: "/billing/v1/looks/n-1" }],
    ["answers of which the grant takes something out", { target: "/billing/v1/parts/n-1" }],
    ["a body that may not pass unseen", { method: "POST", target: "/billing/v1/notes/n-1/lines" }],
    ["a body that streams", { method: "PUT", target: "/billing/v1/invoices/1/scan" }],
    ["an attribute from the body", { method: "POST", target: "/billing/v1/refunds" }],
    ["a bound of what is under way at once", { target: "/billing/v1/exports/1" }],
    ["answers that are mapped", { target: "/billing/v1/notes/n-1" }],
  ];
  for (const [what, told] of cases)
    test(`refuses an operation with ${what}, and says why`, async () => {
      const answer = await askFor(bench.orders, bench.at("caddy"), "caddy", told);
      await refused("not-in-authorizer-mode", 403, answer);
      assert.match(JSON.parse(answer.text).detail, /call it through the gateway/);
    });

  test("parameters are told with the head, so they are checked as in the gateway", async () => {
    const find = (query: string) =>
      askFor(bench.orders, bench.at("caddy"), "caddy", { target: `/billing/v1/found${query}` });
    assert.equal((await find("?limit=9")).status, 200);
    await refused("schema-mismatch", 422, await find("?limit=10"));
    await refused("schema-mismatch", 422, await find("?limit=9&other=1"));
  });

  test("a body passes unseen where the operation says so", async () => {
    const told = { method: "POST", target: "/billing/v1/notes" };
    const answer = await askFor(bench.orders, bench.at("caddy"), "caddy", told);
    assert.equal(answer.status, 200, answer.text);
  });
});

describe("answers", () => {
  test("nginx takes what is neither a yes, a 401 nor a 403 for a failure: what a caller did wrong is a 403 there", async () => {
    const told = { target: "/billing/v1/nothing" };
    await refused("no-route", 403, await askFor(bench.orders, bench.at("nginx"), "nginx", told));
    const answer = await askFor(bench.orders, bench.at("caddy"), "caddy", told);
    await refused("no-route", 404, answer);
    assert.equal(JSON.parse(answer.text).status, 404);
  });

  test("limits, grants, attributes and policies hold as in the gateway", async () => {
    const { portal } = bench;
    await refused(
      "policy-denied",
      403,
      await askFor(bench.orders, bench.at("caddy"), "caddy", { target: "/billing/v1/regions/us" }),
    );
    await refused(
      "not-granted",
      403,
      await askFor(portal, bench.at("caddy"), "caddy", { method: "POST", target: "/billing/v1/notes" }),
    );
    for (let i = 0; i < 3; i++) assert.equal((await askFor(portal, bench.at("caddy"), "caddy")).status, 200);
    const limited = await askFor(portal, bench.at("caddy"), "caddy");
    await refused("rate-limited", 429, limited);
    assert.ok(Number(limited.headers["retry-after"]) > 0);
  });

  test("a refused request does not cost the proxy its connection", async () => {
    const question = (target: string) =>
      `GET /authz HTTP/1.1\r\nHost: gw\r\nX-Original-Method: GET\r\nX-Original-URI: ${target}\r\nX-Original-Host: h\r\nX-Original-Proto: https\r\n\r\n`;
    const { text, statuses } = await sendRaw(bench.at("nginx"), [question("//x"), question("/billing/v1/invoices/1")], {
      until: 2,
    });
    assert.deepEqual(statuses, [403, 401]);
    assert.ok(!/connection: close/i.test(text), text);
  });
});
