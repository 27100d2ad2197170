// A provider that is called with an access token of its own, at a real gateway over real sockets: what it is shown, what is shared and what never is, what ends it,
// and the attacks on it (docs/identity/next-hop.md). Control's side answers as a test wants; cli/src/next-hop.e2e.test.ts has a real one.
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { NextHopAnswer, NextHopRequest } from "@sallyport/protocol/channel/next-hop.ts";
import type { NextHopObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import { verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { type CountingUpstream, type ReceivedRequest, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { standingClock, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const own: NextHopObject = { exchanged: true, scheme: "DPoP", rules: "a".repeat(64) };
const json = { "content-type": "application/json" };
const body = '{"amount":5,"customer":"acme"}';

describe("a provider's own token", () => {
  let upstream: CountingUpstream;
  let bed: TestGateway;
  let orders: TestCaller;
  let portal: TestCaller;
  let base: string;
  let asked: NextHopRequest[] = [];
  let given: string[] = [];

  /** A token that no other question ever gets. */
  function fresh(changes: Partial<Extract<NextHopAnswer, { kind: "token" }>> = {}): NextHopAnswer {
    const token = `tok.${randomBytes(16).toString("hex")}`;
    given.push(token);
    const id = hash("sha256", token, "base64url");
    return { kind: "token", token, scheme: "DPoP", expiresAt: bed.clock.now() + 300_000, id, ...changes };
  }

  function estate(rule: NextHopObject | null = own): TestEstate {
    const all = marketplace(upstream.url);
    const at = { url: upstream.url, allowPrivate: true, ...(rule === null ? {} : { nextHop: rule }) };
    const systems = all.systems.map((one) => (one.id === "billing" ? { ...one, changes: { upstream: at } } : one));
    // Nobody's rate stands in the way here.
    return { ...all, systems, integrations: all.integrations.map(({ limits: _, ...one }) => one) };
  }

  const answering = (answer: (request: NextHopRequest) => NextHopAnswer | Promise<NextHopAnswer>) => {
    bed.feed.nextHop = async (request) => {
      asked.push(request);
      return answer(request);
    };
  };
  const begin = async (rule: NextHopObject | null = own) => {
    await bed.publish(estate(rule));
    // The clock may have stood elsewhere.
    for (const who of [orders, portal]) await who.learnNonce(`${base}/`);
    asked = [];
    given = [];
    answering(() => fresh());
    upstream.answer = null;
    upstream.seen.length = 0;
  };
  const read = (who: TestCaller, token: string, id = "1", headers: Readonly<Record<string, string>> = {}) =>
    who.send(`${base}/billing/v1/invoices/${id}`, { token, headers });
  const last = (): ReceivedRequest => upstream.seen.at(-1) ?? assert.fail("the provider was not reached");
  /** What the provider was shown, its proof verified by itself. */
  const shown = (seen = last()): string => {
    const token = /^DPoP (.+)$/.exec(seen.headers.authorization ?? "")?.[1] ?? assert.fail("no DPoP token");
    const ath = hash("sha256", token, "base64url");
    const url = upstream.url + (seen.url.split("?")[0] ?? "");
    const proof = String(seen.headers["dpop"]);
    const rules = { method: seen.method, url, ath, now: bed.clock.now() };
    const verified = verifyDpopProof(proof, rules, createTokenCrypto());
    // A nonce is the provider's to want; all else has to hold.
    if (verified.kind === "deny") assert.equal(verified.code, "dpop-nonce", JSON.stringify(verified.facts));
    else assert.equal(verified.jkt, bed.hop.kid);
    const { jwk } = JSON.parse(Buffer.from(proof.split(".")[0] ?? "", "base64url").toString());
    assert.equal(jwk.x, (bed.hop.jwk as { x?: string }).x, "proven by the hop key");
    return token;
  };

  before(async () => {
    upstream = await startCountingUpstream();
    // What is remembered for two seconds, or ends five seconds early, is not left to how fast this machine is.
    const clock = standingClock();
    bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog, clock });
    base = bed.addresses[0]?.url ?? "";
    orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    portal = new TestCaller(bed.feed, "portal", () => bed.clock.now());
    await orders.learnNonce(`${base}/`);
    await portal.learnNonce(`${base}/`);
  });
  after(async () => {
    await bed?.close();
    await upstream?.close();
  });
  afterEach(() => {
    bed.clock.shiftMs = 0;
    bed.feed.silent = false;
  });

  test("is shown with a proof for each request, beside the hop token; the caller's token goes to control and nowhere else", async () => {
    await begin();
    const token = orders.token("billing");
    const answer = await read(orders, token, "1?q=2");
    assert.equal(answer.status, 200, answer.text);
    assert.equal(shown(), given[0]);
    assert.ok(last().headers["sallyport-identity"] !== undefined);
    const { method: _, ...request } = { method: "", ...asked[0] };
    assert.deepEqual(request, {
      provider: "billing",
      operation: "invoice.read",
      integration: "orders-to-billing",
      token,
    });
    assert.ok(!JSON.stringify(upstream.seen).includes(token));
    const proofs = new Set([String(last().headers["dpop"])]);
    await read(orders, token);
    proofs.add(String(last().headers["dpop"]));
    assert.equal(proofs.size, 2, "each request has a proof of its own");
    assert.equal(asked.length, 1, "the same caller and operation share the token");
  });

  test("`identity: false`: the hop token stays here; without the rule there is no Authorization at all", async () => {
    await begin({ ...own, withoutIdentity: true });
    const token = orders.token("billing");
    assert.equal((await read(orders, token)).status, 200);
    assert.equal(last().headers["sallyport-identity"], undefined);
    assert.equal(shown(), given[0]);
    const post = await orders.send(`${base}/billing/v1/invoices`, { method: "POST", body, headers: json });
    assert.equal(post.status, 200, post.text);
    assert.equal(last().headers["sallyport-identity"], undefined);
    await begin(null);
    assert.equal((await read(orders, token)).status, 200);
    assert.deepEqual([last().headers.authorization, last().headers["dpop"]], [undefined, undefined]);
    assert.equal(asked.length, 0);
  });

  test("attack: cache confusion: another caller, user, key, token, session or operation never gets a token that is held", async () => {
    await begin();
    const other = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    other.nonce = orders.nonce;
    const user = { sub: "usr_1", gid: ["grt_1"] };
    const tokens: [TestCaller, string][] = [
      [orders, orders.token("billing")],
      [orders, orders.token("billing")],
      [orders, orders.token("billing", user)],
      [orders, orders.token("billing", { ...user, sub: "usr_2" })],
      [orders, orders.token("billing", { ...user, act: { sub: "portal" } })],
      [orders, orders.token("billing", { ...user, sid: "ses_1" })],
      [orders, orders.token("billing", { scope: "billing:invoice.read billing:invoice.create" })],
      [other, other.token("billing")],
      [portal, portal.token("billing")],
    ];
    for (const [who, token] of tokens) assert.equal((await read(who, token)).status, 200);
    const create = await orders.send(`${base}/billing/v1/invoices`, {
      method: "POST",
      body,
      headers: json,
      token: tokens[0]?.[1] ?? "",
    });
    assert.equal(create.status, 200, create.text);
    assert.equal(asked.length, tokens.length + 1);
    const seen = upstream.seen.map((one) => one.headers.authorization);
    assert.equal(new Set(seen).size, seen.length, "every token was shown once");
    for (const [n, [who, token]] of tokens.entries()) {
      await read(who, token);
      assert.equal(last().headers.authorization, seen[n], "and each of them again to the same");
    }
    assert.equal(asked.length, tokens.length + 1);
  });

  test("a thundering herd asks once: every one of them gets that token", async () => {
    await begin();
    const { promise, resolve } = Promise.withResolvers<void>();
    answering(async () => {
      await promise;
      return fresh();
    });
    const token = orders.token("billing");
    const herd = Array.from({ length: 40 }, () => read(orders, token));
    await until(() => bed.gateway.status().inFlight === 40 && asked.length > 0, "all of them under way");
    resolve();
    for (const answer of await Promise.all(herd)) assert.equal(answer.status, 200, answer.text);
    assert.equal(asked.length, 1);
    assert.deepEqual([...new Set(upstream.seen.map((one) => shown(one)))], given);
  });

  test("attack: one calling system cannot take all questions for itself", async () => {
    await begin();
    const { promise, resolve } = Promise.withResolvers<void>();
    answering(async () => {
      await promise;
      return fresh();
    });
    const many = Array.from({ length: 70 }, () => read(orders, orders.token("billing")));
    await until(() => asked.length === 64, "as many questions as one caller may have");
    const other = read(portal, portal.token("billing"));
    await until(() => asked.length === 65, "the other caller's question");
    resolve();
    assert.equal((await other).status, 200);
    const codes = (await Promise.all(many)).map(({ status, code }) => `${status} ${code ?? ""}`);
    assert.equal(codes.filter((one) => one === "503 next-hop-unavailable").length, 6);
  });

  test("attack: use after revocation: what stood on it is dropped at once, also on its way", async () => {
    for (const [kind, value] of [
      ["grant", "grt_grant"],
      ["session", "ses_session"],
      ["subject", "usr_subject"],
      ["integration", "elsewhere"],
    ] as const) {
      await begin();
      const claims = { sub: `usr_${kind}`, gid: [`grt_${kind}`], sid: `ses_${kind}` };
      const token = orders.token("billing", claims);
      assert.equal((await read(orders, token)).status, 200);
      const before = bed.gateway.held().revocationSeq;
      bed.feed.revoke(kind, value, bed.clock.now() - 60_000);
      await until(() => bed.gateway.held().revocationSeq > before, "the revocation");
      const again = await read(orders, token);
      const metrics = await bed.gateway.metricsText();
      const held = Number(/^sallyport_next_hop_tokens_held (\d+)$/m.exec(metrics)?.[1]);
      // An old revocation of a subject leaves a token from after it alone; what was made under it is made anew all the same.
      const isOver = kind === "grant" || kind === "session";
      assert.deepEqual([again.status, held], [isOver ? 401 : 200, isOver ? 0 : 1], kind);
      assert.equal(asked.length, kind === "subject" ? 2 : 1, kind);
    }
  });

  test("attack: revoked while it is exchanged: nobody who waited is let pass with it", async () => {
    await begin();
    const { promise, resolve } = Promise.withResolvers<void>();
    answering(async () => {
      await promise;
      return fresh();
    });
    const waiting = read(orders, orders.token("billing", { sub: "usr_8", gid: ["grt_8"] }));
    await until(() => asked.length === 1, "the question");
    const before = bed.gateway.held().revocationSeq;
    bed.feed.revoke("grant", "grt_8");
    await until(() => bed.gateway.held().revocationSeq > before, "the revocation");
    resolve();
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.code], [503, "next-hop-unavailable"]);
    assert.equal(upstream.seen.length, 0);
  });

  test("another snapshot: what was decided before is decided anew", async () => {
    await begin();
    const token = orders.token("billing");
    await read(orders, token);
    await bed.publish(estate());
    await read(orders, token);
    assert.equal(asked.length, 2);
  });

  test("a no of control is a 403 and nothing reaches the provider; it is not asked for again at once", async () => {
    await begin();
    answering(() => ({ kind: "refused", code: "policy-denied" }));
    const token = orders.token("billing");
    for (let n = 0; n < 3; n += 1) {
      const answer = await read(orders, token);
      assert.deepEqual([answer.status, answer.code], [403, "next-hop-refused"]);
      assert.match(answer.text, /policy-denied/);
    }
    assert.equal(asked.length, 1);
    bed.clock.shiftMs = 2_100;
    answering(() => fresh());
    assert.equal((await read(orders, token)).status, 200);
  });

  test("attack: without control there is no token, and never the caller's in its place; one that is held serves on until its end", async () => {
    await begin();
    const held = orders.token("billing");
    assert.equal((await read(orders, held)).status, 200);
    bed.feed.silent = true;
    const token = orders.token("billing");
    const answer = await read(orders, token);
    assert.deepEqual([answer.status, answer.code], [503, "next-hop-unavailable"]);
    assert.equal(answer.headers["retry-after"], "1");
    assert.equal(upstream.seen.length, 1);
    assert.equal((await read(orders, held)).status, 200);
  });

  test("a rule that needs no caller's token has one for all of a calling system's, and sends control none of theirs", async () => {
    await begin({ ...own, exchanged: false, scheme: "Bearer" });
    answering(() => fresh({ scheme: "Bearer" }));
    const [first, second] = [orders.token("billing"), orders.token("billing")];
    for (const token of [first, second]) assert.equal((await read(orders, token)).status, 200);
    assert.equal(last().headers.authorization, `Bearer ${given[0]}`);
    assert.equal(last().headers["dpop"], undefined);
    assert.deepEqual([asked.length, asked[0]?.token], [1, null], "the same for all tokens of a caller");
  });

  test("attack: a bearer token where a bound one was wanted is not shown", async () => {
    await begin();
    answering(() => fresh({ scheme: "Bearer" }));
    const answer = await read(orders, orders.token("billing"));
    assert.deepEqual([answer.status, answer.code], [503, "next-hop-unavailable"]);
    assert.equal(upstream.seen.length, 0);
  });

  test("a token is used no longer than it, or the caller's own proof, lives, less its margin", async () => {
    await begin();
    answering(() => fresh({ expiresAt: bed.clock.now() + 20_000 }));
    const token = orders.token("billing", {
      sub: "usr_7",
      gid: ["grt_7"],
      exp: Math.floor(bed.clock.now() / 1000) + 600,
    });
    await read(orders, token);
    bed.clock.shiftMs = 10_000;
    await read(orders, token);
    assert.equal(asked.length, 1);
    bed.clock.shiftMs = 15_500;
    await read(orders, token);
    assert.equal(asked.length, 2);
    assert.equal(shown(), given[1]);
  });

  test("before its end the next one is asked for by one of those who use it, and nobody waits", async () => {
    await begin();
    answering(() => fresh({ expiresAt: bed.clock.now() + 100_000 }));
    const token = orders.token("billing", {
      sub: "usr_6",
      gid: ["grt_6"],
      exp: Math.floor(bed.clock.now() / 1000) + 600,
    });
    await read(orders, token);
    bed.clock.shiftMs = 80_000;
    await orders.learnNonce(`${base}/`);
    const { promise, resolve } = Promise.withResolvers<void>();
    answering(async () => {
      await promise;
      return fresh({ expiresAt: bed.clock.now() + 100_000 });
    });
    for (let n = 0; n < 5; n += 1) {
      assert.equal((await read(orders, token)).status, 200);
      assert.equal(shown(), given[0]);
    }
    assert.equal(asked.length, 2);
    resolve();
    await until(async () => {
      await read(orders, token);
      return shown() === given[1];
    }, "the next token");
    assert.equal(asked.length, 2);
  });

  test("a provider that says 401 invalid_token is asked once more with a new one, and a second time it is a 502 of our own", async () => {
    await begin();
    const challenge = { "www-authenticate": 'DPoP error="invalid_token", algs="ES256"' };
    upstream.answer = (request, response) => {
      const isOld = request.headers.authorization === `DPoP ${given[0]}`;
      response.writeHead(isOld ? 401 : 200, isOld ? challenge : json).end("{}");
    };
    const token = orders.token("billing");
    const answer = await read(orders, token);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual([asked.length, upstream.seen.length], [2, 2]);
    upstream.answer = (_request, response) => response.writeHead(401, challenge).end("{}");
    const refused = await read(orders, token);
    assert.deepEqual([refused.status, refused.code], [502, "next-hop-rejected"]);
    assert.equal(refused.headers["www-authenticate"], undefined, "the caller's token is not at fault");
    assert.deepEqual([asked.length, upstream.seen.length], [3, 4]);
  });

  test("an effect is not sent twice for a refused token; the token is used no more", async () => {
    await begin();
    upstream.answer = (_request, response) =>
      response.writeHead(401, { "www-authenticate": 'Bearer realm="x", error="invalid_token"' }).end();
    const token = orders.token("billing");
    const create = () => orders.send(`${base}/billing/v1/invoices`, { method: "POST", body, headers: json, token });
    const refused = await create();
    assert.deepEqual([refused.status, refused.code, upstream.seen.length], [502, "next-hop-rejected", 1]);
    upstream.answer = null;
    assert.equal((await create()).status, 200);
    assert.equal(asked.length, 2);
  });

  test("a nonce that a provider wants is learnt from its refusal, for effects too, and kept for its next requests", async () => {
    await begin();
    let nonce = "n-1";
    upstream.answer = (request, response) => {
      const proof = String(request.headers["dpop"]).split(".")[1] ?? "";
      const isCurrent = JSON.parse(Buffer.from(proof, "base64url").toString()).nonce === nonce;
      const headers = { "dpop-nonce": nonce, "www-authenticate": 'DPoP error="use_dpop_nonce"' };
      response.writeHead(isCurrent ? 200 : 401, isCurrent ? json : headers).end("{}");
    };
    const token = orders.token("billing");
    const create = () => orders.send(`${base}/billing/v1/invoices`, { method: "POST", body, headers: json, token });
    assert.equal((await create()).status, 200);
    assert.equal((await create()).status, 200);
    assert.equal(upstream.seen.length, 3);
    nonce = "n-2";
    const answer = await create();
    assert.equal(answer.status, 200);
    assert.equal(asked.length, 1, "the token was never at fault");
    assert.notEqual(answer.headers["dpop-nonce"], nonce, "a provider's nonce is not the gateway's");
    upstream.answer = (_request, response) =>
      response.writeHead(401, { "dpop-nonce": nonce, "www-authenticate": 'DPoP error="use_dpop_nonce"' }).end();
    const before = upstream.seen.length;
    const endless = await create();
    assert.deepEqual([endless.status, endless.code], [502, "next-hop-rejected"]);
    assert.equal(upstream.seen.length, before + 1, "no new nonce, no other try");
  });

  test("a 401 that says nothing against the token is the provider's answer", async () => {
    await begin();
    upstream.answer = (_request, response) =>
      response.writeHead(401, { "www-authenticate": 'Bearer error="insufficient_user_authentication"' }).end("no");
    const answer = await read(orders, orders.token("billing"));
    assert.deepEqual([answer.status, answer.text, upstream.seen.length], [401, "no", 1]);
  });

  test("attack: a redirect of the provider carries no token anywhere: it is the caller's to follow", async () => {
    await begin();
    const elsewhere = await startCountingUpstream();
    try {
      upstream.answer = (_request, response) => response.writeHead(302, { location: elsewhere.url }).end();
      const answer = await read(orders, orders.token("billing"));
      assert.deepEqual([answer.status, answer.headers.location, elsewhere.seen.length], [302, elsewhere.url, 0]);
    } finally {
      await elsewhere.close();
    }
  });

  test("attack: neither token is in a log line, in a record, or in an answer of the gateway's own", async () => {
    await begin();
    const token = orders.token("billing");
    const ok = await read(orders, token);
    upstream.answer = (_request, response) =>
      response.writeHead(401, { "www-authenticate": 'DPoP error="invalid_token"' }).end();
    const refused = await read(orders, token);
    const leaves = [...(await bed.leaves(ok.id)), ...(await bed.leaves(refused.id))];
    assert.ok(leaves.length >= 2);
    const said = [
      bed.messages.join("\n"),
      JSON.stringify(leaves),
      refused.text,
      JSON.stringify(refused.headers),
    ].join();
    for (const secret of [token, ...given]) assert.ok(!said.includes(secret));
  });

  test("a front door does not take it: a token made for a gateway names no client", async () => {
    await begin();
    const token = orders.token("billing", { client_id: "gateway:edge", sub: "usr_5", gid: ["grt_5", "cli_orders"] });
    const answer = await read(orders, token);
    assert.deepEqual([answer.status, upstream.seen.length], [401, 0]);
  });

  test("attack: what a caller sends as Authorization beside an API key or in observe mode never reaches a provider with tokens of its own", async () => {
    await bed.publish({
      ...estate(),
      estate: { mode: { mode: "observe", untilMs: Date.now() + 3_600_000, reason: "a test" } },
    });
    upstream.seen.length = 0;
    const answer = await call(`${base}/billing/v1/invoices/1`, { headers: { authorization: "Bearer of-long-before" } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(last().headers.authorization, undefined);
  });

  test("figures tell hits, misses, refusals and failures apart", async () => {
    await begin();
    const figures = async () => {
      const text = await bed.gateway.metricsText();
      return Object.fromEntries(
        [...text.matchAll(/^sallyport_next_hop_tokens_total\{answer="([a-z]+)"\} (\d+)$/gm)].map(([, name, n]) => [
          name,
          Number(n),
        ]),
      );
    };
    const start = await figures();
    const token = orders.token("billing");
    await read(orders, token);
    await read(orders, token);
    answering(() => ({ kind: "refused", code: "policy-denied" }));
    await read(orders, orders.token("billing"));
    answering(() => ({ kind: "unavailable", code: "outside-resting" }));
    await read(orders, orders.token("billing"));
    const end = await figures();
    const grown = (name: string) => (end[name] ?? 0) - (start[name] ?? 0);
    assert.deepEqual(["hits", "misses", "refused", "failed"].map(grown), [1, 3, 1, 1]);
  });
});
