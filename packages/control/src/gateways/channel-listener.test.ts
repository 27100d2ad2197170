import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import {
  ask,
  blobOfProduction,
  blobOfStaging,
  joinRequest,
  openDown,
  openTestChannel,
  proofOf,
  spkiOf,
  type TestCertificate,
  type TestChannel,
  testAuthority,
  testCertificate,
  testKey,
} from "./channel.test-support.ts";
import { strangersMax } from "./channel-listener.ts";
import { joinProofText, listenerProofText, renewProofText } from "./joining.ts";

let channel: TestChannel;
before(async () => {
  channel = await openTestChannel();
});
after(() => channel.close());

const down = "/channel/v1/down?key-seq=0&revocation-seq=0";
const codeOf = (answer: { readonly body: string }) => JSON.parse(answer.body).code;
const ackBody = JSON.stringify({ t: "ack", keySeq: 1, revocationSeq: 2, epoch: 3, version: 4 });
/** Nothing here takes a second; a promise that never settles must fail and not hang. */
const bounded = { timeout: 120_000 };
const year = 365 * 86_400_000;
const nodeRoutes = [
  ["GET", down],
  ["POST", "/channel/v1/up"],
  ["POST", "/channel/v1/renew"],
  ["POST", "/channel/v1/listener-certificate"],
  ["GET", `/channel/v1/blobs/${blobOfProduction}`],
  ["GET", `/channel/v1/handles/${"A".repeat(43)}`],
  ["GET", `/channel/v1/token-keys/${"A".repeat(43)}`],
  ["POST", "/channel/v1/payload-keys"],
  ["GET", "/anything"],
] as const;

async function refusedEverywhere(client: TestCertificate | undefined): Promise<void> {
  for (const [method, path] of nodeRoutes) {
    const answer = await ask(channel, path, {
      method,
      ...(client === undefined ? {} : { client }),
      ...(method === "POST" ? { body: ackBody } : {}),
    });
    assert.equal(answer.status, 403, `${method} ${path}`);
    assert.equal(codeOf(answer), "not-a-node");
    assert.equal(channel.refusals.at(-1), "not-a-node 127.0.0.1", "on record before the answer");
  }
}

test("a stranger without a certificate gets nothing but the join route", bounded, async () => {
  await refusedEverywhere(undefined);
  assert.deepEqual(channel.received, []);
});

test(
  "attack: a node asks for a payload key of what is no data subject, for no time or for ever, or says more than is asked",
  bounded,
  async () => {
    const { certificate } = channel.addNode("gw-payloads");
    const subject = "2026:abcdefghijklmnopqrstuQ";
    const wanted = (body: unknown) =>
      ask(channel, "/channel/v1/payload-keys", { method: "POST", client: certificate, body: JSON.stringify(body) });
    const given = await wanted({ subject, days: 90 });
    assert.equal(given.status, 200);
    assert.deepEqual(JSON.parse(given.body), { key: `gw-payloads ${subject}`, endsAt: 90, freshMs: 1 });
    for (const body of [
      {},
      [],
      { subject },
      { subject: "ada@example.org", days: 90 },
      { subject: `${subject}A`, days: 90 },
      { subject, days: 0 },
      { subject, days: 3_651 },
      { subject, days: 1.5 },
      { subject, days: 90, environment: "staging" },
    ]) {
      const refused = await wanted(body);
      assert.equal(refused.status, 400, JSON.stringify(body));
      assert.equal(codeOf(refused), "bad-message");
    }
  },
);

test("attack: a certificate of another authority, with the thumbprint registered, is no node", bounded, async () => {
  const foreign = testCertificate(testAuthority(), { uri: "sallyport://main/production/production-eu/gw-foreign" });
  channel.registry.addNode(
    { tenant: "main", environment: "production", group: "production-eu", node: "gw-foreign" },
    foreign.thumbprint,
  );
  await refusedEverywhere(foreign);
});

test(
  "attack: a certificate of the authority that names a node but was never registered is no node",
  bounded,
  async () => {
    channel.addNode("gw-named");
    await refusedEverywhere(testCertificate(channel.ca, { uri: "sallyport://main/production/production-eu/gw-named" }));
  },
);

test("attack: the certificate of a revoked node is no node", bounded, async () => {
  const { certificate } = channel.addNode("gw-revoked");
  assert.equal((await ask(channel, "/channel/v1/up", { client: certificate, body: ackBody })).status, 204);
  channel.registry.revoke("gw-revoked");
  channel.received.length = 0;
  await refusedEverywhere(certificate);
  assert.deepEqual(channel.received, []);
});

