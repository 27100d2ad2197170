import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import type {
  EstateObject,
  IntegrationObject,
  OutsideIssuerObject,
  SystemObject,
} from "@sallyport/protocol/snapshot/objects.ts";
import type { Estate } from "../registry/config/estate.ts";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { loadEstate, loadEstateFrom } from "../registry/config/load.ts";
import { identityParts, nextChangeMs } from "./compile-objects.ts";
import { checkPolicies } from "./compile-policies.ts";
import { type CompiledSnapshot, compileSnapshot, type SnapshotInput } from "./compile-snapshot.ts";
import { stableJson } from "./stable-json.ts";

const now = Date.parse("2026-11-22T00:00:00Z");
const marketplaceDir = join(dirname(fileURLToPath(import.meta.url)), "../../../../examples/marketplace/estate");
const marketplace = loadEstate(marketplaceDir, { now: () => now }).estate;
const compiler = createSliceCompiler();

function compile(estate: Estate, name: string, changes: Partial<SnapshotInput> = {}): CompiledSnapshot {
  const environment = estate.environments.find((known) => known.name === name);
  assert.ok(environment);
  const input: SnapshotInput = {
    environment,
    states: new Map(),
    tenant: "main",
    region: "eu",
    group: `${name}-eu`,
    issuer: `https://id.example/main/${name}`,
    epoch: 0,
    version: 1,
    now,
    lifetimeMs: 86_400_000,
    minKeySeq: 1,
    minRevocationSeq: 0,
    ...changes,
  };
  return compileSnapshot(input, compiler);
}

function blob<T>(snapshot: CompiledSnapshot, name: string): T {
  const bytes = snapshot.blobs.get(snapshot.manifest.objects[name] ?? "");
  assert.ok(bytes, `the snapshot names ${name}`);
  return JSON.parse(new TextDecoder().decode(bytes));
}

const inline = (files: Readonly<Record<string, string>>) => loadEstateFrom(memoryEstateIo(files, () => now)).estate;
/** A certificate for clients. */
function clientCertificate(): string {
  const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
  const life = { notBeforeMs: Date.UTC(2026, 0, 1), notAfterMs: Date.UTC(2030, 0, 1) };
  const ca = createLocalCa({ tenant: "main", environment: "partner", random, ...life });
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  return issueLeaf({ ca, publicKeySpki, names: { uri: "spiffe://acme/gateway" }, usage: "client", random, ...life })
    .pem;
}

const two = {
  "systems/billing.yaml":
    "system: billing\nurl: http://billing.internal\noperations:\n  invoice.read: GET /v1/invoices/{id}\n",
  "systems/orders.yaml": "system: orders\n",
  "integrations/orders-to-billing.yaml":
    "integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Test\noperations: [invoice.read]\n",
};

test("the same input gives the same bytes, from a fresh compiler too", () => {
  const first = compile(marketplace, "production");
  const environment = marketplace.environments[0];
  assert.ok(environment);
  const again = compileSnapshot(
    {
      ...{
        states: new Map(),
        tenant: "main",
        region: "eu",
        group: "production-eu",
        issuer: "https://id.example/main/production",
      },
      environment,
      epoch: 0,
      version: 1,
      now,
      lifetimeMs: 86_400_000,
      minKeySeq: 1,
      minRevocationSeq: 0,
    },
    createSliceCompiler(),
  );
  assert.deepEqual(again.manifest, first.manifest);
  assert.deepEqual([...again.blobs.keys()].sort(), [...first.blobs.keys()].sort());
});

test("every blob is named by its SHA-256, every name leads to a blob, names ascend", () => {
  const { manifest, blobs } = compile(marketplace, "production");
  for (const [id, bytes] of blobs) assert.equal(createHash("sha256").update(bytes).digest("hex"), id);
  assert.deepEqual(new Set(Object.values(manifest.objects)), new Set(blobs.keys()));
  const names = Object.keys(manifest.objects);
  assert.deepEqual(names, [...names].sort());
  for (const name of names) assert.match(name, /^[a-z]+(\/[A-Za-z0-9._:/-]{1,200})?$/);
});

