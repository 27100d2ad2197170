import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { CertificateNames } from "@sallyport/kernel/x509/names.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const hour = 3_600_000;

interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly x5t: string;
}

function newCa(use: string): LocalCa {
  const now = Date.now();
  return createLocalCa({
    tenant: "main",
    environment: "production",
    random,
    notBeforeMs: now - 2 * hour,
    notAfterMs: now + 24 * hour,
    use,
  });
}

function leaf(
  ca: LocalCa,
  names: CertificateNames,
  options: { readonly usage?: "client" | "server"; readonly endsMs?: number } = {},
): Pair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issued = issueLeaf({
    ca,
    publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
    names,
    usage: options.usage ?? "client",
    notBeforeMs: Date.now() - hour,
    notAfterMs: Date.now() + (options.endsMs ?? hour),
    random,
  });
  return {
    cert: issued.pem + ca.certificatePem,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    x5t: issued.x5t,
  };
}

const workloads = newCa("workloads");
const strangers = newCa("strangers");
const ordersUri = "spiffe://main/production/orders";
const portalUri = "spiffe://main/production/portal";
const server = leaf(workloads, { dns: ["localhost"] }, { usage: "server" });
let upstream: CountingUpstream;
let bed: TestGateway;
let invoice: string;

function estate(): TestEstate {
  const base = marketplace(upstream.url);
  const identity = (value: string) => [{ trust: "workloads", kind: "uri" as const, value }];
  return {
    ...base,
    systems: base.systems.map((system) =>
      system.id === "orders"
        ? { ...system, certificates: identity(ordersUri) }
        : system.id === "portal"
          ? { ...system, certificates: identity(portalUri) }
          : system,
    ),
    trust: [{ name: "workloads", roots: [workloads.certificatePem] }],
  };
}

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estate(),
    openLog: openTestLog,
    listeners: [
      {
        name: "public",
        host: "127.0.0.1",
        port: 0,
        tls: { cert: server.cert, key: server.key },
        url: "https://localhost",
      },
    ],
  });
  invoice = `https://127.0.0.1:${bed.addresses[0]?.port}/billing/v1/invoices/1`;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const ca = workloads.certificatePem;
const present = (pair: Pair | null, headers: Record<string, string> = {}): Promise<Answer> =>
  call(invoice, { headers, tls: pair === null ? { ca } : { ca, cert: pair.cert, key: pair.key } });

async function refused(code: ProblemCode, act: () => Promise<Answer>): Promise<void> {
  const reached = upstream.seen.length;
  const answer = await act();
  assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"]);
  assert.equal(upstream.seen.length, reached);
  const [record] = await bed.leaves(answer.id);
  assert.ok(record?.t === "crossing");
  assert.equal(record.code, code);
}

describe("a certificate is identity enough, when it is exactly the declared one", () => {
  const good = leaf(workloads, { uri: ordersUri });

  test("the declared name under the declared root passes without a token", async () => {
    const answer = await present(good);
    assert.equal(answer.status, 200, answer.text);
    const [record] = await bed.leaves(answer.id);
    assert.ok(record?.t === "crossing" && record.proof === "mtls");
  });

  test("no certificate and no token: credentials-missing", () => refused("credentials-missing", () => present(null)));
  test("another name: certificate-unknown", () =>
    refused("certificate-unknown", () => present(leaf(workloads, { uri: "spiffe://main/production/nobody" }))));
  test("the declared name under another root: certificate-untrusted", () =>
    refused("certificate-untrusted", () => present(leaf(strangers, { uri: ordersUri }))));
  test("a server certificate: certificate-untrusted", () =>
    refused("certificate-untrusted", () => present(leaf(workloads, { uri: ordersUri }, { usage: "server" }))));
  test("an expired certificate: certificate-expired", () =>
    refused("certificate-expired", () => present(leaf(workloads, { uri: ordersUri }, { endsMs: -60_000 }))));

  test("a certificate of one system with a token of another: identity-conflict", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const token = orders.token("billing", { cnf: { "x5t#S256": leaf(workloads, { uri: portalUri }).x5t } });
    const portal = leaf(workloads, { uri: portalUri });
    const bound = orders.token("billing", { cnf: { "x5t#S256": portal.x5t } });
    await refused("certificate-mismatch", () => present(portal, { authorization: `Bearer ${token}` }));
    await refused("identity-conflict", () => present(portal, { authorization: `Bearer ${bound}` }));
  });

  test("a token bound by x5t#S256 passes with its certificate and is no bearer token without it (RFC 8705)", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const token = orders.token("billing", { cnf: { "x5t#S256": good.x5t } });
    assert.equal((await present(good, { authorization: `Bearer ${token}` })).status, 200);
    await refused("token-bound-as-bearer", () => present(null, { authorization: `Bearer ${token}` }));
    await refused("certificate-mismatch", () =>
      present(leaf(workloads, { uri: ordersUri }), { authorization: `Bearer ${token}` }),
    );
  });

  test("an integration that is cut off stops certificates too, until a newer snapshot grants it again", async () => {
    bed.feed.revoke("integration", "orders-to-billing");
    assert.equal((await present(good)).code, "not-active");
    bed.clock.shiftMs += 10;
    await bed.publish(estate());
    assert.equal((await present(good)).status, 200);
  });
});

describe("TLS itself", () => {
  test("TLS 1.2 is not spoken unless asked for", async () => {
    await assert.rejects(
      new Promise((resolve, reject) => {
        const socket = tlsConnect(
          { host: "127.0.0.1", port: bed.addresses[0]?.port ?? 0, ca, maxVersion: "TLSv1.2", servername: "localhost" },
          () => resolve(socket.destroy()),
        );
        socket.on("error", reject);
      }),
    );
  });

  test("only http/1.1 is agreed on, also when h2 is offered", async () => {
    const protocol = await new Promise((resolve, reject) => {
      const socket = tlsConnect(
        {
          host: "127.0.0.1",
          port: bed.addresses[0]?.port ?? 0,
          ca,
          ALPNProtocols: ["h2", "http/1.1"],
          servername: "localhost",
        },
        () => {
          resolve(socket.alpnProtocol);
          socket.destroy();
        },
      );
      socket.on("error", reject);
    });
    assert.equal(protocol, "http/1.1");
  });
});