test("attack: a certificate that has ended is no node", bounded, async () => {
  const ended = testCertificate(
    channel.ca,
    { uri: "sallyport://main/production/production-eu/gw-ended" },
    { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 },
  );
  channel.registry.addNode(
    { tenant: "main", environment: "production", group: "production-eu", node: "gw-ended" },
    ended.thumbprint,
  );
  await refusedEverywhere(ended);
});

test("a connection that outlives its certificate ends, and no request on it is answered", bounded, async (t) => {
  let ahead = 0;
  const own = await openTestChannel({ now: () => Date.now() + ahead, heartbeatMs: 10 });
  t.after(() => own.close());
  const { certificate } = own.addNode("gw-1");
  const stream = await openDown(own, certificate);
  await stream.next(({ t }) => t === "heartbeat");
  ahead = year;
  await stream.ended;
  assert.equal((await ask(own, "/channel/v1/up", { client: certificate, body: ackBody })).status, 403);
});

test(
  "a node gets the blobs of its own group; those of another group look like those that do not exist",
  bounded,
  async () => {
    const { certificate } = channel.addNode("gw-blobs");
    const { certificate: staging } = channel.addNode("gw-blobs-staging", "staging-eu");
    const get = (id: string, client: TestCertificate) => ask(channel, `/channel/v1/blobs/${id}`, { client });
    assert.deepEqual(await get(blobOfProduction, certificate), { status: 200, body: "blob of production-eu" });
    const foreign = await get(blobOfProduction, staging);
    assert.equal(foreign.status, 404);
    assert.deepEqual(foreign, await get("0".repeat(64), staging));
    assert.equal((await get(blobOfStaging, staging)).status, 200);
    for (const id of ["../../join/v1", blobOfProduction.toUpperCase(), `${blobOfProduction}0`, "%00"]) {
      assert.equal((await get(id, certificate)).status, 404, id);
    }
  },
);

test(
  "attack: a node asks for a handle of another environment: control answers for the node's own, and only by whole digests",
  bounded,
  async () => {
    const digest = "A".repeat(43);
    const own = await openTestChannel({
      ports: {
        handle: async (address, asked) => (address.group === "production-eu" && asked === digest ? "a.b.c" : null),
      },
    });
    try {
      const { certificate } = own.addNode("gw-handles");
      const { certificate: staging } = own.addNode("gw-handles-staging", "staging-eu");
      const get = (id: string, client: TestCertificate) => ask(own, `/channel/v1/handles/${id}`, { client });
      assert.deepEqual(await get(digest, certificate), { status: 200, body: '{"token":"a.b.c"}' });
      assert.deepEqual(await get(digest, staging), { status: 200, body: '{"token":null}' });
      for (const id of [`${digest}A`, digest.slice(1), `${digest}?x=1`.slice(1), "../up", `${digest.slice(2)}%41`])
        assert.equal((await get(id, certificate)).status, 404, id);
    } finally {
      await own.close();
    }
  },
);

test(
  "attack: bodies above their bound are refused, declared or not, and reach nothing behind the listener",
  bounded,
  async () => {
    const { certificate } = channel.addNode("gw-bomb");
    channel.received.length = 0;
    for (const [path, bytes, client] of [
      ["/join/v1", 9_000, undefined],
      ["/channel/v1/renew", 9_000, certificate],
      ["/channel/v1/up", 1_100_000, certificate],
    ] as const) {
      for (const headers of [{}, { "transfer-encoding": "chunked" }] as const) {
        // The listener answers before it has read everything, so a client may see its connection end instead.
        const status = await ask(channel, path, {
          body: "x".repeat(bytes),
          headers,
          ...(client === undefined ? {} : { client }),
        }).then(
          (answer) => answer.status,
          (error: NodeJS.ErrnoException) => error.code,
        );
        assert.ok(status === 413 || status === "ECONNRESET" || status === "EPIPE", `${path}: ${status}`);
      }
    }
    assert.deepEqual(channel.received, []);
    assert.deepEqual(channel.faults, []);
  },
);