for (const [mine, other] of [
  ["staging", "production"],
  ["production", "staging"],
] as const) {
  test(`the wall: a ${mine} snapshot holds no url, root, identity or word of ${other}`, () => {
    const { blobs, manifest } = compile(marketplace, mine);
    const text =
      [...blobs.values()].map((bytes) => new TextDecoder().decode(bytes)).join("\n") + JSON.stringify(manifest);
    const root = readFileSync(join(marketplaceDir, `trust/${other}/marketplace-ca.pem`), "utf8").split("\n")[3] ?? "";
    assert.ok(root.length > 40);
    const urls =
      marketplace.environments
        .find(({ name }) => name === other)
        ?.systems.flatMap(({ upstream }) => (upstream === undefined ? [] : [upstream.url])) ?? [];
    assert.ok(urls.length > 0);
    for (const word of [other, root, ...urls.map((url) => JSON.stringify(url))])
      assert.equal(text.includes(word), false, `${word.slice(0, 30)} is in it`);
  });
}

test("no client key travels in a snapshot, public or not", () => {
  const { blobs } = compile(marketplace, "production");
  const text = [...blobs.values()].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  for (const client of ["portal", "orders", "billing"]) {
    const { keys } = JSON.parse(readFileSync(join(marketplaceDir, `keys/production/${client}.jwks.json`), "utf8"));
    assert.equal(text.includes(keys[0].x), false);
  }
  const environment = marketplace.environments[0];
  assert.ok(environment);
  assert.equal(identityParts(environment).keys.get("orders")?.length, 1);
});

test("a system whose tokens are signed with RSA is said in `needs`, with algorithm and end and without the reason; others ask for nothing", () => {
  const billing = `${two["systems/billing.yaml"]}tokens: { algorithm: RS256, reason: Old appliance, until: 2027-06-30 }\n`;
  const compiled = compile(inline({ ...two, "systems/billing.yaml": billing }), "production");
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["token-algorithms"]);
  const untilMs = Date.parse("2027-07-01T00:00:00Z");
  assert.deepEqual(blob<SystemObject>(compiled, "system/billing").legacyTokens, { algorithm: "RS256", untilMs });
  const plain = compile(inline(two), "production");
  assert.equal(blob<EstateObject>(plain, "estate").needs, undefined);
});

test("an operation says in which line it is declared, for whoever is told why it refused", () => {
  const [operation] = blob<SystemObject>(compile(inline(two), "production"), "system/billing").operations;
  assert.equal(operation?.declaredAt, "systems/billing.yaml:4");
});

test("a system that signs, or an integration that accepts it, is said in `needs`; the keys are in the system's object", () => {
  const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
  const signing = {
    ...two,
    "systems/orders.yaml": "system: orders\nidentity:\n  signatures: { keys: [k.json], nonce: gateway }\n",
    "systems/k.json": `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"${x}","kid":"k1"}]}`,
  };
  const compiled = compile(inline(signing), "production");
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["message-signatures"]);
  assert.deepEqual(blob<SystemObject>(compiled, "system/orders").signatures, {
    keys: [{ keyid: "k1", alg: "ed25519", jwk: { kty: "OKP", crv: "Ed25519", x } }],
    covers: [],
    nonce: "gateway",
  });
  const accepting = `${two["integrations/orders-to-billing.yaml"]}proof: { accept: [signature] }\n`;
  const accepts = compile(inline({ ...two, "integrations/orders-to-billing.yaml": accepting }), "production");
  assert.deepEqual(blob<EstateObject>(accepts, "estate").needs, ["message-signatures"]);
  assert.deepEqual(blob<IntegrationObject>(accepts, "integration/orders-to-billing").proof, ["signature"]);
});

test("what is said of a provider's failures is in `needs`, so that a gateway which would do something else refuses the snapshot; defaults ask for nothing", () => {
  const system = (said: string) => `system: billing\n${said}\noperations:\n  invoice.read: GET /v1/invoices/{id}\n`;
  const upstreamOf = (said: string) => {
    const compiled = compile(inline({ ...two, "systems/billing.yaml": system(said) }), "production");
    return {
      needs: blob<EstateObject>(compiled, "estate").needs,
      upstream: blob<SystemObject>(compiled, "system/billing").upstream,
    };
  };
  const plain = upstreamOf("url: http://billing.internal");
  assert.equal(plain.needs, undefined);
  assert.deepEqual(plain.upstream?.resilience?.retries, { attempts: 2, budget: 0.2, least: 10 });
  assert.deepEqual(upstreamOf("url: http://billing.internal\nretries: none").needs, ["resilience"]);
  const several = upstreamOf("endpoints: [https://a.example, https://b.example]");
  assert.deepEqual(several.needs, ["resilience"]);
  assert.equal(several.upstream?.url, "https://a.example");
  assert.deepEqual(
    several.upstream?.endpoints?.map(({ url }) => url),
    ["https://a.example", "https://b.example"],
  );
});

