// Receipts over real sockets out of a real log: who gets one, who does not and learns nothing from that, and what a flood of askers costs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { noteCrypto, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { verifyReceipt } from "@sallyport/protocol/audit/receipt.ts";
import { receiptRate } from "./receipts/stages.ts";
import { dayMs, observe, observedEstate } from "./testing/observed-estate.ts";
import { sendRaw } from "./testing/raw-socket.ts";
import { until } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, call, type TestCaller, type TokenChanges } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;

before(async () => {
  bench = await openBench();
});
after(() => bench.close());

const pathOf = (crossing: string) => `/.well-known/sallyport/receipts/${crossing}`;

interface Asking extends CallOptions {
  /** Sent in the place of the path that names the crossing. */
  readonly path?: string;
  readonly claims?: TokenChanges;
}

function ask(who: TestCaller, crossing: string, { path, claims, ...options }: Asking = {}): Promise<Answer> {
  const token = who.token("billing", claims);
  return who.send(`${bench.url}${path ?? pathOf(crossing)}`, { ...options, token });
}

/** A crossing of orders, covered by a checkpoint. */
async function crossed(options: CallOptions = {}): Promise<string> {
  const { id, status } = await bench.orders.send(
    options.method === "POST" ? `${bench.url}/billing/v1/invoices` : bench.invoice,
    options,
  );
  assert.ok(status < 300, String(status));
  await bench.log.checkpoint();
  return id;
}

function verdictOf(text: string, crossing: string) {
  const key = parseVerifierKey(sha256, bench.log.verifierKey);
  assert.ok(key !== null);
  return verifyReceipt(noteCrypto, text, { trust: { keys: [key], policy: null }, crossing, now: Date.now() });
}

/** What an answer to anybody who may not have the receipt looks like, without its own id. */
function shapeOf({ status, headers, text, id }: Answer) {
  const { date: _date, "sallyport-crossing": _crossing, "dpop-nonce": _nonce, ...rest } = headers;
  return { status, headers: rest, text: text.replaceAll(id, "<id>") };
}

test("the caller gets the receipt of its crossing, which verifies offline, and the asking is on record", async () => {
  const crossing = await crossed();
  const reached = bench.upstream.seen.length;
  const answer = await ask(bench.orders, crossing);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers["content-type"], "text/plain; charset=utf-8");
  assert.equal(answer.headers["cache-control"], "no-store");
  const verdict = verdictOf(answer.text, crossing);
  assert.ok(verdict.kind === "ok", JSON.stringify(verdict));
  assert.deepEqual([verdict.decided.operation, verdict.decided.verdict], ["billing:invoice.read", "allow"]);
  assert.deepEqual([verdict.ended.outcome, verdict.ended.status], ["success", 200]);
  assert.equal(bench.upstream.seen.length, reached, "no provider hears of it");
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual(
    [leaf.operation, leaf.integration, leaf.verdict, leaf.outcome, leaf.status, leaf.upstreamStatus],
    ["sallyport:receipt.read", null, "allow", "success", 200, 0],
  );
});

test("an effect has both leaves in its receipt: the intent before it and the outcome after it", async () => {
  const crossing = await crossed({
    method: "POST",
    body: '{"amount":5,"customer":"c-1"}',
    headers: { "content-type": "application/json" },
  });
  const answer = await ask(bench.orders, crossing);
  const verdict = verdictOf(answer.text, crossing);
  assert.ok(verdict.kind === "ok", `${answer.text} ${JSON.stringify(verdict)}`);
  assert.deepEqual(
    verdict.proven.map(({ leaf }) => JSON.parse(leaf).t),
    ["intent", "outcome"],
  );
});

test("a denial of a known caller has a receipt too", async () => {
  const denied = await bench.orders.send(`${bench.url}/billing/v1/nothing`);
  assert.equal(denied.code, "no-route");
  await bench.log.checkpoint();
  const verdict = verdictOf((await ask(bench.orders, denied.id)).text, denied.id);
  assert.ok(verdict.kind === "ok");
  assert.deepEqual([verdict.decided.verdict, verdict.decided.code], ["deny", "no-route"]);
});

