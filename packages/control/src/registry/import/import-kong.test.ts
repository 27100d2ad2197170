import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { memoryEstateIo } from "../config/estate-io.ts";
import { formatFinding } from "../config/finding.ts";
import { loadEstateFrom } from "../config/load.ts";
import { formatYaml } from "../format/format-yaml.ts";
import { reportLines, reportMarkdown } from "./import-report.ts";
import { importSource } from "./import-source.ts";
import type { Imported } from "./openapi/import-openapi.ts";

/** 2026-11-01. */
const now = Date.UTC(2026, 10, 1);

function importText(text: string): Imported {
  const result = importSource({ io: memoryEstateIo({ "kong.yaml": text }, () => now), file: "kong.yaml", choice: {} });
  assert.ok("files" in result, "finding" in result ? formatFinding(result.finding) : "");
  const errors = estateOf(result).findings.filter(({ severity }) => severity === "error");
  assert.deepEqual(errors.map(formatFinding), [], "check has no error");
  for (const { file, text: written } of result.files) {
    const kind = file.startsWith("systems/") ? "system" : "integration";
    assert.deepEqual(formatYaml({ file, kind, text: written }), { text: written }, `${file} is in the layout`);
  }
  return result;
}

const importKong = (source: object): Imported => importText(stringify({ _format_version: "3.0", ...source }));

function estateOf({ files }: Imported) {
  return loadEstateFrom(memoryEstateIo(Object.fromEntries(files.map(({ file, text }) => [file, text])), () => now));
}

function textOf({ files }: Imported, file: string): string {
  return (
    files.find((one) => one.file === file)?.text ??
    assert.fail(`${file} is written, not ${files.map((one) => one.file).join()}`)
  );
}

type Outcome = "mapped" | "changed" | "not-mapped";

function said({ report }: Imported, outcome: Outcome): string {
  return report.entries
    .filter((entry) => entry.outcome === outcome)
    .map(({ file, line, what, why }) => `${file}:${line} ${what}: ${why}`)
    .join("\n");
}

/** `consumer system operation` for each operation that is granted. */
function grantsOf(imported: Imported): readonly string[] {
  const [production] = estateOf(imported).estate.environments;
  return (production?.integrations ?? [])
    .flatMap(({ from, to, operations }) => operations.map(({ name }) => `${from} ${to} ${name}`))
    .sort();
}

function limitsOf(imported: Imported): Readonly<Record<string, string>> {
  const [production] = estateOf(imported).estate.environments;
  return Object.fromEntries(
    (production?.integrations ?? []).map(({ id, limits }) => [
      id,
      limits.map(({ per, rate, periodMs }) => `${rate}/${periodMs / 1_000}s ${per}`).join(", "),
    ]),
  );
}

const auth = { name: "key-auth" };
const consumer = (username: string, group?: string) => ({
  username,
  keyauth_credentials: [{ key: `key-of-${username}` }],
  ...(group === undefined ? {} : { acls: [{ group }] }),
});

