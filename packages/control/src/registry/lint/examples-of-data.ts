// Promises an example for each rule about upstreams, data, policies, roots, the estate as a whole and waivers. Trusts example.ts for the form; a test runs each.
import { billing, integration, operation, orders, type RuleExamples, readOnly } from "./example.ts";

const reading = "operations:\n  invoice.read: GET /v1/invoices/{id}";
const two = "# sallyport.yaml\nenvironments: [production, staging]\n";
const create = integration("", "invoice.create");

function upstream(lines: string): string {
  return `# systems/billing.yaml\nsystem: billing\n${lines}\n${reading}\n${readOnly}`;
}

function observed(lines: string, more = ""): string {
  return `# systems/billing.yaml\nsystem: billing\nurl: https://billing.acme.example\n${lines}\noperations:\n  invoice.read:\n    match: GET /v1/invoices/{id}\n${more}${readOnly}`;
}

function schema(lines: string): string {
  const inner = lines.split("\n").map((line) => `        ${line}`);
  return `${billing(`operations:\n  invoice.create:\n    match: POST /v1/invoices\n    data: [pii]\n    body:\n      schema:\n${inner.join("\n")}`)}\n${create}`;
}

const decided = operation(
  "invoice.read",
  "match: GET /v1/invoices/{id}\nclassification: restricted\nauthorize: policy\nattributes: { region: header:x-region }",
);
const policy = (text: string) => `// policies/rules.cedar\n@id("rule")\n${text}`;
const forRead = 'permit (principal, action == Action::"billing:invoice.read", resource)';
const rooted = (file: string) => `# trust/acme.yaml\ntrust: acme\nroots: [${file}]`;
const certified = orders('identity: { certificate: { trust: acme, uri: "spiffe://acme.example/orders" } }');

const answering = operation(
  "invoice.read",
  "match: GET /v1/invoices/{id}\nresponse:\n  schema:\n    type: object\n    properties:\n      pin: { type: string, x-data-class: secret }",
);