test("before a checkpoint covers the crossing its caller is told to come back, and others that there is none", async () => {
  const { id } = await bench.orders.send(bench.invoice);
  const own = await ask(bench.orders, id);
  assert.deepEqual([own.status, own.code, own.headers["retry-after"]], [503, "receipt-pending", "1"]);
  assert.equal((await ask(bench.portal, id)).code, "receipt-unknown");
  await bench.log.checkpoint();
  assert.equal((await ask(bench.orders, id)).status, 200);
});

test("attack: another principal asks for my receipt and cannot tell it from one that never was", async () => {
  const crossing = await crossed();
  const never = crossing.slice(0, -4) + (crossing.endsWith("0000") ? "1111" : "0000");
  const shapes = [
    await ask(bench.portal, crossing),
    await ask(bench.portal, never),
    await ask(bench.orders, never),
    await ask(bench.orders, `gw-other-${crossing.slice(-26)}`),
    // The same system acting for a user did not make that crossing, nor did a user's.
    await ask(bench.orders, crossing, { claims: { sub: "user-7" } }),
    await ask(bench.analytics, crossing),
  ].map(shapeOf);
  for (const shape of shapes) assert.deepEqual(shape, shapes[0]);
  assert.equal(shapes[0]?.status, 404);
  assert.match(shapes[0]?.text ?? "", /"code":"receipt-unknown"/);
});

test("attack: a user's crossing is asked for by the system alone, and by another user", async () => {
  const token = bench.orders.token("billing", { sub: "user-7" });
  const { id } = await bench.orders.send(bench.invoice, { token });
  await bench.log.checkpoint();
  assert.equal((await ask(bench.orders, id)).code, "receipt-unknown");
  assert.equal((await ask(bench.orders, id, { claims: { sub: "user-8" } })).code, "receipt-unknown");
  assert.equal((await ask(bench.orders, id, { claims: { sub: "user-7" } })).status, 200);
});

test("attack: a stranger enumerates ids and learns the same from each, without a look into the log", async () => {
  const crossing = await crossed();
  const own = await call(`${bench.url}${pathOf(crossing)}`);
  const none = await call(`${bench.url}${pathOf(`gw-test-01KAMZZZZZ${"0".repeat(16)}`)}`);
  const elsewhere = await call(`${bench.url}/nowhere`);
  assert.equal(own.status, 401);
  assert.deepEqual(shapeOf(own), shapeOf(none));
  assert.deepEqual(shapeOf(own), shapeOf(elsewhere));
});

test("attack: a stolen token is no use without its key: as a bearer, with another key, with a proof for another receipt", async () => {
  const crossing = await crossed();
  const url = `${bench.url}${pathOf(crossing)}`;
  const token = bench.orders.token("billing");
  const bearer = await call(url, { headers: { authorization: `Bearer ${token}` } });
  const proof = (changes: object, of = url) => bench.orders.proof("GET", of, token, changes);
  const send = (dpop: string) => call(url, { headers: { authorization: `DPoP ${token}`, dpop } });
  const thief = await send(proof({ key: bench.portal.key }));
  const moved = await send(proof({}, bench.invoice));
  const good = proof({});
  assert.equal((await send(good)).status, 200);
  const replayed = await send(good);
  assert.deepEqual(
    [bearer, thief, moved, replayed].map(({ status }) => status),
    [401, 401, 401, 401],
  );
});