test("a certificate that gateways show is in the upstream, and in `needs`: an older gateway would show none", () => {
  const ours = clientCertificate();
  const system = `system: billing\nurl: https://billing.internal\ntls: { certificate: ours.pem }\noperations:\n  invoice.read: GET /v1/invoices/{id}\n`;
  const files = { ...two, "systems/billing.yaml": system, "systems/ours.pem": ours };
  const compiled = compile(inline(files), "production");
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["upstream-certificates"]);
  assert.equal(blob<SystemObject>(compiled, "system/billing").upstream?.certificate?.trim(), ours.trim());
});

test("a proxy that asks by gRPC is in `needs`, so that a gateway which cannot answer it refuses the snapshot", () => {
  const needsOf = (proxy: string) => {
    const listener = `  edge:\n    url: https://api.example\n    authorizer: { proxy: ${proxy}, trustedProxies: [10.0.0.1] }\n`;
    const files = { ...two, "sallyport.yaml": `estate: tiny\nlisteners:\n${listener}` };
    return blob<EstateObject>(compile(inline(files), "production"), "estate").needs;
  };
  assert.deepEqual(needsOf("envoy-grpc"), ["authorizer", "authorizer-grpc"]);
  assert.deepEqual(needsOf("envoy"), ["authorizer"]);
});

test("rules about threats are in `needs`, so that a gateway which would let pass what is to be refused refuses the snapshot", () => {
  const needsOf = (threats: string) => {
    const files = { ...two, "systems/billing.yaml": `${two["systems/billing.yaml"]}${threats}` };
    return blob<EstateObject>(compile(inline(files), "production"), "estate").needs;
  };
  assert.deepEqual(needsOf("\nthreats: { mode: shadow }\n"), ["threats"]);
  assert.equal(needsOf(""), undefined);
});

test("policies that read a signal are said in `needs`, so that a gateway which makes none refuses the snapshot; others ask for nothing", () => {
  const needsOf = (condition: string) => {
    const text = `forbid (principal, action, resource) when { ${condition} };\n`;
    return (
      blob<EstateObject>(compile(inline({ ...two, "policies/x.cedar": text }), "production"), "estate").needs ?? []
    );
  };
  assert.deepEqual(needsOf('context.zone == "nowhere"'), []);
  assert.deepEqual(needsOf("context.acrLevel > 3"), ["signals"]);
  assert.deepEqual(needsOf('context has country && context.country == "AQ"'), ["signals"]);
});

test("a suspension changes exactly one blob", () => {
  const before = compile(marketplace, "production");
  const after = compile(marketplace, "production", { states: new Map([["orders-to-billing", "suspended"]]) });
  const changed = Object.keys(before.manifest.objects).filter(
    (name) => before.manifest.objects[name] !== after.manifest.objects[name],
  );
  assert.deepEqual(changed, ["integration/orders-to-billing"]);
  assert.equal(blob<IntegrationObject>(after, "integration/orders-to-billing").state, "suspended");
});

test("an environment with an approval rule serves nothing that nobody approved", () => {
  const estate = inline({ ...two, "sallyport.yaml": "environments:\n  production: { approval: operator }\n" });
  assert.equal(
    blob<IntegrationObject>(compile(estate, "production"), "integration/orders-to-billing").state,
    "proposed",
  );
  const approved = compile(estate, "production", { states: new Map([["orders-to-billing", "active"]]) });
  assert.equal(blob<IntegrationObject>(approved, "integration/orders-to-billing").state, "active");
});

