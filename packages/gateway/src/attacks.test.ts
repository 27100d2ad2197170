import assert from "node:assert/strict";
import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { verifyHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { problemsOf, sendRaw } from "./testing/raw-socket.ts";
import { outcomeOf, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";
import { audienceOf, issuer } from "./testing/test-estate.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let url: string;
let orders: TestCaller;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog: openTestLog,
    changes: { bounds: { headersTimeoutMs: 1_500, requestTimeoutMs: 3_000 } },
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${url}/`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const invoice = () => `${url}/billing/v1/invoices/1`;
const host = () => new URL(url).host;

/** A whole request head with good credentials, for raw sockets. */
function goodHead(method: string, path: string, lines: readonly string[] = []): string {
  const token = orders.token("billing");
  const proof = orders.proof(method, `${url}${path}`, token);
  return [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host()}`,
    `Authorization: DPoP ${token}`,
    `DPoP: ${proof}`,
    ...lines,
    "",
    "",
  ].join("\r\n");
}

async function lastLeafOf(id: string) {
  await until(() => true, "a turn");
  return (await bed.leaves(id)).at(-1);
}

describe("what the provider is told", () => {
  test("a spoofed Sallyport-Identity, X-Forwarded-User or Forwarded never arrives; ours does, and verifies", async () => {
    const spoof = {
      "sallyport-identity": "spoofed",
      "x-forwarded-user": "admin",
      forwarded: "for=admin",
      "remote-user": "admin",
      "x-real-ip": "1.2.3.4",
    };
    const answer = await orders.send(invoice(), { headers: spoof });
    assert.equal(answer.status, 200);
    const seen = upstream.seen.at(-1);
    assert.ok(
      !JSON.stringify(seen).includes("spoofed") &&
        !JSON.stringify(seen).includes("admin") &&
        !JSON.stringify(seen).includes("1.2.3.4"),
    );
    const crypto = createTokenCrypto();
    const key = crypto.importKey(bed.hop.jwk);
    const token = String(seen?.headers["sallyport-identity"]);
    const verified = verifyHopToken(token, {
      issuer,
      audience: audienceOf("billing"),
      keys: { find: (kid) => (kid === key?.kid ? key : undefined) },
      now: Date.now(),
    });
    assert.ok(verified.kind === "verified");
    assert.deepEqual(
      [verified.claims.sub, verified.claims.op, verified.claims.int],
      ["orders", "billing:invoice.read", "orders-to-billing"],
    );
    assert.equal(seen?.headers["sallyport-crossing"], answer.id);
    assert.notEqual(verified.claims.jti, answer.id, "a read's identity is signed for the operation");
  });

  test("two reads may carry one identity under two crossing ids; two effects never do, and theirs names the crossing", async () => {
    const hop = () => {
      const { headers } = upstream.seen.at(-1) ?? assert.fail();
      const token = String(headers["sallyport-identity"]);
      const claims: { jti: string; iat: number } = JSON.parse(
        Buffer.from(token.split(".")[1] ?? "", "base64url").toString(),
      );
      return { token, claims, crossing: headers["sallyport-crossing"] };
    };
    const crossings = new Set<unknown>();
    for (let i = 0; i < 2; i++) {
      const answer = await orders.send(invoice());
      assert.equal(hop().crossing, answer.id);
      crossings.add(answer.id);
    }
    const tokens = new Set<string>();
    for (let i = 0; i < 2; i++) {
      const answer = await orders.send(`${url}/billing/v1/invoices`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"amount":1,"customer":"c-1"}',
      });
      assert.equal(answer.status, 200);
      assert.equal(hop().claims.jti, answer.id);
      assert.equal(hop().crossing, answer.id);
      crossings.add(answer.id);
      tokens.add(hop().token);
    }
    assert.equal(tokens.size, 2);
    assert.equal(crossings.size, 4);
  });

  test("the caller's token and proof stay at the gateway", async () => {
    await orders.send(invoice());
    const seen = upstream.seen.at(-1);
    assert.equal(seen?.headers.authorization, undefined);
    assert.equal(seen?.headers["dpop"], undefined);
  });

  test("Connection: Sallyport-Identity cannot take our field away", async () => {
    for (const connection of ["sallyport-identity, close", "traceparent"]) {
      const reached = upstream.seen.length;
      assert.equal((await orders.send(invoice(), { headers: { connection } })).code, "bad-header");
      assert.equal(upstream.seen.length, reached);
    }
    await orders.send(invoice());
    const seen = upstream.seen.at(-1);
    assert.ok(seen?.headers["sallyport-identity"]);
    assert.match(String(seen?.headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  });

  test("the X_Forwarded_User alias is refused outright", async () => {
    const reached = upstream.seen.length;
    const answer = await orders.send(invoice(), { headers: { X_Forwarded_User: "admin" } });
    assert.equal(answer.code, "bad-header");
    assert.equal(upstream.seen.length, reached);
  });

  test("a valid traceparent is continued with another parent", async () => {
    await orders.send(invoice(), {
      headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
    });
    const sent = String(upstream.seen.at(-1)?.headers["traceparent"]);
    assert.ok(
      sent.startsWith("00-4bf92f3577b34da6a3ce929d0e0e4736-") &&
        sent.endsWith("-01") &&
        !sent.includes("00f067aa0ba902b7"),
    );
  });
});

