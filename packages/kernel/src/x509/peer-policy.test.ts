import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import type { Extension } from "@peculiar/x509";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import { seededRandom } from "../seal/seeded.test-support.ts";
import { certificateThumbprint, readCertificate } from "./certificate.ts";
import type { LeafOptions, LocalCa } from "./issue.ts";
import { createLocalCa, issueLeaf } from "./issue.ts";
import { oracle } from "./oracle.test-support.ts";
import type { PeerReading, PeerVerdict, TrustBundle } from "./peer-policy.ts";
import { compileTrust, judgePeer, readPeer } from "./peer-policy.ts";
import { parsePemCertificates, printPem } from "./pem.ts";

const random = seededRandom(31);
const nowMs = Date.now();
const dayMs = 86_400_000;

function newCa(environment: string): LocalCa {
  return createLocalCa({
    tenant: "main",
    environment,
    random,
    notBeforeMs: nowMs - 30 * dayMs,
    notAfterMs: nowMs + 3650 * dayMs,
  });
}

const ours = newCa("production");
const partner = newCa("partner");
const foreign = newCa("foreign");
const bundles = {
  ours: compileTrust({ name: "ours", roots: [ours.certificatePem] }),
  partner: compileTrust({ name: "partner", roots: [partner.certificatePem] }),
};
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = pair.publicKey.export({ format: "der", type: "spki" });
const keyPem = pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const serverPair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const serverKeyPem = serverPair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const serverLeaf = issueLeaf({
  ca: ours,
  publicKeySpki: serverPair.publicKey.export({ format: "der", type: "spki" }),
  names: { ip: ["127.0.0.1"] },
  usage: "server",
  notBeforeMs: nowMs,
  notAfterMs: nowMs + dayMs,
  random,
});

function leaf(change: Partial<LeafOptions> = {}): string {
  const options: LeafOptions = {
    ca: ours,
    publicKeySpki: spki,
    names: { uri: "spiffe://acme/orders" },
    usage: "client",
    notBeforeMs: nowMs,
    notAfterMs: nowMs + dayMs,
    random,
  };
  return issueLeaf({ ...options, ...change }).pem;
}

const orders: CertificateIdentity = { trust: "ours", kind: "uri", value: "spiffe://acme/orders" };