test("a file becomes systems, callers, grants and limits, exactly, and every entry of the report has its line", () => {
  const imported = importText(`_format_version: "3.0"
services:
  - name: orders
    url: http://orders.internal:8080/api
    read_timeout: 30000
    routes:
      - name: orders
        paths: [/orders]
        methods: [GET, POST]
    plugins:
      - name: key-auth
      - name: acl
        config: { allow: [shop] }
      - name: rate-limiting
        config: { minute: 60, policy: local }
      - name: request-size-limiting
        config: { allowed_payload_size: 64, size_unit: kilobytes }
consumers:
  - username: Portal App
    acls: [{ group: shop }]
    keyauth_credentials: [{ key: very-secret-key }]
  - username: stranger
    keyauth_credentials: [{ key: other-secret-key }]
`);
  assert.deepEqual(Object.fromEntries(imported.files.map(({ file, text }) => [file, text])), {
    "systems/orders.yaml": `# Imported from Kong: service orders. What that changed is in import-report.md.
system: orders
url: http://orders.internal:8080/api
operations:
  orders.get: { match: GET /, timeout: 30s }
  orders.post:
    match: POST /
    body: { size: 64KiB }
    timeout: 30s
`,
    "systems/portal-app.yaml": `# Imported from Kong: a consumer. Its credentials were not copied: make it a key of its own.
system: portal-app
identity: { client: portal-app }
`,
    "integrations/portal-app-to-orders.yaml": `# Imported from Kong. What that changed is in import-report.md.
integration: portal-app-to-orders
from: portal-app
to: orders
purpose: "Imported from Kong: portal-app may call orders. Say here what for"
limits:
  - { per: client, rate: 60/m }
operations: [orders.get, orders.post]
`,
    "systems/stranger.yaml": `# Imported from Kong: a consumer. Its credentials were not copied: make it a key of its own.
system: stranger
identity: { client: stranger }
`,
  });
  assert.equal(
    said(imported, "mapped"),
    `kong.yaml:3 service orders: system orders
kong.yaml:8 GET of route orders: operation orders.get of the system
kong.yaml:8 POST of route orders: operation orders.post of the system
kong.yaml:12 plugin acl of service orders: grants to the consumers that it lets in
kong.yaml:14 plugin rate-limiting of service orders: limits 60/m per client
kong.yaml:16 plugin request-size-limiting of service orders: \`body: { size }\` of its operations
kong.yaml:19 consumer Portal App: system portal-app with the client portal-app
kong.yaml:22 consumer stranger: system stranger with the client stranger`,
  );
  assert.match(
    said(imported, "not-mapped"),
    /^kong\.yaml:21 keyauth_credentials of consumer Portal App: credentials are never copied/,
  );
  assert.match(
    said(imported, "changed"),
    /kong\.yaml:5 read_timeout of service orders: .*kong\.yaml:8 route orders: Kong served everything below \/orders/s,
  );
});

test("attack: no credential of the source stands in any file, report or line for the terminal", () => {
  const secret = "s3cr3t-4711";
  const imported = importKong({
    services: [
      {
        name: "a",
        url: "http://a.internal",
        routes: [{ name: "r", paths: ["/a"] }],
        plugins: [
          auth,
          { name: "http-log", config: { http_endpoint: `http://u:${secret}@log`, headers: { authorization: secret } } },
        ],
      },
    ],
    consumers: [
      {
        username: "c",
        custom_id: secret,
        keyauth_credentials: [{ key: secret }],
        basicauth_credentials: [{ username: "u", password: secret }],
        jwt_secrets: [{ key: secret, secret, rsa_public_key: secret }],
        hmacauth_credentials: [{ username: "u", secret }],
        oauth2_credentials: [{ name: "n", client_id: "i", client_secret: secret }],
      },
    ],
    keyauth_credentials: [{ consumer: "c", key: secret }],
    certificates: [{ cert: secret, key: secret }],
    vaults: [{ name: "v", config: { token: secret } }],
  });
  const everything = [
    ...imported.files.map(({ text }) => text),
    reportMarkdown(imported.report),
    ...reportLines(imported.report),
    JSON.stringify(imported.report),
  ];
  for (const text of everything) assert.ok(!text.includes(secret));
  assert.equal(said(imported, "not-mapped").split("credentials are never copied").length - 1, 6);
});