describe("stolen and replayed", () => {
  test("a stolen DPoP token used with another key is refused", async () => {
    const thief = new TestCaller(bed.feed, "orders");
    thief.nonce = orders.nonce;
    const token = orders.token("billing");
    assert.equal((await orders.send(invoice(), { token })).status, 200);
    const answer = await thief.send(invoice(), { token });
    assert.equal(answer.status, 401);
    const leaf = await lastLeafOf(answer.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "dpop-key-mismatch");
  });

  test("one proof raced fifty times over fifty sockets passes exactly once", async () => {
    const token = orders.token("billing");
    const headers = { authorization: `DPoP ${token}`, dpop: orders.proof("GET", invoice(), token) };
    const reached = upstream.seen.length;
    const answers = await Promise.all(Array.from({ length: 50 }, () => call(invoice(), { headers })));
    assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
    assert.equal(answers.filter((answer) => answer.status === 401).length, 49);
    assert.equal(upstream.seen.length, reached + 1);
  });

  test("a cache hit does not skip revocation, expiry or scope", async () => {
    const token = orders.token("billing", { jti: "revoked-one-1234" });
    assert.equal((await orders.send(invoice(), { token })).status, 200);
    bed.feed.revoke("jti", "revoked-one-1234");
    const answer = await orders.send(invoice(), { token });
    assert.equal(answer.status, 401);
    const leaf = await lastLeafOf(answer.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "token-revoked");
    const scoped = orders.token("billing", { scope: "billing:invoice.read" });
    assert.equal((await orders.send(invoice(), { token: scoped })).status, 200);
    assert.equal((await orders.send(`${url}/billing/v1/regions/eu`, { token: scoped })).code, "scope-missing");
  });

  test("a token exchanged from a grant dies with that grant, and one of another grant does not", async () => {
    const token = orders.token("billing", { jti: "exchanged-once", gid: ["grt_stolen", "grt_exchange"] });
    const other = orders.token("billing", { jti: "another-grant", gid: ["grt_kept"] });
    assert.equal((await orders.send(invoice(), { token })).status, 200);
    const reached = upstream.seen.length;
    bed.feed.revoke("grant", "grt_stolen");
    const answer = await orders.send(invoice(), { token });
    assert.equal(answer.status, 401);
    assert.equal(upstream.seen.length, reached);
    const leaf = await lastLeafOf(answer.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "token-revoked");
    assert.equal((await orders.send(invoice(), { token: other })).status, 200);
  });

  test("a token that a connection presented before is judged anew each time: its proof, its scheme, its signature, its key, its revocation", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const token = orders.token("billing", { jti: "kept-on-a-connection" });
    const fresh = () => orders.proof("GET", invoice(), token);
    const send = async (authorization: string, dpop?: string | string[]) => {
      const headers = { authorization, ...(dpop === undefined ? {} : { dpop }) };
      const answer = await call(invoice(), { agent, headers });
      return answer.status;
    };
    const reached = upstream.seen.length;
    const proof = fresh();
    assert.equal(await send(`DPoP ${token}`, proof), 200);
    assert.equal(await send(`DPoP ${token}`, fresh()), 200);
    assert.equal(await send(`DPoP ${token}`, proof), 401, "replayed");
    assert.equal(await send(`DPoP ${token}`), 401, "no proof");
    assert.equal(await send(`DPoP ${token}`, [fresh(), fresh()]), 400, "two proofs");
    assert.equal(await send(`Bearer ${token}`), 401, "without its proof");
    const altered = `${token.slice(0, -8)}${token.endsWith("AAAAAAAA") ? "BBBBBBBB" : "AAAAAAAA"}`;
    assert.equal(await send(`DPoP ${altered}`, fresh()), 401, "another signature");
    assert.equal(await send(`DPoP ${token}`, fresh()), 200);
    bed.feed.revoke("jti", "kept-on-a-connection");
    assert.equal(await send(`DPoP ${token}`, fresh()), 401, "revoked");
    assert.equal(upstream.seen.length, reached + 3);
    agent.destroy();
  });

  test("an integration that is cut off is refused for tokens issued before", async () => {
    const portal = new TestCaller(bed.feed, "portal");
    portal.nonce = orders.nonce;
    const token = portal.token("billing");
    assert.equal((await portal.send(invoice(), { token })).status, 200);
    bed.feed.revoke("integration", "portal-to-billing");
    assert.equal((await portal.send(invoice(), { token })).code, "not-active");
  });
});

