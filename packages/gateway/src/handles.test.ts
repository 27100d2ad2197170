// Handles presented at a real gateway over real sockets: one question, then everything as for the token inside; and the attacks on it
// (docs/identity/token-forms.md).
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { printHandle } from "@sallyport/protocol/token/handle.ts";
import { Handles, questionsPerSourceMax, unknownMs } from "./identify/handles.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { standingClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller, type TokenChanges } from "./testing/test-caller.ts";

const digestOf = (handle: string) => hash("sha256", handle, "base64url");
const newHandle = () => printHandle(randomBytes(32));

describe("handles at a gateway", () => {
  let upstream: CountingUpstream;
  let bed: TestGateway;
  let orders: TestCaller;
  let invoice: string;

  before(async () => {
    upstream = await startCountingUpstream();
    const clock = standingClock();
    bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog, clock });
    const url = bed.addresses[0]?.url ?? "";
    invoice = `${url}/billing/v1/invoices/1`;
    orders = new TestCaller(bed.feed, "orders", () => clock.now());
    await orders.learnNonce(`${url}/`);
  });
  after(async () => {
    await bed?.close();
    await upstream?.close();
  });

  /** A handle as control keeps one, and the token behind it. */
  const issued = (changes: TokenChanges = {}) => {
    const handle = newHandle();
    const token = orders.token("billing", changes);
    bed.feed.handles.set(digestOf(handle), token);
    return { handle, token };
  };
  const asks = (handle: string) => bed.feed.asked.filter((digest) => digest === digestOf(handle)).length;
  const present = (handle: string) => orders.send(invoice, { token: handle });
  const codeOf = async (answer: Answer) => {
    const leaf = (await bed.leaves(answer.id))[0];
    return leaf?.t === "crossing" || leaf?.t === "intent" ? leaf.code : undefined;
  };
  const refused = async (code: ProblemCode, status: number, act: () => Promise<Answer>) => {
    const reached = upstream.seen.length;
    const answer = await act();
    assert.equal(answer.status, status, answer.text);
    assert.equal(await codeOf(answer), code);
    assert.equal(upstream.seen.length, reached, "the provider was not reached");
    return answer;
  };

  test("a handle is asked for once and then stands for its token, with a proof over the handle; the provider never sees it", async () => {
    const { handle, token } = issued();
    for (let n = 0; n < 3; n += 1) assert.equal((await present(handle)).status, 200);
    assert.equal(asks(handle), 1);
    assert.equal(JSON.stringify(upstream.seen).includes(handle), false);
    const proof = orders.proof("GET", invoice, token);
    await refused("dpop-token-hash", 401, () =>
      call(invoice, { headers: { authorization: `DPoP ${handle}`, dpop: proof } }),
    );
  });

  test("many crossings with one new handle at once: one question, and all are answered", async () => {
    const { handle } = issued();
    const gate = Promise.withResolvers<void>();
    bed.feed.answering = gate.promise;
    const crossings = Array.from({ length: 8 }, () => present(handle));
    while (asks(handle) === 0) await new Promise((resolve) => setImmediate(resolve));
    gate.resolve();
    bed.feed.answering = Promise.resolve();
    assert.deepEqual(
      (await Promise.all(crossings)).map(({ status }) => status),
      Array.from({ length: 8 }, () => 200),
    );
    assert.equal(asks(handle), 1);
  });

  test("a token that is revoked ends its handle, though this gateway had verified it", async () => {
    const { handle } = issued({ jti: "a-token-to-revoke" });
    assert.equal((await present(handle)).status, 200);
    bed.feed.revoke("jti", "a-token-to-revoke");
    await refused("token-revoked", 401, () => present(handle));
    assert.equal(asks(handle), 1);
  });

  test("a handle without its key is worth nothing: as Bearer, with another's proof, with none", async () => {
    const { handle } = issued();
    await refused("token-bound-as-bearer", 401, () =>
      call(invoice, { headers: { authorization: `Bearer ${handle}` } }),
    );
    await refused("dpop-missing", 401, () => call(invoice, { headers: { authorization: `DPoP ${handle}` } }));
    const thief = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    thief.nonce = orders.nonce;
    await refused("dpop-key-mismatch", 401, () => thief.send(invoice, { token: handle }));
  });

  test("attack: a handle of another environment, and one behind which stands a token of another issuer or audience", async () => {
    await refused("token-unknown", 401, () => present(newHandle()));
    const { handle } = issued({ iss: "https://id.example/main/staging" });
    await refused("token-issuer", 401, () => present(handle));
    const other = issued({ aud: "https://id.example/main/production/systems/ledger" });
    await refused("token-audience", 401, () => present(other.handle));
  });

  test("attack: handles with a checksum that does not fit, cut, doubled or in another spelling are refused without a question", async () => {
    const { handle } = issued();
    const asked = bed.feed.asked.length;
    const last = handle.at(-1) === "A" ? "B" : "A";
    for (const text of [handle.slice(0, -1) + last, handle.slice(0, -4), handle + handle.slice(-4), `${handle}=`])
      await refused("token-malformed", 401, () => present(text));
    assert.equal(bed.feed.asked.length, asked);
    assert.equal((await present(handle)).status, 200);
  });

  test("attack: negative-cache poisoning: a handle that was tried too early is good five seconds later, no other is touched, and trying costs one question", async () => {
    const early = newHandle();
    for (let n = 0; n < 3; n += 1) await refused("token-unknown", 401, () => present(early));
    assert.equal(asks(early), 1);
    assert.equal((await present(issued().handle)).status, 200);
    bed.feed.handles.set(digestOf(early), orders.token("billing"));
    bed.clock.shiftMs += unknownMs + 1;
    try {
      assert.equal((await present(early)).status, 200);
    } finally {
      bed.clock.shiftMs -= unknownMs + 1;
    }
  });

  test("without control nobody gets in on a new handle, the reason is on record, and verified handles go on", async () => {
    const verified = issued();
    const fresh = issued();
    assert.equal((await present(verified.handle)).status, 200);
    bed.feed.silent = true;
    try {
      const answer = await refused("token-unresolved", 503, () => present(fresh.handle));
      assert.equal(answer.code, "token-unresolved");
      assert.equal((await present(verified.handle)).status, 200);
    } finally {
      bed.feed.silent = false;
    }
    assert.equal((await present(fresh.handle)).status, 200, "not knowing is not remembered");
  });

  test("attack: questions from one network are bounded; whoever floods gets 503, and what was asked is still answered", async () => {
    const gate = Promise.withResolvers<void>();
    bed.feed.answering = gate.promise;
    const asked = bed.feed.asked.length;
    const handles = Array.from({ length: questionsPerSourceMax }, () => issued().handle);
    const waiting = handles.map(present);
    while (bed.feed.asked.length < asked + questionsPerSourceMax) await new Promise((resolve) => setImmediate(resolve));
    await refused("token-unresolved", 503, () => present(issued().handle));
    gate.resolve();
    bed.feed.answering = Promise.resolve();
    for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
    assert.equal((await present(issued().handle)).status, 200);
  });
});