test("attack: an unbound token where bearers are accepted fetches no receipt", async () => {
  const crossing = await crossed();
  // The claim is left out, as JSON has no word for it.
  const token = bench.orders.token("billing", { cnf: undefined as never });
  const answer = await call(`${bench.url}${pathOf(crossing)}`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual([answer.status, answer.code], [403, "proof-not-accepted"]);
});

test("attack: tricks with the path lead to no receipt and to nobody else's provider", async () => {
  const crossing = await crossed();
  const reached = bench.upstream.seen.length;
  const base = "/.well-known/sallyport/receipts";
  const tricks = [
    base,
    `${base}/`,
    `${base}/${crossing}/`,
    `${base}/${crossing}/x`,
    `${base}//${crossing}`,
    `${base}/%2e%2e%2f${crossing}`,
    `${base}/..%2f..%2flog.key`,
    `${base}/${crossing}%00`,
    `${base}/${crossing}%20`,
    `${base}/${crossing};x=1`,
    `${base}/${crossing}?x=1`,
    `${base}/${crossing.toLowerCase()}`,
    `${base}/${crossing.slice(0, -1)}`,
    `${base}/${crossing}0`,
    `${base}/${"A".repeat(300)}`,
    `${base}/${crossing.slice(-26)}`,
    `${base}/*`,
    `/.well-known/sallyport%2freceipts/${crossing}`,
  ];
  for (const path of tricks) {
    const { status } = await ask(bench.orders, crossing, { path });
    assert.ok(status === 404 || status === 400, `${path}: ${status}`);
  }
  for (const trick of [`./${crossing}`, `x/../${crossing}`, `/${crossing}`, `${crossing}\\`, `%2e%2e/${crossing}`]) {
    const raw = await sendRaw(bench.url, `GET ${base}/${trick} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    assert.deepEqual(raw.statuses, [400], trick);
  }
  for (const method of ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"]) {
    const { status } = await ask(bench.orders, crossing, { method });
    assert.equal(status, 404, method);
  }
  const withBody = await ask(bench.orders, crossing, { body: "{}", headers: { "content-length": "2" } });
  assert.equal(withBody.code, "body-too-large");
  assert.equal(bench.upstream.seen.length, reached);
});

test("attack: a flood of requests for receipts is held to its rate, and crossings of others go on beside it", async () => {
  const flooded = await openBench();
  try {
    const { orders, portal, bed } = flooded;
    const { id } = await orders.send(flooded.invoice);
    await flooded.log.checkpoint();
    // No time goes by for the rate, however long this machine takes for the flood.
    const stoppedMs = bed.clock.monotonic();
    bed.clock.monotonic = () => stoppedMs;
    const url = `${flooded.url}${pathOf(id)}`;
    const flood = Array.from({ length: 4 * receiptRate.burst }, () =>
      orders.send(url, { token: orders.token("billing") }),
    );
    const others = Array.from({ length: 3 }, () => portal.send(flooded.invoice));
    const codes = (await Promise.all(flood)).map(({ status, code }) => code ?? status);
    const passed = codes.filter((code) => code === 200).length;
    assert.ok(passed >= receiptRate.burst, `${passed} passed`);
    assert.ok(codes.filter((code) => code === "rate-limited").length > receiptRate.burst, "most of the rest waits");
    assert.deepEqual([...new Set((await Promise.all(others)).map(({ status }) => status))], [200]);
    await until(() => bed.gateway.status().inFlight === 0, "the flood has ended");
  } finally {
    await flooded.close();
  }
});

test("a crossing that was only observed has no receipt: what enforcement would say is not its caller's to know", async () => {
  const observed = await openBench({
    estate: (url) => observedEstate(url, { billing: observe(Date.now() + 10 * dayMs) }),
  });
  try {
    await observed.orders.learnNonce(`${observed.url}/nowhere`);
    const { id, status } = await observed.orders.send(observed.invoice);
    assert.equal(status, 200);
    await observed.log.checkpoint();
    const answer = await observed.orders.send(`${observed.url}${pathOf(id)}`, {
      token: observed.orders.token("billing"),
    });
    assert.equal(answer.code, "receipt-unknown");
  } finally {
    await observed.close();
  }
});

test("the askings are counted like every request: the closed log is whole and nothing of it is missing", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-receipts-"));
  try {
    const counted = await openBench({ directory });
    const { orders, portal, log } = counted;
    const { id } = await orders.send(counted.invoice);
    await log.checkpoint();
    for (const who of [orders, portal, orders])
      await who.send(`${counted.url}${pathOf(id)}`, { token: who.token("billing") });
    await call(`${counted.url}${pathOf(id)}`);
    await counted.close();
    const report = verifyLogDirectory(join(directory, "log"), { verifierKey: log.verifierKey });
    assert.deepEqual([report.problems, report.tallies.seen, report.tallies.crashes], [[], report.counts.crossings, 0]);
    assert.ok(report.counts.crossings >= 5);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a receipt is the same text whenever it is asked for under one checkpoint, whatever else is written meanwhile", async () => {
  const crossing = await crossed();
  const first = await ask(bench.orders, crossing);
  await bench.orders.send(bench.invoice);
  const again = await ask(bench.orders, crossing);
  assert.equal(again.text, first.text);
  assert.notEqual(again.id, first.id);
  assert.equal(verdictOf(first.text, `gw-test-${randomBytes(2).toString("hex")}`).kind, "refused");
});
