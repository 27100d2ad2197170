// Lists written by a library that is not ours, judged with the chains they speak of.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { describe, test } from "node:test";
import type { Extension, X509Certificate, X509CrlEntryParams } from "@peculiar/x509";
import { type Certificate, readCertificate } from "./certificate.ts";
import { DerFault } from "./der.ts";
import { oracle } from "./oracle.test-support.ts";
import { compileRevocation, judgeRevocation } from "./revocation.ts";
import { readRevocationList } from "./revocation-list.ts";

const dayMs = 86_400_000;
const now = Date.UTC(2026, 5, 1);
const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384", publicExponent: Uint8Array.of(1, 0, 1), modulusLength: 2048 };

interface Ca {
  readonly name: string;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly algorithm: typeof ecdsa | typeof rsa;
  readonly certificate: X509Certificate;
}

const { KeyUsageFlags: use } = oracle;
const validity = { notBefore: new Date(now - 100 * dayMs), notAfter: new Date(now + 100 * dayMs) };
let serials = 0x4100;

async function newCa(
  name: string,
  {
    by,
    algorithm = ecdsa,
    usage = use.keyCertSign | use.cRLSign,
  }: {
    readonly by?: Ca;
    readonly algorithm?: Ca["algorithm"];
    readonly usage?: number;
  } = {},
): Promise<Ca> {
  // The library's types are of the browser; the keys are the same.
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const certificate = await oracle.X509CertificateGenerator.create({
    serialNumber: (serials++).toString(16),
    subject: `CN=${name}`,
    issuer: `CN=${by?.name ?? name}`,
    ...validity,
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    signingAlgorithm: by?.algorithm ?? algorithm,
    extensions: [new oracle.BasicConstraintsExtension(true), new oracle.KeyUsagesExtension(usage, true)],
  });
  return { name, keys, algorithm, certificate };
}