/** What a server that trusts `ca` learns from a client with this certificate, over a real handshake. */
async function handshake(cert: string | undefined, ca: readonly string[], key = keyPem): Promise<PeerReading> {
  const server = createServer({
    cert: serverLeaf.pem,
    key: serverKeyPem,
    ca: [...ca],
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // listen(0) on TCP always gives an AddressInfo.
  const { port } = server.address() as AddressInfo;
  const client = connect({
    host: "127.0.0.1",
    port,
    ca: ours.certificatePem,
    ...(cert === undefined ? {} : { cert, key }),
  });
  client.on("error", () => undefined);
  const [socket] = await once(server, "secureConnection");
  const reading = readPeer(socket);
  socket.destroy();
  client.destroy();
  server.close();
  return reading;
}

interface Judged {
  readonly identity?: CertificateIdentity;
  readonly trust?: TrustBundle;
  readonly roots?: readonly string[];
  readonly key?: string;
  readonly nowMs?: number;
}

const union = [ours.certificatePem, partner.certificatePem];

async function judge(
  cert: string,
  { identity = orders, trust = bundles.ours, roots = union, key = keyPem, nowMs: at = nowMs }: Judged = {},
): Promise<PeerVerdict> {
  const reading = await handshake(cert, roots, key);
  if (reading.kind === "refused") return { kind: "deny", code: "certificate-untrusted", reason: reading.reason };
  assert.equal(reading.kind, "peer");
  assert.ok(reading.kind === "peer");
  return judgePeer({ peer: reading.peer, identity, trust, nowMs: at });
}

function denied(verdict: PeerVerdict, code: string, reason?: RegExp): void {
  assert.ok(verdict.kind === "deny", "it was allowed");
  assert.equal(verdict.code, code, verdict.reason);
  if (reason) assert.match(verdict.reason, reason);
}

/** A certificate that our own writer refuses to make, from the oracle library, signed by `ca`. */
async function oddLeaf(
  ca: LocalCa,
  extensions: Extension[],
  subject = "CN=spiffe://acme/orders",
  spkiPublic = pair.publicKey,
): Promise<string> {
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    new Uint8Array(ca.key.export({ format: "der", type: "pkcs8" })),
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign"],
  );
  const made = await oracle.X509CertificateGenerator.create({
    serialNumber: "4242",
    issuer: new oracle.X509Certificate(new Uint8Array(ca.certificate.der)).subject,
    subject,
    notBefore: new Date(nowMs - 60_000),
    notAfter: new Date(nowMs + 2 * dayMs),
    publicKey: await webcrypto.subtle.importKey(
      "spki",
      new Uint8Array(spkiPublic.export({ format: "der", type: "spki" })),
      { name: "ECDSA", namedCurve: "P-256" },
      true,
      ["verify"],
    ),
    signingKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions,
  });
  return printPem("CERTIFICATE", new Uint8Array(made.rawData));
}

const clientUsage = new oracle.ExtendedKeyUsageExtension([oracle.ExtendedKeyUsage.clientAuth]);
const uriName = new oracle.SubjectAlternativeNameExtension([{ type: "url", value: orders.value }]);

test("a client certificate of the named bundle with exactly the declared uri, dns name or thumbprint is who it says", async () => {
  assert.equal((await judge(leaf())).kind, "allow");
  const dns = leaf({ names: { dns: ["orders.acme.example"] } });
  assert.equal(
    (await judge(dns, { identity: { trust: "ours", kind: "dns", value: "Orders.acme.example" } })).kind,
    "allow",
  );
  const x5t = certificateThumbprint(parsePemCertificates(dns)[0] ?? assert.fail());
  const byThumbprint: CertificateIdentity = { trust: "ours", kind: "x5t", value: x5t };
  assert.deepEqual(await judge(dns, { identity: byThumbprint }), {
    kind: "allow",
    x5t,
    notAfterMs: Math.floor((nowMs + dayMs) / 1000) * 1000,
  });
  denied(await judge(leaf(), { identity: byThumbprint }), "certificate-unknown");
});

test("no certificate is no peer", async () => {
  assert.deepEqual(await handshake(undefined, union), { kind: "none" });
});

test("another uri, dns name or thumbprint is unknown", async () => {
  denied(await judge(leaf({ names: { uri: "spiffe://acme/billing" } })), "certificate-unknown");
  denied(await judge(leaf({ names: { dns: ["spiffe"] } })), "certificate-unknown");
  denied(await judge(leaf(), { identity: { ...orders, kind: "x5t", value: "A".repeat(43) } }), "certificate-unknown");
});

test("a wrong certificate is told with the declared name and the names it bears", async () => {
  const verdict = await judge(leaf({ names: { uri: "spiffe://acme/billing" } }));
  assert.ok(verdict.kind === "deny");
  assert.deepEqual(verdict.facts, { expected: `uri:${orders.value}`, sent: "uri:spiffe://acme/billing" });
  const foreigner = await judge(leaf({ ca: foreign }));
  assert.ok(foreigner.kind === "deny");
  assert.equal(foreigner.facts?.expected, "a chain into a root of the bundle ours");
});

test("a foreign CA is untrusted, even with the right names", async () => {
  denied(await judge(leaf({ ca: foreign })), "certificate-untrusted");
});

test("confused-bundle attack: a partner's CA cannot name one of our own workloads", async () => {
  denied(await judge(leaf({ ca: partner })), "certificate-untrusted", /bundle ours/);
  assert.equal(
    (await judge(leaf({ ca: partner }), { identity: { ...orders, trust: "partner" }, trust: bundles.partner })).kind,
    "allow",
  );
});

test("shadow-issuer attack: a partner's intermediate with the name of our root does not pass for our root", async () => {
  const named = await oddLeaf(
    partner,
    [
      new oracle.BasicConstraintsExtension(true, undefined, true),
      new oracle.KeyUsagesExtension(oracle.KeyUsageFlags.keyCertSign, true),
    ],
    new oracle.X509Certificate(new Uint8Array(ours.certificate.der)).subject,
    pair.publicKey,
  );
  const [der] = parsePemCertificates(named);
  assert.ok(der);
  const shadow: LocalCa = { certificate: readCertificate(der), certificatePem: named, key: pair.privateKey };
  // Without key ids nothing but the signature tells the two issuers apart; even if TLS had been content, we are not.
  const [bare = assert.fail()] = parsePemCertificates(await oddLeaf(shadow, [clientUsage, uriName]));
  const peer = { verified: true, verifyError: null, chain: [readCertificate(bare)], x5t: certificateThumbprint(bare) };
  denied(judgePeer({ peer, identity: orders, trust: bundles.ours, nowMs }), "certificate-untrusted", /bundle ours/);
  const chain = leaf({ ca: shadow }) + named;
  denied(await judge(chain), "certificate-untrusted");
  denied(await judge(leaf({ ca: shadow })), "certificate-untrusted");
});

test("an expired certificate is expired by TLS and by our own clock, and one from the future is not valid yet", async () => {
  denied(await judge(leaf({ notBeforeMs: nowMs - 2 * dayMs, notAfterMs: nowMs - dayMs })), "certificate-expired");
  denied(await judge(leaf({ notBeforeMs: nowMs + 2 * dayMs, notAfterMs: nowMs + 3 * dayMs })), "certificate-expired");
  const reading = await handshake(leaf(), union);
  assert.ok(reading.kind === "peer");
  const question = { peer: reading.peer, identity: orders, trust: bundles.ours };
  denied(judgePeer({ ...question, nowMs: nowMs + 2 * dayMs }), "certificate-expired");
  denied(judgePeer({ ...question, nowMs: nowMs - 2 * dayMs }), "certificate-expired");
  assert.equal(judgePeer({ ...question, nowMs: nowMs + 60_000 }).kind, "allow");
});

test("a server's certificate is not a client's: serverAuth alone, any usage and no usage are refused with what to do", async () => {
  denied(await judge(leaf({ usage: "server" })), "certificate-untrusted");
  denied(await judge(await oddLeaf(ours, [uriName])), "certificate-untrusted", /clientAuth/);
  const any = new oracle.ExtendedKeyUsageExtension(["2.5.29.37.0"]);
  denied(await judge(await oddLeaf(ours, [uriName, any])), "certificate-untrusted", /INVALID_PURPOSE/);
  assert.equal((await judge(leaf({ usage: "both" }))).kind, "allow");
});

test("the common name never counts", async () => {
  denied(await judge(await oddLeaf(ours, [clientUsage])), "certificate-unknown");
  const other = new oracle.SubjectAlternativeNameExtension([{ type: "dns", value: "other.example" }]);
  denied(
    await judge(await oddLeaf(ours, [clientUsage, other], "CN=orders.acme.example"), {
      identity: { trust: "ours", kind: "dns", value: "orders.acme.example" },
    }),
    "certificate-unknown",
  );
});

test("two names of the declared kind are refused: one certificate must not be two systems", async () => {
  const two = new oracle.SubjectAlternativeNameExtension([
    { type: "url", value: orders.value },
    { type: "url", value: "spiffe://acme/billing" },
  ]);
  denied(await judge(await oddLeaf(ours, [clientUsage, two])), "certificate-unknown", /more than one/);
  denied(
    await judge(leaf({ names: { dns: ["a.example", "b.example"] } }), {
      identity: { trust: "ours", kind: "dns", value: "a.example" },
    }),
    "certificate-unknown",
    /more than one/,
  );
  const mixed = leaf({ names: { uri: orders.value, dns: ["a.example"] } });
  assert.equal((await judge(mixed)).kind, "allow", "a second kind of name is another matter");
});

test("comma-injection attack: one name that contains the text of another stays one name (CVE-2021-44532)", async () => {
  const injected = new oracle.SubjectAlternativeNameExtension([
    { type: "url", value: "http://evil/,URI:spiffe://acme/orders" },
  ]);
  denied(await judge(await oddLeaf(ours, [clientUsage, injected])), "certificate-unknown");
  const quoted = new oracle.SubjectAlternativeNameExtension([{ type: "dns", value: "evil, DNS:orders.acme.example" }]);
  denied(
    await judge(await oddLeaf(ours, [clientUsage, quoted]), {
      identity: { trust: "ours", kind: "dns", value: "orders.acme.example" },
    }),
    "certificate-untrusted",
    /ASCII/,
  );
});

test("a CA's certificate, and a leaf whose key may sign certificates, are not workloads", async () => {
  const asCa = await oddLeaf(ours, [clientUsage, uriName, new oracle.BasicConstraintsExtension(true, undefined, true)]);
  denied(await judge(asCa), "certificate-untrusted");
  const signer = await oddLeaf(ours, [
    clientUsage,
    uriName,
    new oracle.KeyUsagesExtension(oracle.KeyUsageFlags.digitalSignature | oracle.KeyUsageFlags.keyCertSign, true),
  ]);
  denied(await judge(signer), "certificate-untrusted");
  const root = ours.key.export({ format: "pem", type: "pkcs8" }).toString();
  denied(await judge(ours.certificatePem, { key: root }), "certificate-untrusted");
});

test("an unknown critical extension and a wildcard name are refused", async () => {
  const odd = new oracle.Extension("1.3.6.1.4.1.99999.1", true, new Uint8Array([5, 0]));
  denied(await judge(await oddLeaf(ours, [clientUsage, uriName, odd])), "certificate-untrusted");
  const wild = new oracle.SubjectAlternativeNameExtension([{ type: "dns", value: "*.acme.example" }]);
  denied(
    await judge(await oddLeaf(ours, [clientUsage, wild]), {
      identity: { trust: "ours", kind: "dns", value: "orders.acme.example" },
    }),
    "certificate-unknown",
  );
});

test("a chain over an intermediate is judged link by link", async () => {
  const mid = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const root = await rootWithoutLimit();
  const usage = new oracle.KeyUsagesExtension(oracle.KeyUsageFlags.keyCertSign, true);
  const pem = await oddLeaf(
    root,
    [new oracle.BasicConstraintsExtension(true, 0, true), usage],
    "CN=Partner issuing",
    mid.publicKey,
  );
  const intermediate = asCa(pem, mid.privateKey);
  const trust = compileTrust({ name: "ours", roots: [root.certificatePem] });
  const given = { trust, roots: [root.certificatePem] };
  assert.equal((await judge(leaf({ ca: intermediate }) + pem, given)).kind, "allow");
  denied(await judge(leaf({ ca: intermediate }), given), "certificate-untrusted");
  const constrained = await oddLeaf(
    root,
    [
      new oracle.BasicConstraintsExtension(true, 0, true),
      usage,
      new oracle.Extension("2.5.29.30", true, Buffer.from("3011a00f300d820b61636d652e6578616d70", "hex")),
    ],
    "CN=Partner issuing",
    mid.publicKey,
  );
  denied(await judge(leaf({ ca: asCa(constrained, mid.privateKey) }) + constrained, given), "certificate-untrusted");
});

function asCa(pem: string, key: KeyObject): LocalCa {
  const [der] = parsePemCertificates(pem);
  assert.ok(der);
  return { certificate: readCertificate(der), certificatePem: pem, key };
}

async function rootWithoutLimit(): Promise<LocalCa> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const self = { ...ours, key: keys.privateKey };
  const subject = new oracle.X509Certificate(new Uint8Array(ours.certificate.der)).subject;
  const pem = await oddLeaf(
    self,
    [
      new oracle.BasicConstraintsExtension(true, undefined, true),
      new oracle.KeyUsagesExtension(oracle.KeyUsageFlags.keyCertSign, true),
    ],
    subject,
    keys.publicKey,
  );
  return asCa(pem, keys.privateKey);
}