describe("floods and slowness", () => {
  test("a header bomb is 431 by count and by bytes, and nothing is silently dropped", async () => {
    const many = Array.from({ length: 150 }, (_, i) => `X-A${i}: b`).join("\r\n");
    assert.deepEqual(problemsOf(await sendRaw(url, `GET / HTTP/1.1\r\nHost: ${host()}\r\n${many}\r\n\r\n`)), [
      "431 header-too-large",
    ]);
    const big = `X-Big: ${"a".repeat(20_000)}`;
    assert.deepEqual(problemsOf(await sendRaw(url, `GET / HTTP/1.1\r\nHost: ${host()}\r\n${big}\r\n\r\n`)), [
      "431 header-too-large",
    ]);
  });

  test("slowloris: a head that does not end in time is 408 and closed", async () => {
    const answer = await sendRaw(url, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow:", { until: "end" });
    assert.deepEqual(problemsOf(answer), ["408 request-timeout"]);
    assert.ok(answer.closed);
  });

  test("the HTTP/2 preface, Upgrade: h2c and CONNECT are refused", async () => {
    assert.deepEqual(problemsOf(await sendRaw(url, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), ["505 bad-version"]);
    const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__";
    assert.deepEqual(problemsOf(await sendRaw(url, `GET / HTTP/1.1\r\nHost: ${host()}\r\n${upgrade}\r\n\r\n`)), [
      "400 upgrade-not-supported",
    ]);
    assert.deepEqual(problemsOf(await sendRaw(url, `CONNECT billing:443 HTTP/1.1\r\nHost: ${host()}\r\n\r\n`)), [
      "501 method-not-supported",
    ]);
  });

  test("garbage pipelined behind a good request: the good one is answered, the rest is not, the connection ends", async () => {
    const reached = upstream.seen.length;
    const answer = await sendRaw(url, `${goodHead("GET", "/billing/v1/invoices/1")}GARBAGE\x00\r\n\r\n`, {
      until: "end",
    });
    assert.deepEqual(answer.statuses, [200]);
    assert.ok(answer.closed);
    assert.equal(upstream.seen.length, reached + 1);
  });

  test("a request smuggled in the body of a pipelined one is content, not a request", async () => {
    const inner = `GET /billing/v1/invoices/evil HTTP/1.1\r\nHost: ${host()}\r\n\r\n`;
    const reached = upstream.seen.length;
    const answer = await sendRaw(
      url,
      goodHead("POST", "/billing/v1/invoices", ["Content-Type: application/json", `Content-Length: ${inner.length}`]) +
        inner,
    );
    assert.deepEqual(problemsOf(answer), ["400 body-malformed"]);
    assert.equal(upstream.seen.length, reached);
  });

  test("Expect: 100-continue is answered with 100 only once the body is wanted; a refusal before that ends the connection", async () => {
    const head = (credentials: string) =>
      `POST /billing/v1/invoices HTTP/1.1\r\nHost: ${host()}\r\n${credentials}Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n`;
    const smuggled = `GET /billing/v1/invoices/1 HTTP/1.1\r\nHost: ${host()}\r\n\r\n`;
    const refused = await sendRaw(url, head("") + smuggled, { until: "end" });
    assert.deepEqual(problemsOf(refused), ["401 unauthenticated"]);
    assert.ok(refused.closed);
    const good = goodHead("POST", "/billing/v1/invoices", [
      "Content-Type: application/json",
      "Content-Length: 2",
      "Expect: 100-continue",
    ]);
    assert.deepEqual((await sendRaw(url, `${good}{}`, { until: 2 })).statuses, [100, 422]);
  });

  test("a chunked body that stops being chunked is one 400, and the provider never sees it", async () => {
    const reached = upstream.seen.length;
    const head = goodHead("POST", "/billing/v1/invoices", [
      "Content-Type: application/json",
      "Transfer-Encoding: chunked",
    ]);
    assert.deepEqual(problemsOf(await sendRaw(url, [head, '5\r\n{"amo\r\nzz\r\n'])), ["400 bad-framing"]);
    assert.equal(upstream.seen.length, reached);
  });
});

describe("the provider misbehaves", () => {
  const failing = (
    name: string,
    code: string,
    status: number,
    answer: CountingUpstream["answer"],
    path = "/billing/v1/invoices/1",
  ) =>
    test(name, async () => {
      upstream.answer = answer;
      const got = await orders.send(`${url}${path}`).finally(() => {
        upstream.answer = null;
      });
      assert.equal(got.code, code, got.text);
      assert.equal(got.status, status);
      const leaf = await lastLeafOf(got.id);
      assert.ok(leaf?.t === "crossing");
      assert.deepEqual([leaf.verdict, leaf.code, leaf.outcome], ["allow", code, "system-error"]);
    });

  failing(
    "an answer that does not come in time is 504 upstream-timeout",
    "upstream-timeout",
    504,
    () => {},
    "/billing/v1/slow",
  );
  failing("a connection closed without an answer is 502 upstream-unreachable", "upstream-unreachable", 502, (request) =>
    request.socket.destroy(),
  );
  failing(
    "response splitting: a control character in a field is 502 upstream-protocol",
    "upstream-protocol",
    502,
    (request) => {
      request.socket.end("HTTP/1.1 200 OK\r\nX-A: b\x01Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
    },
  );
  failing("bytes above 0x7e in a field are 502 upstream-protocol", "upstream-protocol", 502, (request) => {
    request.socket.end(Buffer.from("HTTP/1.1 200 OK\r\nX-A: \xe9\r\nContent-Length: 0\r\n\r\n", "latin1"));
  });
  failing("an answer that is not HTTP is 502 upstream-protocol", "upstream-protocol", 502, (request) =>
    request.socket.end("SSH-2.0-OpenSSH\r\n\r\n"),
  );
  failing("an upgrade nobody asked for is 502 upstream-protocol", "upstream-protocol", 502, (request) => {
    request.socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
  });
  for (const coding of ["gzip", "identity", "gzip, chunked", "chunked\r\nTransfer-Encoding: chunked"])
    failing(
      `Transfer-Encoding: ${JSON.stringify(coding)} of a provider is 502 upstream-protocol`,
      "upstream-protocol",
      502,
      (request) => {
        request.socket.end(`HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n`);
      },
    );
  failing("an answer shorter than it says is not passed on as complete", "upstream-protocol", 502, (request) => {
    request.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  });
  failing("two hundred header fields are 502 upstream-protocol", "upstream-protocol", 502, (request) => {
    request.socket.end(
      `HTTP/1.1 200 OK\r\n${Array.from({ length: 200 }, (_, i) => `X-${i}: a`).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`,
    );
  });

  test("an effect whose kept connection the provider closes without an answer is sent once and never again; a read once more, on a new one", async () => {
    const send = (method: string) =>
      method === "GET"
        ? orders.send(invoice())
        : orders.send(`${url}/billing/v1/invoices`, {
            method,
            headers: { "content-type": "application/json" },
            body: '{"amount":1,"customer":"c-1"}',
          });
    for (const [method, status, times] of [["POST", 502, 1] as const, ["GET", 200, 2] as const]) {
      // So that its connection is one that has served.
      assert.equal((await send("GET")).status, 200);
      const reached = upstream.seen.length;
      upstream.answer = (request, response) => {
        if (upstream.seen.length === reached + 1) request.socket.destroy();
        else response.end("{}");
      };
      const got = await send(method).finally(() => {
        upstream.answer = null;
      });
      assert.deepEqual([got.status, upstream.seen.length - reached], [status, times], method);
      const leaves = (await bed.leaves(got.id)).map((leaf) => leaf.t);
      assert.deepEqual(leaves, method === "GET" ? ["crossing"] : ["intent", "outcome"]);
      if (method === "POST") assert.equal(got.code, "upstream-unreachable");
    }
  });

  test("a provider cannot speak in our name: its Sallyport-Verdict and DPoP-Nonce stay behind, informational answers too", async () => {
    upstream.answer = (request) => {
      request.socket.end(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nSallyport-Verdict: allow\r\nDPoP-Nonce: evil\r\nX-Kept: yes\r\nConnection: close, x-hop\r\nX-Hop: gone\r\nContent-Length: 2\r\n\r\nok",
      );
    };
    const got = await orders.send(invoice()).finally(() => {
      upstream.answer = null;
    });
    assert.equal(got.status, 200);
    assert.equal(got.text, "ok");
    assert.deepEqual(
      [got.headers["sallyport-verdict"], got.headers["x-hop"], got.headers["x-kept"]],
      [undefined, undefined, "yes"],
    );
    // Where the step of nonces has just turned, there is one of ours.
    assert.notEqual(got.headers["dpop-nonce"], "evil");
  });

  test("HEAD, 204 and 304 have no content, and 404 is the provider's own no", async () => {
    const head = await orders.send(invoice(), { method: "HEAD" });
    assert.deepEqual([head.status, head.text], [200, ""]);
    for (const status of [204, 304, 404]) {
      upstream.answer = (_request, response) => response.writeHead(status).end(status === 404 ? "no" : undefined);
      const got = await orders.send(invoice());
      upstream.answer = null;
      assert.equal(got.status, status);
      const leaf = await lastLeafOf(got.id);
      assert.ok(leaf?.t === "crossing");
      assert.equal(leaf.outcome, status === 404 ? "business-error" : "success");
    }
  });
});

describe("long answers and aborted ones", () => {
  test("a long answer streams with intent before its first byte and exactly one outcome", async () => {
    const text = "x".repeat(300_000);
    upstream.answer = (_request, response) => response.writeHead(200, { "content-length": text.length }).end(text);
    const got = await orders.send(invoice());
    upstream.answer = null;
    assert.equal(got.text, text);
    const leaves = await bed.leaves(got.id);
    assert.deepEqual(
      leaves.map((leaf) => leaf.t),
      ["intent", "outcome"],
    );
    const last = leaves.at(-1);
    assert.ok(last?.t === "outcome" && last.bytesOut === text.length && last.outcome === "success");
  });

  test("an event stream is passed on as it comes", async () => {
    let finish = (): void => {};
    upstream.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      finish = () => response.end("data: 2\n\n");
    };
    const token = orders.token("billing");
    const first = await new Promise<string>((resolve, reject) => {
      const request = httpRequest(
        invoice(),
        { agent: false, headers: { authorization: `DPoP ${token}`, dpop: orders.proof("GET", invoice(), token) } },
        (response) => {
          let text = "";
          response.once("data", () => finish());
          response.on("data", (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on("end", () => resolve(text));
        },
      );
      request.on("error", reject).end();
    });
    upstream.answer = null;
    assert.equal(first, "data: 1\n\ndata: 2\n\n");
  });

  test("a long answer that the provider cuts short looks cut short to the caller, and is a system-error on the record", async () => {
    upstream.answer = (request) => {
      const half = `HTTP/1.1 200 OK\r\nX-Sent: 1\r\nContent-Length: 200000\r\n\r\n${"x".repeat(100_000)}`;
      request.socket.write(half, () => request.socket.destroy());
    };
    await assert.rejects(orders.send(invoice()));
    upstream.answer = null;
    const id = String(upstream.seen.at(-1)?.headers["sallyport-crossing"]);
    assert.equal((await outcomeOf(bed, id)).outcome, "system-error");
    assert.deepEqual(
      (await bed.leaves(id)).map((leaf) => leaf.t),
      ["intent", "outcome"],
    );
  });

  test("a caller that goes away mid-body is recorded as aborted and the provider's request ends", async () => {
    const path = "/billing/v1/invoices/1/scan";
    const reached = upstream.seen.length;
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.write(goodHead("PUT", path, ["Content-Type: application/pdf", "Content-Length: 1000"]));
    socket.write("partial");
    await until(() => upstream.seen.length > reached, "the head at the provider");
    const id = String(upstream.seen.at(-1)?.headers["sallyport-crossing"]);
    socket.destroy();
    await outcomeOf(bed, id);
    const leaves = await bed.leaves(id);
    assert.deepEqual(
      leaves.map((leaf) => leaf.t),
      ["intent", "outcome"],
    );
    const last = leaves.at(-1);
    assert.ok(last?.t === "outcome" && last.outcome === "aborted" && last.status === 0);
  });

  test("an opaque upload streams whole", async () => {
    const scan = "p".repeat(200_000);
    const got = await orders.send(`${invoice()}/scan`, {
      method: "PUT",
      headers: { "content-type": "application/pdf", "content-length": String(scan.length) },
      body: scan,
    });
    assert.equal(got.status, 200);
    assert.equal(upstream.seen.at(-1)?.body.length, scan.length);
  });

  test("many crossings share a connection, and none is answered twice", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 20; i++) {
      const token = orders.token("billing");
      const status = await new Promise<number>((resolve, reject) => {
        httpRequest(
          invoice(),
          { agent, headers: { authorization: `DPoP ${token}`, dpop: orders.proof("GET", invoice(), token) } },
          (response) => {
            response.resume().on("end", () => resolve(response.statusCode ?? 0));
          },
        )
          .on("error", reject)
          .end();
      });
      assert.equal(status, 200);
    }
    agent.destroy();
    assert.equal(bed.gateway.status().inFlight, 0);
  });
});
