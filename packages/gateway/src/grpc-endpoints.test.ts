// Calls of gRPC to a provider that is served more than once, and what its endpoints say of their health: with servers of grpc-js, which speak the protocol of health
// checking as everybody's do (docs/grpc.md "Several endpoints").
import assert from "node:assert/strict";
import { type ClientHttp2Session, connect } from "node:http2";
import { after, before, beforeEach, describe, test } from "node:test";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { unary } from "./testing/grpc-provider.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const workloads = newTestCa("workloads");
const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
const get = "/billing.v1.Invoices/Get";
const service = "billing.v1.Invoices";
const asIs = (octets: Buffer): Buffer => octets;
const method = (path: string) => ({
  ...{ path, requestStream: false, responseStream: false },
  ...{ requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs },
});
type Call = ServerUnaryCall<Buffer, Buffer>;

interface Provider {
  readonly url: string;
  readonly server: Server;
  /** Questions about health, as messages with what came in the metadata. */
  readonly asked: { readonly message: string; readonly metadata: readonly string[] }[];
  calls: number;
  /** `HealthCheckResponse`, or a status of gRPC that is a fault. */
  health: Buffer | number;
}

const serving = Buffer.from([0x08, 1]);

async function startProvider(): Promise<Provider> {
  const server = new Server();
  const provider: Provider = { url: "", server, asked: [], calls: 0, health: serving };
  server.addService(
    { get: method(get), check: method("/grpc.health.v1.Health/Check") },
    {
      get: (_call: Call, answer: sendUnaryData<Buffer>) => {
        provider.calls++;
        answer(null, Buffer.from("invoice"));
      },
      check: ({ request, metadata }: Call, answer: sendUnaryData<Buffer>) => {
        provider.asked.push({ message: request.toString("latin1"), metadata: Object.keys(metadata.getMap()) });
        if (typeof provider.health === "number") answer({ code: provider.health });
        else answer(null, provider.health);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (fault, at) =>
      fault === null ? resolve(at) : reject(fault),
    ),
  );
  return Object.assign(provider, { url: `http://127.0.0.1:${port}` });
}

let one: Provider;
let two: Provider;
let bed: TestGateway;
let session: ClientHttp2Session;

function estate(about: string): TestEstate {
  const changes = { grpc: { businessErrors: [] }, timeoutMs: 60_000 };
  const body = { content: "opaque", contentType: "application/grpc" } as const;
  const operations = [{ name: "invoice.get", method: "POST", path: get, body, changes }];
  const health = { grpc: about, everyMs: 1, timeoutMs: 20_000, failures: 1, successes: 1 };
  const endpoints = [one, two].map(({ url }) => ({ url, weight: 1 }));
  const upstream = { url: one.url, allowPrivate: true, endpoints, resilience: { health } };
  return withCertificates(
    {
      systems: [
        { id: "billing", url: one.url, operations, changes: { public: { path: "/", strip: false }, upstream } },
        { id: "orders", clients: ["orders"] },
      ],
      integrations: [{ id: "orders-to-billing", from: "orders", to: "billing", operations: [{ name: "invoice.get" }] }],
    },
    workloads,
  );
}

before(async () => {
  [one, two] = [await startProvider(), await startProvider()];
  bed = await startTestGateway({ estate: estate(service), openLog: openTestLog, listeners: [tlsListener(workloads)] });
  session = connect(`https://localhost:${bed.addresses[0]?.port}`, { ca: workloads.certificatePem, cert, key });
  session.on("error", () => {});
});
after(async () => {
  session?.destroy();
  await bed?.close();
  for (const provider of [one, two]) provider?.server.forceShutdown();
});
beforeEach(() => {
  for (const provider of [one, two]) {
    provider.health = serving;
    provider.asked.length = 0;
    provider.calls = 0;
  }
});

/** The sweep that asks endpoints runs once a second. */
async function thoughtOf(provider: Provider, isWell: boolean): Promise<void> {
  const line = `sallyport_upstream_unwell{system="billing",endpoint="${provider.url}"} ${isWell ? 0 : 1}\n`;
  for (let i = 0; i < 6_000; i++) {
    if ((await bed.gateway.metricsText()).includes(line)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`it did not come: ${line}`);
}
async function calls(times: number): Promise<readonly [number, number]> {
  one.calls = 0;
  two.calls = 0;
  for (let i = 0; i < times; i++) assert.equal((await unary(session, get, "7")).status, "0");
  return [one.calls, two.calls];
}

describe("several endpoints of a provider of gRPC", () => {
  test("calls go to all of them, and each is asked about its service, without an identity", async () => {
    // Each is drawn by chance: of so many more than three go to either, but once in 10^13 times.
    const [first, second] = await calls(60);
    assert.ok(first > 3 && second > 3, `${first} and ${second}`);
    await thoughtOf(one, true);
    one.health = Buffer.from([0x08, 2]);
    await thoughtOf(one, false);
    assert.equal(one.asked[0]?.message, `\n\x13${service}`);
    const told = one.asked.flatMap(({ metadata }) => metadata);
    assert.deepEqual(
      told.filter((name) => name.startsWith("sallyport") || name === "authorization"),
      [],
    );
    assert.deepEqual(await calls(12), [0, 12]);
    one.health = serving;
    await thoughtOf(one, true);
  });

  for (const [what, health] of [
    ["that it does not know the service", status.NOT_FOUND],
    ["that it has no such method", status.UNIMPLEMENTED],
    ["UNKNOWN, the number 0", Buffer.alloc(0)],
    ["SERVICE_UNKNOWN", Buffer.from([0x08, 3])],
    ["nothing that can be read", Buffer.from("SERVING")],
  ] as const)
    test(`an endpoint that says ${what} is passed by, until it says SERVING`, async () => {
      await calls(1);
      two.health = health;
      await thoughtOf(two, false);
      assert.deepEqual(await calls(6), [6, 0]);
      two.health = serving;
      await thoughtOf(two, true);
    });

  test("where none is well somebody is called all the same", async () => {
    await calls(1);
    one.health = status.UNAVAILABLE;
    two.health = status.UNAVAILABLE;
    await thoughtOf(one, false);
    await thoughtOf(two, false);
    const [first, second] = await calls(4);
    assert.equal(first + second, 4);
  });

  test("an empty name asks about the whole server", async () => {
    await bed.publish(estate(""));
    await calls(1);
    await thoughtOf(two, true);
    two.asked.length = 0;
    two.health = Buffer.from([0x08, 2]);
    await thoughtOf(two, false);
    assert.equal(two.asked.at(-1)?.message, "");
  });
});
