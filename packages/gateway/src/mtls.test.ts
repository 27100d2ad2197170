import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import {
  issueTestLeaf,
  type KeyedCertificate,
  newTestCa,
  ordersUri,
  portalUri,
  tlsListener,
  withCertificates,
} from "./testing/test-certificates.ts";
import { audienceOf } from "./testing/test-estate.ts";
import { TestIssuer } from "./testing/test-issuer.ts";

const workloads = newTestCa("workloads");
const strangers = newTestCa("strangers");
let upstream: CountingUpstream;
let bed: TestGateway;
let invoice: string;

const estate = () => withCertificates(marketplace(upstream.url), workloads);

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estate(),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
  invoice = `https://127.0.0.1:${bed.addresses[0]?.port}/billing/v1/invoices/1`;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const ca = workloads.certificatePem;
const present = (pair: KeyedCertificate | null, headers: Record<string, string> = {}): Promise<Answer> =>
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
  const good = issueTestLeaf(workloads, { uri: ordersUri });

  test("the declared name under the declared root passes without a token", async () => {
    const answer = await present(good);
    assert.equal(answer.status, 200, answer.text);
    const [record] = await bed.leaves(answer.id);
    assert.ok(record?.t === "crossing" && record.proof === "mtls");
  });

  test("no certificate and no token: credentials-missing", () => refused("credentials-missing", () => present(null)));
  test("another name: certificate-unknown", () =>
    refused("certificate-unknown", () =>
      present(issueTestLeaf(workloads, { uri: "spiffe://main/production/nobody" })),
    ));
  test("the declared name under another root: certificate-untrusted", () =>
    refused("certificate-untrusted", () => present(issueTestLeaf(strangers, { uri: ordersUri }))));
  test("a server certificate: certificate-untrusted", () =>
    refused("certificate-untrusted", () => present(issueTestLeaf(workloads, { uri: ordersUri }, { usage: "server" }))));
  test("an expired certificate: certificate-expired", () =>
    refused("certificate-expired", () => present(issueTestLeaf(workloads, { uri: ordersUri }, { endsMs: -60_000 }))));

  test("a certificate of one system with a token of another: identity-conflict", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const token = orders.token("billing", { cnf: { "x5t#S256": issueTestLeaf(workloads, { uri: portalUri }).x5t } });
    const portal = issueTestLeaf(workloads, { uri: portalUri });
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
      present(issueTestLeaf(workloads, { uri: ordersUri }), { authorization: `Bearer ${token}` }),
    );
  });

  test("a certificate of the attacker's own CA, with a token bound to it, is refused for its chain: the assertion key alone is no mTLS", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const bound = (pair: KeyedCertificate) => ({
      authorization: `Bearer ${orders.token("billing", { cnf: { "x5t#S256": pair.x5t } })}`,
    });
    const forged = issueTestLeaf(strangers, { uri: ordersUri });
    const unnamed = issueTestLeaf(workloads, { uri: "spiffe://main/production/nobody" });
    const expired = issueTestLeaf(workloads, { uri: ordersUri }, { endsMs: -60_000 });
    await refused("certificate-untrusted", () => present(forged, bound(forged)));
    await refused("certificate-unknown", () => present(unnamed, bound(unnamed)));
    await refused("certificate-expired", () => present(expired, bound(expired)));
  });

  test("a certificate whose CA has left the bundle, with a token bound to it, is refused", async () => {
    const orders = new TestCaller(bed.feed, "orders");
    const headers = { authorization: `Bearer ${orders.token("billing", { cnf: { "x5t#S256": good.x5t } })}` };
    bed.clock.shiftMs += 10;
    await bed.publish({ ...estate(), trust: [{ name: "workloads", roots: [strangers.certificatePem] }] });
    await refused("certificate-untrusted", () => present(good, headers));
    bed.clock.shiftMs += 10;
    await bed.publish(estate());
    assert.equal((await present(good, headers)).status, 200);
  });

  test("an outside issuer's token bound by x5t#S256 passes with its certificate alone, never with another system's or a forged one (RFC 8705)", async () => {
    const sso = new TestIssuer("sso", "https://sso.example/realms/shop", () => bed.clock.now());
    const rule = { system: "orders", party: "orders-web", claims: {}, speaksFor: "user" } as const;
    const of = (pair: KeyedCertificate) =>
      sso.token({ claims: { azp: "orders-web", aud: audienceOf("billing"), cnf: { "x5t#S256": pair.x5t } } });
    const headers = (pair: KeyedCertificate) => ({ authorization: `Bearer ${of(pair)}` });
    bed.clock.shiftMs += 10;
    await bed.publish({ ...estate(), issuers: [sso.object([{ ...rule, audiences: {} }])] });
    const answer = await present(good, headers(good));
    assert.equal(answer.status, 200, answer.text);
    const [record] = await bed.leaves(answer.id);
    assert.ok(record?.t === "crossing" && record.proof === "mtls" && record.issuer === "sso");
    const portal = issueTestLeaf(workloads, { uri: portalUri });
    const forged = issueTestLeaf(strangers, { uri: ordersUri });
    await refused("token-bound-as-bearer", () => present(null, headers(good)));
    await refused("certificate-mismatch", () => present(issueTestLeaf(workloads, { uri: ordersUri }), headers(good)));
    await refused("identity-conflict", () => present(portal, headers(portal)));
    await refused("certificate-untrusted", () => present(forged, headers(forged)));
    bed.clock.shiftMs += 10;
    await bed.publish(estate());
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
});
