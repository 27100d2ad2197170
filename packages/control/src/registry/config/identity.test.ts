// How a system says that its client proves itself: each way as it is read, and each mistake with its place and fix.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { createLocalCa } from "@sallyport/kernel/x509/issue.ts";
import { testCertificate } from "../../identity/certificates.test-support.ts";
import { random } from "../../identity/estate.test-support.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();
const own = testCertificate([{ type: "dns", value: "orders.internal" }]);
const root = testCertificate([{ type: "dns", value: "root.internal" }]);
const ca = createLocalCa({
  tenant: "main",
  environment: "test",
  random,
  notBeforeMs: 0,
  notAfterMs: Date.parse("2040-01-01T00:00:00Z"),
});
const secretUntil = Date.parse("2027-03-01T00:00:00Z");

function orders(identity: string): Readonly<Record<string, string>> {
  const [head = "", , ...rest] = (sound["systems/orders.yaml"] ?? "").split("\n");
  return {
    ...sound,
    "systems/orders.pem": own.cert,
    "systems/orders.yaml": [
      head,
      "identity:",
      `  client: orders\n  ${identity.split("\n").join("\n  ")}`,
      ...rest,
    ].join("\n"),
  };
}

const read = (identity: string) => load(orders(identity));
const authenticationIn = (identity: string) => {
  const { estate, findings } = read(identity);
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  return estate.environments[0]?.systems.find(({ id }) => id === "orders")?.clients[0]?.authentication;
};

test("a client has the way its file declares, and signs with keys where it declares none", () => {
  assert.equal(authenticationIn("keys: [orders.jwks.json]"), undefined);
  const x5t = createHash("sha256").update(new X509Certificate(own.cert).raw).digest("base64url");
  assert.deepEqual(authenticationIn("tls: { selfSigned: [orders.pem] }"), {
    method: "self_signed_tls_client_auth",
    x5t: [x5t],
  });
  assert.deepEqual(authenticationIn("secrets: { reason: The vendor knows no other way, until: 2027-02-28 }"), {
    method: "client_secret_basic",
    reason: "The vendor knows no other way",
    untilMs: secretUntil,
  });
});

test("a client with a secret is a warning that names what to do, also before the secret exists", () => {
  const { findings } = read("secrets: { reason: The vendor knows no other way, until: 2027-02-28 }");
  assert.deepEqual(
    findings.map(({ rule }) => rule),
    ["client-secret-accepted"],
  );
});

test("a client may publish its keys, beside those of its file, at an address and with the roots its file names", () => {
  const client = (identity: string) => {
    const loaded = load({
      ...orders(identity),
      "trust/partner.yaml": "trust: partner\nroots: [root.pem]\n",
      "trust/root.pem": ca.certificatePem,
    });
    assert.deepEqual(loaded.findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
    return loaded.estate.environments[0]?.systems.find(({ id }) => id === "orders")?.clients[0];
  };
  const uri = "https://keys.partner.example/jwks";
  assert.deepEqual(client(`jwksUri: ${uri}`), { id: "orders", keys: [], published: { uri, allowPrivate: false } });
  const both = client(`keys: [orders.jwks.json]\njwksUri: ${uri}\njwksServer: { ca: partner, allowPrivate: true }`);
  assert.deepEqual([both?.keys.length, both?.published], [1, { uri, allowPrivate: true, trust: "partner" }]);
  assert.deepEqual(
    read(`jwksUri: ${uri}`).findings.map(({ rule }) => rule),
    [],
    "a client that publishes is not one without keys",
  );
});

const mistakes: readonly (readonly [string, string, string])[] = [
  [
    "two ways at once",
    "keys: [orders.jwks.json]\nsecrets: { reason: The vendor knows no other way, until: 2027-02-28 }",
    "systems/orders.yaml:5:3 error $.identity.secrets: a second way to authenticate beside `keys`: whoever has the weaker one is the client. Fix: keep one of them",
  ],
  [
    "a secret without a reason",
    "secrets: { until: 2027-02-28 }",
    "systems/orders.yaml:4:12 error $.identity.secrets.reason: `reason` is missing. Fix: add it: Why the client cannot sign or show a certificate.",
  ],
  [
    "a secret without an end",
    "secrets: { reason: The vendor knows no other way }",
    "systems/orders.yaml:4:12 error $.identity.secrets.until: `until` is missing. Fix: add it: Last day on which a secret is accepted.",
  ],
  [
    "a name without a bundle",
    "tls: { uri: spiffe://acme/orders }",
    "systems/orders.yaml:4:3 error $.identity.tls: a name without a bundle is anybody's name. Fix: add `trust: <bundle>`",
  ],
  [
    "two names",
    "tls: { trust: mesh, uri: spiffe://acme/orders, dns: orders.internal }",
    "systems/orders.yaml:4:3 error $.identity.tls: `tls` needs exactly one of `uri`, `dns`, `ip`, `email`, `subject` and `selfSigned`. Fix: keep the one your certificates carry",
  ],
  [
    "a subject that is no RFC 4514 name",
    "tls: { trust: mesh, subject: 'CN=orders, O=Acme' }",
    "systems/orders.yaml:4:32 error $.identity.tls.subject: not a distinguished name (RFC 4514). Fix: write `CN=orders,O=Acme,C=DE` without spaces around `,`; types are CN, SERIALNUMBER, C, L, ST, STREET, O, OU, UID, DC or an object identifier",
  ],
  [
    "a subject with a NUL",
    "tls: { trust: mesh, subject: 'CN=orders\\00' }",
    "systems/orders.yaml:4:32 error $.identity.tls.subject: a value that is empty, too long, or holds characters that are not seen. Fix: write 1 to 256 characters that can be seen",
  ],
  [
    "an address with a port",
    "tls: { trust: mesh, ip: '10.1.2.3:443' }",
    "systems/orders.yaml:4:27 error $.identity.tls.ip: not an IP address. Fix: write it without a port or a network, for example `10.1.2.3`",
  ],
  [
    "a bundle beside a certificate of its own",
    "tls: { trust: mesh, selfSigned: [orders.pem] }",
    "systems/orders.yaml:4:3 error $.identity.tls: a certificate that is declared itself needs no bundle. Fix: remove `trust`",
  ],
  [
    "published keys that would be fetched over http",
    "jwksUri: http://keys.partner.example/jwks",
    "systems/orders.yaml:4:12 error $.identity.jwksUri: not https. Fix: keys are fetched over https only",
  ],
  [
    "published keys at a private address (SSRF)",
    "jwksUri: https://169.254.169.254/latest/meta-data",
    "systems/orders.yaml:4:12 error $.identity.jwksUri: the URL leads to a private or loopback address. Fix: add `jwksServer: { allowPrivate: true }` if that is meant",
  ],
  [
    "a server of nothing",
    "keys: [orders.jwks.json]\njwksServer: { allowPrivate: true }",
    "systems/orders.yaml:5:3 error $.identity.jwksServer: `jwksServer` without a `jwksUri` it is for. Fix: add `jwksUri: https://…`",
  ],
  [
    "published keys beside a secret",
    "jwksUri: https://keys.partner.example/jwks\nsecrets: { reason: The vendor knows no other way, until: 2027-02-28 }",
    "systems/orders.yaml:5:3 error $.identity.secrets: a second way to authenticate beside `jwksUri`: whoever has the weaker one is the client. Fix: keep one of them",
  ],
  [
    "roots for published keys that do not exist",
    "jwksUri: https://keys.partner.example/jwks\njwksServer: { ca: mesh }",
    "systems/orders.yaml:5:21 error $.identity.jwksServer.ca: there is no bundle `mesh`. Fix: there is none yet",
  ],
  [
    "a bundle that does not exist",
    "tls: { trust: mesh, uri: spiffe://acme/orders }",
    "systems/orders.yaml:4:17 error $.identity.tls.trust: there is no bundle `mesh`. Fix: there is none yet",
  ],
];

for (const [says, identity, finding] of mistakes)
  test(`reports ${says}, and the client gets no token until it is put right`, () => {
    const { estate, findings } = read(identity);
    assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), [finding]);
    assert.equal(
      estate.environments[0]?.systems.some(({ id }) => id === "orders"),
      false,
    );
  });

