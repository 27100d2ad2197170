// What control asks and sends over the channel, through the real feed and a real gateway: lines down, posts up, one crossing looked up, log keys delivered.
import assert from "node:assert/strict";
import { createHash, createPublicKey, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type {
  DownMessage,
  LogKeys,
  PayloadKeyRequest,
  SnapshotFeed,
  UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import { logKeyContext, openLogKeyCache } from "../join/log-key-cache.ts";
import { type NodeIdentity, newNodeKeys, spkiText } from "../join/node-identity.ts";
import { until } from "../testing/start-test-gateway.ts";
import { environment, group, region, TestFeed, tenant } from "../testing/test-estate.ts";
import { type Bench, benchEstate, openBench } from "../testing/three-ways.ts";
import { type ChannelTransport, createChannelFeed } from "./feed.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The feed a joined gateway has, over a transport whose far end is control's side in memory: what passes is text, as on the wire. */
function channelOver(control: TestFeed, held: () => { keySeq: number; revocationSeq: number }): SnapshotFeed {
  let up: ((message: UpMessage) => Promise<void>) | null = null;
  const transport: ChannelTransport = {
    async stream(_path, onLine) {
      const channel = control.open((message: DownMessage) => onLine(JSON.stringify(message)));
      up = channel.send;
      const end = Promise.withResolvers<Error>();
      return {
        ended: end.promise,
        close: () => {
          void channel.close();
          end.resolve(new Error("closed by the gateway"));
        },
      };
    },
    async get(path) {
      return control.blob(path.slice(path.lastIndexOf("/") + 1));
    },
    async post(path, body) {
      if (path === "/channel/v1/payload-keys") {
        // As the feed prints it.
        const wanted = JSON.parse(String(body)) as PayloadKeyRequest;
        return Buffer.from(JSON.stringify(await control.payloadKey(wanted)));
      }
      // What the feed prints is one UpMessage; the sender's own type says so.
      await up?.(JSON.parse(String(body)) as UpMessage);
      return new Uint8Array();
    },
  };
  return createChannelFeed({ transport, clock, random, held, fault: () => {} });
}

async function openChannelBench(options: Parameters<typeof openBench>[0] = {}): Promise<Bench> {
  const opened: Bench[] = [];
  const control = new TestFeed(() => Date.now());
  const feed = channelOver(control, () => opened[0]?.bed.gateway.held() ?? { keySeq: 0, revocationSeq: 0 });
  const bench = await openBench({
    clock: { shiftMs: 0, ...clock },
    feed: control,
    ...options,
    changes: { feed, ...options.changes },
  });
  opened.push(bench);
  return bench;
}

type Reply = Extract<UpMessage, { t: "answer" }>;

async function ask(bench: Bench, id: string, crossing: string): Promise<Reply> {
  bench.bed.feed.push({ t: "question", id, ask: "crossing", crossing });
  const replies = (): Reply[] =>
    bench.bed.feed.sent.flatMap((one) => (one.t === "answer" && one.id === id ? [one] : []));
  await until(() => replies().length > 0, "the answer");
  const [reply, ...more] = replies();
  assert.ok(reply !== undefined && more.length === 0, "one answer to one question");
  return reply;
}

describe("a question about a crossing", () => {
  let bench: Bench;
  before(async () => {
    bench = await openChannelBench();
  });
  after(() => bench?.close());

  test("is answered with the very bytes of its leaves and the reference still sealed", async () => {
    const read = await bench.orders.send(`${bench.url}/billing/v1/invoices/canary-path-3`);
    const effect = await bench.orders.send(`${bench.url}/billing/v1/invoices`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ amount: 5, customer: "canary-body-3" }),
    });
    for (const [index, { id }, leaves] of [[1, read, 1] as const, [2, effect, 2] as const]) {
      const reply = await ask(bench, `q-${index}`, id);
      const stored = await bench.bed.log.find(id);
      assert.equal(reply.found, true);
      assert.deepEqual(
        reply.leaves,
        stored.map(({ leaf }) => Buffer.from(leaf).toString("latin1")),
      );
      assert.equal(reply.leaves.length, leaves);
      const reference = Buffer.from(reply.reference ?? "", "base64url");
      const first = JSON.parse(reply.leaves[0] ?? "{}");
      assert.equal(
        createHash("sha256").update(reference).digest("hex"),
        first.inputs,
        "the reference the leaf commits to",
      );
      assert.ok(
        !`${reply.leaves.join("")}${reference.toString("latin1")}`.includes("canary"),
        "nothing is opened here",
      );
    }
  });

  test("is answered with what was decided first and what was carried last; the payload itself is not sent", async () => {
    const kept = await bench.orders.send(`${bench.url}/keeper/v1/things/t-9`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    assert.equal(kept.status, 200, kept.text);
    const reply = await ask(bench, "q-kept", kept.id);
    const leaves = reply.leaves.map((leaf) => JSON.parse(leaf));
    assert.deepEqual(
      leaves.map(({ t }) => t),
      ["intent", "outcome", "payload"],
    );
    const reference = Buffer.from(reply.reference ?? "", "base64url");
    assert.equal(createHash("sha256").update(reference).digest("hex"), leaves[0].inputs);
  });

  test("is answered for a denial as well", async () => {
    const denied = await bench.analytics.send(bench.invoice);
    assert.equal(denied.code, "not-active");
    const reply = await ask(bench, "q-denied", denied.id);
    assert.match(reply.leaves[0] ?? "", /"code":"not-active"/);
  });

  test("about a crossing this node never had is answered too: not found, nothing attached", async () => {
    const reply = await ask(bench, "q-unknown", "gw-other-01J0000000000000000000000");
    assert.deepEqual(reply, { t: "answer", id: "q-unknown", found: false, leaves: [], reference: null });
  });

  test("that the log cannot answer is said to the operator of this node, and traffic goes on", async () => {
    const { find } = bench.log;
    bench.log.find = () => Promise.reject(new Error("the segment cannot be read"));
    const sent = bench.bed.feed.sent.length;
    bench.bed.feed.push({ t: "question", id: "q-fault", ask: "crossing", crossing: "gw-test-1" });
    await until(() => bench.bed.messages.some((line) => line.includes("could not be answered")), "the warning");
    bench.log.find = find;
    assert.ok(
      !bench.bed.feed.sent.slice(sent).some((one) => one.t === "answer"),
      "no answer is better than a wrong one",
    );
    assert.equal((await bench.orders.send(bench.invoice)).status, 200);
  });
});

