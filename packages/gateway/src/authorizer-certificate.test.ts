// Proxies that are known by a client certificate: it proves the proxy that asks, and never the caller it asks about.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, askFor, askingEstate, proxyUrl } from "./testing/asking-bench.ts";
import type { Answer } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const workloads = newTestCa("workloads");
const edge = newTestCa("edge");
const ca = workloads.certificatePem;
let bench: Bench;
let at: (name: string) => string;

before(async () => {
  const certificate = { trust: "proxies", kind: "dns", value: "edge.acme.internal" } as const;
  const listeners = {
    known: { url: proxyUrl, trustedProxies: [], authorizer: { proxy: "nginx", certificate } },
    both: { url: proxyUrl, trustedProxies: ["127.0.0.1"], authorizer: { proxy: "nginx", certificate } },
    lost: {
      url: proxyUrl,
      trustedProxies: [],
      authorizer: { proxy: "nginx", certificate: { ...certificate, trust: "gone" } },
    },
    nobody: { url: proxyUrl, trustedProxies: [], authorizer: { proxy: "nginx" } },
  } as const;
  const names = ["known", "both", "lost", "nobody"];
  bench = await openBench({
    estate: (url) => {
      const estate = withCertificates(askingEstate(url, listeners), workloads);
      return { ...estate, trust: [...(estate.trust ?? []), { name: "proxies", roots: [edge.certificatePem] }] };
    },
    listeners: names.map((name) => ({ ...tlsListener(workloads), name })),
  });
  at = (name) => `https://127.0.0.1:${bench.bed.addresses.find((one) => one.name === name)?.port ?? 0}`;
});
after(() => bench?.close());

const proxy = issueTestLeaf(edge, { dns: ["edge.acme.internal"] });
const tlsOf = (pair: { readonly cert: string; readonly key: string } | null) =>
  pair === null ? { ca } : { ca, cert: pair.cert, key: pair.key };
const learnNonce = async (): Promise<void> => {
  const answer = await ask(at("known"), "nginx", { tls: tlsOf(proxy) });
  bench.orders.nonce = String(answer.headers["dpop-nonce"]);
};

async function notTrusted(answer: Answer): Promise<void> {
  assert.deepEqual([answer.status, answer.code], [403, "proxy-not-trusted"]);
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.code === "proxy-not-trusted" && leaf.caller === null);
}

test("the proxy that shows the declared certificate asks, and the caller is whom the token names", async () => {
  await learnNonce();
  for (const name of ["known", "both"]) {
    const fields = { "x-forwarded-for": "10.9.9.9, 203.0.113.9" };
    const answer = await askFor(bench.orders, at(name), "nginx", { tls: tlsOf(proxy), fields });
    assert.equal(answer.status, 200, answer.text);
    const [leaf] = await bench.bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual([leaf.proof, leaf.addressClass], ["dpop", "public-v4"]);
  }
});

test("attack: no certificate, another name, another CA, a workload's own: nobody is answered", async () => {
  await learnNonce();
  const wrong = [
    null,
    issueTestLeaf(edge, { dns: ["other.acme.internal"] }),
    issueTestLeaf(newTestCa("strangers"), { dns: ["edge.acme.internal"] }),
    issueTestLeaf(workloads, { uri: ordersUri }),
  ];
  for (const pair of wrong) await notTrusted(await askFor(bench.orders, at("known"), "nginx", { tls: tlsOf(pair) }));
});

test("both declared, both needed: the right certificate from another address is refused", async () => {
  await learnNonce();
  const told = { tls: tlsOf(proxy), from: "127.0.0.2" };
  await notTrusted(await askFor(bench.orders, at("both"), "nginx", told));
});

test("a bundle that is not there, or nothing that says who may ask: nobody may", async () => {
  await learnNonce();
  for (const name of ["lost", "nobody"])
    await notTrusted(await askFor(bench.orders, at(name), "nginx", { tls: tlsOf(proxy) }));
});

test("attack: the certificate of a workload that also may ask proves no caller", async () => {
  const answer = await ask(at("known"), "nginx", { tls: tlsOf(proxy) });
  assert.deepEqual([answer.status, answer.code], [401, "unauthenticated"]);
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.code === "credentials-missing");
});
