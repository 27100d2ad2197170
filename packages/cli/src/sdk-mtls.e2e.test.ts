// The SDK with a client certificate, at a real control plane and a real gateway in processes of their own: what it binds, they check.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serialOf, testListPem } from "@sallyport/gateway/testing/test-revocation-lists.ts";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { denialOf, type SallyportFault, sallyportFetch, tokenClient } from "@sallyport/sdk";
import { Installation, isReady, until } from "./installation.test-support.ts";

const bounded = { timeout: 120_000 };
const hourMs = 3_600_000;
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const uri = "spiffe://acme.example/production/orders";
const life = { notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + 24 * hourMs };
const caFor = (use: string): LocalCa =>
  createLocalCa({ tenant: "main", environment: "production", random, use, ...life });
const workloads = caFor("workloads");
const strangers = caFor("strangers");
let installation: Installation;

function certificate(ca: LocalCa, name = uri): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const issued = issueLeaf({ ca, publicKeySpki, names: { uri: name }, usage: "client", random, ...life });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { cert: issued.pem + ca.certificatePem, key };
}

function callerWith(presented: { readonly cert: string; readonly key: string }, proof: "dpop" | "mtls" = "mtls") {
  const { identity, gateway } = installation.ports;
  const issuer = `https://127.0.0.1:${identity}/main/production`;
  const ca = ["control", "production"].map((name) =>
    readFileSync(join(installation.data("control"), "ca", `${name}.pem`), "utf8"),
  );
  const key = installation.clientKey.signer;
  const client = tokenClient({ issuer, clientId: "orders", key, proof, tls: { ca, ...presented } });
  return sallyportFetch({ client, gateway: `https://127.0.0.1:${gateway}`, resource: `${issuer}/systems/billing` });
}

before(async () => {
  installation = await Installation.open();
  installation.writeEstate({
    "trust/workloads.yaml": "trust: workloads\nroots: [workloads.pem]\nrevocation: { lists: [workloads.crl.pem] }\n",
    "trust/workloads.crl.pem": testListPem(workloads),
    "trust/workloads.pem": workloads.certificatePem,
    "systems/orders.yaml": `system: orders\nidentity:\n  client: orders\n  keys: [orders.jwks.json]\n  certificate: { trust: workloads, uri: "${uri}" }\n`,
  });
  const control = installation.serve("control", [
    ...installation.controlArguments(),
    ...["--data", installation.data("control"), "--watch"],
  ]);
  await control.line(isReady);
  await installation.startGateway();
}, bounded);
after(() => installation.close());

test(
  "a certificate-bound token crosses over connections with its certificate, without a proof or a nonce",
  bounded,
  async () => {
    const call = callerWith(certificate(workloads));
    const response = await call("/billing/v1/invoices/in-1");
    assert.equal(response.status, 200, await response.clone().text());
    assert.deepEqual(await response.json(), { ok: true });
    const denial = await denialOf(await call("/billing/v1/invoices", { method: "POST", body: "{}" }));
    assert.deepEqual([denial?.code, denial?.by, typeof denial?.correlationId], ["not-granted", "gateway", "string"]);
  },
);

test("a certificate and a DPoP key together prove both", bounded, async () => {
  assert.equal((await callerWith(certificate(workloads), "dpop")("/billing/v1/invoices/in-1")).status, 200);
});

test("a certificate of another name gets no token, and the client key alone does not help", bounded, async () => {
  const reached = installation.upstreamRequests;
  await assert.rejects(
    callerWith(certificate(workloads, "spiffe://acme.example/production/portal"))("/billing/v1/invoices/in-1"),
    (error: SallyportFault) => error.code === "token-endpoint-refused",
  );
  assert.equal(installation.upstreamRequests, reached);
});

test("the declared name under another root never reaches the provider", bounded, async () => {
  const reached = installation.upstreamRequests;
  const outcome = await callerWith(certificate(strangers))("/billing/v1/invoices/in-1").then(
    (response) => response.status,
    (error: SallyportFault) => error.code,
  );
  assert.ok(outcome === 401 || outcome === "token-endpoint-refused", String(outcome));
  assert.equal(installation.upstreamRequests, reached);
});

test(
  "a list that replaces the last one ends what it names, at a gateway that runs; one that is over ends everybody, and status says so",
  bounded,
  async () => {
    const [kept, lost] = [certificate(workloads), certificate(workloads)];
    const [asKept, asLost] = [callerWith(kept), callerWith(lost)];
    const statusOf = async (call: typeof asKept): Promise<number> => (await call("/billing/v1/invoices/in-1")).status;
    const list = join(installation.estate, "trust/workloads.crl.pem");
    assert.deepEqual([await statusOf(asKept), await statusOf(asLost)], [200, 200]);
    writeFileSync(list, testListPem(workloads, { serials: [serialOf(lost)], startsMs: -60_000 }));
    await until("the end of the one it names", async () => (await statusOf(asLost)) === 401);
    const reached = installation.upstreamRequests;
    assert.equal(await statusOf(asLost), 401);
    assert.equal(installation.upstreamRequests, reached);
    assert.equal(await statusOf(asKept), 200);
    writeFileSync(list, testListPem(workloads, { startsMs: -7_200_000, endsMs: -60_000 }));
    await until("the end of all", async () => (await statusOf(asKept)) === 401);
    const { notices } = await installation
      .operator()
      .call<{ notices: { object: string; text: string; file: string; line: number }[] }>("GET", "/v1/status");
    const said = notices.find(({ object }) => object === "trust/workloads");
    assert.match(said?.text ?? "", /was over at .*: every client certificate of that CA is denied/);
    assert.deepEqual([said?.file, said?.line], ["trust/workloads.yaml", 3]);
  },
);