describe("log keys come down the channel, sealed to this node", () => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-log-keys-"));
  const keys = newNodeKeys();
  const pem = (key: typeof keys.nodeKey) => key.export({ type: "pkcs8", format: "pem" }).toString();
  const identity: NodeIdentity = {
    v: 1,
    node: "gw-test",
    tenant,
    environment,
    region,
    group,
    url: "https://127.0.0.1:1",
    pin: "",
    snapshotKey: { kid: "", x: "" },
    epoch: 1,
    nodeKey: pem(keys.nodeKey),
    sealKey: pem(keys.sealKey),
    certificate: "",
    authority: spkiText(keys.nodeKey),
  };
  const controlKey = newNodeKeys().sealKey;
  let bench: Bench;

  function sealed(epoch: string, to = keys.sealKey): LogKeys {
    const recipient = new Uint8Array(createPublicKey(to).export({ format: "der", type: "spki" }).subarray(-32));
    const sealer = createRecipientSealer({ recipient, random, clock });
    const box = sealer.seal(logKeyContext(identity, epoch), random.bytes(32));
    const own = createPublicKey(controlKey).export({ format: "der", type: "spki" }).subarray(-32);
    return {
      epoch,
      pseudonymKeySealed: Buffer.from(box).toString("base64url"),
      referenceRecipient: own.toString("base64url"),
      referenceKeyId: "control-1",
    };
  }

  before(async () => {
    const cache = openLogKeyCache(directory, identity);
    bench = await openChannelBench({ changes: { logKeys: null, openLogKeys: cache.open }, unpublished: true });
    await bench.bed.publish(benchEstate(bench.upstream.url));
  });
  after(async () => {
    await bench?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const callerEpoch = async (id: string): Promise<string> => {
    const [leaf] = await bench.bed.leaves(id);
    assert.ok(leaf?.t === "crossing");
    return String(leaf.caller).split(":", 1)[0] ?? "";
  };

  test("until they come nothing passes, nothing is recorded, and readiness says why", async () => {
    const refused = await bench.orders.send(bench.invoice);
    assert.deepEqual([refused.status, refused.code], [503, "record-unavailable"]);
    assert.deepEqual(bench.appended, []);
    const readiness = bench.bed.gateway.readiness();
    assert.equal(readiness.ready, false);
    assert.match(JSON.stringify(readiness), /log keys/);
  });

  test("with them it is ready, records name their epoch, and they are kept for a start without control", async () => {
    bench.bed.feed.push({ t: "log-keys", keys: sealed("2026") });
    await until(() => bench.bed.gateway.readiness().ready, "readiness");
    const answer = await bench.orders.send(bench.invoice);
    assert.equal(answer.status, 200);
    assert.equal(await callerEpoch(answer.id), "2026");
    assert.equal(openLogKeyCache(directory, identity).cached()?.epoch, "2026");
  });

  test("keys sealed to another node are refused, said, and the old ones go on", async () => {
    bench.bed.feed.push({ t: "log-keys", keys: sealed("2027", newNodeKeys().sealKey) });
    await until(() => bench.bed.messages.some((line) => line.includes("not sealed to this node")), "the error");
    const answer = await bench.orders.send(bench.invoice);
    assert.equal(answer.status, 200);
    assert.equal(await callerEpoch(answer.id), "2026");
  });

  test("the keys of a new year take over at once", async () => {
    const before = await bench.orders.send(bench.invoice);
    bench.bed.feed.push({ t: "log-keys", keys: sealed("2027") });
    const answer = await bench.orders.send(bench.invoice);
    assert.deepEqual([await callerEpoch(before.id), await callerEpoch(answer.id)], ["2026", "2027"]);
  });
});
