// Providers that ask who we are by certificate: what is declared is shown with the key of this node, over HTTP/1.1 and gRPC, and changed without a failed request.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import {
  Client,
  credentials,
  Server as GrpcServer,
  Metadata,
  ServerCredentials,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import { shownCertificate } from "./forward/shown-certificate.ts";
import { openUpstreamKeys, spkiOf, type UpstreamKeys } from "./forward/upstream-keys.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "./testing/test-caller.ts";
import {
  issueTestLeaf,
  type KeyedCertificate,
  newTestCa,
  ordersUri,
  tlsListener,
  withCertificates,
} from "./testing/test-certificates.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const servers = newTestCa("servers");
const partner = newTestCa("partner");
const workloads = newTestCa("workloads");
const serverPair = issueTestLeaf(servers, { dns: ["localhost"] }, { usage: "server" });
const ours = (): KeyedCertificate => issueTestLeaf(partner, { uri: "spiffe://acme/gateway" });
const [first, second, late] = [ours(), ours(), ours()];
const printOf = ({ cert }: KeyedCertificate): string => new X509Certificate(cert).fingerprint256;

const folder = mkdtempSync(join(tmpdir(), "sallyport-upstream-keys-"));
const putKey = (name: string, { key }: KeyedCertificate): void =>
  writeFileSync(join(folder, name), key, { mode: 0o600 });
/** Of whoever asked, as the provider saw it. */
const prints: string[] = [];
let held: (() => void) | null = null;
let provider: Server;
let callee: GrpcServer;
let calleePort = 0;
let bed: TestGateway;
let orders: TestCaller;
let url: string;
const nowMs = 0;
let keys: UpstreamKeys;

const asOctets = (octets: Buffer): Buffer => octets;
const path = "/peers.v1.Peers/Ask";
const method = {
  ...{ path, requestStream: false, responseStream: false, requestSerialize: asOctets },
  ...{ requestDeserialize: asOctets, responseSerialize: asOctets, responseDeserialize: asOctets },
} as const;

