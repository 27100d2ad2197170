// API keys presented at a real gateway over real sockets: what they open, and the attacks on them (docs/identity/api-keys.md).
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { after, before, describe, test } from "node:test";
import type { ApiKeyObject } from "@sallyport/protocol/snapshot/api-keys.ts";
import { apiKeyIdOf, apiKeyTokenId, printApiKey } from "@sallyport/protocol/token/api-key.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const made = (id: string): string => printApiKey(id, randomBytes(32));
const first = made("0000000001");
const second = made("0000000002");
const narrow = made("0000000003");
const old = made("0000000004");

let upstream: CountingUpstream;
let bed: TestGateway;
let base: string;
let invoice: string;

const day = 86_400_000;

function keyOf(text: string, changes: Partial<ApiKeyObject> = {}): ApiKeyObject {
  return {
    id: apiKeyIdOf(text) ?? "",
    digest: hash("sha256", text, "base64url"),
    system: "vendor",
    integrations: ["vendor-to-billing"],
    notAfterMs: Date.now() + day,
    ...changes,
  };
}

const all = [
  keyOf(first),
  keyOf(second),
  keyOf(narrow, { integrations: ["vendor-to-ledger"] }),
  keyOf(old, { notAfterMs: Date.now() - 1_000 }),
];

function estate(keys = all): TestEstate {
  const reads = [{ name: "invoice.read" }];
  const proof = ["api-key"] as const;
  return {
    systems: [
      billing(upstream.url),
      { id: "ledger", url: upstream.url, operations: [{ name: "book.read", method: "GET", path: "/v1/books/{id}" }] },
      { id: "vendor" },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      { id: "vendor-to-billing", from: "vendor", to: "billing", proof, operations: reads },
      { id: "vendor-to-ledger", from: "vendor", to: "ledger", proof, operations: [{ name: "book.read" }] },
      { id: "orders-to-billing", from: "orders", to: "billing", operations: reads },
    ],
    apiKeys: { headers: ["x-vendor-key"], keys },
  };
}

/** The same, with a provider where denials are recorded and pass. */
function observing(keys: ApiKeyObject[]): TestEstate {
  const mode = { mode: "observe", untilMs: Date.now() + day, reason: "being moved" } as const;
  const { systems, ...rest } = estate(keys);
  return {
    ...rest,
    systems: systems.map((one) => (one.id === "billing" ? { ...one, changes: { ...one.changes, mode } } : one)),
  };
}

let last: { readonly code: string; readonly facts: Readonly<Record<string, string>> } | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  last = deny === null || deny === undefined ? undefined : deny;
};

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estate(),
    openLog: openTestLog,
    changes: { observers: [{ crossing: remember }] },
  });
  base = bed.addresses[0]?.url ?? "";
  invoice = `${base}/billing/v1/invoices/1`;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const authorized = (key: string, at = invoice): Promise<Answer> =>
  call(at, { headers: { authorization: `ApiKey ${key}` } });
const inField = (key: string | string[]): Promise<Answer> => call(invoice, { headers: { "x-vendor-key": key } });

/** Nothing that the gateway says, records or sends on holds the key. */
async function passes(key: string, answer: Answer): Promise<void> {
  assert.equal(answer.status, 200, `${answer.text} ${last?.code}`);
  const secret = key.slice("spk1_0000000001_".length);
  const leaves = await bed.leaves(answer.id);
  assert.equal(JSON.stringify([upstream.seen.at(-1), leaves, answer, bed.messages]).includes(secret), false);
  const [leaf] = leaves;
  assert.ok(leaf?.t === "crossing");
  assert.equal(leaf.proof, "api-key");
  assert.ok(leaf.token?.startsWith("2026:"));
}

async function refused(code: string, answer: Answer): Promise<void> {
  assert.equal(answer.status, 401, answer.text);
  assert.equal(answer.code, "unauthenticated");
  assert.equal(last?.code, code);
}

describe("what a key opens", () => {
  test("in Authorization and in the estate's field; the record says which by a pseudonym, the provider gets neither", async () => {
    await passes(first, await authorized(first));
    assert.equal(upstream.seen.at(-1)?.headers.authorization, undefined);
    await passes(second, await inField(second));
    assert.equal(upstream.seen.at(-1)?.headers["x-vendor-key"], undefined);
    assert.ok(upstream.seen.at(-1)?.headers["sallyport-identity"] !== undefined);
  });

  test("a key is for its integrations: another grant of its system is refused with what the key is for", async () => {
    const answer = await authorized(narrow);
    assert.deepEqual([answer.status, answer.code], [403, "api-key-scope"]);
    assert.match(answer.text, /made for vendor-to-ledger/);
    assert.equal((await authorized(narrow, `${base}/ledger/v1/books/1`)).status, 200);
  });

  test("with a token the field is the provider's, but never one of our keys", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const sent = await orders.send(invoice, { headers: { "x-vendor-key": "theirs" } });
    assert.equal(sent.status, 200, sent.text);
    assert.equal(upstream.seen.at(-1)?.headers["x-vendor-key"], "theirs");
    const leaked = await orders.send(invoice, { headers: { "x-vendor-key": first } });
    assert.equal(leaked.status, 200, leaked.text);
    assert.equal(upstream.seen.at(-1)?.headers["x-vendor-key"], undefined);
  });
});