test("malformed messages are refused by shape and reach nothing", bounded, async () => {
  const { certificate } = channel.addNode("gw-malformed");
  channel.received.length = 0;
  const ack = { t: "ack", keySeq: 1, revocationSeq: 2, epoch: 3, version: 4 };
  const bad: (string | Uint8Array)[] = [
    "",
    "null",
    "[]",
    "{",
    `${ackBody}${ackBody}`,
    ...[
      { ...ack, t: "hello" },
      { ...ack, extra: 1 },
      { ...ack, keySeq: -1 },
      { ...ack, keySeq: 1.5 },
      { ...ack, keySeq: "1" },
      { ...ack, keySeq: 2 ** 53 },
      { t: "ack" },
      { t: "refused-snapshot", epoch: 1, version: 1, why: "line\nfeed" },
      { t: "checkpoint", origin: "a b", note: "", key: "k" },
      { t: "checkpoint", origin: "a", note: "" },
      { t: "hop-key", jwk: { kty: "EC" } },
      { t: "hop-key", jwk: { kty: "EC", d: "private" }, proof: "A".repeat(86) },
      { t: "hop-key", jwk: { kty: 1 }, proof: "A".repeat(86) },
      { t: "answer", id: "1", found: true, leaves: Array(65).fill(""), reference: null },
      { t: "answer", id: "1", found: true, leaves: [1], reference: null },
    ].map((message) => JSON.stringify(message)),
    Buffer.from([0x22, 0xff, 0x22]),
  ];
  for (const body of bad) {
    const answer = await ask(channel, "/channel/v1/up", { client: certificate, body });
    assert.equal(answer.status, 400, String(body));
    assert.equal(codeOf(answer), "bad-message");
  }
  assert.deepEqual(channel.received, []);
  assert.equal((await ask(channel, "/channel/v1/up", { client: certificate, body: ackBody })).status, 204);
  assert.equal(channel.received.length, 1);
});

test("attack: request targets without a sound reading are answered plainly and fault nothing", bounded, async () => {
  const { certificate } = channel.addNode("gw-target");
  for (const path of ["//[", "*", "//evil.example/join/v1", "/%E0%A4%A", "/join/v1/"]) {
    assert.equal((await ask(channel, path, { client: certificate })).status, 404, path);
    assert.equal((await ask(channel, path)).status, 403, path);
  }
  assert.deepEqual(channel.faults, []);
});

test("a gateway joins with a token and the keys it proves, and its certificate makes it a node", bounded, async () => {
  const key = testKey();
  const secret = channel.registry.newToken(Date.now() + 60_000);
  const answer = await ask(channel, "/join/v1", { body: JSON.stringify(joinRequest(secret, key)) });
  assert.equal(answer.status, 200);
  const joined = JSON.parse(answer.body);
  assert.deepEqual(Object.keys(joined), ["v", "node", "certificate", "authority", "epoch"]);
  const certificate = new X509Certificate(joined.certificate);
  assert.equal(certificate.subjectAltName, `URI:sallyport://main/production/production-eu/${joined.node}`);
  assert.ok(
    certificate.verify(
      createPublicKey(new X509Certificate(joined.authority).publicKey.export({ format: "pem", type: "spki" })),
    ),
  );
  const hours = (certificate.validToDate.getTime() - Date.now()) / 3_600_000;
  assert.ok(hours > 24 && hours <= 25);
  const client = {
    cert: joined.certificate,
    key: key.export({ format: "pem", type: "pkcs8" }).toString(),
    thumbprint: "",
    pin: "",
  };
  const stream = await openDown(channel, client);
  const hello = await stream.next(({ t }) => t === "hello");
  assert.equal(hello.t === "hello" && hello.node, joined.node);
  stream.close();
});

test(
  "every refused join has the same answer: unknown, used and expired token, unproven keys, malformed request",
  bounded,
  async () => {
    const fresh = () => channel.registry.newToken(Date.now() + 60_000);
    const used = fresh();
    assert.equal((await ask(channel, "/join/v1", { body: JSON.stringify(joinRequest(used)) })).status, 200);
    const other = testKey();
    const sound = joinRequest(fresh());
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    const withKey = (spki: string) => {
      const request = { secret: fresh(), spki, sealKey: String(sound["sealKey"]) };
      return { v: 1, ...request, proof: proofOf(other, joinProofText(request)) };
    };
    const smallOrder = () => {
      const request = { secret: fresh(), spki: spkiOf(other), sealKey: "A".repeat(43) };
      return { v: 1, ...request, proof: proofOf(other, joinProofText(request)) };
    };
    const nodes = channel.registry.nodes.size;
    const refused: Readonly<Record<string, unknown>> = {
      unknown: joinRequest("A".repeat(43)),
      used: joinRequest(used),
      expired: joinRequest(channel.registry.newToken(Date.now() - 1)),
      "proof by another key": { ...sound, spki: spkiOf(other) },
      "seal key swapped after the proof": { ...sound, sealKey: joinRequest(fresh())["sealKey"] },
      "secret swapped after the proof": { ...sound, secret: fresh() },
      "proof of a renewal": { ...sound, proof: proofOf(other, renewProofText({ spki: spkiOf(other) })) },
      "key of another curve": withKey(spkiOf(p384)),
      "bytes behind the key": withKey(`${Buffer.from(`${spkiOf(other)}`, "base64url").toString("base64url")}AAAA`),
      "seal key of small order": smallOrder(),
      "unknown version": { ...sound, v: 2 },
      "unknown member": { ...sound, node: "gw-mine" },
      "no proof": { ...sound, proof: undefined },
      "second spelling of the secret": { ...sound, secret: `${"A".repeat(42)}B` },
      nothing: {},
      text: "x",
    };
    const answers = await Promise.all(
      Object.values(refused).map((body) => ask(channel, "/join/v1", { body: JSON.stringify(body) })),
    );
    for (const [i, why] of Object.keys(refused).entries()) assert.deepEqual(answers[i], answers[0], why);
    assert.equal(answers[0]?.status, 403);
    assert.equal(codeOf(answers[0] ?? { body: "{}" }), "join-refused");
    assert.equal(channel.refusals.at(-1), "join-refused 127.0.0.1", "on record before the answer");
    assert.equal(channel.registry.nodes.size, nodes, "no node was made");
  },
);

