// `tls.certificate` of a system: what is read, what is refused with place and fix, and that nothing but the public chain reaches a snapshot.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const life = { notBeforeMs: Date.UTC(2026, 0, 1), notAfterMs: Date.UTC(2030, 0, 1) };
const caOf = (environment: string) => createLocalCa({ tenant: "main", environment, random, ...life });
const [partner, other] = [caOf("partner"), caOf("other")];

function leaf(usage: "client" | "server") {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const names = usage === "client" ? { uri: "spiffe://acme/gateway" } : { dns: ["api.acme.example"] };
  const { pem } = issueLeaf({ ca: partner, publicKeySpki, names, usage, random, ...life });
  return { pem, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}
const ours = leaf("client");

const load = (file: string, lines = "url: https://api.partner.example") => {
  const system = `system: partner\n${lines}\ntls: { certificate: ours.pem }\noperations:\n  thing.read: GET /v1/things/{id}\n`;
  const files = { "systems/partner.yaml": system, "systems/ours.pem": file };
  const loaded = loadEstateFrom(memoryEstateIo(files, () => Date.UTC(2026, 10, 30)));
  return {
    upstream: loaded.estate.environments[0]?.systems[0]?.upstream,
    errors: loaded.findings.map(({ line, message }) => `${line}: ${message}`),
  };
};

test("a certificate and its chain are read as they stand, the leaf first", () => {
  const chain = ours.pem + partner.certificatePem;
  const { upstream, errors } = load(chain);
  assert.deepEqual(errors, []);
  assert.equal(upstream?.certificate?.replaceAll(/\s/g, ""), chain.replaceAll(/\s/g, ""));
  assert.deepEqual(load(ours.pem).errors, []);
});

const refused: readonly (readonly [string, string, RegExp, string?])[] = [
  ["a key beside it", ours.pem + ours.key, /a private key/],
  ["nothing of the kind", "hello", /no PEM certificate/],
  ["what cannot be read", ours.pem.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"), /cannot be read/],
  ["a CA's first", partner.certificatePem + ours.pem, /the first certificate is a CA's/],
  ["one for servers", leaf("server").pem, /not for clients/],
  ["an issuer that did not issue it", ours.pem + other.certificatePem, /certificate 1 did not issue the one before it/],
  ["too many", ours.pem + partner.certificatePem.repeat(10), /more than 10 certificates/],
  ["a provider in clear", ours.pem, /nobody sees a certificate at http:/, "url: http://api.partner.example"],
  ["no provider", ours.pem, /without a `url`/, "description: nowhere"],
];
for (const [what, file, expected, lines] of refused)
  test(`refused: ${what}`, () => {
    const { upstream, errors } = load(file, lines);
    assert.equal(upstream, undefined, "the system is not served");
    assert.ok(
      errors.some((error) => expected.test(error)),
      errors.join("\n"),
    );
  });
