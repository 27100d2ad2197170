// What is kept of crossings at a real gateway over real sockets, and the attacks on it (docs/payloads.md). The test stands in for control: it alone has the
// private halves of the keys that payloads are sealed to.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { createRecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import type { Leaf, PayloadDirection } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { payloadContext } from "@sallyport/protocol/audit/payload.ts";
import type { PayloadRule, Projection } from "@sallyport/protocol/snapshot/objects.ts";
import { askedMax, heldMax, PayloadKeys } from "./payloads/payload-keys.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog, type TestLog } from "./testing/open-test-log.ts";
import { RunningTime } from "./testing/running-time.ts";
import { movableClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { type TestEstate, TestFeed } from "./testing/test-estate.ts";

const canary = "canary-4929420573595709";
/** `customerId`, `amount` and `lines[].sku` are kept; `pin` is dropped, and so is whatever is not declared. */
const projection: Projection = [
  { members: { customerId: 1, amount: 1, pin: -1, lines: 2 } },
  {},
  { items: 3 },
  { members: { sku: 1 } },
];
const bytesMax = 512;
const rule: PayloadRule = {
  subject: { from: "body", name: "$.customerId", type: "string" },
  days: 90,
  bytesMax,
  request: projection,
  response: projection,
};

function estate(url: string): TestEstate {
  const json = { content: "json", contentType: "application/json" } as const;
  const operations = [
    { name: "order.create", method: "POST", path: "/v1/orders", body: json, changes: { payload: rule } },
    {
      name: "order.read",
      method: "GET",
      path: "/v1/orders/{id}",
      changes: {
        payload: { subject: { from: "path", name: "id", type: "string" }, days: 30, bytesMax, response: projection },
      },
    },
  ] as const;
  return {
    systems: [
      { id: "shop", url, operations },
      { id: "watched", url, operations, changes: { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      { id: "orders-to-shop", from: "orders", to: "shop", operations: operations.map(({ name }) => ({ name })) },
      { id: "orders-to-watched", from: "orders", to: "watched", operations: [{ name: "order.read" }] },
    ],
  };
}

describe("payloads at a gateway", () => {
  let upstream: CountingUpstream;
  let bed: TestGateway;
  let log: TestLog;
  let orders: TestCaller;
  let url = "";

  before(async () => {
    upstream = await startCountingUpstream();
    const openLog = async (directory: string) => {
      log = await openTestLog(directory);
      return log;
    };
    bed = await startTestGateway({ estate: estate(upstream.url), openLog });
    url = bed.addresses[0]?.url ?? "";
    orders = new TestCaller(bed.feed, "orders");
    await orders.learnNonce(`${url}/`);
  });
  after(async () => {
    await bed?.close();
    await upstream?.close();
  });
  beforeEach(() => {
    upstream.answer = null;
  });

  const answerWith = (body: string, headers: Readonly<Record<string, string>> = {}) => {
    upstream.answer = (_request, response: ServerResponse) =>
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);
  };
  const create = (body: unknown) =>
    orders.send(`${url}/shop/v1/orders`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const recordsOf = (id: string) => log.find(id);

  /** Opens a payload as control would: with the data subject's key, in the context of the leaf that names it. */
  async function open(id: string, direction: PayloadDirection, place = { id, direction }): Promise<string> {
    for (const { leaf, reference } of await recordsOf(id)) {
      const parsed = parseLeaf(leaf);
      if (parsed.t !== "payload" || parsed.direction !== direction) continue;
      assert.ok(reference !== null && hash("sha256", reference, "hex") === parsed.content);
      assert.equal(reference.length, parsed.bytes);
      const pair = bed.feed.payloadKeys.get(parsed.dataSubject) ?? assert.fail("nobody asked for this key");
      const opener = createRecipientOpener(pair.privateKey);
      assert.equal(opener.recipient, parsed.key);
      const { tenant, environment, node } = parsed;
      return Buffer.from(opener.open(payloadContext({ tenant, environment, node, ...place }), reference)).toString(
        "utf8",
      );
    }
    return assert.fail(`no ${direction} was kept of ${id}`);
  }

  /** `request no-subject`, `response kept`, …, in the order of the log. */
  async function said(id: string): Promise<readonly string[]> {
    return (await bed.leaves(id)).map((leaf: Leaf) =>
      leaf.t === "payload"
        ? `${leaf.direction} kept`
        : leaf.t === "unkept"
          ? `${leaf.direction} ${leaf.reason}`
          : leaf.t,
    );
  }

  test("request and answer are kept before the intent and before the outcome, less what is dropped and what nobody declared", async () => {
    answerWith(
      `{"customerId":"c-1","lines":[{"sku":"a","pin":"${canary}"}],"pin":"${canary}","more":{"x":"${canary}"}}`,
    );
    const answer = await create({
      customerId: "c-1",
      amount: 7,
      pin: canary,
      note: canary,
      lines: [{ sku: "a", x: canary }],
    });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(await said(answer.id), ["request kept", "intent", "response kept", "outcome"]);
    assert.deepEqual(JSON.parse(await open(answer.id, "request")), {
      customerId: "c-1",
      amount: 7,
      lines: [{ sku: "a" }],
    });
    assert.deepEqual(JSON.parse(await open(answer.id, "response")), { customerId: "c-1", lines: [{ sku: "a" }] });
    assert.ok(upstream.seen.at(-1)?.body.includes(canary), "the provider got what the caller sent");
    const leaf = (await bed.leaves(answer.id)).find(({ t }) => t === "payload");
    assert.ok(leaf?.t === "payload" && leaf.endsAt > Date.now() + 89 * 86_400_000);
  });

  test("a read is kept under the data subject of its path; one data subject is asked about once, whatever the crossing", async () => {
    answerWith('{"customerId":"x"}');
    const asked = bed.feed.asked.length;
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push((await orders.send(`${url}/shop/v1/orders/c-2`)).id);
    for (const id of ids) assert.deepEqual(await said(id), ["response kept", "crossing"]);
    assert.equal(bed.feed.asked.length, asked + 1);
    assert.equal(await open(ids[2] ?? "", "response"), '{"customerId":"x"}');
  });

  test("numbers are kept as they are written, not as a double has them", async () => {
    const answer = await create(
      '{"customerId":"c-3","amount":100.000000000000000000001,"lines":[12345678901234567890]}',
    );
    assert.equal(
      await open(answer.id, "request"),
      '{"customerId":"c-3","amount":100.000000000000000000001,"lines":[12345678901234567890]}',
    );
  });

  test("attack: a subject path that selects an object, a list, nothing, an empty text, a fraction or two values keeps nothing and says so", async () => {
    for (const body of [
      { customerId: { id: "c-1" } },
      { customerId: ["c-1"] },
      { customerId: null },
      { customerId: true },
      { customerId: "" },
      { amount: 1 },
      '{"customerId":7.5}',
      '{"customerId":"c-1","CustomerID":"c-2"}',
      { customerId: "x".repeat(2_000) },
    ]) {
      const answer = await create(body);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(
        await said(answer.id),
        ["request no-subject", "intent", "response no-subject", "outcome"],
        JSON.stringify(body),
      );
    }
    const asText = await create({ customerId: "7" });
    const asNumber = await create({ customerId: 7 });
    const subjectOf = async (id: string) =>
      (await bed.leaves(id)).flatMap((leaf) => (leaf.t === "payload" ? [leaf.dataSubject] : []));
    assert.deepEqual(
      await subjectOf(asText.id),
      await subjectOf(asNumber.id),
      "a whole number is the text that it is written as",
    );
  });

  test("attack: JSON with a duplicate name is refused in a request, and not kept of an answer: two readers would see different things", async () => {
    answerWith(`{"customerId":"c-1","pin":1,"customerId":"${canary}"}`);
    assert.deepEqual(await said((await create({ customerId: "c-1" })).id), [
      "request kept",
      "intent",
      "response not-json",
      "outcome",
    ]);
    const reached = upstream.seen.length;
    const refused = await create('{"customerId":"c-1","customerId":"c-2"}');
    assert.equal(refused.code, "body-malformed");
    assert.deepEqual(await said(refused.id), ["crossing"]);
    assert.equal(upstream.seen.length, reached);
  });

  test("what is no JSON, empty, encoded, too long to be held or larger than its bound is not kept, and the answer is what it was", async () => {
    const kept = ["request kept", "intent"];
    const large = JSON.stringify({ customerId: "y".repeat(bytesMax) });
    const long = JSON.stringify({ customerId: "z".repeat(70_000) });
    for (const [body, headers, reason] of [
      ["not json", {}, "not-json"],
      ["", {}, "empty"],
      ["\u001f\u008b\b", { "content-encoding": "gzip" }, "not-json"],
      [large, {}, "too-large"],
      [long, {}, "not-whole"],
    ] as const) {
      answerWith(body, headers);
      const answer = await create({ customerId: "c-1" });
      assert.deepEqual([answer.status, answer.text], [200, body]);
      assert.deepEqual(await said(answer.id), [...kept, `response ${reason}`, "outcome"]);
    }
    const request = await create({
      customerId: "c-1",
      lines: Array.from({ length: 60 }, () => ({ sku: "0123456789" })),
    });
    assert.deepEqual((await said(request.id))[0], "request too-large");
    // What is over the bound only before dropping is kept.
    assert.deepEqual((await said((await create({ customerId: "c-1", pin: "p".repeat(5_000) })).id))[0], "request kept");
  });

  test("attack: a ciphertext moved to another crossing, or to the other direction, does not open", async () => {
    answerWith('{"customerId":"c-1"}');
    const [one, two] = [await create({ customerId: "c-1" }), await create({ customerId: "c-1" })];
    await open(one.id, "request");
    const refused = { code: "envelope-refused" };
    await assert.rejects(open(one.id, "request", { id: two.id, direction: "request" }), refused);
    await assert.rejects(open(one.id, "request", { id: one.id, direction: "response" }), refused);
  });

  test("control gives no key, or is slow: an effect is not forwarded, a read is not answered, and the caller may try again", async () => {
    const reached = upstream.seen.length;
    bed.feed.withholdsPayloadKeys = true;
    try {
      const effect = await create({ customerId: "c-nobody-asked-before" });
      assert.deepEqual([effect.status, effect.code], [503, "payload-unavailable"]);
      assert.equal(upstream.seen.length, reached);
      const read = await orders.send(`${url}/shop/v1/orders/c-nor-this`);
      assert.deepEqual([read.status, read.code], [503, "payload-unavailable"]);
      assert.equal((await create({ customerId: "c-1" })).status, 200, "a key that is held is used");
    } finally {
      bed.feed.withholdsPayloadKeys = false;
    }
    const silent = Promise.withResolvers<void>();
    bed.feed.answering = silent.promise;
    const running = new RunningTime();
    const slow = await create({ customerId: "c-while-control-is-slow" });
    assert.equal(slow.code, "payload-unavailable");
    assert.ok(running.end() < 10_000, "a crossing is held up no longer than the bound");
    silent.resolve();
    bed.feed.answering = Promise.resolve();
    assert.equal((await create({ customerId: "c-while-control-is-slow" })).status, 200);
  });

  test("a log that takes no record: what is to be kept cannot be, so nothing passes", async () => {
    const reached = upstream.seen.length;
    log.full = true;
    try {
      assert.equal((await create({ customerId: "c-1" })).code, "record-unavailable");
      assert.equal(upstream.seen.length, reached);
    } finally {
      log.full = false;
    }
  });

  test("where a denial passes under observation nothing is kept: what came may be anything", async () => {
    answerWith('{"customerId":"c-1"}');
    const stranger = new TestCaller(bed.feed, "orders");
    await stranger.learnNonce(`${url}/`);
    const passed = await stranger.send(`${url}/watched/v1/orders/c-1`, {
      token: stranger.token("watched", { scope: "watched:other" }),
    });
    assert.equal(passed.status, 200, passed.text);
    assert.deepEqual(await said(passed.id), ["response unenforced", "crossing"]);
    const allowed = await orders.send(`${url}/watched/v1/orders/c-1`);
    assert.deepEqual(await said(allowed.id), ["response kept", "crossing"]);
  });

  test("attack: a canary in what is kept is nowhere in clear: no leaf, no file of the gateway, no log line, no metric", async () => {
    const subject = "canary-subject-77";
    answerWith(`{"customerId":"${subject}","lines":[{"sku":"canary-sku-78"}]}`);
    const answer = await create({ customerId: subject, lines: [{ sku: "canary-sku-78" }] });
    assert.match(await open(answer.id, "response"), /canary-sku-78/, "it is kept");
    await log.checkpoint();
    const files = readdirSync(bed.directory, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.ok(files.length > 5);
    for (const file of files) {
      const bytes = readFileSync(join(file.parentPath, file.name));
      for (const word of [subject, "canary-sku-78", canary])
        assert.equal(bytes.includes(word), false, `${word} in ${file.name}`);
    }
    const told = `${bed.messages.join("\n")}${await bed.gateway.metricsText()}${JSON.stringify(bed.feed.asked)}`;
    assert.equal(/canary/.test(told), false);
  });
});

describe("payload keys", () => {
  const answer = { key: Buffer.alloc(32, 9).toString("base64url"), endsAt: 1, freshMs: 60_000 };

  test("attack: a flood of data subjects fills neither the questions under way nor the keys held; the oldest goes first", async () => {
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const clock = movableClock();
    const random = { bytes: (length: number) => new Uint8Array(length).fill(7) };
    const ask = async () => {
      asked += 1;
      await gate.promise;
      return answer;
    };
    const keys = new PayloadKeys({ ask, clock, random });
    const first = Array.from({ length: askedMax + 1 }, (_, n) => keys.find(`2026:${n}`, 90));
    const over = await first.at(-1);
    assert.ok(over?.kind === "deny" && over.code === "payload-unavailable");
    gate.resolve();
    await Promise.all(first);
    for (let n = 0; n < heldMax; n++) await keys.find(`2026:later-${n}`, 90);
    assert.equal(asked, askedMax + heldMax);
    await keys.find(`2026:later-${heldMax - 1}`, 90);
    assert.equal(asked, askedMax + heldMax, "held");
    await keys.find("2026:0", 90);
    assert.equal(asked, askedMax + heldMax + 1, "no longer held");
    keys.forget();
  });

  test("attack: control, or who stands in for it, says a key stays fresh for ever: it is asked again within a minute", async () => {
    const feed = new TestFeed(() => 0);
    const clock = movableClock();
    const ask = async () => ({ ...(await feed.payloadKey({ subject: "2026:a", days: 1 })), freshMs: 4e12 });
    const keys = new PayloadKeys({ ask, clock, random: { bytes: (length) => new Uint8Array(length).fill(7) } });
    await keys.find("2026:a", 1);
    clock.shiftMs = 59_000;
    await keys.find("2026:a", 1);
    assert.equal(feed.asked.length, 1);
    clock.shiftMs = 61_000;
    await keys.find("2026:a", 1);
    assert.equal(feed.asked.length, 2);
    keys.forget();
  });

  test("a key of low order, or none at all, is no key: the crossing ends", async () => {
    for (const key of ["", Buffer.alloc(32).toString("base64url")]) {
      const keys = new PayloadKeys({
        ask: async () => ({ ...answer, key }),
        clock: movableClock(),
        random: { bytes: (length) => new Uint8Array(length).fill(7) },
      });
      assert.equal((await keys.find("2026:a", 1)).kind, "deny");
    }
  });
});