test("attack: one token used by twenty gateways at once makes exactly one node", bounded, async () => {
  const secret = channel.registry.newToken(Date.now() + 60_000);
  const nodes = channel.registry.nodes.size;
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => ask(channel, "/join/v1", { body: JSON.stringify(joinRequest(secret)) })),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(403)]);
  assert.equal(channel.registry.nodes.size, nodes + 1);
});

test("a node renews with a new key it proves, and with nothing less", bounded, async () => {
  const { certificate: client } = channel.addNode("gw-renew");
  const key = testKey();
  const spki = spkiOf(key);
  const renew = (body: object) => ask(channel, "/channel/v1/renew", { client, body: JSON.stringify(body) });
  for (const proof of [
    proofOf(testKey(), renewProofText({ spki })),
    proofOf(key, listenerProofText({ spki })),
    proofOf(key, "sallyport-renew/v1"),
  ]) {
    const refused = await renew({ spki, proof });
    assert.deepEqual([refused.status, codeOf(refused)], [403, "certificate-refused"]);
  }
  const answer = await renew({ spki, proof: proofOf(key, renewProofText({ spki })) });
  assert.equal(answer.status, 200);
  const { certificate } = JSON.parse(answer.body);
  const renewed = {
    cert: certificate,
    key: key.export({ format: "pem", type: "pkcs8" }).toString(),
    thumbprint: "",
    pin: "",
  };
  assert.equal((await ask(channel, "/channel/v1/up", { client: renewed, body: ackBody })).status, 204);
  assert.equal(channel.received.at(-1)?.from.node, "gw-renew");
});

test(
  "a node gets a listener certificate for the key it proves, from the environment's own authority",
  bounded,
  async () => {
    const { certificate: client } = channel.addNode("gw-listener");
    const key = testKey();
    const spki = spkiOf(key);
    const post = (body: object) =>
      ask(channel, "/channel/v1/listener-certificate", { client, body: JSON.stringify(body) });
    const answer = await post({ spki, proof: proofOf(key, listenerProofText({ spki })) });
    const { certificate, authority } = JSON.parse(answer.body);
    assert.ok(new X509Certificate(certificate).checkPrivateKey(key));
    assert.equal(new X509Certificate(certificate).subjectAltName, "DNS:gateway.test");
    assert.notEqual(authority, channel.ca.certificatePem, "not the authority that makes nodes");
    assert.equal((await post({ spki, proof: proofOf(key, renewProofText({ spki })) })).status, 403);
  },
);

test(
  "a node is sent hello, its opening, what happened meanwhile, then heartbeats: one ordered stream",
  bounded,
  async (t) => {
    const reading = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<{ readonly keySeq: number; readonly revocationSeq: number }>();
    const keys = (seq: number): DownMessage => ({ t: "keys", seq, keys: [] });
    const own = await openTestChannel({
      heartbeatMs: 5,
      ports: {
        opening: async (_address, held) => {
          asked.resolve(held);
          await reading.promise;
          return [keys(1), keys(2)];
        },
        sequences: () => ({ keySeq: 4, revocationSeq: 9 }),
      },
    });
    t.after(() => own.close());
    const { certificate } = own.addNode("gw-1");
    const stream = await openDown(own, certificate, "key-seq=12&revocation-seq=34&key-seq=99");
    assert.deepEqual(await asked.promise, { keySeq: 12, revocationSeq: 34 });
    own.hub.send(() => true, keys(3));
    own.hub.send(() => true, keys(4));
    reading.resolve();
    await stream.next(({ t }) => t === "heartbeat");
    assert.deepEqual(
      stream.messages.slice(0, 6).map((message) => (message.t === "keys" ? message.seq : message.t)),
      ["hello", 1, 2, 3, 4, "heartbeat"],
    );
    own.hub.send(() => true, keys(5));
    await stream.next((message) => message.t === "keys" && message.seq === 5);
    stream.close();
  },
);

