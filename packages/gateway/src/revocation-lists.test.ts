// Client certificates that were taken back, at a real gateway over real TLS; and what the runtime's own `crl` option would have made of the same lists.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { RevocationObject } from "@sallyport/protocol/snapshot/revocation-object.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call } from "./testing/test-caller.ts";
import {
  issueTestLeaf,
  type KeyedCertificate,
  newTestCa,
  ordersUri,
  tlsListener,
  withCertificates,
} from "./testing/test-certificates.ts";
import { serialOf, testListBase64, testListPem } from "./testing/test-revocation-lists.ts";

const workloads = newTestCa("workloads");
const partner = newTestCa("partner");
const kept = issueTestLeaf(workloads, { uri: ordersUri }, { endsMs: 10 * 3_600_000 });
const lost = issueTestLeaf(workloads, { uri: ordersUri });
let upstream: CountingUpstream;
let bed: TestGateway;

const estate = (revocation?: RevocationObject) => ({
  ...withCertificates(marketplace(upstream.url), workloads),
  trust: [
    {
      name: "workloads",
      roots: [workloads.certificatePem, partner.certificatePem],
      ...(revocation === undefined ? {} : { revocation }),
    },
  ],
});

async function publish(revocation?: RevocationObject): Promise<void> {
  bed.clock.shiftMs += 10;
  await bed.publish(estate(revocation));
}

const asOrders = ({ cert, key }: KeyedCertificate, agent?: Agent): Promise<Answer> =>
  call(`https://127.0.0.1:${bed.addresses[0]?.port}/billing/v1/invoices/1`, {
    tls: { ca: workloads.certificatePem, cert, key },
    ...(agent === undefined ? {} : { agent }),
  });

/** `ok`, or the code on record. */
async function said(answering: Promise<Answer>): Promise<string> {
  const reached = upstream.seen.length;
  const answer = await answering;
  if (answer.status === 200) return "ok";
  assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"]);
  assert.equal(upstream.seen.length, reached);
  const [record] = await bed.leaves(answer.id);
  assert.ok(record?.t === "crossing");
  return record.code ?? "";
}

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: estate(), openLog: openTestLog, listeners: [tlsListener(workloads)] });
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});
beforeEach(() => publish());

describe("a certificate that its issuer took back proves nobody any more", () => {
  test("from the snapshot with the list on, also over a connection that was open before", async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    assert.equal(await said(asOrders(lost, agent)), "ok");
    await publish({ lists: [testListBase64(workloads, { serials: [serialOf(lost)] })], required: true });
    assert.equal(await said(asOrders(lost, agent)), "certificate-revoked");
    assert.equal(await said(asOrders(lost)), "certificate-revoked");
    assert.equal(await said(asOrders(kept)), "ok");
  });

  test("a CA whose list is missing has nobody pass where lists are required, and the one beside it is no worse for it", async () => {
    const lists = [testListBase64(workloads)];
    const theirs = issueTestLeaf(partner, { uri: ordersUri });
    await publish({ lists, required: true });
    assert.equal(await said(asOrders(theirs)), "revocation-unknown");
    assert.equal(await said(asOrders(kept)), "ok");
    await publish({ lists, required: false });
    assert.equal(await said(asOrders(theirs)), "ok");
  });

  test("a list that ends while a connection is open denies its next request where it is required, and no earlier", async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const before = bed.clock.shiftMs;
    t.after(async () => {
      bed.clock.shiftMs = before + 1_000;
      await publish();
    });
    const endsMs = before + 60_000;
    await publish({ lists: [testListBase64(workloads, { endsMs })], required: true });
    assert.equal(await said(asOrders(kept, agent)), "ok");
    bed.clock.shiftMs = endsMs - 30_000;
    assert.equal(await said(asOrders(kept, agent)), "ok");
    bed.clock.shiftMs = endsMs + 1_000;
    assert.equal(await said(asOrders(kept, agent)), "revocation-unknown");
  });
});

describe("why the lists are not the runtime's to judge: what its `crl` option does with them", () => {
  /** OpenSSL's word about a client's certificate, under roots and lists. */
  async function opensslSays(client: KeyedCertificate, crl: string[]): Promise<string> {
    const { cert, key } = issueTestLeaf(workloads, { dns: ["localhost"] }, { usage: "server" });
    const ca = [workloads.certificatePem, partner.certificatePem];
    const server = createServer({ cert, key, ca, crl, requestCert: true, rejectUnauthorized: false }).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo; // it listens on an address
    const judged = once(server, "secureConnection") as Promise<[TLSSocket]>; // the event's one argument
    const socket = connect({
      port,
      host: "127.0.0.1",
      ca,
      servername: "localhost",
      cert: client.cert,
      key: client.key,
    });
    const [peer] = await judged;
    const word = peer.authorized ? "ok" : String(peer.authorizationError);
    socket.destroy();
    peer.destroy();
    server.close();
    await once(server, "close");
    return word;
  }
  const theirs = issueTestLeaf(partner, { uri: ordersUri });

  test("it reads our lists as we do: revoked, over, good", async () => {
    assert.equal(await opensslSays(lost, [testListPem(workloads, { serials: [serialOf(lost)] })]), "CERT_REVOKED");
    assert.equal(
      await opensslSays(kept, [testListPem(workloads, { startsMs: -7_200_000, endsMs: -60_000 })]),
      "CRL_HAS_EXPIRED",
    );
    assert.equal(await opensslSays(kept, [testListPem(workloads)]), "ok");
  });

  test("one list makes lists of every other CA of the listener required", async () => {
    assert.equal(await opensslSays(theirs, [testListPem(workloads)]), "UNABLE_TO_GET_CRL");
  });
});