test("an integration past its end compiles to expired, and the compiler knows when to compile again", () => {
  const estate = inline({
    ...two,
    "integrations/orders-to-billing.yaml": `${two["integrations/orders-to-billing.yaml"]}expires: 2026-12-24\n`,
  });
  const end = Date.parse("2026-12-25T00:00:00Z");
  const [environment] = estate.environments;
  assert.ok(environment);
  assert.equal(nextChangeMs(environment, now), end);
  assert.equal(nextChangeMs(environment, end), Number.POSITIVE_INFINITY);
  assert.equal(
    blob<IntegrationObject>(compile(estate, "production", { now: end - 1 }), "integration/orders-to-billing").state,
    "active",
  );
  assert.equal(
    blob<IntegrationObject>(compile(estate, "production", { now: end }), "integration/orders-to-billing").state,
    "expired",
  );
});

test("a bearer exception ends by itself", () => {
  const proof = "proof: { accept: [dpop, bearer], reason: Old client, until: 2026-12-24 }\n";
  const estate = inline({
    ...two,
    "integrations/orders-to-billing.yaml": `${two["integrations/orders-to-billing.yaml"]}${proof}`,
  });
  const proofAt = (at: number) =>
    blob<IntegrationObject>(compile(estate, "production", { now: at }), "integration/orders-to-billing").proof;
  assert.deepEqual(proofAt(now), ["dpop", "bearer"]);
  assert.deepEqual(proofAt(Date.parse("2026-12-25T00:00:00Z")), ["dpop"]);
});

test("a broken system is in the snapshot without anything of it, its integrations are not granted, the others stay", () => {
  const estate = inline({
    ...two,
    "systems/other.yaml": "system: other\nurl: http://o\noperations:\n  a.b: GET /x\n",
    "systems/billing.yaml": `${two["systems/billing.yaml"]}nonsense: 1\n`,
  });
  const snapshot = compile(estate, "production");
  const billing = blob<SystemObject>(snapshot, "system/billing");
  assert.match(billing.broken ?? "", /^systems\/billing\.yaml:5: unknown key `nonsense`\. Fix: /);
  assert.deepEqual(
    [billing.operations, billing.clients, billing.upstream, billing.public.path],
    [[], [], undefined, "/billing"],
  );
  assert.equal(snapshot.manifest.objects["integration/orders-to-billing"], undefined);
  assert.equal(blob<SystemObject>(snapshot, "system/other").broken, undefined);
  assert.deepEqual(
    snapshot.broken.map(({ object, file, line }) => [object, file, line]),
    [
      ["integration/orders-to-billing", "integrations/orders-to-billing.yaml", 1],
      ["system/billing", "systems/billing.yaml", 5],
    ],
  );
});

test("a broken system cannot take the public path of a healthy one", () => {
  const estate = inline({
    "systems/shop.yaml": "system: shop\nurl: http://s\npublic: { path: /evil }\noperations:\n  a.b: GET /x\n",
    "systems/evil.yaml": "system: evil\nnonsense: 1\n",
  });
  const snapshot = compile(estate, "production");
  assert.equal(snapshot.manifest.objects["system/evil"], undefined);
  assert.deepEqual(
    snapshot.broken.map(({ object }) => object),
    ["system/evil"],
  );
});

test("a policy file that cannot be parsed denies instead of being skipped, and is named with its line", () => {
  const estate = inline({
    ...two,
    "policies/broken.cedar": "forbid (principal, action, resource)\nwhen { nonsense };\n",
  });
  const snapshot = compile(estate, "production");
  assert.match(
    blob<{ broken?: string }>(snapshot, "policy/billing:invoice.read").broken ?? "",
    /policies\/broken\.cedar:\d+/,
  );
  assert.equal(
    snapshot.broken.some(({ object }) => object === "policy-file/policies/broken.cedar"),
    true,
  );
});

test("a policy of one environment is not in the other one", () => {
  const estate = inline({
    ...two,
    "sallyport.yaml": "environments: [production, staging]\n",
    "systems/billing.yaml": `${two["systems/billing.yaml"]}environments: [production, staging]\n`,
    "systems/orders.yaml": "system: orders\nenvironments: [production, staging]\n",
    "policies/production/freeze.cedar": '@id("freeze")\nforbid (principal, action, resource);\n',
  });
  const policiesOf = (name: string) =>
    Object.keys(
      blob<{ policies: Record<string, string> }>(compile(estate, name), "policy/billing:invoice.read").policies,
    );
  assert.equal(policiesOf("production").length, 2);
  assert.deepEqual(policiesOf("staging"), ["grant:orders-to-billing"]);
});

