// Listeners behind load balancers that say where a connection came from: what is believed, of whom, and that without it nothing is served.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { extra, type ProxyHeaderChanges, proxyHeader, proxySignature } from "./testing/proxy-headers.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import type { TestEstate } from "./testing/test-estate.ts";
import { makeFrame, openWebSocketBench } from "./testing/websocket-bench.ts";

const workloads = newTestCa("workloads");
const ca = workloads.certificatePem;
const balancer = "127.0.0.1";
const behind = { proxyProtocol: "v2", trustedProxies: [balancer, "127.0.0.16/28"] } as const;
const urls = { clear: "http://localhost", secure: "https://localhost", plain: "http://plain.example" };
let upstream: CountingUpstream;
let bed: TestGateway;
/** One that waits for no header for long. */
let hasty: TestGateway;
let orders: TestCaller;

const estateWith = (told: Partial<typeof behind>): TestEstate => {
  const listener = (name: keyof typeof urls, more: object) => ({ url: urls[name], trustedProxies: [], ...more });
  const listeners = { clear: listener("clear", told), secure: listener("secure", told), plain: listener("plain", {}) };
  return { ...withCertificates(marketplace(upstream.url), workloads), estate: { listeners } };
};

before(async () => {
  upstream = await startCountingUpstream();
  const options = {
    estate: estateWith(behind),
    openLog: openTestLog,
    listeners: [
      { name: "clear", host: "127.0.0.1", port: 0 },
      { ...tlsListener(workloads), name: "secure" },
      { name: "plain", host: "127.0.0.1", port: 0 },
    ],
  };
  bed = await startTestGateway({ ...options, changes: { admission: { badCredentialsPerPrefixMax: 3 } } });
  hasty = await startTestGateway({ ...options, changes: { bounds: { headersTimeoutMs: 300 } } });
  orders = new TestCaller(bed.feed, "orders");
});
after(async () => {
  await bed?.close();
  await hasty?.close();
  await upstream?.close();
});

type Name = keyof typeof urls;
const portOf = (name: Name, of = bed): number => of.addresses.find((one) => one.name === name)?.port ?? 0;