test("a second connection of a node ends the first", bounded, async () => {
  const { certificate } = channel.addNode("gw-twice");
  const first = await openDown(channel, certificate);
  await first.next(({ t }) => t === "hello");
  const second = await openDown(channel, certificate);
  await first.ended;
  await second.next(({ t }) => t === "heartbeat");
  second.close();
  await second.ended;
});

test(
  "attack: a node that stops reading is disconnected when its bounded buffer is full, and the others go on",
  bounded,
  async () => {
    const { certificate: slowOne } = channel.addNode("gw-stopped");
    const { certificate: quickOne } = channel.addNode("gw-reading");
    const slow = await openDown(channel, slowOne);
    const quick = await openDown(channel, quickOne);
    await slow.next(({ t }) => t === "hello");
    slow.pause();
    const big: DownMessage = { t: "hop-certificate", kid: "k", jws: "x".repeat(1024 * 1024) };
    const away = () => !channel.hub.connected().some(({ node }) => node === "gw-stopped");
    for (let sent = 0; sent < 64 && !away(); sent++) {
      channel.hub.send(({ node }) => node === "gw-stopped", big);
      await quick.next((message) => message.t === "heartbeat" && message.at > 0);
      await new Promise(setImmediate);
    }
    assert.ok(away(), "64 MiB were not kept for a node that does not read");
    assert.ok(channel.hub.connected().some(({ node }) => node === "gw-reading"));
    slow.close();
    quick.close();
  },
);

test(
  "attack: a revocation between the handshake's look-up and the connection leaves no stream standing",
  bounded,
  async (t) => {
    const registryAnswers: ((found: boolean) => void)[] = [];
    const lookedUp = Promise.withResolvers<void>();
    const own = await openTestChannel({
      ports: {
        nodeOf: (thumbprint) =>
          new Promise((resolve) => {
            const found = own.registry.nodeOf(thumbprint);
            registryAnswers.push(() => resolve(found));
            if (registryAnswers.length === 1) lookedUp.resolve();
            else resolve(own.registry.nodeOf(thumbprint));
          }),
      },
    });
    t.after(() => own.close());
    const { certificate } = own.addNode("gw-1");
    const stream = openDown(own, certificate);
    await lookedUp.promise;
    // The answer "active" is under way; now the node is revoked and evicted.
    own.registry.revoke("gw-1");
    own.hub.evict("gw-1", "revoked");
    registryAnswers[0]?.(true);
    await assert.rejects(async () => {
      const opened = await stream;
      await opened.ended;
      assert.deepEqual(opened.messages, []);
      throw new Error("ended with nothing sent");
    });
    assert.deepEqual(own.hub.connected(), []);
  },
);

test("attack: strangers who only hold connections are bounded, and a node still gets in", bounded, async (t) => {
  const own = await openTestChannel();
  t.after(() => own.close());
  const sockets: TLSSocket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  while (sockets.length < strangersMax) {
    const some = Array.from({ length: 32 }, () =>
      connect({ port: own.port, host: "127.0.0.1", ca: own.ca.certificatePem }),
    );
    sockets.push(...some);
    await Promise.all(some.map((socket) => once(socket, "secureConnect")));
  }
  await assert.rejects(ask(own, "/join/v1", { body: "{}" }), "one stranger too many is let in");
  const { certificate } = own.addNode("gw-1");
  assert.equal((await ask(own, "/channel/v1/up", { client: certificate, body: ackBody })).status, 204);
});

test("a fault behind the listener is told to control and not to the node", bounded, async (t) => {
  const own = await openTestChannel({
    ports: {
      receive: async () => {
        throw new Error("the store is away: password hunter2");
      },
    },
  });
  t.after(() => own.close());
  const { certificate } = own.addNode("gw-1");
  const answer = await ask(own, "/channel/v1/up", { client: certificate, body: ackBody });
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.body, /hunter2|store/);
  assert.equal(own.faults.length, 1);
});
