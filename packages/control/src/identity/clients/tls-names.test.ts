// Whom a certificate names at the token endpoint where a client is declared by its subject, an address or a mailbox, over real handshakes.
import assert from "node:assert/strict";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { createLocalCa, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { oracle } from "@sallyport/kernel/x509/oracle.test-support.ts";
import { compileTrust, type PeerIdentity } from "@sallyport/kernel/x509/peer-policy.ts";
import { directoryOf } from "../directory.ts";
import { random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { createClientAuthentication } from "./authentication.ts";

const hour = 3_600_000;
const now = Date.now();
const dates = { notBeforeMs: now - hour, notAfterMs: now + 24 * hour };
const ours = createLocalCa({ tenant: "main", environment: "test", random, ...dates });
// Of another name: these leaves name no key of their issuer, by which OpenSSL could tell two of one name apart.
const theirs = createLocalCa({ tenant: "main", environment: "elsewhere", random, ...dates });
const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

interface Named {
  /** Most significant part first, as @peculiar/x509 writes it. */
  readonly subject?: string;
  readonly sans?: readonly { readonly type: "ip" | "email" | "dns"; readonly value: string }[];
  readonly from?: LocalCa;
}

/** A client's leaf with a subject and names that we would never issue. */
async function leaf({ subject = "", sans = [], from = ours }: Named) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const pkcs8 = from.key.export({ format: "der", type: "pkcs8" });
  const made = await oracle.X509CertificateGenerator.create({
    serialNumber: "2a",
    subject,
    issuer: new oracle.X509Certificate(from.certificatePem).subject,
    notBefore: new Date(now - hour),
    notAfter: new Date(now + hour),
    signingAlgorithm: ecdsa,
    publicKey: await webcrypto.subtle.importKey("spki", spki, ecdsa, true, ["verify"]),
    signingKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, ecdsa, false, ["sign"]),
    extensions: [
      new oracle.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.2"]),
      ...(sans.length === 0 ? [] : [new oracle.SubjectAlternativeNameExtension([...sans])]),
    ],
  });
  return { cert: made.toString("pem"), key: String(privateKey.export({ format: "pem", type: "pkcs8" })) };
}

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  const client = (id: string, kind: PeerIdentity["kind"], value: string) => ({
    id,
    keys: [],
    authentication: { method: "tls_client_auth", identity: { trust: "ours", kind, value } } as const,
  });

  before(async () => {
    const store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    const bundles = new Map([["ours", compileTrust({ name: "ours", roots: [ours.certificatePem] })]]);
    const authentication = createClientAuthentication({
      clock: { now: () => Date.now() },
      directory: () => estate.production.directory,
      bundles: () => bundles,
      secretUsed: () => undefined,
    });
    estate = await startEstate(store, () => ({ authentication }));
    estate.listener.setRoots([ours.certificatePem, theirs.certificatePem]);
    estate.production.directory = directoryOf({
      systems: [
        { id: "a", clients: [client("named", "subject", "CN=named,OU=Shop,O=Acme")], certificates: [] },
        { id: "b", clients: [client("host", "ip", "10.1.2.3")], certificates: [] },
        { id: "c", clients: [client("mail", "email", "Ops@acme.example")], certificates: [] },
      ],
      integrations: [],
      isActive: () => true,
    });
  });
  after(() => estate.close());

  /** `invalid_client`, or what an authenticated client is told that was granted nothing. */
  const told = async (id: string, names: Named) => {
    const { issuer } = estate.production;
    const body = { grant_type: "client_credentials", client_id: id, resource: `${issuer}/systems/billing` };
    const answer = await estate.post(issuer, new URLSearchParams(body).toString(), await leaf(names));
    assert.equal("access_token" in answer.body, false);
    return answer.body["error"];
  };
  const isKnown = async (id: string, names: Named) => assert.equal(await told(id, names), "invalid_target", id);
  const isNobody = async (id: string, names: Named) =>
    assert.equal(await told(id, names), "invalid_client", JSON.stringify(names));

  test("a client is known by its whole subject, its address or its mailbox", async () => {
    await isKnown("named", { subject: "O=Acme, OU=Shop, CN=named" });
    await isKnown("host", { sans: [{ type: "ip", value: "10.1.2.3" }] });
    await isKnown("mail", { sans: [{ type: "email", value: "Ops@ACME.example" }] });
  });

  test("another address, two of them, an address that is a text, another mailbox and no name at all are nobody", async () => {
    const one = { type: "ip", value: "10.1.2.3" } as const;
    await isNobody("host", { sans: [{ type: "ip", value: "10.1.2.4" }] });
    await isNobody("host", { sans: [one, { type: "ip", value: "10.1.2.4" }] });
    await isNobody("host", { sans: [{ type: "dns", value: "10.1.2.3" }] });
    await isNobody("host", { subject: "CN=10.1.2.3" });
    await isNobody("mail", { sans: [{ type: "email", value: "ops@acme.example" }] });
    await isNobody("mail", { sans: [{ type: "email", value: "Ops@acme.example.evil.example" }] });
    await isNobody("mail", {});
  });

  for (const [attack, subject] of [
    ["the order of the parts turned", "CN=named, OU=Shop, O=Acme"],
    ["a part left out", "O=Acme, CN=named"],
    ["a part added below", "O=Acme, OU=Shop, CN=named, CN=evil"],
    ["a part added above", "C=DE, O=Acme, OU=Shop, CN=named"],
    ["parts made one of several values", "O=Acme, OU=Shop+CN=named"],
    ["another case", "O=Acme, OU=Shop, CN=Named"],
    ["a homograph", "O=Acme, OU=Shop, CN=n\u0430med"],
    ["DN injection: a comma inside a value", "O=Acme, CN=named\\,OU\\=Shop"],
    ["DN injection: the whole name as one value", "CN=CN\\=named\\,OU\\=Shop\\,O\\=Acme"],
    ["a NUL after the name", "O=Acme, OU=Shop, CN=named\\00"],
    ["no subject", ""],
  ] as const)
    test(`a subject with ${attack} is nobody`, () => isNobody("named", { subject }));

  test("the declared subject as an alternative name, or from another CA, is nobody", async () => {
    await isNobody("named", { sans: [{ type: "dns", value: "CN=named,OU=Shop,O=Acme" }] });
    await isNobody("named", { subject: "O=Acme, OU=Shop, CN=named", from: theirs });
  });
});