async function newLeaf(by: Ca, serialNumber = (serials++).toString(16)): Promise<Certificate> {
  const keys = (await webcrypto.subtle.generateKey(ecdsa, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const made = await oracle.X509CertificateGenerator.create({
    serialNumber,
    subject: "CN=orders",
    issuer: `CN=${by.name}`,
    ...validity,
    publicKey: keys.publicKey,
    signingKey: by.keys.privateKey,
    signingAlgorithm: by.algorithm,
  });
  return read(made);
}

const read = (made: X509Certificate): Certificate => readCertificate(new Uint8Array(made.rawData));

interface ListChanges {
  readonly serials?: readonly string[];
  readonly entries?: X509CrlEntryParams[];
  readonly fromMs?: number;
  readonly untilMs?: number | null;
  readonly signedBy?: Ca;
  readonly extensions?: Extension[];
}

async function list(ca: Ca, changes: ListChanges = {}): Promise<Uint8Array> {
  const { serials: revoked = [], entries, fromMs = now - dayMs, untilMs = now + dayMs, signedBy = ca } = changes;
  const made = await oracle.X509CrlGenerator.create({
    issuer: `CN=${ca.name}`,
    thisUpdate: new Date(fromMs),
    ...(untilMs === null ? {} : { nextUpdate: new Date(untilMs) }),
    entries: entries ?? revoked.map((serialNumber) => ({ serialNumber, revocationDate: new Date(now - dayMs) })),
    signingKey: signedBy.keys.privateKey,
    signingAlgorithm: signedBy.algorithm,
    extensions: changes.extensions ?? [],
  });
  return new Uint8Array(made.rawData);
}

const judge = (path: readonly Certificate[], lists: readonly Uint8Array[], required = true, at = now) => {
  const verdict = judgeRevocation(
    path,
    compileRevocation({ lists: lists.map((one) => Buffer.from(one).toString("base64")), required }),
    at,
  );
  return verdict.kind === "good" ? "good" : verdict.code;
};

const root = await newCa("root");
const below = await newCa("below", { by: root });
const leaf = await newLeaf(root);
const deep = await newLeaf(below);

describe("what a list in force says of a chain", () => {
  const short = [leaf, read(root.certificate)];
  const long = [deep, read(below.certificate), read(root.certificate)];

  test("a certificate that is on it is revoked, its neighbour is not, whatever zeros stand before the number", async () => {
    assert.equal(judge(short, [await list(root, { serials: [leaf.serial] })]), "certificate-revoked");
    assert.equal(judge(short, [await list(root, { serials: [`0000${leaf.serial}`] })]), "certificate-revoked");
    assert.equal(judge(short, [await list(root, { serials: ["01", `${leaf.serial}00`] })]), "good");
  });

  test("a CA on the list of the one above it takes all below with it; its own list says nothing about itself", async () => {
    const ofBelow = await list(below);
    const cut = await list(root, { serials: [read(below.certificate).serial] });
    assert.equal(judge(long, [ofBelow, await list(root)]), "good");
    assert.equal(judge(long, [ofBelow, cut]), "certificate-revoked");
    assert.equal(judge(long, [ofBelow, cut], false), "certificate-revoked");
    assert.equal(
      judge(long, [await list(below, { serials: [read(below.certificate).serial] }), await list(root)]),
      "good",
    );
  });

  test("every issuer of a chain needs one, each its own", async () => {
    assert.equal(judge(long, [await list(root)]), "revocation-unknown");
    assert.equal(judge(long, [await list(below)]), "revocation-unknown");
    assert.equal(judge(long, [await list(root)], false), "good");
  });

  test("one that is over or to come denies where it is required; what it names stays revoked all the same", async () => {
    const over = { fromMs: now - 2 * dayMs, untilMs: now - 1 };
    assert.equal(judge(short, [await list(root, over)]), "revocation-unknown");
    assert.equal(judge(short, [await list(root, over)], false), "good");
    assert.equal(judge(short, [await list(root, { ...over, serials: [leaf.serial] })], false), "certificate-revoked");
    assert.equal(judge(short, [await list(root, { fromMs: now + 1_000 })]), "revocation-unknown");
    const ends = await list(root, { untilMs: now + 5_000 });
    assert.equal(judge(short, [ends], true, now + 4_999), "good");
    assert.equal(judge(short, [ends], true, now + 5_000), "revocation-unknown");
  });

  test("of two of one issuer the newer counts", async () => {
    const former = await list(root, { fromMs: now - 2 * dayMs, serials: [leaf.serial] });
    const newer = await list(root, { fromMs: now - 1_000 });
    assert.equal(judge(short, [former, newer]), "good");
    assert.equal(judge(short, [newer, former]), "good");
  });

  test("signed by RSA it counts as well", async () => {
    const other = await newCa("rsa", { algorithm: rsa });
    const path = [await newLeaf(other), read(other.certificate)];
    assert.equal(judge(path, [await list(other)]), "good");
    assert.equal(judge(path, [await list(other, { serials: [path[0]?.serial ?? ""] })]), "certificate-revoked");
  });
});

describe("what is no word of that issuer", () => {
  test("a list in its name under another key, or under a key that may not sign lists, is none", async () => {
    const stranger = await newCa("root");
    const mute = await newCa("mute", { usage: use.keyCertSign });
    assert.equal(
      judge([leaf, read(root.certificate)], [await list(root, { signedBy: stranger })]),
      "revocation-unknown",
    );
    assert.equal(judge([await newLeaf(mute), read(mute.certificate)], [await list(mute)]), "revocation-unknown");
  });

  test("any byte of it changed, it is refused or says nothing", async () => {
    const whole = await list(root, { serials: ["4242"] });
    const path = [leaf, read(root.certificate)];
    for (let at = 0; at < whole.length; at++) {
      const bent = whole.slice();
      bent[at] = (bent[at] ?? 0) ^ 0x01;
      try {
        assert.notEqual(judge(path, [bent]), "good", `byte ${at}`);
      } catch (error) {
        assert.ok(error instanceof DerFault, `byte ${at}: ${error}`);
      }
    }
  });
});

describe("lists that do not say all about their issuer's certificates are refused whole", () => {
  const critical = (id: string): Extension => new oracle.Extension(id, true, Uint8Array.of(0x30, 0));
  const refused: [string, ListChanges, RegExp][] = [
    ["a delta", { extensions: [new oracle.Extension("2.5.29.27", true, Uint8Array.of(2, 1, 1))] }, /delta/],
    [
      "a delta that does not say it is critical",
      { extensions: [new oracle.Extension("2.5.29.27", false, Uint8Array.of(2, 1, 1))] },
      /delta/,
    ],
    ["a part", { extensions: [critical("2.5.29.28")] }, /part/],
    ["a critical extension nobody knows", { extensions: [critical("1.2.3.4")] }, /1\.2\.3\.4/],
    ["without nextUpdate", { untilMs: null }, /nextUpdate/],
    [
      "an entry about another issuer's certificate",
      { entries: [{ serialNumber: "01", extensions: [critical("2.5.29.29")] }] },
      /entry/,
    ],
  ];
  for (const [what, changes, said] of refused)
    test(what, async () => {
      const bytes = await list(root, changes);
      assert.throws(() => readRevocationList(bytes), said);
    });

  test("a certificate, and bytes behind the end", async () => {
    assert.throws(() => readRevocationList(leaf.der), DerFault);
    const bytes = await list(root);
    assert.throws(() => readRevocationList(Buffer.concat([bytes, Uint8Array.of(0)])), DerFault);
  });
});
