// A stream at one worker thread, refreshed by a request that came to another: docs/workers.md, docs/streams.md "Refreshing".
import assert from "node:assert/strict";
import type { Agent, ClientRequest, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { connectionsToEach, startTestCrew, type TestCrew } from "../testing/start-test-crew.ts";
import { until } from "../testing/start-test-gateway.ts";
import { ended, type Followed, followed, followPath, newsEstate } from "../testing/stream-bench.ts";
import { type Answer, call, TestCaller, type TokenChanges } from "../testing/test-caller.ts";

let upstream: CountingUpstream;
let crew: TestCrew;
let agents: readonly Agent[];
let orders: TestCaller;
let portal: TestCaller;
const open: ClientRequest[] = [];
const providers: ServerResponse[] = [];

before(async () => {
  upstream = await startCountingUpstream();
  crew = await startTestCrew({ estate: newsEstate(upstream.url) });
  agents = await connectionsToEach(crew, { upstream, url: `${crew.url}${followPath}` });
  [orders, portal] = ["orders", "portal"].map((client) => new TestCaller(crew.bed.feed, client)) as [
    TestCaller,
    TestCaller,
  ];
  upstream.answer = (_request, response) => {
    providers.push(response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  };
});
after(async () => {
  for (const one of open) one.destroy();
  for (const agent of agents ?? []) agent.destroy();
  await crew?.close();
  await upstream?.close();
});

async function headersOf(who: TestCaller, method: string, url: string, claims?: TokenChanges) {
  if (who.nonce === undefined) await who.learnNonce(url);
  const token = who.token("news", claims);
  return { authorization: `DPoP ${token}`, dpop: who.proof(method, url, token) };
}

/** A stream at the first worker. */
async function begun(claims: TokenChanges): Promise<Followed> {
  const url = `${crew.url}${followPath}`;
  const one = await followed(url, await headersOf(orders, "GET", url, claims), open, agents[0]);
  assert.equal(one.status, 200);
  return one;
}

/** Asked for at the second worker. */
async function refresh(id: string, who: TestCaller, claims?: TokenChanges): Promise<Answer> {
  const url = `${crew.url}/.well-known/sallyport/streams/${id}`;
  return call(url, { method: "POST", headers: await headersOf(who, "POST", url, claims), agent: agents[1] as Agent });
}

/** Every worker has heard of it once control has. */
async function revoked(jti: string): Promise<void> {
  const seq = crew.crew.held().revocationSeq + 1;
  crew.bed.feed.revoke("jti", jti);
  await until(() => crew.crew.held().revocationSeq >= seq, "the revocation in every worker");
}

test("it goes on under the token that was brought to the other worker, and ends with that one", async () => {
  const one = await begun({ jti: "of-the-beginning" });
  const answer = await refresh(one.id, orders, { jti: "of-the-refresh" });
  assert.equal(answer.status, 200, answer.text);
  const [leaf] = await crew.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.operation === "sallyport:stream.refresh" && leaf.outcome === "success");
  await revoked("of-the-beginning");
  providers.at(-1)?.write("data: 2\n\n");
  await until(() => one.text() === "data: 1\n\ndata: 2\n\n", "another event, after the first token is gone");
  await revoked("of-the-refresh");
  await ended(one);
  assert.match(one.text(), /event: sallyport-ended/);
});

test("attack: to another client there is no such stream at any worker, and what it tried changes nothing", async () => {
  const one = await begun({ jti: "mine" });
  const refused = await refresh(one.id, portal);
  assert.deepEqual([refused.status, refused.code], [404, "stream-unknown"]);
  const unknown = await refresh(`${one.id.slice(0, -4)}0000`, orders);
  assert.deepEqual([unknown.status, unknown.code], [404, "stream-unknown"]);
  assert.equal(refused.text.replaceAll(refused.id, ""), unknown.text.replaceAll(unknown.id, ""), "one answer for both");
  await revoked("mine");
  await ended(one);
});

test("attack: a token that would not open the stream does not refresh it, whichever worker it is brought to", async () => {
  const one = await begun({ jti: "still-good" });
  const refused = await refresh(one.id, orders, { scope: "news:events.secret" });
  assert.equal(refused.status, 403, refused.text);
  providers.at(-1)?.write("data: 2\n\n");
  await until(() => one.text().endsWith("data: 2\n\n"), "it goes on as before");
  one.close();
});
