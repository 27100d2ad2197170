import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import {
  blobOfProduction,
  blobOfStaging,
  openTestChannel,
  type TestCertificate,
  type TestChannel,
  testAuthority,
  testCertificate,
} from "@sallyport/control/gateways/channel.test-support.ts";
import { backoffPauseMs, type ChannelTransport, createChannelFeed } from "@sallyport/gateway/channel/feed.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Random } from "@sallyport/kernel/ports.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { freePorts } from "../port-lane.test-support.ts";
import { openChannelTransport } from "./channel-transport.ts";

const bounded = { timeout: 120_000 };
/** Shortest pauses, so that reconnecting takes no time. */
const quick: Random = { bytes: (length) => new Uint8Array(length) };
const keys = (seq: number): DownMessage => ({ t: "keys", seq, keys: [] });

interface Following {
  readonly messages: DownMessage[];
  readonly faults: unknown[];
  readonly transport: ChannelTransport;
  /** Resolves when something fits, now or later. */
  until(fits: () => boolean): Promise<void>;
  send(message: UpMessage): Promise<void>;
  close(): Promise<void>;
}

function follow(
  t: TestContext,
  target: { readonly url: string; readonly pin: string },
  client: TestCertificate,
  options: { readonly monotonic?: () => number; readonly held?: () => { keySeq: number; revocationSeq: number } } = {},
): Following {
  const transport = openChannelTransport(createDialer(), target, client);
  const messages: DownMessage[] = [];
  const faults: unknown[] = [];
  let woken = Promise.withResolvers<void>();
  const wake = () => {
    woken.resolve();
    woken = Promise.withResolvers();
  };
  const feed = createChannelFeed({
    transport,
    clock: { now: Date.now, monotonic: options.monotonic ?? (() => performance.now()) },
    random: quick,
    held: options.held ?? (() => ({ keySeq: 0, revocationSeq: 0 })),
    fault: (error) => {
      faults.push(error);
      wake();
    },
  });
  const open = feed.open((message) => {
    messages.push(message);
    wake();
  });
  const close = async () => {
    await open.close();
    await transport.close();
  };
  t.after(close);
  return {
    messages,
    faults,
    transport,
    until: async (fits) => {
      while (!fits()) await woken.promise;
    },
    send: (message) => open.send(message),
    close,
  };
}

const isHello = (message: DownMessage) => message.t === "hello";
const count = (messages: readonly DownMessage[], fits: (message: DownMessage) => boolean) =>
  messages.filter(fits).length;
const seqs = (messages: readonly DownMessage[]) =>
  messages.flatMap((message) => (message.t === "keys" ? [message.seq] : []));

async function opened(t: TestContext, options: Parameters<typeof openTestChannel>[0] = {}): Promise<TestChannel> {
  const channel = await openTestChannel(options);
  t.after(() => channel.close());
  return channel;
}

test("a gateway gets every message of control in order", bounded, async (t) => {
  const channel = await opened(t);
  const { certificate } = channel.addNode("gw-1");
  const node = follow(t, { url: channel.url, pin: channel.server.pin }, certificate);
  await node.until(() => node.messages.some(({ t }) => t === "heartbeat"));
  const all = Array.from({ length: 500 }, (_, i) => i + 1);
  for (const seq of all) channel.hub.send(() => true, keys(seq));
  await node.until(() => seqs(node.messages).length === all.length);
  assert.deepEqual(seqs(node.messages), all);
});

test(
  "when control is killed and comes back on its port, the gateway comes back with the numbers it holds",
  bounded,
  async (t) => {
    // Of this process alone: between the two listeners nobody else takes it.
    const [own = 0] = await freePorts(1);
    const first = await openTestChannel({ port: own });
    const { certificate } = first.addNode("gw-1");
    let held = { keySeq: 0, revocationSeq: 0 };
    const node = follow(t, { url: first.url, pin: first.server.pin }, certificate, { held: () => held });
    await node.until(() => node.messages.some(isHello));
    held = { keySeq: 7, revocationSeq: 11 };
    await first.close();
    await node.until(() => node.faults.length > 0);
    const asked = Promise.withResolvers<unknown>();
    const { ca, server, registry, port } = first;
    await opened(t, {
      ca,
      server,
      registry,
      port,
      ports: {
        opening: async (_address, numbers) => {
          asked.resolve(numbers);
          return [keys(8)];
        },
      },
    });
    assert.deepEqual(await asked.promise, held);
    await node.until(() => seqs(node.messages).length > 0);
    assert.equal(count(node.messages, isHello), 2);
  },
);

