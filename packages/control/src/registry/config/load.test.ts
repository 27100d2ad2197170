// Golden findings: each mistake in a small estate, and the exact place, words and fix.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { formatFinding } from "./finding.ts";
import { billingWith, integrationFile as integration, load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();
const privateJwks = JSON.stringify({
  keys: [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })],
});

test("the smallest useful estate loads without a finding, with every default filled in", () => {
  const { estate, findings } = load(sound);
  assert.deepEqual(findings, []);
  assert.equal(estate.managedBy, "config:default");
  const [production] = estate.environments;
  assert.equal(estate.environments.length, 1);
  assert.equal(production?.name, "production");
  assert.deepEqual(production?.broken, []);
  assert.deepEqual(production?.integrations, [
    {
      id: "orders-to-billing",
      from: "orders",
      to: "billing",
      purpose: "Charge a customer",
      proof: ["mtls", "dpop"],
      limits: [{ per: "client", rate: 100, periodMs: 1000, burst: 200 }],
      operations: [{ name: "invoice.create" }, { name: "invoice.read" }],
      onExpiry: "suspend",
      declaredAt: { file: "systems/orders.yaml", line: 4, column: 5 },
      owner: "team:default",
    },
  ]);
  const billing = production?.systems.find(({ id }) => id === "billing");
  assert.deepEqual(billing?.public, { path: "/billing", strip: true });
  assert.deepEqual(
    billing?.operations.map(({ name, body, bodyBytesMax, classification, timeoutMs }) => ({
      name,
      body,
      bodyBytesMax,
      classification,
      timeoutMs,
    })),
    [
      {
        name: "invoice.create",
        body: { content: "json", contentType: "application/json" },
        bodyBytesMax: 1_048_576,
        classification: "internal",
        timeoutMs: 10_000,
      },
      { name: "invoice.read", body: undefined, bodyBytesMax: 0, classification: "internal", timeoutMs: 10_000 },
    ],
  );
});

interface Golden {
  readonly says: string;
  /** Laid over the sound estate; an empty text takes a file away. */
  readonly files: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
  /** Objects that are not served in production. */
  readonly broken: readonly string[];
}

const all = ["integration/orders-to-billing", "system/billing"];

