// A provider that asks for a certificate, as an operator meets it: declared in the estate, its key on the gateway, changed while everything runs, and what
// `why` says when the provider does not take it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { issue, newCa } from "../behind-a-proxy.test-support.ts";
import { Installation, isReady, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const servers = newCa("servers");
const partner = newCa("partner");
const strangers = newCa("strangers");
const [first, second] = ["first", "second"].map((name) => issue(partner, { uri: `spiffe://acme/${name}` }, "client"));
const foreign = issue(strangers, { uri: "spiffe://acme/foreign" }, "client");
const seen: string[] = [];
let provider: Server;
let installation: Installation;

before(async () => {
  const { cert, key } = issue(servers, { dns: ["localhost"] }, "server");
  const demands = { ca: partner.certificatePem, requestCert: true, rejectUnauthorized: true };
  provider = createServer({ ...demands, cert, key }, (request, response) => {
    seen.push((request.socket as TLSSocket).getPeerX509Certificate()?.subjectAltName ?? "none");
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  installation = await Installation.open();
});
after(async () => {
  await installation?.close();
  provider?.closeAllConnections();
  provider?.close();
});

const filesWith = (certificate: string): Readonly<Record<string, string>> => {
  const at = provider.address();
  const port = typeof at === "object" && at !== null ? at.port : 0;
  const tls = "tls: { ca: servers, certificate: ours.pem }";
  return {
    "systems/billing.yaml": `system: billing\nurl: https://localhost:${port}\nallowPrivate: true\n${tls}\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n`,
    "systems/ours.pem": certificate,
    "trust/servers.yaml": "trust: servers\nroots: [servers.pem]\n",
    "trust/servers.pem": servers.certificatePem,
  };
};

test("the provider is shown the declared certificate, its successor after the next apply, and why names one it does not take", {
  timeout: 120_000,
}, async () => {
  assert.ok(first !== undefined && second !== undefined);
  const keys = join(installation.root, "upstream-keys");
  mkdirSync(keys);
  writeFileSync(join(keys, "first.key"), first.key, { mode: 0o600 });
  installation.writeEstate(filesWith(first.cert));
  const data = installation.data("all");
  const served = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data, "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--upstream-keys", keys],
  ]);
  await served.line(isReady);
  installation.trustRoots(join(data, "control", "ca"));
  const { fetch } = installation.caller();
  const read = () => fetch("/billing/v1/invoices/7");
  assert.equal((await read()).status, 200);
  assert.deepEqual(seen, ["URI:spiffe://acme/first"]);

  const operator = join(data, "control", "operator.key.json");
  const apply = async (certificate: string): Promise<void> => {
    installation.writeEstate(filesWith(certificate));
    const applied = await runBinary(["--operator", operator, "apply", installation.estate]);
    assert.equal(applied.exit, 0, applied.err);
  };
  writeFileSync(join(keys, "second.key"), second.key, { mode: 0o600 });
  writeFileSync(join(keys, "foreign.key"), foreign.key, { mode: 0o600 });
  await apply(second.cert);
  await until("the second certificate", async () => {
    assert.equal((await read()).status, 200);
    return seen.at(-1) === "URI:spiffe://acme/second";
  });

  await apply(foreign.cert);
  let refused = await read();
  await until("the foreign certificate", async () => {
    if (refused.status === 200) refused = await read();
    return refused.status !== 200;
  });
  assert.equal(refused.status, 502);
  const why = await runBinary(["--operator", operator, "why", refused.headers.get("sallyport-crossing") ?? ""]);
  assert.match(why.out, /^code +upstream-unreachable$/m);
  assert.match(why.out, /the certificate of billing \(URI:spiffe:\/\/acme\/foreign, SHA-256 [0-9a-f]{64}, until /);

  // No key is anywhere but in its folder.
  const stored = readFileSync(join(installation.estate, "systems/ours.pem"), "utf8");
  assert.ok(!stored.includes("PRIVATE KEY"));
});