interface LimboCase {
  readonly id: string;
  readonly validation_kind: string;
  readonly expected_result: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly peer_certificate_key: string;
}
const shared = process.env["SALLYPORT_VECTORS"] ?? new URL("../../../../../shared/vectors", import.meta.url).pathname;
const limbo = join(shared, "x509-limbo", "limbo.json");

test("x509-limbo client cases: over real handshakes none that must fail is accepted, whatever identity is declared", {
  skip: !existsSync(limbo) && `${limbo} is absent`,
}, async () => {
  const all: readonly LimboCase[] = JSON.parse(readFileSync(limbo, "utf8")).testcases;
  const cases = all.filter((c) => c.validation_kind === "CLIENT" && c.expected_result === "FAILURE");
  assert.equal(cases.length, 5);
  for (const limboCase of cases) {
    const trust = compileTrust({ name: "ours", roots: limboCase.trusted_certs });
    const chain = [limboCase.peer_certificate, ...limboCase.untrusted_intermediates].join("");
    const reading = await handshake(chain, limboCase.trusted_certs, limboCase.peer_certificate_key);
    if (reading.kind !== "peer") continue;
    const identity: CertificateIdentity = { trust: "ours", kind: "x5t", value: reading.peer.x5t };
    assert.equal(judgePeer({ peer: reading.peer, identity, trust, nowMs }).kind, "deny", limboCase.id);
  }
});