test("attack: guessing: handles nobody was given count as bad credentials of their network, which is then refused at the door, unasked", async () => {
  const upstream = await startCountingUpstream();
  const changes = { admission: { badCredentialsPerPrefixMax: 3 } };
  const bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog, changes });
  try {
    const url = bed.addresses[0]?.url ?? "";
    const guesser = new TestCaller(bed.feed, "orders");
    await guesser.learnNonce(`${url}/`);
    const codes: (string | undefined)[] = [];
    for (let n = 0; n < 8; n += 1)
      codes.push((await guesser.send(`${url}/billing/v1/invoices/1`, { token: newHandle() })).code);
    assert.equal(codes.at(-1), "too-many-from-source");
    assert.equal(bed.feed.asked.length, codes.filter((code) => code === "unauthenticated").length);
    assert.ok(bed.feed.asked.length < codes.length);
  } finally {
    await bed.close();
    await upstream.close();
  }
});

describe("questions about handles", () => {
  test("control that does not answer within two seconds has not answered; what comes later changes nothing", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const late = Promise.withResolvers<string | null>();
    let asked = 0;
    const handles = new Handles({
      monotonic: () => 0,
      ask: () => {
        asked += 1;
        return late.promise;
      },
    });
    const answer = handles.find("digest", "source");
    t.mock.timers.tick(2_000);
    const first = await answer;
    assert.equal(first.kind === "deny" && first.code, "token-unresolved");
    late.resolve(null);
    const second = await handles.find("digest", "source");
    assert.equal(second.kind === "deny" && second.code, "token-unknown", "asked again: the late answer was not kept");
    assert.equal(asked, 2);
  });

  test("a handle that is presented again before it is answered is not asked for again, whoever presents it", async () => {
    const answering = Promise.withResolvers<string | null>();
    const asked: string[] = [];
    const ask = (digest: string) => {
      asked.push(digest);
      return answering.promise;
    };
    const handles = new Handles({ monotonic: () => 0, ask });
    const waiting = ["a", "b", "c"].map((source) => handles.find("one", source));
    waiting.push(handles.find("two", "a"));
    answering.resolve("x.y.z");
    for (const answer of await Promise.all(waiting)) assert.deepEqual(answer, { kind: "token", token: "x.y.z" });
    assert.deepEqual(asked, ["one", "two"]);
  });

  test("an answer that is none of the channel's is no answer", async () => {
    const handles = new Handles({ monotonic: () => 0, ask: async () => Promise.reject(new Error("400")) });
    for (let n = 0; n < 2; n += 1) {
      const answer = await handles.find("digest", "source");
      assert.equal(answer.kind === "deny" && answer.code, "token-unresolved");
    }
  });
});