test(
  "a connection that control silently stopped using is noticed and made anew, whatever TCP says",
  bounded,
  async (t) => {
    let ahead = 0;
    const channel = await opened(t, { heartbeatMs: 3_600_000 });
    const { certificate } = channel.addNode("gw-1");
    const target = { url: channel.url, pin: channel.server.pin };
    const node = follow(t, target, certificate, { monotonic: () => performance.now() + ahead });
    await node.until(() => node.messages.some(({ t }) => t === "heartbeat"));
    ahead = 5_001;
    await node.until(() => count(node.messages, isHello) === 2);
    assert.match(String(node.faults[0]), /silent/);
  },
);

test("attack: a listener with another key, certified by the same authority, is never followed", bounded, async (t) => {
  const ca = testAuthority();
  const channel = await opened(t, { ca });
  const { certificate } = channel.addNode("gw-1");
  const pin = testCertificate(ca, { ip: ["127.0.0.1"] }).pin;
  const node = follow(t, { url: channel.url, pin }, certificate);
  await node.until(() => node.faults.length >= 3);
  assert.deepEqual(node.messages, []);
  assert.deepEqual(channel.hub.connected(), []);
  await assert.rejects(node.transport.post("/channel/v1/up", "{}"));
  assert.deepEqual(channel.received, []);
});

test("a node that control no longer knows keeps asking and is told so", bounded, async (t) => {
  const channel = await opened(t);
  const { certificate } = channel.addNode("gw-1");
  channel.registry.revoke("gw-1");
  const node = follow(t, { url: channel.url, pin: channel.server.pin }, certificate);
  await node.until(() => node.faults.length >= 2);
  assert.match(String(node.faults[0]), /403/);
  assert.deepEqual(node.messages, []);
});

test(
  "acknowledgements arrive in the order they were sent, and a failed one does not stop the next",
  bounded,
  async (t) => {
    let refuse = true;
    const channel = await opened(t, {
      ports: {
        receive: async (_address, message) => {
          if (message.t !== "ack" || message.keySeq !== 1 || !refuse) return;
          refuse = false;
          throw new Error("control is busy");
        },
      },
    });
    const { certificate } = channel.addNode("gw-1");
    const node = follow(t, { url: channel.url, pin: channel.server.pin }, certificate);
    await node.until(() => node.messages.some(isHello));
    const ack = (keySeq: number): UpMessage => ({ t: "ack", keySeq, revocationSeq: 0, epoch: 1, version: 1 });
    const sent = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => node.send(ack(i + 1))));
    assert.deepEqual(
      sent.map(({ status }) => status),
      ["rejected", ...Array(39).fill("fulfilled")],
    );
    assert.equal(channel.hub.acknowledged("gw-1")?.keySeq, 40);
  },
);

test("messages up that wait for one another are bounded", async () => {
  const never = new Promise<Uint8Array>(() => {});
  const transport: ChannelTransport = {
    stream: () => Promise.reject(new Error("away")),
    get: () => never,
    post: () => never,
  };
  const feed = createChannelFeed({
    transport,
    clock: { now: () => 0, monotonic: () => 0 },
    random: quick,
    held: () => ({ keySeq: 0, revocationSeq: 0 }),
    fault: () => {},
  });
  const open = feed.open(() => {});
  const hopKey: UpMessage = { t: "hop-key", jwk: {}, proof: "" };
  for (let i = 0; i < 256; i++) void open.send(hopKey);
  await assert.rejects(open.send(hopKey), /waiting/);
  await open.close();
});