test("a forbid on an operation that nowhere exists is an error with its line, not a rule that never applies", () => {
  const estate = inline({
    ...two,
    "policies/typo.cedar": 'forbid (principal, action == Action::"billing:invoice.raed", resource);\n',
  });
  const findings = checkPolicies(estate, compiler);
  assert.deepEqual(
    findings.map(({ file, line, severity }) => [file, line, severity]),
    [["policies/typo.cedar", 1, "error"]],
  );
});

test("data classes of a schema raise the classification and do not travel", () => {
  const snapshot = compile(marketplace, "production");
  const create = blob<SystemObject>(snapshot, "system/billing").operations.find(
    ({ name }) => name === "invoice.create",
  );
  assert.equal(create?.classification, "confidential");
  const schema = blob<object>(snapshot, `schema/${create?.body?.schema}`);
  assert.equal(JSON.stringify(schema).includes("x-data-class"), false);
});

test("stable JSON: members ascend at every depth, undefined is left out, nothing else is lost", () => {
  const text = (value: unknown) => new TextDecoder().decode(stableJson(value));
  assert.equal(text({ b: [{ d: 1, c: undefined }], a: null, Ä: true }), '{"a":null,"b":[{"d":1}],"Ä":true}');
  assert.equal(text(JSON.parse('{"__proto__":1,"a":2}')), '{"__proto__":1,"a":2}');
  assert.throws(() => stableJson({ a: Number.NaN }), TypeError);
});

test("an issuer whose access tokens may be presented travels to its environment alone, with its keys, and an older gateway must refuse the snapshot", () => {
  const issuer = (more: string) =>
    `issuer: partner\nurl: https://sso.example/realms/shop\npreset: keycloak\njwksUri: https://sso.example/certs\n${more}`;
  const rules = "gateways:\n  - system: orders\n    party: web\n    speaksFor: user\n";
  const files = (text: string) =>
    inline({
      ...two,
      "sallyport.yaml": "environments: [production, staging]\n",
      "systems/billing.yaml": `${two["systems/billing.yaml"]}environments: [production, staging]\n`,
      "systems/orders.yaml": "system: orders\nenvironments: [production, staging]\n",
      "issuers/partner.yaml": text,
    });
  const keys = [{ kid: "k", alg: "RS256" as const, jwk: { kty: "RSA" as const, n: "AQAB", e: "AQAB" } }];
  const issuerKeys = (id: string) => (id === "partner" ? keys : []);
  const production = compile(files(issuer(rules)), "production", { issuerKeys });
  const object = blob<OutsideIssuerObject>(production, "issuer/partner");
  assert.deepEqual(
    [object.keys, object.rules.map(({ party }) => party), object.companions],
    [keys, ["web"], ["account"]],
  );
  assert.deepEqual(blob<EstateObject>(production, "estate").needs, ["outside-tokens"]);
  const names = (environment: string, text: string) =>
    Object.keys(compile(files(text), environment, { issuerKeys }).manifest.objects).filter((name) =>
      name.startsWith("issuer/"),
    );
  assert.deepEqual(names("staging", issuer(rules)), []);
  assert.deepEqual(names("production", issuer("systems: []\n")), [], "one that is trusted for trading only");
  assert.equal(object.notBeforeMs, undefined);
  const restored = compile(files(issuer(rules)), "production", { issuerKeys, restoredAt: now });
  assert.equal(blob<OutsideIssuerObject>(restored, "issuer/partner").notBeforeMs, now);
  const rotated = compile(files(issuer(rules)), "production", { issuerKeys: () => [] });
  const changed = Object.keys(rotated.manifest.objects).filter(
    (name) => rotated.manifest.objects[name] !== production.manifest.objects[name],
  );
  assert.deepEqual(changed, ["issuer/partner"], "a change of keys changes one blob");
});

test("a listener that says `http2: false` says so in the snapshot, and one that does not says nothing", () => {
  const listeners =
    "listeners:\n  public:\n    url: https://api.example\n  old:\n    url: https://old.example\n    http2: false\n";
  const estate = blob<EstateObject>(compile(inline({ ...two, "sallyport.yaml": listeners }), "production"), "estate");
  assert.deepEqual(estate.listeners, {
    old: { url: "https://old.example", trustedProxies: [], http2: false },
    public: { url: "https://api.example", trustedProxies: [] },
  });
});