/** A connection on which everything that comes back is kept. */
class End {
  readonly socket: Socket;
  text = "";
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (octets: Buffer) => {
      this.text += octets.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  async answer(): Promise<string> {
    await until(() => /\r\n\r\n/.test(this.text) || this.isClosed, "an answer, or the end");
    return this.text;
  }
}

const open = (name: Name, from = balancer, of = bed): Socket =>
  connect({ port: portOf(name, of), host: "127.0.0.1", localAddress: from });
const read = (name: Name, lines: readonly string[] = []): string =>
  `${["GET /billing/v1/invoices/1 HTTP/1.1", `Host: ${new URL(urls[name]).host}`, ...lines, "", ""].join("\r\n")}`;

function signedLines(name: Name): string[] {
  const token = orders.token("billing");
  return [`Authorization: DPoP ${token}`, `DPoP: ${orders.proof("GET", `${urls[name]}/billing/v1/invoices/1`, token)}`];
}

const fieldOf = (answer: string, name: string): string => new RegExp(`^${name}: (\\S+)`, "im").exec(answer)?.[1] ?? "";

async function crossingOf(answer: string) {
  const [leaf] = await bed.leaves(fieldOf(answer, "sallyport-crossing"));
  assert.ok(leaf?.t === "crossing", answer);
  return leaf;
}

async function learnNonce(): Promise<void> {
  if (orders.nonce !== undefined) return;
  const end = new End(open("clear"));
  end.socket.write(Buffer.concat([proxyHeader({ from: [192, 0, 2, 77] }), Buffer.from(read("clear"))]));
  orders.nonce = fieldOf(await end.answer(), "dpop-nonce");
}

async function refused(reason: string, of = bed): Promise<number> {
  const line = new RegExp(`connections_refused_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)`);
  return Number(line.exec(await of.gateway.metricsText())?.[1] ?? 0);
}

async function secured(header: Buffer, tls: object = {}) {
  const raw = open("secure");
  raw.write(header);
  const socket = connectTls({ socket: raw, ca, servername: "localhost", ...tls });
  await once(socket, "secureConnect");
  return socket;
}

test("in clear the address that was told is the crossing's, and what came with the header is read", async () => {
  await learnNonce();
  const end = new End(open("clear"));
  const requests = read("clear", signedLines("clear")) + read("clear", signedLines("clear"));
  end.socket.write(Buffer.concat([proxyHeader({ from: [198, 51, 100, 9] }), Buffer.from(requests)]));
  await until(() => end.text.split("HTTP/1.1 200 ").length === 3, "two answers");
  assert.equal((await crossingOf(end.text)).addressClass, "public-v4");
  end.socket.destroy();
});

test("over TLS too, with the caller's certificate, for HTTP/1.1 and for HTTP/2", async () => {
  const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
  const header = proxyHeader({ family: 0x21, from: [0x20, 1, ...Array(13).fill(0), 9], to: [...Array(15).fill(0), 1] });
  const one = await secured(header, { cert, key, ALPNProtocols: ["http/1.1"] });
  const end = new End(one);
  one.write(read("secure"));
  const answer = await end.answer();
  assert.match(answer, /^HTTP\/1\.1 200 /);
  const leaf = await crossingOf(answer);
  assert.deepEqual([leaf.addressClass, leaf.proof], ["public-v6", "mtls"]);
  one.destroy();
  const two = await secured(header, { cert, key, ALPNProtocols: ["h2"] });
  const session = connectHttp2(urls.secure, { createConnection: () => two });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/billing/v1/invoices/1" });
  const [headers] = await once(stream, "response");
  stream.resume();
  assert.equal(headers[":status"], 200);
  const [second] = await bed.leaves(String(headers["sallyport-crossing"]));
  assert.ok(second?.t === "crossing" && second.addressClass === "public-v6");
  session.destroy();
  two.destroy();
});

test("connections at once, each with another address, keep each its own", async () => {
  const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
  const told = [
    [[127, 9, 9, 9], "loopback"],
    [[10, 1, 1, 1], "private"],
    [[203, 0, 113, 1], "public-v4"],
    [[224, 0, 0, 1], "other"],
  ] as const;
  const sockets = await Promise.all(told.map(([from]) => secured(proxyHeader({ from: [...from] }), { cert, key })));
  for (const [i, socket] of sockets.entries()) {
    const end = new End(socket);
    socket.write(read("secure"));
    assert.equal((await crossingOf(await end.answer())).addressClass, told[i]?.[1]);
    socket.destroy();
  }
});

test("a WebSocket behind a balancer", async () => {
  const bench = await openWebSocketBench();
  try {
    await bench.fields(bench.orders);
    const { url } = bench;
    await bench.publish((estate) => ({ ...estate, estate: { listeners: { public: { url, ...behind } } } }));
    // All its octets are ASCII, so that it may be written as text.
    const header = proxyHeader({ from: [11, 9, 8, 7], fromPort: 0x1234, toPort: 0x0150 }).toString("latin1");
    const caller = await bench.open({ bend: (head) => header + head });
    const head = await caller.head();
    assert.match(head, /^HTTP\/1\.1 101 /);
    bench.providers.at(-1)?.send(makeFrame("hello", { isMasked: false }));
    assert.equal((await caller.frameAt(0)).payload.toString(), "hello");
    const [leaf] = await bench.bed.leaves(fieldOf(head, "sallyport-crossing"));
    assert.ok(leaf?.t === "intent" && leaf.addressClass === "public-v4");
  } finally {
    await bench.close();
  }
});

test("what is counted per source network is counted for the caller's, not for the balancer", async () => {
  const ask = async (from: readonly number[]): Promise<string> => {
    const end = new End(open("clear"));
    const bad = read("clear", ["Authorization: Bearer a.b", "Connection: close"]);
    end.socket.write(Buffer.concat([proxyHeader({ from: [...from] }), Buffer.from(bad)]));
    return (await end.answer()).slice(9, 12);
  };
  const statuses: string[] = [];
  for (let i = 0; i < 4; i++) statuses.push(await ask([198, 18, 0, i + 1]));
  assert.deepEqual(statuses, ["401", "401", "401", "429"]);
  assert.equal(await ask([198, 18, 1, 1]), "401", "another network");
});

test("a check of the balancer itself is served under the balancer's address", async () => {
  await learnNonce();
  const end = new End(open("clear", "127.0.0.17"));
  end.socket.write(Buffer.concat([proxySignature, Buffer.from([0x20, 0, 0, 0])]));
  end.socket.write(read("clear", signedLines("clear")));
  const answer = await end.answer();
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.equal((await crossingOf(answer)).addressClass, "loopback");
  end.socket.destroy();
});

test("a header one octet at a time is taken once it is whole", async () => {
  const socket = open("clear");
  socket.setNoDelay(true);
  const end = new End(socket);
  for (const octet of proxyHeader({ from: [198, 51, 101, 9] })) {
    socket.write(Buffer.from([octet]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(read("clear"));
  assert.match(await end.answer(), /^HTTP\/1\.1 401 /);
  socket.destroy();
});

/** What is sent on a connection of the balancer, and the reason under which its end is counted. */
const attacks: readonly (readonly [string, () => Buffer, string])[] = [
  ["no header but a request", () => Buffer.from(read("clear")), "proxy-missing"],
  [
    "a header of version 1",
    () => Buffer.from(`PROXY TCP4 10.9.8.7 10.0.0.1 1234 443\r\n${read("clear")}`),
    "proxy-missing",
  ],
  ["an oversized header", () => proxyHeader({ length: 65_535 }), "proxy-malformed"],
  [
    "a UNIX socket",
    () => proxyHeader({ family: 0x31, from: Array(108).fill(1), to: Array(108).fill(1) }),
    "proxy-malformed",
  ],
  ["a checksum of something else", () => proxyHeader({ checksum: "wrong" }), "proxy-malformed"],
  [
    "an extension that runs into the request",
    () => Buffer.concat([proxyHeader({ extras: extra(4, "", 20) }), Buffer.from(read("clear"))]),
    "proxy-malformed",
  ],
  ["port 0", () => proxyHeader({ fromPort: 0 }), "proxy-malformed"],
  ["a part of a header, and no more", () => proxyHeader().subarray(0, 20), "proxy-late"],
  ["silence", () => Buffer.alloc(0), "proxy-late"],
];
for (const name of ["clear", "secure"] as const)
  for (const [what, octets, reason] of attacks)
    test(`attack: ${what} on the listener ${name}: closed without a byte, and counted`, async () => {
      const of = reason === "proxy-late" ? hasty : bed;
      const [counted, reached] = [await refused(reason, of), upstream.seen.length];
      const end = new End(open(name, balancer, of));
      end.socket.write(octets());
      await until(() => end.isClosed, "the end");
      assert.equal(end.text, "");
      assert.equal(await refused(reason, of), counted + 1);
      assert.equal(upstream.seen.length, reached);
    });

test("attack: a header cut short by the end of the connection", async () => {
  const counted = async () => (await refused("proxy-malformed")) + (await refused("proxy-missing"));
  const before = await counted();
  for (const length of [3, 16, 27]) {
    const end = new End(open("clear"));
    end.socket.end(proxyHeader().subarray(0, length));
    await until(() => end.isClosed, "the end");
    assert.equal(end.text, "");
  }
  assert.equal(await counted(), before + 3);
});

test("a balancer that looks whether somebody listens is not counted", async () => {
  const reasons = ["proxy-missing", "proxy-malformed", "proxy-late"];
  const before = await Promise.all(reasons.map((reason) => refused(reason)));
  const end = new End(open("clear"));
  await once(end.socket, "connect");
  end.socket.end();
  await until(() => end.isClosed, "the end");
  assert.deepEqual(await Promise.all(reasons.map((reason) => refused(reason))), before);
});

for (const name of ["clear", "secure"] as const)
  test(`attack: a header from an address that is no proxy's, on ${name}: closed, counted, and its word is nothing`, async () => {
    const counted = await refused("proxy-untrusted");
    for (const from of ["127.0.0.2", "127.0.0.15", "127.0.0.32"]) {
      const end = new End(open(name, from));
      end.socket.write(Buffer.concat([proxyHeader(), Buffer.from(read(name))]));
      await until(() => end.isClosed, "the end");
      assert.equal(end.text, "");
    }
    assert.equal(await refused("proxy-untrusted"), counted + 3);
  });

test("attack: a second header behind the first is no request, and over TLS no handshake", async () => {
  const spoofed: ProxyHeaderChanges = { from: [198, 51, 102, 1] };
  const end = new End(open("clear"));
  end.socket.write(Buffer.concat([proxyHeader(spoofed), proxyHeader(), Buffer.from(read("clear"))]));
  assert.match(await end.answer(), /^HTTP\/1\.1 400 /);
  await until(() => end.isClosed, "the end");
  assert.equal(end.text.split("HTTP/1.1 ").length, 2);
  const broken = await refused("tls");
  const tls = new End(open("secure"));
  tls.socket.write(Buffer.concat([proxyHeader(spoofed), proxyHeader()]));
  await until(() => tls.isClosed, "the end");
  assert.equal(await refused("tls"), broken + 1);
});

test("attack: a header inside TLS is no request", async () => {
  const socket = await secured(proxyHeader({ from: [198, 51, 103, 1] }));
  const end = new End(socket);
  socket.write(Buffer.concat([proxyHeader(), Buffer.from(read("secure"))]));
  assert.match(await end.answer(), /^HTTP\/1\.1 400 /);
  await until(() => end.isClosed, "the end");
});

test("attack: where nothing is declared a header is a broken request, whoever sends it", async () => {
  const end = new End(open("plain"));
  end.socket.write(Buffer.concat([proxyHeader(), Buffer.from(read("plain"))]));
  assert.match(await end.answer(), /^HTTP\/1\.1 400 /);
  await until(() => end.isClosed, "the end");
});

test("declared, it is asked of the next connection; connections that are there stay, and so when it is taken back", async () => {
  await bed.publish(estateWith({}));
  const plain = new End(open("clear"));
  plain.socket.write(read("clear"));
  assert.match(await plain.answer(), /^HTTP\/1\.1 401 /);
  await bed.publish(estateWith(behind));
  plain.text = "";
  plain.socket.write(read("clear"));
  assert.match(await plain.answer(), /^HTTP\/1\.1 401 /);
  plain.socket.destroy();
  const next = new End(open("clear"));
  next.socket.write(read("clear"));
  await until(() => next.isClosed, "the end");
  assert.equal(next.text, "");
});

test("connections that wait for their header do not hold up the end of a gateway", async () => {
  const other = await startTestGateway({
    estate: estateWith(behind),
    openLog: openTestLog,
    listeners: [{ name: "clear", host: "127.0.0.1", port: 0 }],
  });
  const end = new End(connect({ port: other.addresses[0]?.port ?? 0, host: "127.0.0.1" }));
  await once(end.socket, "connect");
  end.socket.write(proxyHeader().subarray(0, 5));
  await other.close();
  await until(() => end.isClosed, "the end");
});