const goldens: readonly Golden[] = [
  {
    says: "an unknown key, with the key that was meant",
    files: billingWith("ownr: team:default\n"),
    findings: ["systems/billing.yaml:6:1 error $.ownr: unknown key `ownr`. Fix: did you mean `owner`?"],
    broken: all,
  },
  {
    says: "a key of the design that is not enforced yet",
    files: billingWith("webhooks: {}\n"),
    findings: ["systems/billing.yaml:6:1 error $.webhooks: `webhooks` is not in this version. Fix: remove it"],
    broken: all,
  },
  {
    says: "`expect` wherever it stands",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.create:\n    match: POST /v1/invoices\n    expect: { every: 24h }\n  invoice.read: GET /v1/invoices/{id}\n",
    },
    findings: [
      "systems/billing.yaml:6:5 error $.operations['invoice.create'].expect: `expect` is not in this version. Fix: remove it; silence is not watched yet",
    ],
    broken: all,
  },
  {
    says: "a provider that does not exist, with the nearest name",
    files: { "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("to: billing", "to: biling") },
    findings: ["systems/orders.yaml:4:9 error $.uses[0].to: there is no system `biling`. Fix: did you mean `billing`?"],
    broken: ["integration/orders-to-biling"],
  },
  {
    says: "an operation that the provider does not have",
    files: { "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("invoice.read", "invoice.raed") },
    findings: [
      "systems/orders.yaml:6:34 error $.uses[0].operations[1]: `billing` has no operation `invoice.raed`. Fix: did you mean `invoice.read`?",
    ],
    broken: ["integration/orders-to-billing"],
  },
  {
    says: "an owner that is no team",
    files: billingWith("owner: team:paymets\n"),
    findings: ["systems/billing.yaml:6:8 error $.owner: there is no team `paymets`. Fix: use one of `default`"],
    broken: all,
  },
  {
    says: "an environment that is not declared",
    files: billingWith("environments: [production, stagin]\n"),
    findings: [
      "systems/billing.yaml:6:28 error $.environments[1]: no such environment. Fix: environments are declared in sallyport.yaml: use one of `production`",
    ],
    broken: all,
  },
  {
    says: "one operation granted by two integrations, at both places",
    files: integration("operations: [invoice.read]\n"),
    findings: [
      "integrations/second.yaml:5:14 error $.operations[0]: `invoice.read` is also granted by `orders-to-billing`. Fix: grant an operation to a consumer once per environment",
      "systems/orders.yaml:6:34 error $.uses[0].operations[1]: `invoice.read` is also granted by `second`. Fix: grant an operation to a consumer once per environment",
    ],
    broken: ["integration/orders-to-billing", "integration/second"],
  },
  {
    says: "a `uses` entry and a file of the same integration, at both places",
    files: integration("operations: [invoice.read]\n", "orders-to-billing"),
    findings: [
      "integrations/orders-to-billing.yaml:1:1 error $: the integration `orders-to-billing` is also declared in systems/orders.yaml:4. Fix: keep either the `uses` entry or the file",
      "systems/orders.yaml:4:5 error $.uses[0]: the integration `orders-to-billing` is also declared in integrations/orders-to-billing.yaml:1. Fix: keep either the `uses` entry or the file",
    ],
    broken: ["integration/orders-to-billing"],
  },
  {
    says: "one client for two systems, at both places",
    files: { "systems/portal.yaml": "system: portal\nidentity: { client: orders }\n" },
    findings: [
      "systems/orders.yaml:2:21 error $.identity.client: the client also belongs to `portal`. Fix: give each system a client of its own",
      "systems/portal.yaml:2:21 error $.identity.client: the client also belongs to `orders`. Fix: give each system a client of its own",
    ],
    broken: ["integration/orders-to-billing", "system/orders", "system/portal"],
  },
  {
    says: "a private key where a public one belongs, and that it must be rotated",
    files: { "systems/orders.jwks.json": privateJwks },
    findings: [
      "systems/orders.yaml:2:36 error $.identity.keys[0]: systems/orders.jwks.json: key 0: a private key. Fix: this key is now known to everyone who can read the estate: make a new pair, put only its public half here, and revoke the old one",
    ],
    broken: ["integration/orders-to-billing", "system/orders"],
  },
  {
    says: "a path out of the estate directory",
    files: {
      "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("orders.jwks.json", "../../etc/passwd"),
    },
    findings: [
      "systems/orders.yaml:2:36 error $.identity.keys[0]: the path leaves the estate directory. Fix: copy the file into the estate and name it by a relative path",
    ],
    broken: ["integration/orders-to-billing", "system/orders"],
  },
  {
    says: "`bearer` without a reason and an end",
    files: {
      "systems/orders.yaml": "system: orders\nidentity: { client: orders }\n",
      ...integration("proof: { accept: [bearer] }\noperations: [invoice.read]\n"),
    },
    findings: [
      "integrations/second.yaml:5:18 error $.proof.accept: `bearer` needs `reason` and `until`. Fix: add `reason: …` and `until: <date>`, or accept dpop and mtls only",
    ],
    broken: ["integration/second"],
  },
  {
    says: "a text cut by ` #`",
    files: {
      "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("Charge a customer", "Charge #1 customers"),
    },
    findings: [
      "systems/orders.yaml:5:14 error $.uses[0].purpose: the text ends at ` #`: what follows is a comment. Fix: put the whole text in double quotes",
    ],
    broken: ["integration/orders-to-billing"],
  },
  {
    says: "`1.10` read as a number",
    files: billingWith("description: 1.10\n"),
    findings: [
      'systems/billing.yaml:6:14 error $.description: `1.10` is read as the number 1.1. Fix: quote it if it is text: "1.10"',
      "systems/billing.yaml:6:14 error $.description: expected text, found the number 1.1. Fix: put it in double quotes",
    ],
    broken: all,
  },
  {
    says: "the Norway problem",
    files: billingWith("description: NO\n"),
    findings: [
      'systems/billing.yaml:6:14 error $.description: `NO` is text here and a boolean to YAML 1.1 tools. Fix: write false, or quote it: "NO"',
    ],
    broken: all,
  },
  {
    says: "a bare `*`",
    files: {
      "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("[invoice.create, invoice.read]", "*"),
    },
    findings: [
      'systems/orders.yaml:6:17 error $: `*` begins an alias in YAML, and aliases are not accepted. Fix: quote it if it is text ("*"); there are no wildcards: name each operation',
    ],
    broken: ["system/orders"],
  },
  {
    says: "an unquoted `{id}` in a flow map",
    files: {
      "systems/billing.yaml": "system: billing\nurl: http://b\noperations: { invoice.read: GET /v1/invoices/{id} }\n",
    },
    findings: [
      'systems/billing.yaml:3:46 error $: `{` begins a map inside `{ … }`, so this path template is cut. Fix: put the path in double quotes, for example "GET /v1/invoices/{id}"',
    ],
    broken: all,
  },
  {
    says: "a path parameter as other programs write it",
    files: { "systems/billing.yaml": (sound["systems/billing.yaml"] ?? "").replace("{id}", ":id") },
    findings: [
      "systems/billing.yaml:5:17 error $.operations['invoice.read']: a parameter is not written with `:`. Fix: write `{id}`",
    ],
    broken: all,
  },
  {
    says: "a tab, and nothing of what the parser makes of the rest of that line",
    files: {
      "systems/billing.yaml": "system: billing\noperations:\n  a: GET /a\n\tinvoice.read: GET /x\n  c: GET /c\n",
    },
    findings: [
      "systems/billing.yaml:4:1 error $: a tab is used to indent. Fix: use spaces: YAML does not allow tabs here",
    ],
    broken: all,
  },
  {
    says: "a key one blank too far left in a list",
    files: {
      "systems/orders.yaml":
        "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\nuses:\n  - to: billing\n   purpose: Charge a customer\n    operations: [invoice.read]\n",
    },
    findings: [
      "systems/orders.yaml:5:13 error $: a key is not followed by `: `, or a text goes on over several lines. Fix: check the colon and the indentation of this line and the one above",
    ],
    broken: ["system/orders"],
  },
  {
    says: "a tab",
    files: { "systems/billing.yaml": "system: billing\noperations:\n\tinvoice.read: GET /x\n" },
    findings: [
      "systems/billing.yaml:3:1 error $: a tab is used to indent. Fix: use spaces: YAML does not allow tabs here",
    ],
    broken: all,
  },
  {
    says: "a key written twice",
    files: billingWith("url: http://other\n"),
    findings: ["systems/billing.yaml:6:1 error $.url: the key occurs twice in one map. Fix: keep one of them"],
    broken: all,
  },
  {
    says: "a date that is none",
    files: {
      "systems/orders.yaml": "system: orders\nidentity: { client: orders }\n",
      ...integration("review: 2027-02-30\noperations: [invoice.read]\n"),
    },
    findings: [
      "integrations/second.yaml:5:9 error $.review: not a date. Fix: write year-month-day with leading zeros, for example `2027-06-30`",
    ],
    broken: ["integration/second"],
  },
  {
    says: "a URL that leads to a private address without the word for it",
    files: {
      "systems/billing.yaml": (sound["systems/billing.yaml"] ?? "").replace("billing.internal", "169.254.169.254"),
    },
    findings: [
      "systems/billing.yaml:2:6 error $.url: the URL leads to a private or loopback address. Fix: add `allowPrivate: true` if that is meant",
    ],
    broken: all,
  },
  {
    says: "answers before their records, of an effect",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create:\n    match: POST /v1/invoices\n    record: buffered\n",
    },
    findings: [
      "systems/billing.yaml:7:13 error $.operations['invoice.create'].record: the operation is an effect (POST): its record must be durable before the answer. Fix: remove `record: buffered`",
    ],
    broken: all,
  },
  {
    says: "answers before their records, of what is restricted",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    classification: restricted\n    record: buffered\n",
    },
    findings: [
      "systems/billing.yaml:8:13 error $.operations['invoice.read'].record: the operation is restricted: its record must be durable before the answer. Fix: remove `record: buffered`",
    ],
    broken: all,
  },
  {
    says: "an attribute from a path parameter that is not there",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    attributes: { owner: 'path:owner' }\n",
    },
    findings: [
      "systems/billing.yaml:7:26 error $.operations['invoice.read'].attributes.owner: no such parameter in the path of `match`. Fix: use one of `path:id`",
    ],
    broken: all,
  },
  {
    says: "an attribute from a header that the provider never sees",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    attributes: { owner: 'header:X-Forwarded-User' }\n",
    },
    findings: [
      "systems/billing.yaml:7:26 error $.operations['invoice.read'].attributes.owner: an attribute from a header that never reaches the provider as the caller sent it. Fix: take it from a header of the application's own",
    ],
    broken: all,
  },
  {
    says: "a schema that ajv refuses, at the place inside it",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create:\n    match: POST /v1/invoices\n    body:\n      schema:\n        type: object\n        properties:\n          cents: { type: integr }\n",
    },
    findings: [
      "systems/billing.yaml:11:26 error $.operations['invoice.create'].body.schema.properties.cents.type: not valid JSON Schema 2020-12 (enum: must be equal to one of the allowed values). Fix: correct the schema at this place",
    ],
    broken: all,
  },
  {
    says: "a classification below the data classes",
    files: {
      "systems/billing.yaml":
        "system: billing\nurl: http://b\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    data: [pii]\n    classification: internal\n",
    },
    findings: [
      "systems/billing.yaml:8:21 error $.operations['invoice.read'].classification: the data classes make it confidential, and `classification` cannot lower that. Fix: remove it, or write confidential or higher",
    ],
    broken: all,
  },
  {
    says: "a file whose key is not its name",
    files: {
      "systems/billing.yaml": (sound["systems/billing.yaml"] ?? "").replace("system: billing", "system: biling"),
    },
    findings: [
      "systems/billing.yaml:1:9 error $.system: `system` is not the name of the file. Fix: write `system: billing`, or rename the file",
    ],
    broken: all,
  },
  {
    says: "a reserved id",
    files: { "systems/token.yaml": "system: token\n" },
    findings: [
      "systems/token.yaml:1:1 error $: the file name is the id, and: `token` is reserved. Fix: choose another id",
    ],
    broken: ["system/token"],
  },
  {
    says: "a clear secret, without repeating it",
    files: billingWith("password: correct-horse-battery\n"),
    findings: [
      "systems/billing.yaml:6:1 error $.password: the key `password` does not exist, and secrets never stand in configuration. Fix: remove the key",
      "systems/billing.yaml:6:11 error $.password: a secret value stands in clear. Fix: take it out and treat it as leaked; secrets never stand in configuration (a `secret:` reference will name them, not in this version)",
    ],
    broken: all,
  },
  {
    says: "a file that ends in .yml",
    files: { "integrations/x.yml": "integration: x\n" },
    findings: [
      "integrations/x.yml:1:1 error $: the file is not read: its name does not end in `.yaml`. Fix: rename it to x.yaml",
    ],
    broken: [],
  },
];

for (const { says, files, findings, broken } of goldens) {
  test(`reports ${says}`, () => {
    const loaded = load({ ...sound, ...files });
    assert.deepEqual(loaded.findings.filter(({ severity }) => severity === "error").map(formatFinding), findings);
    assert.deepEqual(
      loaded.estate.environments[0]?.broken.map(({ object }) => object),
      broken,
    );
  });
}
