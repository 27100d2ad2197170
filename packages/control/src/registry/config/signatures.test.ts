// Keys that a system signs its requests with: read as public keys with a name each, and each mistake with its place and fix.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();
const ed = generateKeyPairSync("ed25519");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwks = (...keys: object[]): string => JSON.stringify({ keys });
const publicEd = { ...ed.publicKey.export({ format: "jwk" }), kid: "orders-2026" };
const publicRsa = rsa.publicKey.export({ format: "jwk" });

function signing(file: string, more = "", name = "orders"): Readonly<Record<string, string>> {
  const path = `systems/${name}.yaml`;
  const [head = "", , ...rest] = (sound[path] ?? "").split("\n");
  const said = ["identity:", "  signatures:", "    keys: [signing.json]", ...(more === "" ? [] : [`    ${more}`])];
  return { ...sound, "systems/signing.json": file, [path]: [head, ...said, ...rest].join("\n") };
}

const errorsOf = (files: Readonly<Record<string, string>>): string[] =>
  load(files)
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding);

test("public keys are read by their `kid`, else their thumbprint, each with its algorithm", () => {
  const { estate, findings } = load(signing(jwks(publicEd, publicRsa), "covers: [content-type]"));
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const signatures = estate.environments[0]?.systems.find(({ id }) => id === "orders")?.signatures;
  assert.deepEqual(signatures?.keys.map(({ alg }) => alg).sort(), ["ed25519", "rsa-pss-sha512"]);
  assert.ok(signatures?.keys.some(({ keyid }) => keyid === "orders-2026"));
  assert.ok(signatures?.keys.some(({ keyid }) => /^[A-Za-z0-9_-]{43}$/.test(keyid)));
  assert.deepEqual([signatures?.covers, signatures?.nonce], [["content-type"], undefined]);
});

test("a private key, a symmetric one, another kind or use, two of one name and a file that is none are errors where they stand", () => {
  for (const file of [
    jwks(ed.privateKey.export({ format: "jwk" })),
    jwks(rsa.privateKey.export({ format: "jwk" })),
    jwks({ kty: "oct", k: "c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtISEhISE" }),
    jwks({ ...publicRsa, alg: "RS256" }),
    jwks(publicEd, { ...publicRsa, kid: "orders-2026" }),
    jwks(),
    '{"other":1}',
    "no JSON",
  ]) {
    const errors = errorsOf(signing(file));
    assert.equal(errors.length > 0 && errors.every((one) => /^systems\/orders\.yaml:[34]:/.test(one)), true, file);
    assert.equal(errors.join().includes("c2VjcmV0"), false);
  }
});

test("attack: a key that another system has too would let one sign as the other, so neither is served", () => {
  const both = signing(jwks(publicEd));
  const [head = "", ...rest] = (both["systems/billing.yaml"] ?? "").split("\n");
  const said = ["identity:", "  signatures:", "    keys: [signing.json]"];
  const errors = errorsOf({ ...both, "systems/billing.yaml": [head, ...said, ...rest].join("\n") });
  assert.deepEqual(
    errors.map((one) => one.slice(0, one.indexOf(":"))),
    ["systems/billing.yaml", "systems/orders.yaml"],
  );
  assert.match(errors[0] ?? "", /the name of a signature key also belongs to/);
});

test("a provider may ask for signed requests, with a `url`, and never beside calls of gRPC", () => {
  const billing = sound["systems/billing.yaml"] ?? "";
  const signed = load({ ...sound, "systems/billing.yaml": `${billing}signed: true\n` });
  assert.equal(signed.estate.environments[0]?.systems.find(({ id }) => id === "billing")?.upstream?.signed, true);
  const calls = billing.replace(
    "  invoice.read: GET /v1/invoices/{id}\n",
    "  invoice.watch: { match: POST /acme.Billing/Watch, protocol: grpc }\n",
  );
  assert.match(
    errorsOf({ ...sound, "systems/billing.yaml": `${calls.replace("http:", "https:")}signed: true\n` }).join(),
    /signed: calls of gRPC are not signed/,
  );
});
