// Passthrough: what a system does not declare passes and is recorded, and no spelling of a path makes a declared operation an undeclared one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dayMs, decisionOf, type Exceptions, observe, observedEstate } from "./testing/observed-estate.ts";
import { problemsOf, sendRaw } from "./testing/raw-socket.ts";
import { call } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
before(async () => {
  bench = await openBench({ estate: (url) => observedEstate(url, {}) });
  await bench.orders.learnNonce(bench.invoice);
});
after(() => bench?.close());

const now = () => bench.bed.clock.now();
const passthrough = () => ({ untilMs: now() + dayMs, reason: "a test" });
const use = (exceptions: Exceptions) => bench.bed.publish(observedEstate(bench.upstream.url, exceptions));

describe("a system that lets pass what it does not declare", () => {
  before(() => use({ passthrough: passthrough() }));

  test("a stranger's request to an undeclared path reaches the provider as it is, with its own credentials, and is recorded", async () => {
    const body = "a=1&b=2".repeat(40_000);
    const headers = { authorization: "Basic bGVnYWN5OnB3", "content-type": "application/x-www-form-urlencoded" };
    const answer = await call(`${bench.url}/billing/legacy/report.php?x=1`, { method: "PUT", headers, body });
    assert.equal(answer.status, 200);
    const seen = bench.upstream.seen.at(-1);
    assert.deepEqual([seen?.method, seen?.url, seen?.body], ["PUT", "/legacy/report.php?x=1", body]);
    assert.equal(seen?.headers.authorization, headers.authorization);
    assert.equal(seen?.headers["sallyport-identity"], undefined);
    const leaf = await decisionOf(bench, answer.id);
    assert.equal(leaf.t, "intent", "whatever it does is an effect");
    assert.deepEqual(
      [leaf.mode, leaf.operation, leaf.verdict, leaf.code, leaf.stage],
      ["passthrough", "billing:(undeclared)", "deny", "credentials-malformed", "identify"],
    );
    const text = Buffer.from((await bench.bed.log.find(answer.id))[0]?.leaf ?? "").toString("latin1");
    assert.ok(!text.includes("legacy") && !text.includes("report"), "no text of the caller's in the leaf");
  });

  test("a known caller's undeclared request passes as no-route, without its token and without a word of ours", async () => {
    const answer = await bench.orders.send(`${bench.url}/billing/v9/none`);
    assert.equal(answer.status, 200);
    const leaf = await decisionOf(bench, answer.id);
    assert.equal(leaf.t, "crossing", "a read is one record");
    assert.deepEqual([leaf.mode, leaf.code, leaf.stage, leaf.integration], ["passthrough", "no-route", "bind", null]);
    const headers = bench.upstream.seen.at(-1)?.headers;
    assert.deepEqual([headers?.authorization, headers?.["sallyport-identity"]], [undefined, undefined]);
  });

  test("declared operations are enforced beside it, in the mode of the record too", async () => {
    const reached = bench.upstream.seen.length;
    assert.equal((await call(bench.invoice)).status, 401);
    assert.equal((await bench.orders.send(bench.invoice, { method: "DELETE" })).code, "not-granted");
    assert.equal((await bench.analytics.send(bench.invoice)).code, "not-granted");
    assert.equal(bench.upstream.seen.length, reached);
    const allowed = await bench.orders.send(bench.invoice);
    assert.deepEqual([allowed.status, (await decisionOf(bench, allowed.id)).mode], [200, "enforce"]);
  });

  test("another method on a declared path passes: it is not declared", async () => {
    const answer = await call(bench.invoice, { method: "PATCH", body: "{}", headers: { "content-length": "2" } });
    assert.equal(answer.status, 200);
    assert.equal((await decisionOf(bench, answer.id)).operation, "billing:(undeclared)");
  });

  test("a system without the word stays closed, and so does a path of nobody", async () => {
    const reached = bench.upstream.seen.length;
    assert.equal((await call(`${bench.url}/vault/v9/none`)).status, 401);
    assert.equal((await bench.orders.send(`${bench.url}/vault/v9/none`)).code, "no-route");
    assert.equal((await call(`${bench.url}/nobody/v1`)).status, 401);
    assert.equal(bench.upstream.seen.length, reached);
  });

  /** Spellings of `GET /v1/invoices/1` and of effects declared beside it, for servers that are not strict. */
  const spellings: readonly (readonly [string, string])[] = [
    ["GET", "/billing/V1/Invoices/1"],
    ["GET", "/billing/v1/INVOICES/1"],
    ["GET", "/billing/v1/%69nvoices/1"],
    ["GET", "/billing/v1/%49NVOICES/1"],
    ["GET", "/billing/v1/%2569nvoices/1"],
    ["GET", "/billing/v1./invoices/1"],
    ["GET", "/billing/v1/invoices%20/1"],
    ["GET", "/billing/v1/%EF%BD%89nvoices/1"],
    ["HEAD", "/billing/V1/invoices/1"],
    ["POST", "/billing/v1/refunds.json"],
    ["POST", "/billing/v1/Refunds"],
    ["POST", "/billing/v1/refunds.extension"],
    ["POST", "/billing/v1/refunds.a-b"],
    ["POST", "/billing/v1/refunds.tar.gz"],
    ["POST", "/billing/v1/refunds%20.json"],
    ["POST", "/billing/v1/%C4%B1nvoices"],
    ["POST", "/billing/v1/refund%C5%BF"],
    ["POST", "/billing/v1/invoices."],
    ["DELETE", "/billing/v1/Invoices/1"],
    ["POST", "/billing/v1/invoices/1?_method=DELETE"],
    ["POST", "/billing/v1/invoices/1?x=1&_METHOD=delete"],
    ["GET", "/billing/v1/refunds?_method=POST"],
    ["POST", "/billing/v1/invoices/1?X-HTTP-Method-Override=DELETE"],
  ];
  for (const [method, path] of spellings) {
    test(`spelling attack: ${method} ${path} is not taken for undeclared`, async () => {
      const reached = bench.upstream.seen.length;
      const raw = `${method} ${path} HTTP/1.1\r\nHost: ${new URL(bench.url).host}\r\nContent-Length: 0\r\n\r\n`;
      const answer = await sendRaw(bench.url, raw, { quietMs: 40 });
      assert.deepEqual(answer.statuses, [401], answer.text);
      assert.equal(bench.upstream.seen.length, reached);
    });
  }

  test("method override attack: a form posted to a declared path could carry another method, and does not pass", async () => {
    const reached = bench.upstream.seen.length;
    for (const type of ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const answer = await call(bench.invoice, {
        method: "POST",
        headers: { "content-type": type },
        body: "_method=DELETE",
      });
      assert.equal(answer.status, 401);
    }
    assert.equal(bench.upstream.seen.length, reached);
    const override = { "x-http-method-override": "DELETE" };
    assert.equal((await call(`${bench.url}/billing/v9/none`, { method: "POST", headers: override })).status, 200);
    assert.equal(
      bench.upstream.seen.at(-1)?.headers["x-http-method-override"],
      undefined,
      "such a field never goes on",
    );
  });

  test("paths that can be read in two ways are refused, with passthrough as without", async () => {
    const reached = bench.upstream.seen.length;
    const { host } = new URL(bench.url);
    for (const path of ["//v1", "/x//y", "/x/../v1", "/x/", "/x;y", "/x%2fy", "/x\\y", "/x%00", "/x%252e%252e/y"]) {
      const answer = await sendRaw(bench.url, `GET /billing${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { quietMs: 40 });
      assert.deepEqual(problemsOf(answer), ["400 ambiguous-path"], path);
    }
    assert.equal(bench.upstream.seen.length, reached);
  });
});

test("with observe as well, what comes near a declared operation passes too: nothing is enforced there", async () => {
  await use({ billing: observe(now() + dayMs), passthrough: passthrough() });
  const answer = await call(`${bench.url}/billing/V1/Invoices/1`);
  assert.equal(answer.status, 200);
  assert.equal((await decisionOf(bench, answer.id)).mode, "passthrough");
});

test("after its `until` only declared operations are served, by the gateway's own clock", async () => {
  await use({ passthrough: { untilMs: now() + 60_000, reason: "a test" } });
  assert.equal((await call(`${bench.url}/billing/v9/none`)).status, 200);
  bench.bed.clock.shiftMs += 60_001;
  const reached = bench.upstream.seen.length;
  assert.equal((await call(`${bench.url}/billing/v9/none`)).status, 401);
  bench.orders.nonce = undefined;
  await bench.orders.learnNonce(bench.invoice);
  assert.equal((await bench.orders.send(`${bench.url}/billing/v9/none`)).code, "no-route");
  assert.equal(bench.upstream.seen.length, reached);
});

test("a system without any operation can stand behind passthrough alone", async () => {
  const base = observedEstate(bench.upstream.url, {});
  const legacy = { id: "legacy", url: bench.upstream.url, changes: { passthrough: passthrough() } };
  await bench.bed.publish({ ...base, systems: [...base.systems, legacy] });
  const answer = await call(`${bench.url}/legacy/any/thing`);
  assert.equal(answer.status, 200);
  assert.equal((await decisionOf(bench, answer.id)).operation, "legacy:(undeclared)");
});