describe("attack", () => {
  test("attack: a key nobody made, one letter off, the name of one with the secret of another, an empty one", async () => {
    await refused("api-key-unknown", await authorized(made("0000000001")));
    assert.match(last?.facts["why"] ?? "", /never made here/);
    const off = `${first.slice(0, -1)}${first.endsWith("A") ? "B" : "A"}`;
    await refused("api-key-unknown", await authorized(off));
    assert.match(last?.facts["why"] ?? "", /checksum/);
    const crossed = `spk1_0000000001_${second.slice("spk1_0000000002_".length)}`;
    await refused("api-key-unknown", await authorized(crossed));
    await refused("api-key-unknown", await authorized("x"));
    await refused("credentials-malformed", await call(invoice, { headers: { authorization: "ApiKey" } }));
  });

  test("what was sent is told by its name alone, to operators alone", async () => {
    await refused("api-key-unknown", await authorized(made("00000000aa")));
    assert.equal(last?.facts["sent"], "spk1_00000000aa_…");
    await refused("api-key-unknown", await authorized("hunter2-hunter2"));
    assert.equal(JSON.stringify(last?.facts).includes("hunter2"), false);
  });

  test("attack: a key in the query, in a cookie, as Bearer, as the password of Basic or in another field is none", async () => {
    await refused("credentials-missing", await call(`${invoice}?api_key=${first}&x-vendor-key=${first}`));
    await refused("credentials-missing", await call(invoice, { headers: { cookie: `key=${first}` } }));
    await refused("token-malformed", await call(invoice, { headers: { authorization: `Bearer ${first}` } }));
    const basic = Buffer.from(`:${first}`).toString("base64");
    await refused("credentials-malformed", await call(invoice, { headers: { authorization: `Basic ${basic}` } }));
    await refused("credentials-missing", await call(invoice, { headers: { "x-api-key": first } }));
  });

  test("attack: two keys, or a key with a proof of something else, are nobody's", async () => {
    await refused("credentials-malformed", await inField([first, first]));
    const both = { authorization: `ApiKey ${first}`, dpop: "a.b.c" };
    await refused("credentials-malformed", await call(invoice, { headers: both }));
  });

  test("attack: a key whose end has come, and one that was ended while the snapshot still has it", async () => {
    await refused("api-key-ended", await authorized(old));
    assert.match(last?.facts["sent"] ?? "", /0000000004, good until/);
    const fresh = made("0000000009");
    await bed.publish(estate([...all, keyOf(fresh)]));
    assert.equal((await authorized(fresh)).status, 200);
    bed.feed.revoke("jti", apiKeyTokenId("0000000009"));
    await refused("api-key-ended", await authorized(fresh));
    await bed.publish(estate());
  });

  const ends: readonly (readonly [string, boolean, (still: TestGateway) => Promise<void> | void])[] = [
    ["its end is told", false, (still) => still.feed.revoke("jti", apiKeyTokenId("0000000001"))],
    ["a snapshot comes without it", false, (still) => still.publish(estate(all.slice(1)))],
    ["a snapshot comes without it, where denials only pass", true, (still) => still.publish(observing(all.slice(1)))],
  ];
  for (const [how, observed, end] of ends)
    test(`attack: a stream that an ended key opened goes on: ${how}, without waiting for a clock, and the record says that it was ended`, async () => {
      const atMs = Date.now();
      // Time stands still, so that nothing but the word of the end can be why it is asked about.
      const clock = { shiftMs: 0, now: () => atMs, monotonic: () => performance.now() };
      const still = await startTestGateway({
        estate: observed ? observing(all) : estate(),
        openLog: openTestLog,
        clock,
        changes: { observers: [{ crossing: remember }] },
      });
      try {
        upstream.answer = (_request, response) => {
          upstream.answer = null;
          response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
        };
        const at = `${still.addresses[0]?.url}/billing/v1/invoices/1`;
        const asking = get(at, { headers: { authorization: `ApiKey ${first}` }, agent: false });
        const [answer] = (await once(asking, "response")) as [IncomingMessage]; // what the event has
        await once(answer, "data");
        const cut = once(answer.resume(), "error") as Promise<[Error]>; // what the event has
        await end(still);
        assert.match((await cut)[0].message, /aborted/);
        assert.equal(last?.code, "api-key-ended");
      } finally {
        await still.close();
      }
    });

  test("attack: a key where keys are not accepted, and where nobody has any", async () => {
    const { apiKeys: _, ...none } = estate();
    await bed.publish(none);
    await refused("api-key-unknown", await authorized(first));
    await refused("credentials-missing", await inField(first));
    await bed.publish({
      ...estate(),
      integrations: estate().integrations.map((one) => ({ ...one, proof: ["dpop", "mtls"] })),
    });
    const answer = await authorized(first);
    assert.deepEqual([answer.status, answer.code], [403, "proof-not-accepted"]);
    await bed.publish(estate());
  });

  test("attack: while denials only pass, a key of ours does not reach the provider with them", async () => {
    await bed.publish(observing(all));
    const unknown = made("00000000bb");
    assert.equal((await inField(unknown)).status, 200);
    assert.equal(JSON.stringify(upstream.seen.at(-1)).includes("00000000bb"), false);
    assert.equal((await authorized(unknown)).status, 200);
    assert.equal(JSON.stringify(upstream.seen.at(-1)).includes("00000000bb"), false);
    // An end is somebody's word: it is kept also then.
    await refused("api-key-ended", await authorized(old));
    await bed.publish(estate());
  });
});