test("who may call: acl allow and deny, the old names of both, and the credential that the plugin accepts", () => {
  const service = (name: string, plugins: readonly object[]) => ({
    name,
    url: `http://${name}.internal`,
    routes: [{ name, paths: [`/${name}`], methods: ["GET"] }],
    plugins,
  });
  const acl = (config: object) => ({ name: "acl", config });
  const imported = importKong({
    services: [
      service("allowed", [auth, acl({ allow: ["gold"] })]),
      service("denied", [auth, acl({ deny: ["gold"] })]),
      service("old", [auth, acl({ whitelist: ["silver"] })]),
      service("anyone", [auth]),
      service("basic", [{ name: "basic-auth" }]),
      service("outside", [{ name: "openid-connect" }, acl({ allow: ["gold"] })]),
      service("nobody", [acl({ allow: ["gold"] })]),
      service("off", [{ ...auth, enabled: false }]),
    ],
    consumers: [consumer("gold", "gold"), consumer("silver", "silver"), { username: "none" }],
  });
  assert.deepEqual(grantsOf(imported), [
    "gold allowed allowed.get",
    "gold anyone anyone.get",
    "gold outside outside.get",
    "silver anyone anyone.get",
    "silver denied denied.get",
    "silver old old.get",
  ]);
  assert.match(said(imported, "changed"), /plugin acl of service denied: a consumer that comes later is not let in/);
  assert.match(said(imported, "changed"), /route anyone: any consumer with a credential could call it/);
  assert.match(said(imported, "changed"), /consumer none: no route of the file knows it/);
  assert.doesNotMatch(said(imported, "changed"), /consumer (gold|silver): no route/);
  assert.match(said(imported, "changed"), /route basic: no consumer of the file may call it/);
  assert.match(said(imported, "not-mapped"), /route nobody: anybody could call it without a proof/);
  assert.match(said(imported, "not-mapped"), /plugin key-auth of service off: it is disabled/);
});

test("a prefix that is not left open says which plugin of which line closed it", () => {
  const text = `_format_version: "3.0"
services:
  - name: billing
    url: http://billing.internal
    routes:
      - name: all
        paths: [/billing]
    plugins:
      - name: prometheus
      - name: key-auth
`;
  assert.match(
    said(importText(text), "changed"),
    /route all: Kong served everything below \/billing; .* \(not left open, because of plugin key-auth of service billing at line 10\)/,
  );
});

test("the most specific plugin is in force: consumer and route, consumer, route, service, global", () => {
  const limit = (second: number, scope: object = {}) => ({ name: "rate-limiting", config: { second }, ...scope });
  const imported = importKong({
    services: [
      {
        name: "s",
        url: "http://s.internal",
        routes: [
          { name: "r1", paths: ["/s"], methods: ["GET"], plugins: [limit(3)] },
          { name: "r2", paths: ["/s"], methods: ["PUT"] },
        ],
        plugins: [auth, limit(2)],
      },
      {
        name: "t",
        url: "http://t.internal",
        routes: [{ name: "r3", paths: ["/t"], methods: ["GET"] }],
        plugins: [auth],
      },
    ],
    consumers: [consumer("a"), { ...consumer("b"), plugins: [limit(4)] }],
    plugins: [limit(1), limit(5, { consumer: { username: "a" }, route: { name: "r1" } })],
  });
  assert.deepEqual(limitsOf(imported), {
    "a-to-s": "5/1s client",
    "a-to-s-2": "2/1s client",
    "a-to-t": "1/1s client",
    "b-to-s": "4/1s client",
    "b-to-t": "4/1s client",
  });
  assert.match(said(imported, "changed"), /plugin rate-limiting of consumer b: one count held over all services/);
  assert.match(
    said(imported, "not-mapped"),
    /plugin rate-limiting of route r1: it holds for nothing that was taken over/,
  );
});