export const dataExamples: RuleExamples = {
  "upstream-cleartext": {
    bad: upstream("url: http://billing.internal:8080"),
    good: upstream("url: https://billing.acme.example"),
    waive: "inside a network that encrypts by itself (a service mesh, a tunnel), with its name in the reason.",
  },
  "upstream-certificate-expired": {
    bad: upstream("url: https://billing.acme.example\ntls: { certificate: ended.pem }"),
    good: upstream("url: https://billing.acme.example\ntls: { certificate: ours.pem }"),
    waive: "never: nothing of it is reached.",
  },
  "upstream-certificate-expires-soon": {
    bad: upstream("url: https://billing.acme.example\ntls: { certificate: ending.pem }"),
    good: upstream("url: https://billing.acme.example\ntls: { certificate: ours.pem }"),
    waive: "when the provider is left by then.",
  },
  "upstream-metadata": {
    bad: upstream("url: http://169.254.169.254\nallowPrivate: true"),
    good: upstream("url: https://billing.acme.example"),
    waive: "never.",
  },
  "upstream-address": {
    bad: upstream("url: https://93.184.215.14"),
    good: upstream("url: https://billing.acme.example"),
    waive: "for a device that has no name.",
  },
  "private-word-not-needed": {
    bad: upstream("url: https://93.184.215.14\nallowPrivate: true"),
    good: upstream("url: https://93.184.215.14"),
    waive: "where a public name leads to a private address on purpose (split DNS).",
  },
  "upstream-infrastructure-port": {
    bad: upstream("url: https://billing.acme.example:6443"),
    good: upstream("url: https://billing.acme.example:8443"),
    waive: "where a business API really listens there.",
  },
  "upstream-is-gateway": {
    bad: `# sallyport.yaml\nlisteners:\n  public: { url: "https://api.acme.example" }\n${upstream("url: https://api.acme.example")}`,
    good: `# sallyport.yaml\nlisteners:\n  public: { url: "https://api.acme.example" }\n${upstream("url: https://billing.acme.example")}`,
    waive: "never: it is a loop.",
  },
  "retries-flood": {
    bad: upstream("url: https://billing.acme.example\nretries: { budget: 100% }"),
    good: upstream("url: https://billing.acme.example\nretries: { attempts: 3 }"),
    waive: "for a provider that fails for reasons of its network, not of its load.",
  },
  "breaker-none": {
    bad: upstream("url: https://billing.acme.example\nbreaker: none"),
    good: upstream("url: https://billing.acme.example\nbreaker: { failures: 20 }"),
    waive: "where something behind the url (a mesh, a balancer) does the same.",
  },
  "attempt-without-effect": {
    bad: upstream("url: https://billing.acme.example\ntimeouts: { attempt: 10s }"),
    good: upstream("url: https://billing.acme.example\ntimeouts: { attempt: 3s }"),
    waive: "where it is there for operations to come.",
  },
  "upstream-without-own-roots": {
    bad: upstream("url: https://billing.internal:8443"),
    good: `${rooted("acme.pem")}\n${upstream("url: https://billing.internal:8443\ntls: { ca: acme }")}`,
    waive: "where the internal name has a public certificate.",
  },
  "upstream-across-environments": {
    bad: `${two}# systems/billing.yaml\nsystem: billing\nenvironments: [production, staging]\nurl: https://billing.acme.example\n${reading}`,
    good: `${two}# systems/billing.yaml\nsystem: billing\nenvironments:\n  production: { url: "https://billing.acme.example" }\n  staging: { url: "https://billing.stg.acme.example" }\n${reading}`,
    waive: "for a provider without a test system, when staging may only read.",
  },
  "effect-without-schema": {
    bad: `${operation("invoice.create", "match: POST /v1/invoices\ndata: [pii]")}\n${create}`,
    good: schema("type: object\nadditionalProperties: false\nproperties:\n  amount: { type: integer }"),
    waive: "where the provider checks everything itself and says so.",
  },
  "answer-withheld": {
    bad: `${answering}\n${integration("", "invoice.read")}`,
    good: `${answering}\n${integration("data: [secret]", "invoice.read")}`,
    waive: "where the provider leaves the field out for this consumer.",
  },
  "schema-open": {
    bad: schema("type: object\nproperties:\n  amount: { type: integer }"),
    good: schema("type: object\nadditionalProperties: false\nproperties:\n  amount: { type: integer }"),
    waive: "where members of any name are part of the business, such as labels.",
  },
  "schema-unbounded-text": {
    bad: schema("type: object\nadditionalProperties: false\nproperties:\n  note: { type: string }"),
    good: schema("type: object\nadditionalProperties: false\nproperties:\n  note: { type: string, maxLength: 500 }"),
    waive: "where `body.size` is the bound that was meant.",
  },
  "schema-unbounded-list": {
    bad: schema("type: array\nitems: { type: integer }"),
    good: schema("type: array\nmaxItems: 100\nitems: { type: integer }"),
    waive: "where `body.size` is the bound that was meant.",
  },
  "schema-accepts-anything": {
    bad: schema("title: Invoice"),
    good: schema("title: Invoice\ntype: object\nadditionalProperties: false\nproperties:\n  amount: { type: integer }"),
    waive: "while the schema is being written, until the day it is.",
  },
  "data-unclassified": {
    bad: `${billing(reading)}\n${readOnly}`,
    good: `${operation("invoice.read", "match: GET /v1/invoices/{id}\ndata: [pii]")}\n${readOnly}`,
    waive: "for a system whose data really is internal and nothing more.",
  },
  "personal-data-unlabelled": {
    bad: `${billing("operations:\n  invoice.create:\n    match: POST /v1/invoices\n    body:\n      schema:\n        type: object\n        properties:\n          email: { type: string, maxLength: 120 }")}\n${create}`,
    good: `${billing("operations:\n  invoice.create:\n    match: POST /v1/invoices\n    body:\n      schema:\n        type: object\n        properties:\n          email: { type: string, maxLength: 120, x-data-class: pii }")}\n${create}`,
    waive: "where the field is not about a person, such as the address of a mailing list.",
  },
  "personal-data-in-url": {
    bad: `${operation("invoice.list", "match: GET /v1/customers/{email}/invoices")}\n${integration("", "invoice.list")}`,
    good: `${operation("invoice.list", "match: GET /v1/customers/{customer}/invoices")}\n${integration("", "invoice.list")}`,
    waive: "for a provider that offers nothing else, with its logs named in the reason.",
  },
  "secret-in-url": {
    bad: `${operation("invoice.read", "match: GET /v1/invoices/{id}\nattributes: { key: query:access_token }")}\n${readOnly}`,
    good: `${operation("invoice.read", "match: GET /v1/invoices/{id}\nattributes: { key: query:page }")}\n${readOnly}`,
    waive: "for a provider that offers nothing else and whose values work once.",
  },
  "effect-behind-get": {
    bad: `${operation("invoice.drop", "match: GET /v1/invoices/{id}/delete")}\n${integration("", "invoice.drop")}`,
    good: `${operation("invoice.drop", "match: DELETE /v1/invoices/{id}")}\n${integration("", "invoice.drop")}`,
    waive: "where the word is part of a name and nothing changes.",
  },
  "offline-sensitive": {
    bad: `${operation("invoice.read", "match: GET /v1/invoices/{id}\nclassification: restricted\noffline: until-expiry")}\n${readOnly}`,
    good: `${operation("invoice.read", "match: GET /v1/invoices/{id}\nclassification: restricted")}\n${readOnly}`,
    waive: "where an outage costs more than a revoked caller, and somebody signed that.",
  },
  "body-opaque": {
    bad: `${operation("invoice.create", "match: POST /v1/invoices\nbody: { contentType: application/pdf }")}\n${create}`,
    good: `${operation("invoice.create", "match: POST /v1/invoices\nbody: { contentType: application/pdf, reason: The archive scans what comes in }")}\n${create}`,
    waive: "hardly ever; a reason is quicker than a waiver.",
  },
  "sensitive-opaque-body": {
    bad: `${operation("invoice.create", "match: POST /v1/invoices\ndata: [pii]\nbody: { contentType: application/pdf }")}\n${create}`,
    good: schema("type: object\nadditionalProperties: false\nproperties:\n  amount: { type: integer }"),
    waive: "for documents that only the provider can read.",
  },
  "policy-invalid": {
    bad: policy('forbid (principal, action == Action::"billing:invoice.reed", resource);'),
    good: policy(
      'forbid (principal, action == Action::"billing:invoice.read", resource) unless { context.proof == "mtls" };',
    ),
    waive: "never: it cannot be waived.",
  },
  "shadow-policy-invalid": {
    bad: policy('@shadow("2026-11-20")\nforbid (principal, action == Action::"billing:invoice.reed", resource);'),
    good: policy('@shadow("2026-11-20")\nforbid (principal, action == Action::"billing:invoice.read", resource);'),
    waive: "until the operation that it is about is there.",
  },
  "shadow-policy-old": {
    bad: policy('@shadow("2026-10-01")\nforbid (principal, action == Action::"billing:invoice.read", resource);'),
    good: policy('@shadow("2026-11-20")\nforbid (principal, action == Action::"billing:invoice.read", resource);'),
    waive: "where what it watches for happens once a quarter, until the day after it.",
  },
  "operation-never-permitted": {
    bad: `${decided}\n${readOnly}`,
    good: `${decided}\n${readOnly}\n${policy(`${forRead}\nwhen { resource.region == "eu" };`)}`,
    waive: "while the policy is being written, until the day it is.",
  },
  "permit-without-condition": {
    bad: `${decided}\n${readOnly}\n${policy(`${forRead};`)}`,
    good: `${decided}\n${readOnly}\n${policy(`${forRead}\nwhen { resource.region == "eu" };`)}`,
    waive: "where the grant alone is meant to decide; then `authorize: grant` says so better.",
  },
  "permit-everything": {
    bad: policy("permit (principal, action, resource);"),
    good: policy(`${forRead};`),
    waive: "never: name the operations.",
  },
  "forbid-everything": {
    bad: policy("forbid (principal, action, resource);"),
    good: policy('forbid (principal, action, resource) unless { context.proof == "mtls" };'),
    waive: "during an incident, until the day it should be over.",
  },
  "tokens-forbidden": {
    bad: policy('forbid (principal, action == Action::"token:issue", resource);'),
    good: policy('forbid (principal, action == Action::"token:issue", resource) when { context.binding == "none" };'),
    waive: "during an incident, until the day it should be over.",
  },
  "forbid-leaves-tokens": {
    bad: policy('forbid (principal in System::"orders", action, resource) unless { context.proof == "mtls" };'),
    good: policy(
      'forbid (principal in System::"orders", action == Action::"billing:invoice.read", resource) unless { context.proof == "mtls" };',
    ),
    waive: "where no service checks tokens without a gateway.",
  },
  "policy-never-applies": {
    bad: policy('forbid (principal in System::"billing", action == Action::"billing:invoice.read", resource);'),
    good: policy('forbid (principal in System::"orders", action == Action::"billing:invoice.read", resource);'),
    waive: "for a policy written before the grant it is for, until the day of the grant.",
  },
  "permit-changes-nothing": {
    bad: policy(`${forRead} when { context.proof == "mtls" };`),
    good: policy(
      'forbid (principal, action == Action::"billing:invoice.read", resource) unless { context.proof == "mtls" };',
    ),
    waive: "while operations move to `authorize: policy`, until they have.",
  },
  "policy-without-id": {
    bad: '// policies/rules.cedar\nforbid (principal, action == Action::"billing:invoice.read", resource);',
    good: policy('forbid (principal, action == Action::"billing:invoice.read", resource);'),
    waive: "never: an id is quicker than a waiver.",
  },
  observe: {
    bad: observed("mode: observe\nuntil: 2027-01-31\nreason: forty flows move behind the gateway"),
    good: observed("mode: enforce"),
    waive: "while flows move behind the gateway, until the day of `until`.",
  },
  "observe-ended": {
    bad: observed("mode: observe\nuntil: 2026-10-31\nreason: forty flows move behind the gateway"),
    good: observed("mode: enforce"),
    waive: "hardly ever; take the three keys out.",
  },
  "observe-too-long": {
    bad: observed("mode: observe\nuntil: 2027-04-30\nreason: forty flows move behind the gateway"),
    good: observed("mode: observe\nuntil: 2027-01-31\nreason: forty flows move behind the gateway"),
    waive: "for a migration whose plan was agreed with whoever answers for the data.",
  },
  "observe-on-restricted": {
    bad: observed(
      "mode: observe\nuntil: 2027-01-31\nreason: forty flows move behind the gateway",
      "    classification: restricted\n",
    ),
    good: observed(
      "mode: observe\nuntil: 2027-01-31\nreason: forty flows move behind the gateway",
      "    classification: confidential\n",
    ),
    waive: "where the provider authenticates and authorises by itself, as before.",
  },
  passthrough: {
    bad: observed("passthrough:\n  until: 2027-01-31\n  reason: its operations are being declared"),
    good: observed("mode: enforce"),
    waive: "while operations are declared, until the day of `until`.",
  },
  "passthrough-ended": {
    bad: observed("passthrough:\n  until: 2026-10-31\n  reason: its operations are being declared"),
    good: observed("mode: enforce"),
    waive: "hardly ever; take it out.",
  },
  "root-expired": {
    bad: `${rooted("expired.pem")}\n${certified}`,
    good: `${rooted("acme.pem")}\n${certified}`,
    waive: "never: nothing it proves works.",
  },
  "root-expires-soon": {
    bad: `${rooted("ending.pem")}\n${certified}`,
    good: `${rooted("acme.pem")}\n${certified}`,
    waive: "when the successor is in another bundle already.",
  },
  "root-weak": {
    bad: `${rooted("weak.pem")}\n${certified}`,
    good: `${rooted("acme.pem")}\n${certified}`,
    waive: "for a partner's CA that ends soon, with the day of its successor.",
  },
  "root-in-two-environments": {
    bad: `${two}${rooted("acme.pem")}\n# systems/orders.yaml\nsystem: orders\nenvironments: [production, staging]\nidentity: { certificate: { trust: acme, uri: "spiffe://acme.example/orders" } }`,
    good: `${two}${rooted("acme.pem")}\nenvironments:\n  production:\n  staging: { roots: [other.pem] }\n# systems/orders.yaml\nsystem: orders\nenvironments: [production, staging]\nidentity: { certificate: { trust: acme, uri: "spiffe://acme.example/orders" } }`,
    waive: "where the names differ by environment and the CA keeps to it.",
  },
  "bundle-too-wide": {
    bad: `${rooted("public.pem")}\n${certified}`,
    good: `${rooted("acme.pem")}\n${certified}`,
    waive: "for a bundle that only checks servers (`tls.ca`) and no callers.",
  },
  "bundle-unused": {
    bad: rooted("acme.pem"),
    good: `${rooted("acme.pem")}\n${certified}`,
    waive: "for the successor of a root, until the change.",
  },
  "no-operators": {
    bad: "# sallyport.yaml\nestate: shop",
    good: "# sallyport.yaml\noperators:\n  ada: { keys: [systems/shop.jwks.json] }",
    waive: "on a laptop.",
  },
  "single-operator": {
    bad: "# sallyport.yaml\noperators:\n  ada: { keys: [systems/shop.jwks.json] }",
    good: "# sallyport.yaml\noperators:\n  ada: { keys: [systems/shop.jwks.json] }\n  ben: { keys: [systems/ben.jwks.json] }",
    waive: "for an estate of one person.",
  },
  "no-approval": {
    bad: "# sallyport.yaml\nenvironments:\n  production: { approval: none }",
    good: "# sallyport.yaml\nenvironments:\n  production: { approval: operator }",
    waive: "where a pipeline with a review of its own is the only one that applies.",
  },
  "staleness-loose": {
    bad: "# sallyport.yaml\nenvironments:\n  production:\n    staleness: { restricted: 10m }",
    good: "# sallyport.yaml\nenvironments:\n  production:\n    staleness: { restricted: 10s }",
    waive: "for a site whose line fails for longer, and where somebody signed that.",
  },
  "listener-cleartext": {
    bad: '# sallyport.yaml\nlisteners:\n  public: { url: "http://api.acme.example" }',
    good: '# sallyport.yaml\nlisteners:\n  public: { url: "https://api.acme.example" }',
    waive: "inside a network that encrypts by itself.",
  },
  "proxies-too-wide": {
    bad: '# sallyport.yaml\nlisteners:\n  public:\n    url: "https://api.acme.example"\n    proxyProtocol: { trustedProxies: [10.0.0.0/8] }',
    good: '# sallyport.yaml\nlisteners:\n  public:\n    url: "https://api.acme.example"\n    proxyProtocol: { trustedProxies: [10.0.3.0/28] }',
    waive: "where the balancer's provider names no smaller network and a firewall lets only balancers in.",
  },
  "listener-any-address": {
    bad: '# sallyport.yaml\nlisteners:\n  public: { url: "https://0.0.0.0:8443" }',
    good: '# sallyport.yaml\nlisteners:\n  public: { url: "https://api.acme.example:8443" }',
    waive: "never: proofs are checked against this URL.",
  },
  "operation-unused": {
    bad: `${billing("operations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.list: GET /v1/invoices")}\n${readOnly}`,
    good: `${billing(reading)}\n${readOnly}`,
    waive: "for operations whose consumer comes soon.",
  },
  "system-unused": {
    bad: "# systems/shop.yaml\nsystem: shop\nidentity: { client: shop, keys: [shop.jwks.json] }",
    good: "# systems/shop.yaml\nsystem: shop\nidentity: { client: shop, keys: [shop.jwks.json] }\nuses:\n  - to: billing\n    purpose: Show customers their invoices\n    operations: [invoice.read]",
    waive: "before the system goes live, until the day it does.",
  },
  "operations-overlap": {
    bad: `${billing("operations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.export: GET /v1/invoices/export")}\n${readOnly}`,
    good: `${billing("operations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.export: GET /v1/exports/invoices")}\n${readOnly}`,
    waive: "for a provider whose paths are as they are.",
  },
  "public-path-nested": {
    bad: "# systems/archive.yaml\nsystem: archive\nurl: https://archive.acme.example\npublic: { path: /billing/archive }\noperations:\n  page.read: GET /pages/{id}",
    good: "# systems/archive.yaml\nsystem: archive\nurl: https://archive.acme.example\npublic: { path: /archive }\noperations:\n  page.read: GET /pages/{id}",
    waive: "where the public shape of the URLs is given.",
  },
  "waiver-invalid": {
    bad: integration("waivers:\n  - rule: review-missing"),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
  "waiver-unknown-rule": {
    bad: integration(waiver("review-mising", "2027-01-31")),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
  "waiver-not-allowed": {
    bad: integration(waiver("load-error", "2027-01-31")),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
  "waiver-expired": {
    bad: integration(waiver("review-missing", "2026-10-31")),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
  "waiver-unused": {
    bad: integration(waiver("rate-unlimited", "2027-01-31")),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
  "waiver-too-long": {
    bad: integration(waiver("review-missing", "2030-01-31")),
    good: integration(waiver("review-missing", "2027-01-31")),
    waive: "never: it cannot be waived.",
  },
};

function waiver(rule: string, until: string): string {
  return `waivers:\n  - rule: ${rule}\n    reason: The partner's own audit looks at it every quarter\n    owner: team:default\n    until: ${until}`;
}
