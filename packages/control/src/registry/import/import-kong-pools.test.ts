// Upstreams with several targets become endpoints, the cors plugin the `cors` of integrations; what both mean otherwise is in the report.
import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { memoryEstateIo } from "../config/estate-io.ts";
import { formatFinding } from "../config/finding.ts";
import { loadEstateFrom } from "../config/load.ts";
import { formatYaml } from "../format/format-yaml.ts";
import { importSource } from "./import-source.ts";

/** 2026-11-01. */
const now = Date.UTC(2026, 10, 1);

function importKong(source: object) {
  const text = stringify({ _format_version: "3.0", ...source });
  const result = importSource({ io: memoryEstateIo({ "kong.yaml": text }, () => now), file: "kong.yaml", choice: {} });
  assert.ok("files" in result);
  for (const { file, text: written } of result.files) {
    const kind = file.startsWith("systems/") ? "system" : "integration";
    assert.deepEqual(formatYaml({ file, kind, text: written }), { text: written }, `${file} is in the layout`);
  }
  const files = Object.fromEntries(result.files.map((one) => [one.file, one.text]));
  const loaded = loadEstateFrom(memoryEstateIo(files, () => now));
  assert.deepEqual(loaded.findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const [production] = loaded.estate.environments;
  const said = (outcome: string) =>
    result.report.entries.filter((one) => one.outcome === outcome).map(({ what, why }) => `${what}: ${why}`);
  return {
    files,
    lost: said("not-mapped").join("\n"),
    changed: said("changed").join("\n"),
    mapped: said("mapped").join("\n"),
    upstream: (id: string) => production?.systems.find((system) => system.id === id)?.upstream,
    cors: (id: string) => production?.integrations.find((integration) => integration.id === id)?.cors,
  };
}

const auth = { name: "key-auth" };
const consumers = [{ username: "shop", keyauth_credentials: [{ key: "k" }] }];
const route = (name: string, more: object = {}) => ({ name, paths: [`/${name}`], methods: ["GET"], ...more });
const pooled = (upstream: object, service: object = {}) =>
  importKong({
    services: [{ name: "orders", host: "pool", routes: [route("orders")], plugins: [auth], ...service }],
    upstreams: [{ name: "pool", ...upstream }],
    consumers,
  });
const target = (host: string, weight?: number) => ({ target: host, ...(weight === undefined ? {} : { weight }) });

test("several targets become endpoints in the proportions of their weights; a target that is off or is no place is none", () => {
  const cases: readonly [readonly object[], object, readonly [string, number][]][] = [
    [
      [target("a:1"), target("b:2")],
      {},
      [
        ["http://a:1", 1],
        ["http://b:2", 1],
      ],
    ],
    [
      [target("a:1", 300), target("b:1", 100), target("off:1", 0)],
      {},
      [
        ["http://a:1", 3],
        ["http://b:1", 1],
      ],
    ],
    [
      [target("a"), target("[fd00::1]:9")],
      { path: "/api/" },
      [
        ["http://a:8000/api", 1],
        ["http://[fd00::1]:9/api", 1],
      ],
    ],
    [
      [target("a:1", 999), target("b:1", 1)],
      { protocol: "https" },
      [
        ["https://a:1", 100],
        ["https://b:1", 1],
      ],
    ],
    [
      [target("a:1"), target("b:1"), target("a:1"), target("x y")],
      {},
      [
        ["http://a:1", 1],
        ["http://b:1", 1],
      ],
    ],
    [
      [target("a:1"), target("b:1")],
      { host: undefined, url: "https://pool:9/v1" },
      [
        ["https://a:1/v1", 1],
        ["https://b:1/v1", 1],
      ],
    ],
  ];
  for (const [targets, service, endpoints] of cases) {
    const imported = pooled({ targets }, service);
    assert.deepEqual(
      imported.upstream("orders")?.endpoints?.map(({ url, weight }) => [url, weight]),
      endpoints,
      JSON.stringify(targets),
    );
    assert.match(imported.mapped, /upstream pool: `endpoints` with the weights/);
  }
  const lost = pooled({ targets: [target("a:1"), target("b:1"), target("a:1"), target("x y")] }).lost;
  assert.match(lost, /target a:1 of upstream pool: it stands in the upstream twice/);
  assert.match(lost, /target x y of upstream pool: not a place to send HTTP to/);
  assert.equal(pooled({ targets: [target("a:1"), target("b:1", 0)] }).upstream("orders")?.url, "http://a:1");
});

test("what load balancing does otherwise is said: the algorithm, weights, what was hashed, passive checks, an upstream of nobody", () => {
  const targets = [target("a:1"), target("b:1")];
  const cases: readonly [object, RegExp][] = [
    [{ targets }, /round-robin of upstream pool: of two endpoints drawn by weight/],
    [{ targets, algorithm: "least-connections" }, /least-connections of upstream pool: of two endpoints drawn/],
    [
      { targets, hash_on: "consumer" },
      /consistent-hashing of upstream pool: requests with one consumer stayed with one/,
    ],
    [{ targets, algorithm: "sticky-sessions" }, /sticky-sessions of upstream pool: requests with one session stayed/],
    [{ targets: [target("a:1", 90), target("b:1", 10)] }, /weights of upstream pool: .* one that is slow gets less/],
    [{ targets }, /health of upstream pool: an endpoint that fails is left alone/],
    [
      { targets, healthchecks: { passive: { unhealthy: { http_failures: 3 } } } },
      /health of upstream pool: passive checks took a target out by counts of their own/,
    ],
  ];
  for (const [upstream, why] of cases) assert.match(pooled(upstream).changed, why);
  assert.doesNotMatch(pooled({ targets }).changed, /weights of upstream pool/);
  assert.match(pooled({ targets, host_header: "x.example" }).lost, /host_header of upstream pool: an endpoint sees/);
  assert.match(pooled({ targets }, { host: "elsewhere" }).lost, /upstream pool: no service leads to it/);
});

test("active checks become `health` where the same can be asked, else they are left out with the reason", () => {
  const targets = [target("a:1"), target("b:1")];
  const active = (more: object) => ({
    targets,
    healthchecks: {
      active: {
        http_path: "/healthz",
        timeout: 0.5,
        healthy: { interval: 20, successes: 2 },
        unhealthy: { interval: 5, http_failures: 4, tcp_failures: 0, timeouts: 6 },
        ...more,
      },
    },
  });
  const health = (upstream: object, service: object = {}) => {
    const written = pooled(upstream, service).files["systems/orders.yaml"] ?? "";
    return /^health:(?:\n {2}.*|.*)+/m.exec(written)?.[0] ?? null;
  };
  assert.equal(health(active({})), "health: { path: /healthz, every: 20s, timeout: 500ms, failures: 4, successes: 2 }");
  assert.match(health(active({ http_path: "/api/up" }), { path: "/api" }) ?? "", /path: \/up,/);
  assert.equal(health(active({ healthy: { interval: 0 }, unhealthy: { interval: 0 } })), null);
  for (const [more, service, why] of [
    [{}, { path: "/api" }, /`\/healthz` is none/],
    [{ type: "tcp" }, {}, /they spoke tcp/],
    [{ type: "https" }, {}, /they spoke https/],
    [{ http_path: "/a?b=c" }, {}, /`\/a\?b=c` is none/],
  ] as const) {
    const imported = pooled(active(more), service);
    assert.doesNotMatch(imported.files["systems/orders.yaml"] ?? "", /health:/);
    assert.match(imported.lost, why);
  }
});

test("attack: a system is not left open where one of its endpoints is that of a system that asks for a proof", () => {
  const imported = importKong({
    services: [
      { name: "open", host: "pool", routes: [{ name: "open", paths: ["/open"] }] },
      { name: "closed", url: "http://b:1", routes: [route("closed")], plugins: [auth] },
    ],
    upstreams: [{ name: "pool", targets: [target("a:1"), target("b:1")] }],
    consumers,
  });
  assert.doesNotMatch(imported.files["systems/open.yaml"] ?? "", /passthrough/);
});

const pages = (config: object, routes: readonly object[] = [route("orders")]) =>
  importKong({
    services: [{ name: "orders", url: "http://o.internal", routes, plugins: [auth, { name: "cors", config }] }],
    consumers,
  });

test("the cors plugin becomes the `cors` of the integrations it was in force for", () => {
  const imported = pages({
    origins: ["https://shop.example", "http://localhost:3000"],
    headers: ["Authorization", "X-Page"],
    exposed_headers: ["X-Total"],
    methods: ["GET", "OPTIONS"],
    max_age: 3600,
  });
  assert.deepEqual(imported.cors("shop-to-orders"), {
    origins: ["http://localhost:3000", "https://shop.example"],
    allowHeaders: ["x-page"],
    exposeHeaders: ["x-total"],
    maxAgeSeconds: 3600,
  });
  assert.match(
    imported.mapped,
    /plugin cors of service orders: `cors` of the integrations for https:\/\/shop\.example/,
  );
  assert.doesNotMatch(imported.lost + imported.changed, /plugin cors/);
  // Of two routes the one without pages has an integration of its own.
  const split = importKong({
    services: [
      {
        name: "orders",
        url: "http://o.internal",
        routes: [
          route("a", { plugins: [{ name: "cors", config: { origins: ["https://shop.example"] } }] }),
          route("b"),
        ],
        plugins: [auth],
      },
    ],
    consumers,
  });
  const withPages = ["shop-to-orders", "shop-to-orders-a", "shop-to-orders-b"].filter(
    (id) => split.cors(id) !== undefined,
  );
  assert.equal(withPages.length, 1);
});

test("attack: no pattern, no everybody, no page without https becomes an origin; what cors meant otherwise is said", () => {
  for (const origin of [
    "*",
    "null",
    "https://*.shop.example",
    "https://.*\\.shop\\.example",
    "http://shop.example",
    "shop.example",
  ]) {
    const imported = pages({ origins: [origin, "https://shop.example"] });
    assert.deepEqual(imported.cors("shop-to-orders")?.origins, ["https://shop.example"], origin);
    assert.ok(imported.lost.includes(`plugin cors of service orders: origin \`${origin}\`: `), imported.lost);
    assert.equal(pages({ origins: [origin] }).cors("shop-to-orders"), undefined, origin);
  }
  assert.equal(pages({}).cors("shop-to-orders"), undefined);
  assert.match(pages({}).lost, /plugin cors of service orders: it named no origins, so pages of anybody could call/);
  const origins = ["https://shop.example"];
  const bare = pages({ origins });
  assert.deepEqual(bare.cors("shop-to-orders")?.maxAgeSeconds, 5, "what browsers keep where nobody says how long");
  assert.match(bare.changed, /a page could set any field/);
  assert.match(pages({ origins, credentials: true }).lost, /`credentials`: pages call with a token/);
  assert.match(pages({ origins, preflight_continue: true }).lost, /a preflight never reaches the provider/);
  assert.match(
    pages({ origins, headers: ["Cookie2", "Connection", "x-a"] }).lost,
    /`connection` of headers: it ends at/,
  );
  assert.match(pages({ origins, max_age: 100_000 }).changed, /`maxAge` is 86400 s/);
  assert.match(
    pages({ origins, methods: ["GET"] }, [route("orders", { methods: ["GET", "DELETE"] })]).changed,
    /so DELETE too, which `methods` kept pages from/,
  );
});

test("a cors plugin of what nobody is granted is said to be left out", () => {
  const imported = importKong({
    services: [
      {
        name: "open",
        url: "http://o.internal",
        routes: [{ name: "open", paths: ["/open"] }],
        plugins: [{ name: "cors", config: { origins: ["https://shop.example"] } }],
      },
    ],
  });
  assert.match(imported.files["systems/open.yaml"] ?? "", /passthrough/);
  assert.match(imported.lost, /plugin cors of service open: it holds for nothing that was taken over/);
});