test("whoever waits for control is told whenever it answers again, and not while it does not", async () => {
  const told: string[] = [];
  const over = Promise.withResolvers<void>();
  let attempts = 0;
  const transport: ChannelTransport = {
    stream: async () => {
      attempts += 1;
      told.push(`attempt ${attempts}`);
      if (attempts === 4) over.resolve();
      if (attempts % 2 === 1) throw new Error("away");
      return { ended: Promise.resolve(new Error("ended")), close: () => {} };
    },
    get: () => Promise.reject(new Error("not asked")),
    post: () => Promise.reject(new Error("not asked")),
  };
  const feed = createChannelFeed({
    transport,
    clock: { now: () => 0, monotonic: () => 0 },
    random: quick,
    held: () => ({ keySeq: 0, revocationSeq: 0 }),
    connected: () => told.push("connected"),
    fault: () => {},
  });
  const open = feed.open(() => {});
  await over.promise;
  await open.close();
  assert.deepEqual(told.slice(0, 6), ["attempt 1", "attempt 2", "connected", "attempt 3", "attempt 4", "connected"]);
});

test("blobs of the gateway's group come over the channel, those of another group do not", bounded, async (t) => {
  const channel = await opened(t);
  const { certificate } = channel.addNode("gw-1");
  const transport = openChannelTransport(createDialer(), { url: channel.url, pin: channel.server.pin }, certificate);
  t.after(() => transport.close());
  const feed = createChannelFeed({
    transport,
    clock: { now: () => 0, monotonic: () => 0 },
    random: quick,
    held: () => ({ keySeq: 0, revocationSeq: 0 }),
    fault: () => {},
  });
  assert.equal(Buffer.from(await feed.blob(blobOfProduction)).toString(), "blob of production-eu");
  await assert.rejects(feed.blob(blobOfStaging), /404/);
});

test(
  "attack: lines that are no message are told and skipped, and an endless line ends the connection",
  bounded,
  async (t) => {
    const ca = testAuthority();
    const certificate = testCertificate(ca, { ip: ["127.0.0.1"] });
    let connections = 0;
    const server = createServer({ cert: certificate.cert, key: certificate.key }, (_request, response) => {
      connections += 1;
      response.writeHead(200);
      response.write(
        'null\n[]\n{"t":"__proto__"}\n{"t":1}\n{"t":"keys"\n{"t":"heartbeat","at":1,"keySeq":0,"revocationSeq":0}\n',
      );
      if (connections === 1) for (let i = 0; i < 5; i++) response.write("x".repeat(1024 * 1024));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    // A listening TCP server's address is never a string.
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const node = follow(t, { url, pin: certificate.pin }, certificate);
    await node.until(() => node.messages.length === 2);
    assert.deepEqual(
      node.messages.map(({ t }) => t),
      ["heartbeat", "heartbeat"],
    );
    assert.equal(node.faults.filter((fault) => /not a message/.test(String(fault))).length, 10);
    assert.equal(node.faults.filter((fault) => /longer than/.test(String(fault))).length, 1);
  },
);

test(
  "a message the gateway cannot take ends the connection, and the next one begins from what it holds",
  bounded,
  async (t) => {
    const channel = await opened(t);
    const { certificate } = channel.addNode("gw-1");
    const transport = openChannelTransport(createDialer(), { url: channel.url, pin: channel.server.pin }, certificate);
    let taken = 0;
    const again = Promise.withResolvers<void>();
    const feed = createChannelFeed({
      transport,
      clock: { now: Date.now, monotonic: () => performance.now() },
      random: quick,
      held: () => ({ keySeq: 0, revocationSeq: 0 }),
      fault: () => {},
    });
    const open = feed.open(() => {
      taken += 1;
      if (taken === 1) throw new Error("the disk is full");
      again.resolve();
    });
    await again.promise;
    await open.close();
    await transport.close();
  },
);

test("pauses between attempts have full jitter under a ceiling that doubles from 100 ms to 5 s", () => {
  const most: Random = { bytes: (length) => new Uint8Array(length).fill(255) };
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoffPauseMs(failures, most)),
    [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000],
  );
  for (let i = 0; i < 1_000; i++) {
    const pause = backoffPauseMs(3, { bytes: (length) => new Uint8Array(randomBytes(length)) });
    assert.ok(pause > 0 && pause <= 800);
  }
  assert.ok(backoffPauseMs(6, quick) < 1, "the least pause is next to nothing");
});