test("windows and counters: what is a rate here is one, what counts otherwise is said, month and year are left out", () => {
  const cases: readonly [object, string, RegExp, Outcome][] = [
    [{ second: 5, hour: 1000 }, "5/1s client, 1000/3600s client", /permits come back evenly/, "changed"],
    [{ day: 100, limit_by: "service" }, "100/86400s integration", /all consumers shared one count/, "changed"],
    [{ minute: 7, limit_by: "ip" }, "7/60s client", /it counted by ip/, "changed"],
    [{ minute: 7, policy: "redis" }, "7/60s client", /`redis` counted over all nodes/, "changed"],
    [{ month: 1000, year: 5000 }, "100/1s client", /5000 in one year is not a rate here/, "not-mapped"],
    [{ minute: 99999999 }, "100/1s client", /99999999 in one minute/, "not-mapped"],
    [{ minute: 0 }, "100/1s client", /0 in one minute/, "not-mapped"],
    [{ minute: -5 }, "100/1s client", /-5 in one minute/, "not-mapped"],
  ];
  for (const [config, limits, why, outcome] of cases) {
    const imported = importKong({
      services: [
        {
          name: "s",
          url: "http://s.internal",
          routes: [{ name: "r", paths: ["/s"] }],
          plugins: [auth, { name: "rate-limiting", config }],
        },
      ],
      consumers: [consumer("c")],
    });
    assert.deepEqual(limitsOf(imported), { "c-to-s": limits }, JSON.stringify(config));
    assert.match(said(imported, outcome), why);
  }
  const advanced = importKong({
    services: [
      {
        name: "s",
        url: "http://s.internal",
        routes: [{ name: "r", paths: ["/s"] }],
        plugins: [
          auth,
          { name: "rate-limiting-advanced", config: { limit: [10, 20, 30], window_size: [60, 3600, 30] } },
        ],
      },
    ],
    consumers: [consumer("c")],
  });
  assert.deepEqual(limitsOf(advanced), { "c-to-s": "10/60s client, 20/3600s client" });
  assert.match(said(advanced, "not-mapped"), /30 in 30 seconds is not a rate/);
});