test("a private key beside a certificate is known to everybody who reads the estate", () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = `${own.cert}${privateKey.export({ format: "pem", type: "pkcs8" })}`;
  const { findings } = load({ ...orders("tls: { selfSigned: [orders.pem] }"), "systems/orders.pem": pem });
  assert.match(findings.map(formatFinding).join("\n"), /systems\/orders\.pem: a private key/);
});

const mesh = { "trust/mesh.yaml": "trust: mesh\nroots: [root.pem]\n", "trust/root.pem": ca.certificatePem };

test("a client may be known by its whole subject, an address or a mailbox, each kept in its one spelling", () => {
  const identityIn = (tls: string) => {
    const { estate, findings } = load({ ...orders(`tls: { trust: mesh, ${tls} }`), ...mesh });
    assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
    const way = estate.environments[0]?.systems.find(({ id }) => id === "orders")?.clients[0]?.authentication;
    return way?.method === "tls_client_auth" ? way.identity : null;
  };
  const subject = { trust: "mesh", kind: "subject", value: "OU=Shop+CN=orders,O=Acme\\, Inc." };
  assert.deepEqual(identityIn("subject: 'ou=Shop+cn=\\6frders,o=Acme\\2c Inc.'"), subject);
  assert.deepEqual(identityIn("ip: 10.1.2.3"), { trust: "mesh", kind: "ip", value: "10.1.2.3" });
  const v6 = { trust: "mesh", kind: "ip", value: "2001:db8:0:0:0:0:0:1" };
  assert.deepEqual(identityIn("ip: '2001:DB8::1'"), v6);
  assert.deepEqual(identityIn("email: orders@acme.example"), {
    trust: "mesh",
    kind: "email",
    value: "orders@acme.example",
  });
});

test("DN injection: two spellings of one subject cannot be two clients", () => {
  const other = "identity:\n  client: other\n  tls: { trust: mesh, subject: 'cn=\\6frders,o=Acme' }\n";
  const { findings } = load({
    ...orders("tls: { trust: mesh, subject: 'CN=orders,O=Acme' }"),
    ...mesh,
    "systems/other.yaml": `system: other\n${other}`,
  });
  const shared = findings.filter(({ message }) => message.startsWith("the certificate identity also belongs to"));
  assert.equal(shared.length, 2);
});

test("one certificate name cannot be two clients", () => {
  const trust = { "trust/mesh.yaml": "trust: mesh\nroots: [root.pem]\n", "trust/root.pem": root.cert };
  const tls = "identity:\n  client: other\n  tls: { trust: mesh, uri: spiffe://acme/orders }\n";
  const { findings } = load({
    ...orders("tls: { trust: mesh, uri: spiffe://acme/orders }"),
    ...trust,
    "systems/other.yaml": `system: other\n${tls}`,
  });
  const shared = findings.filter(({ message }) => message.startsWith("the certificate identity also belongs to"));
  assert.equal(shared.length, 2);
});