before(async () => {
  putKey("first.key", first);
  putKey("second.pem", second);
  const demands = { ca: partner.certificatePem, requestCert: true, rejectUnauthorized: true };
  provider = createServer({ ...demands, cert: serverPair.cert, key: serverPair.key }, (request, response) => {
    prints.push((request.socket as TLSSocket).getPeerX509Certificate()?.fingerprint256 ?? "none");
    response.writeHead(200, { "content-type": "application/json" });
    if (request.url !== "/v1/long") {
      response.end("{}");
      return;
    }
    response.write("[");
    held = () => response.end("]");
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  callee = new GrpcServer();
  callee.addService(
    { Ask: method },
    { Ask: (_call: unknown, answer: sendUnaryData<Buffer>) => answer(null, Buffer.from("yes")) },
  );
  const secured = ServerCredentials.createSsl(
    Buffer.from(partner.certificatePem),
    [{ private_key: Buffer.from(serverPair.key), cert_chain: Buffer.from(serverPair.cert) }],
    true,
  );
  calleePort = await new Promise((resolve, reject) =>
    callee.bindAsync("127.0.0.1:0", secured, (error, port) => (error === null ? resolve(port) : reject(error))),
  );
  keys = openUpstreamKeys({ directory: folder, monotonic: () => nowMs, warn: () => undefined });
  bed = await startTestGateway({
    estate: estateOf(first.cert),
    openLog: openTestLog,
    listeners: [
      { name: "public", host: "127.0.0.1", port: 0 },
      { ...tlsListener(workloads), name: "calls" },
    ],
    changes: { upstreamKeys: keys },
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
});
beforeEach(() => {
  prints.length = 0;
});
after(async () => {
  await bed?.close();
  provider?.closeAllConnections();
  provider?.close();
  callee?.forceShutdown();
  rmSync(folder, { recursive: true, force: true });
});

/** Systems at the same provider: one with the certificate, one with one whose key is not here, one with none; and one that is called. */
function estateOf(certificate: string): TestEstate {
  const at = provider.address();
  const port = typeof at === "object" && at !== null ? at.port : 0;
  const read = (name: string): TestOperation => ({ name, method: "GET", path: `/v1/${name}` });
  const operations = [read("thing"), read("long")];
  const upstream = (more: object, to = port) => ({
    upstream: { url: `https://localhost:${to}`, allowPrivate: true, ca: servers.certificatePem, ...more },
  });
  const call: TestOperation = {
    ...{ name: "ask", method: "POST", path },
    body: { content: "opaque", contentType: "application/grpc" },
    changes: { grpc: { businessErrors: [] } },
  };
  const systems = [
    { id: "partner", operations, changes: upstream({ certificate }) },
    { id: "keyless", operations, changes: upstream({ certificate: late.cert }) },
    { id: "nobody", operations, changes: upstream({}) },
    {
      id: "callee",
      operations: [call],
      changes: {
        ...upstream({ certificate }, calleePort),
        public: { host: "callee.example", path: "/", strip: false },
      },
    },
  ];
  return withCertificates(
    {
      systems: [{ id: "orders", clients: ["orders"] }, ...systems],
      integrations: systems.map(({ id, operations: granted }) => ({
        ...{ id: `orders-to-${id}`, from: "orders", to: id },
        operations: granted.map(({ name }) => ({ name })),
      })),
    },
    workloads,
  );
}

const read = (system: string, name = "thing"): Promise<Answer> => orders.send(`${url}/${system}/v1/${name}`);

test("the declared certificate is shown, and the provider answers", async () => {
  assert.equal((await read("partner")).status, 200);
  assert.deepEqual(prints, [printOf(first)]);
});

test("calls of gRPC show it too", async () => {
  const caller = issueTestLeaf(workloads, { uri: ordersUri });
  const secured = credentials.createSsl(
    Buffer.from(workloads.certificatePem),
    Buffer.from(caller.key),
    Buffer.from(caller.cert),
  );
  const client = new Client(`127.0.0.1:${bed.addresses[1]?.port}`, secured, {
    "grpc.ssl_target_name_override": "localhost",
    "grpc.default_authority": "callee.example",
  });
  const answer = await new Promise<Buffer | undefined>((resolve, reject) =>
    client.makeUnaryRequest(
      path,
      asOctets,
      asOctets,
      Buffer.from("?"),
      new Metadata(),
      { deadline: Date.now() + 20_000 },
      (error, got) => (error === null ? resolve(got) : reject(error)),
    ),
  );
  client.close();
  assert.equal(String(answer), "yes");
});

test("attack: a system that declares none has no part in the connections of one that does, at the same provider", async () => {
  assert.equal((await read("partner")).status, 200);
  const refused = await read("nobody");
  assert.deepEqual([refused.status, refused.code], [502, "upstream-unreachable"]);
  assert.deepEqual(prints, [printOf(first)]);
});

test("without the key nothing is sent, and once the key is there it is found, without another snapshot", async () => {
  const refused = await read("keyless");
  assert.deepEqual([refused.status, refused.code], [502, "upstream-unreachable"]);
  assert.deepEqual(prints, []);
  putKey("late.key", late);
  assert.equal((await read("keyless")).status, 200);
  assert.deepEqual(prints, [printOf(late)]);
});

test("a new certificate is shown from the next snapshot on, while requests go on: none fails, and none is cut", async () => {
  const long = read("partner", "long");
  await until(() => held !== null, "a long answer");
  let isOver = false;
  const statuses: number[] = [];
  const load = [1, 2, 3].map(async () => {
    while (!isOver) statuses.push((await read("partner")).status);
  });
  await until(() => statuses.length > 20, "requests before");
  await bed.publish(estateOf(second.cert));
  await until(() => prints.at(-1) === printOf(second), "the new one");
  const before = statuses.length;
  await until(() => statuses.length > before + 20, "requests behind");
  isOver = true;
  await Promise.all(load);
  held?.();
  assert.equal((await long).text, "[]");
  assert.ok(statuses.every((status) => status === 200));
  prints.length = 0;
  assert.equal((await read("partner")).status, 200);
  assert.deepEqual(prints, [printOf(second)]);
});

test("a missing key is told with its certificate and what to do", () => {
  const absent: UpstreamKeys = { keyFor: () => null };
  for (const [held_, fix] of [
    [absent, /Put it into the folder of --upstream-keys$/],
    [null, /Start the gateway with --upstream-keys$/],
  ] as const)
    assert.throws(
      () => shownCertificate(first.cert, { system: "partner", keys: held_ }).key(),
      (fault: unknown) => {
        assert.ok(fault instanceof DialFault && fault.code === "no-key");
        assert.match(
          fault.message,
          /no private key for the certificate of partner \(URI:spiffe:\/\/acme\/gateway, SHA-256 [0-9a-f]{64}, until /,
        );
        assert.match(fault.message, fix);
        return true;
      },
    );
});

describe("the folder of keys", () => {
  const own = mkdtempSync(join(tmpdir(), "sallyport-key-folder-"));
  const warned: string[] = [];
  let ms = 0;
  const open = (): UpstreamKeys =>
    openUpstreamKeys({ directory: own, monotonic: () => ms, warn: (_fields, text) => void warned.push(text) });
  const spki = ({ cert }: KeyedCertificate): string => spkiOf(new X509Certificate(cert).publicKey);
  const put = (name: string, text: string, mode = 0o600): void => writeFileSync(join(own, name), text, { mode });
  after(() => rmSync(own, { recursive: true, force: true }));

  test("is read again at once for a key that it has not, else at most once a second, and what it lost is gone", async () => {
    put("a.key", first.key);
    // Told apart from what follows, however coarse the file system's clock is.
    utimesSync(own, 1, 1);
    const opened = open();
    assert.ok(opened.keyFor(spki(first))?.startsWith("-----BEGIN PRIVATE KEY-----"));
    assert.equal(opened.keyFor(spki(second)), null);
    put("b.pem", second.key);
    assert.notEqual(opened.keyFor(spki(second)), null);
    rmSync(join(own, "a.key"));
    assert.notEqual(opened.keyFor(spki(first)), null, "within the second");
    ms += 1_000;
    assert.equal(opened.keyFor(spki(first)), null);
    // Written over in its place, which leaves the folder as it was.
    put("b.pem", late.key);
    ms += 1_000;
    assert.notEqual(opened.keyFor(spki(late)), null);
    put("b.pem", second.key);
  });

  test("a file that others can read, or that is no key, refuses the start; afterwards what was read stands", async () => {
    const opened = open();
    for (const [name, text, mode, why] of [
      ["open.key", first.key, 0o644, /mode 0644/],
      ["none.key", "hello", 0o600, /no private key/],
      ["chain.pem", first.cert, 0o600, /no private key/],
    ] as const) {
      put(name, text, mode);
      assert.throws(open, why);
      ms += 1_000;
      assert.notEqual(opened.keyFor(spki(second)), null);
      const told = warned.length;
      assert.equal(opened.keyFor(spki(late)), null);
      assert.equal(warned.length, told, "told once, however often it is missed");
      rmSync(join(own, name));
    }
    assert.equal(warned.length, 3);
    assert.throws(
      () => openUpstreamKeys({ directory: join(own, "absent"), monotonic: () => 0, warn: () => undefined }),
      /ENOENT/,
    );
  });
});