test("a listener behind balancers says whose word it takes, and that older gateways cannot obey it", () => {
  const listeners =
    "listeners:\n  public:\n    url: https://api.example\n    proxyProtocol: { trustedProxies: [10.0.3.7] }\n  inner:\n    url: https://in.example\n";
  const estate = blob<EstateObject>(compile(inline({ ...two, "sallyport.yaml": listeners }), "production"), "estate");
  assert.deepEqual(estate.listeners, {
    inner: { url: "https://in.example", trustedProxies: [] },
    public: { url: "https://api.example", trustedProxies: ["10.0.3.7"], proxyProtocol: "v2" },
  });
  assert.deepEqual(estate.needs, ["proxy-protocol"]);
});

test("an integration for pages of browsers says so as it stands, and older gateways refuse it", () => {
  const integration =
    "integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Invoices\noperations: [invoice.read]\n";
  const written = `${integration}cors: { origins: [https://shop.example], maxAge: 1h }\n`;
  const file = (text: string) => ({
    ...two,
    "systems/orders.yaml": "system: orders\n",
    "integrations/orders-to-billing.yaml": text,
  });
  const compiled = compile(inline(file(written)), "production");
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["cors"]);
  assert.deepEqual(blob<IntegrationObject>(compiled, "integration/orders-to-billing").cors, {
    origins: ["https://shop.example"],
    allowHeaders: [],
    exposeHeaders: [],
    maxAgeSeconds: 3_600,
  });
  const without = compile(inline(file(integration)), "production");
  assert.equal(blob<EstateObject>(without, "estate").needs, undefined);
});

test("a gRPC operation is said in `needs`, takes calls alone and names its statuses by number; what cannot be gRPC is refused by name", () => {
  const system = (operation: string): Record<string, string> => ({
    ...two,
    "systems/billing.yaml": `system: billing\nurl: http://billing.internal\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.get:\n${operation}`,
  });
  const good =
    "    match: POST /billing.v1.Invoices/Get\n    protocol: grpc\n    outcome: { grpc: [NOT_FOUND, ABORTED] }\n";
  const compiled = compile(inline(system(good)), "production");
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["grpc"]);
  const { operations } = blob<SystemObject>(compiled, "system/billing");
  const { grpc, body, effect, bodyBytesMax } = operations.find(({ name }) => name === "invoice.get") ?? {};
  assert.deepEqual([grpc, effect, bodyBytesMax], [{ businessErrors: [5, 10] }, true, 4 * 1024 * 1024]);
  assert.deepEqual(body, { content: "opaque", contentType: "application/grpc" });
  assert.equal(blob<EstateObject>(compile(inline(two), "production"), "estate").needs, undefined);
  const bad: readonly (readonly [string, RegExp])[] = [
    ["    match: GET /billing.v1.Invoices/Get\n    protocol: grpc\n", /not matched like this/],
    ["    match: POST /billing.v1.Invoices/{id}\n    protocol: grpc\n", /not matched like this/],
    [`${good}    body: { contentType: application/grpc }\n`, /passed on unread/],
    [good.replace("protocol: grpc", "protocol: http"), /no gRPC/],
    [good.replace("grpc: [NOT_FOUND, ABORTED]", "business-error: [404]"), /ends with a status of gRPC/],
  ];
  for (const [operation, said] of bad) {
    const { findings } = loadEstateFrom(memoryEstateIo(system(operation), () => now));
    assert.match(findings.map(({ message }) => message).join(), said);
  }
});

test("that an issuer is asked about opaque tokens travels without where and as whom, and an older gateway must refuse the snapshot", () => {
  const text =
    "issuer: sso\nurl: https://sso.example\npreset: access-token\ngateways:\n  - system: orders\n    party: web\n    speaksFor: user\n" +
    "introspection:\n  url: https://sso.example/introspect\n  client: sallyport\n  providers: [billing]\n  keep: 10s\n";
  const compiled = compile(inline({ ...two, "issuers/sso.yaml": text }), "production");
  const { introspection } = blob<OutsideIssuerObject>(compiled, "issuer/sso");
  assert.deepEqual(introspection, { providers: ["billing"], keepMs: 10_000 });
  assert.deepEqual(blob<EstateObject>(compiled, "estate").needs, ["outside-tokens", "introspection"]);
});
