import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { seededRandom } from "../seal/seeded.test-support.ts";
import { certificateThumbprint, readCertificate, spkiHash } from "./certificate.ts";
import { der, derInteger, derOid, derTime, readBoolean, readDer, readDerList, readOid, readTime } from "./der.ts";
import type { LeafOptions } from "./issue.ts";
import { createLocalCa, exportCaKey, issueLeaf, loadLocalCa } from "./issue.ts";
import { oracle } from "./oracle.test-support.ts";
import { parsePemCertificates, printPem } from "./pem.ts";

const random = seededRandom(21);
const nowMs = Math.floor(Date.now() / 1000) * 1000;
const dayMs = 86_400_000;
const ca = createLocalCa({
  tenant: "main",
  environment: "production",
  random,
  notBeforeMs: nowMs,
  notAfterMs: nowMs + 3650 * dayMs,
});
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }));
const uri = "sallyport://main/production/eu/gateway-1";

function leaf(change: Partial<LeafOptions> = {}) {
  const names = { uri, dns: ["gateway-1.internal"], ip: ["127.0.0.1", "2001:db8::7:0:1"] };
  return issueLeaf({
    ca,
    publicKeySpki: spki,
    names,
    usage: "client",
    notBeforeMs: nowMs,
    notAfterMs: nowMs + dayMs,
    random,
    ...change,
  });
}

const folder = mkdtempSync(join(tmpdir(), "sallyport-x509-"));
after(() => rmSync(folder, { recursive: true }));
const noOpenssl = spawnSync("openssl", ["version"]).status === 0 ? false : "the openssl command is not installed";

test("a leaf says exactly what was asked: names, usage, life backdated by 10 s, an empty subject and critical names", () => {
  const issued = leaf();
  const read = readCertificate(issued.der);
  assert.deepEqual(read.names, [
    { kind: "uri", value: uri },
    { kind: "dns", value: "gateway-1.internal" },
    { kind: "ip", value: "7f000001" },
    { kind: "ip", value: "20010db8000000000000000700000001" },
  ]);
  assert.equal(read.version, 3);
  assert.equal(read.ca, false);
  assert.deepEqual([...(read.keyUsage ?? [])], [0]);
  assert.deepEqual(read.extendedKeyUsage, ["1.3.6.1.5.5.7.3.2"]);
  assert.deepEqual([read.notBeforeMs, read.notAfterMs], [ca.certificate.notBeforeMs, nowMs + dayMs]);
  assert.equal(ca.certificate.notBeforeMs, nowMs - 10_000);
  assert.deepEqual(new Uint8Array(read.subject), Uint8Array.of(0x30, 0));
  assert.equal(issued.x5t, certificateThumbprint(issued.der));
  assert.equal(issued.serial.length, 32);
  assert.notEqual(issued.serial, leaf().serial);
});