test("places: host and path, stripped or not, several of one service, and no two services at one", () => {
  const imported = importKong({
    services: [
      {
        name: "shop",
        url: "https://shop.internal",
        routes: [
          { name: "web", hosts: ["Shop.Example:443", "*.shop.example"], paths: ["/cart/", "/v1"], methods: ["GET"] },
          { name: "raw", paths: ["/raw"], strip_path: false, methods: ["GET"] },
        ],
      },
      { name: "thief", url: "http://thief.internal", routes: [{ name: "t", paths: ["/raw"], methods: ["POST"] }] },
      { name: "root", url: "http://root.internal", routes: [{ name: "all", methods: ["GET"] }] },
    ],
  });
  const [production] = estateOf(imported).estate.environments;
  assert.deepEqual(
    production?.systems.map(({ id, public: place }) => [id, place.host ?? "*", place.path, place.strip]),
    [
      ["root", "*", "/", true],
      ["shop", "shop.example", "/cart", true],
      ["shop-raw", "*", "/raw", false],
      ["shop-web", "shop.example", "/v1", true],
    ],
  );
  const lost = said(imported, "not-mapped");
  assert.match(lost, /host \*\.shop\.example of route web: a host with a wildcard/);
  assert.match(lost, /route t: `shop-raw` stands at the same host and path already/);
  assert.match(
    said(imported, "changed"),
    /service shop: a system has one place at the gateway, so the service is 3 systems: shop, shop-web, shop-raw/,
  );
  assert.match(said(imported, "changed"), /the provider's certificate is checked here/);
});

test("expressions: a list of whole segments is a path with parameters, everything else is left out", () => {
  const read = (path: string, more: object = {}, version = "3.0"): string => {
    const route = { name: "r", paths: [path], methods: ["GET"], strip_path: false, ...more };
    const imported = importKong({
      _format_version: version,
      services: [{ name: "s", url: "http://s.internal", routes: [route] }],
    });
    const system = estateOf(imported).estate.environments[0]?.systems[0];
    const [operation] = system?.operations ?? [];
    return operation === undefined ? "-" : `${system?.public.path} ${operation.path}`;
  };
  assert.equal(read("~/orders/(?<id>\\d+)$"), "/orders /{id}");
  assert.equal(read("~^/v1/orders/[^/]+/items/(\\w+)$"), "/v1/orders /{p3}/items/{p5}");
  assert.equal(read("~/(?:v1|v2)/x$"), "/ /{p1}/x");
  assert.equal(read("~/a\\.b/c$"), "/a.b/c /");
  assert.equal(read("~/(?<day>\\d{4}-\\d{2})/x$"), "/ /{day}/x");
  for (const none of [
    "~/orders/.*",
    "~/a/(.+)",
    "~/a(/b)?",
    "~/[a-z/]+",
    "~/(?=x)y",
    "~/a/[^x]+",
    "~orders",
    "~/a/(b",
    "~/\\1",
  ])
    assert.equal(read(none), "-", none);
  assert.equal(read("~/orders/(?<id>\\d+)$", { strip_path: true }), "-", "a parameter would be stripped");
  assert.equal(read("/orders/(?<id>\\d+)$", {}, "2.1"), "/orders /{id}", "before 3.0 an expression has no ~");
  assert.equal(read("/orders/(?<id>\\d+)$", {}, "3.0"), "-");
});

test("attack: what Kong chose by headers, SNI, addresses or an answer of its own is not served to others", () => {
  for (const [key, more] of [
    ["headers", { headers: { "x-internal": ["1"] } }],
    ["snis", { snis: ["a.example"] }],
    ["sources", { sources: [{ ip: "10.0.0.0/8" }] }],
    ["expression", { expression: 'http.path == "/x"' }],
    ["answered in its place", { plugins: [{ name: "request-termination" }] }],
    ["grpc", { protocols: ["grpc"] }],
  ] as const) {
    const imported = importKong({
      services: [{ name: "s", url: "http://s.internal", routes: [{ name: "r", paths: ["/s"], ...more }] }],
    });
    assert.deepEqual(imported.files, [], key);
    assert.ok(said(imported, "not-mapped").includes(key), key);
  }
});

test("attack: passthrough is written only where Kong let anybody call anything, never where it kept somebody or something out", () => {
  const open = {
    name: "s",
    url: "http://s.internal",
    routes: [{ name: "r", paths: ["/s"] }],
    plugins: [{ name: "prometheus" }, { name: "cors" }],
  };
  const imported = importKong({ services: [open] });
  assert.equal(
    textOf(imported, "systems/s.yaml"),
    `# Imported from Kong: service s. What that changed is in import-report.md.
system: s
url: http://s.internal
passthrough: { until: 2027-01-30, reason: Kong asked for no proof; its operations are not declared yet }
`,
  );
  assert.match(
    said(imported, "changed"),
    /anybody could call anything below \/s, and with `passthrough` anybody may until 2027-01-30/,
  );
  const other = { name: "o", url: "http://s.internal/base", routes: [{ name: "o", paths: ["/o"] }], plugins: [auth] };
  for (const [why, source] of [
    ["a proof", { services: [{ ...open, plugins: [auth] }] }],
    ["a global proof", { services: [open], plugins: [auth] }],
    ["an acl", { services: [{ ...open, plugins: [{ name: "acl", config: { allow: ["x"] } }] }] }],
    ["addresses", { services: [open], plugins: [{ name: "ip-restriction" }] }],
    ["a rate", { services: [{ ...open, plugins: [{ name: "rate-limiting", config: { second: 1 } }] }] }],
    ["an unknown plugin", { services: [{ ...open, plugins: [{ name: "our-own-guard" }] }] }],
    ["methods", { services: [{ ...open, routes: [{ name: "r", paths: ["/s"], methods: ["GET"] }] }] }],
    ["an expression", { services: [{ ...open, routes: [{ name: "r", paths: ["~/s$"] }] }] }],
    ["another system at the URL", { services: [open, other] }],
  ] as const)
    for (const { text } of importKong(source).files) assert.doesNotMatch(text, /passthrough/, why);
});

test("upstreams, targets, defaults and shared plugin settings of the file are read", () => {
  const imported = importKong({
    _info: { defaults: { route: { strip_path: false }, service: { protocol: "https", port: 8443 } } },
    _plugin_configs: { slow: { minute: 6 } },
    services: [
      {
        name: "one",
        host: "pool",
        routes: [{ name: "one", paths: ["/one"], methods: ["GET"] }],
        plugins: [auth, { name: "rate-limiting", _config: "slow", config: { hour: 9 } }],
      },
      {
        name: "two",
        host: "two.internal",
        path: "/base",
        routes: [{ name: "two", paths: ["/two"], strip_path: true, methods: ["GET"] }],
      },
      { name: "dead", host: "", routes: [{ name: "dead", paths: ["/dead"] }] },
      { name: "off", url: "http://off.internal", enabled: false },
    ],
    routes: [
      { name: "late", service: { name: "two" }, paths: ["/late"], methods: ["GET"] },
      { name: "stray", paths: ["/x"] },
    ],
    upstreams: [{ name: "pool" }],
    targets: [
      { upstream: { name: "pool" }, target: "10.1.1.1:9000", weight: 0 },
      { upstream: "pool", target: "10.1.1.2:9000" },
    ],
    consumers: [consumer("c")],
  });
  const systems = estateOf(imported).estate.environments[0]?.systems ?? [];
  assert.deepEqual(
    systems.flatMap(({ id, upstream, public: { strip } }) =>
      upstream === undefined ? [] : [[id, upstream.url, strip]],
    ),
    [
      ["one", "https://10.1.1.2:9000", false],
      ["two", "https://two.internal:8443/base", true],
      ["two-late", "https://two.internal:8443/base", false],
    ],
  );
  assert.deepEqual(limitsOf(imported), { "c-to-one": "6/60s client, 9/3600s client" });
  const lost = said(imported, "not-mapped");
  for (const why of [/service dead: its URL/, /service off: it is disabled/, /route stray: it leads to no service/])
    assert.match(lost, why);
});

test("retries: attempts in all, none where Kong had none, and what differs is said with the line", () => {
  const service = (name: string, retries: number) => ({
    name,
    url: `http://${name}.internal`,
    retries,
    routes: [{ name, paths: [`/${name}`], methods: ["GET"] }],
    plugins: [auth],
  });
  const imported = importKong({ services: [service("many", 9), service("none", 0), service("one", 1)] });
  const systems = estateOf(imported).estate.environments[0]?.systems ?? [];
  assert.deepEqual(
    systems.map(({ id, upstream }) => [
      id,
      upstream?.resilience === undefined ? 2 : (upstream.resilience.retries?.attempts ?? "none"),
    ]),
    [
      ["many", 5],
      ["none", "none"],
      ["one", 2],
    ],
  );
  assert.match(
    said(imported, "changed"),
    /retries of service many: a request is tried 5 times in all, the most there is/,
  );
  assert.match(said(imported, "changed"), /retries of service one: a request is tried 2 times in all, within a budget/);
  assert.match(said(imported, "mapped"), /retries of service none: `retries: none`/);
});

test("attack: names of the source cannot leave their folder, become keys or lines, or collide unseen", () => {
  const evil = [
    "../../etc/passwd",
    "a\nallowPrivate: true",
    "token",
    "x".repeat(300),
    "日本",
    "A",
    "a",
    "__proto__",
    "# c",
  ];
  const imported = importKong({
    services: evil.map((name, i) => ({
      name,
      url: `http://s${i}.internal`,
      routes: [{ name: `${name}r`, paths: [`/p${i}`], methods: ["GET"] }],
      plugins: [auth],
    })),
    consumers: evil.map((username) => consumer(username)),
  });
  const names = imported.files.map(({ file }) => file);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^(systems|integrations)\/[a-z][a-z0-9-]{0,62}\.yaml$/);
  assert.doesNotMatch(imported.files.map(({ text }) => text).join(""), /^allowPrivate/m);
  assert.equal(grantsOf(imported).length, evil.length * evil.length);
  for (const line of reportMarkdown(imported.report).split("\n")) assert.doesNotMatch(line, /^allowPrivate/);
});