test("node's OpenSSL reads the same certificate, and the signature is the CA's", () => {
  const issued = leaf({ usage: "both" });
  const node = new X509Certificate(issued.der);
  assert.ok(node.verify(createPublicKey(ca.key)));
  assert.ok(node.checkIssued(new X509Certificate(ca.certificate.der)));
  assert.equal(
    node.subjectAltName,
    `URI:${uri}, DNS:gateway-1.internal, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:7:0:1`,
  );
  assert.equal(node.serialNumber.toLowerCase(), issued.serial);
  assert.equal(node.ca, false);
  assert.deepEqual([...(node.keyUsage ?? [])].sort(), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(node.validToDate.getTime(), issued.notAfterMs);
  assert.equal(spkiHash(readCertificate(issued.der).spki), spkiHash(spki));
});

test("@peculiar/x509 reads the same names, life and usages, and verifies leaf and root", async () => {
  const issued = leaf();
  const read = new oracle.X509Certificate(new Uint8Array(issued.der));
  const root = new oracle.X509Certificate(new Uint8Array(ca.certificate.der));
  assert.ok(await read.verify({ publicKey: root.publicKey, date: new Date(nowMs) }));
  assert.ok(await root.verify({ publicKey: root.publicKey, date: new Date(nowMs) }));
  const san = read.getExtension(oracle.SubjectAlternativeNameExtension);
  assert.ok(san?.critical);
  assert.deepEqual(san.names.toJSON(), [
    { type: "url", value: uri },
    { type: "dns", value: "gateway-1.internal" },
    { type: "ip", value: "127.0.0.1" },
    { type: "ip", value: "2001:db8::7:0:1" },
  ]);
  assert.equal(read.getExtension(oracle.BasicConstraintsExtension)?.ca, false);
  assert.equal(read.getExtension(oracle.KeyUsagesExtension)?.usages, oracle.KeyUsageFlags.digitalSignature);
  assert.deepEqual(read.notAfter, new Date(issued.notAfterMs));
  assert.equal(root.getExtension(oracle.BasicConstraintsExtension)?.pathLength, 0);
});

test("openssl verify -x509_strict accepts the leaf for its purpose and for no other", { skip: noOpenssl }, () => {
  const root = join(folder, "root.pem");
  writeFileSync(root, ca.certificatePem);
  const verify = (pem: string, purpose: string) => {
    const file = join(folder, "leaf.pem");
    writeFileSync(file, pem);
    return spawnSync(
      "openssl",
      ["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile", root, file],
      { encoding: "utf8" },
    );
  };
  assert.equal(verify(leaf().pem, "sslclient").status, 0, verify(leaf().pem, "sslclient").stderr);
  assert.notEqual(verify(leaf().pem, "sslserver").status, 0);
  assert.equal(verify(leaf({ usage: "server" }).pem, "sslserver").status, 0);
  assert.equal(verify(leaf({ usage: "both" }).pem, "sslclient").status, 0);
});

test("keys of every allowed kind are certified and all others refused", () => {
  const der = { format: "der", type: "spki" } as const;
  const good = [
    generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey,
    generateKeyPairSync("ed25519").publicKey,
    generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey,
  ];
  for (const key of good) {
    const issued = leaf({ publicKeySpki: key.export(der) });
    assert.ok(new X509Certificate(issued.der).publicKey.equals(key));
  }
  const bad = [
    generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export(der),
    generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey.export(der),
    generateKeyPairSync("x25519").publicKey.export(der),
    spki.subarray(1),
    new Uint8Array(0),
  ];
  for (const key of bad) assert.throws(() => leaf({ publicKeySpki: key }), { code: "profile" });
});

test("names with wildcards, injected commas, queries, users, dots or a second reading are never issued", () => {
  const dns = [
    "*.internal",
    "a b",
    "a,b",
    "UPPER.example",
    "a..b",
    "dot.",
    "-a",
    "a\u0000b",
    "ä.example",
    "x".repeat(64),
    "",
  ];
  for (const name of dns) assert.throws(() => leaf({ names: { dns: [name] } }), TypeError, name);
  const uris = [
    "spiffe://acme",
    "spiffe://acme/",
    "spiffe://u@acme/x",
    "spiffe://acme/x?y",
    "spiffe://acme/x#y",
    "spiffe://acme:1/x",
    "spiffe://acme/../x",
    "spiffe://acme/a,DNS:b",
    "acme/x",
  ];
  for (const name of uris) assert.throws(() => leaf({ names: { uri: name } }), TypeError, name);
  for (const ip of ["127.1", "::ffff:1.2.3.4", "fe80::1%eth0", "host"])
    assert.throws(() => leaf({ names: { ip: [ip] } }), TypeError, ip);
  assert.throws(() => leaf({ names: {} }), TypeError);
});

test("a leaf neither outlives its CA nor ends before it starts", () => {
  assert.throws(() => leaf({ notAfterMs: ca.certificate.notAfterMs + 1000 }), { code: "expired-ca" });
  assert.throws(() => leaf({ notAfterMs: nowMs - dayMs }), { code: "profile" });
});

test("a stored CA loads again and issues; files of two CAs together are refused", () => {
  const again = loadLocalCa(ca.certificatePem, exportCaKey(ca));
  assert.ok(new X509Certificate(leaf({ ca: again }).der).verify(createPublicKey(ca.key)));
  const other = createLocalCa({
    tenant: "main",
    environment: "staging",
    random,
    notBeforeMs: nowMs,
    notAfterMs: nowMs + dayMs,
  });
  assert.throws(() => loadLocalCa(ca.certificatePem, exportCaKey(other)), { code: "ca-mismatch" });
  assert.throws(() => loadLocalCa(leaf().pem, pair.privateKey.export({ format: "der", type: "pkcs8" })), {
    code: "ca-mismatch",
  });
});

test("PEM ends with a newline, so that files joined together stay readable; broken PEM is refused", () => {
  const bundle = ca.certificatePem + leaf().pem;
  assert.equal(parsePemCertificates(bundle).length, 2);
  assert.equal(printPem("CERTIFICATE", parsePemCertificates(bundle)[0] ?? new Uint8Array(0)), ca.certificatePem);
  assert.throws(() => parsePemCertificates(ca.certificatePem.slice(0, -30)), TypeError);
  assert.throws(() => parsePemCertificates(ca.certificatePem.replace("MII", "M!I")), TypeError);
});

test("DER has one encoding: indefinite, long, padded and trailing forms are refused", () => {
  const bad = ["3080", "308100", "30820001", "3003020100ff", "3005", "1f8100", "", "30"];
  for (const text of bad) assert.throws(() => readDer(Buffer.from(text, "hex")), { code: "der-malformed" }, text);
  assert.throws(() => readOid(Uint8Array.of(0x55, 0x80, 0x01)), { code: "der-malformed" });
  assert.throws(() => readOid(Uint8Array.of(0x55, 0x81)), { code: "der-malformed" });
  assert.throws(() => readBoolean(Uint8Array.of(1)), { code: "der-malformed" });
  assert.throws(() => readDerList(Buffer.alloc(514, Buffer.from("0500", "hex"))), { code: "der-malformed" });
  assert.equal(readOid(readDer(derOid("1.2.840.10045.4.3.2")).content), "1.2.840.10045.4.3.2");
  assert.equal(readOid(readDer(derOid("2.999.1")).content), "2.999.1");
  assert.deepEqual(Buffer.from(derInteger(Uint8Array.of(0, 0, 0x80))).toString("hex"), "02020080");
  assert.equal(der(4, new Uint8Array(300)).length, 304);
});

test("times round-trip on both sides of 2050, and times that do not exist are refused", () => {
  for (const atMs of [0, Date.UTC(2049, 11, 31, 23, 59, 59), Date.UTC(2050, 0, 1), Date.UTC(2400, 1, 29)]) {
    assert.equal(readTime(readDer(derTime(atMs))), atMs);
  }
  for (const text of ["260230000000Z", "2611220000Z", "261122000000+0000", "261322000000Z"]) {
    assert.throws(() => readTime(readDer(der(0x17, Buffer.from(text)))), { code: "der-malformed" }, text);
  }
});

test("a certificate changed in any one byte is either unreadable or its signature is wrong", () => {
  const issued = leaf();
  const key = createPublicKey(ca.key);
  for (let at = 0; at < issued.der.length; at += 3) {
    const changed = Uint8Array.from(issued.der, (byte, i) => (i === at ? byte ^ 0x01 : byte));
    let good = false;
    try {
      readCertificate(changed);
      good = new X509Certificate(changed).verify(key);
    } catch {
      good = false;
    }
    assert.equal(good, false, `byte ${at}`);
  }
});
