// A Kong file as a company has it: forty services of a few teams, decK's nulls and tags, every plugin that was ever tried.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isMap, isSeq, LineCounter, parseDocument, stringify } from "yaml";
import { memoryEstateIo } from "../config/estate-io.ts";
import { formatFinding } from "../config/finding.ts";
import { loadEstateFrom } from "../config/load.ts";
import { importSource } from "./import-source.ts";

const now = Date.UTC(2026, 10, 1);
const teams = ["payments", "shop", "logistics", "insight", "identity"];
const nouns = ["orders", "carts", "invoices", "customers", "stock", "prices", "parcels", "reports"];
// The index is in range: lists here are never empty.
const pick = <T>(list: readonly T[], at: number): T => list[at % list.length] as T;

const authentication = [
  { name: "key-auth", config: { key_names: ["apikey"], hide_credentials: true, anonymous: null } },
  { name: "jwt", config: { claims_to_verify: ["exp"], key_claim_name: "iss" } },
  { name: "basic-auth", config: { hide_credentials: true } },
  null,
];
const extras = [
  { name: "cors", config: { origins: ["https://shop.example"], credentials: true } },
  { name: "request-size-limiting", config: { allowed_payload_size: 8 } },
  { name: "request-transformer", config: { add: { headers: ["x-team:shop"] } } },
  { name: "ip-restriction", config: { allow: ["10.0.0.0/8"] } },
  { name: "http-log", config: { http_endpoint: "http://log.internal" } },
  { name: "proxy-cache", config: { strategy: "memory" } },
  { name: "a-plugin-of-our-own", config: {} },
];

function nameOf(i: number): string {
  return `${pick(nouns, i)}-${pick(teams, i >> 1)}${i >= nouns.length ? `-${i}` : ""}`;
}

function service(i: number): object {
  const name = nameOf(i);
  const auth = pick(authentication, i);
  const acl =
    i % 3 === 0 ? [{ name: "acl", config: { allow: [pick(teams, i)], deny: null, hide_groups_header: true } }] : [];
  const limit =
    i % 2 === 0
      ? [
          {
            name: "rate-limiting",
            config: { second: null, minute: 60 + i, limit_by: "consumer", policy: pick(["local", "redis"], i) },
          },
        ]
      : [];
  const route = (n: number, more: object): object => ({
    name: `${name}-${n}`,
    protocols: ["http", "https"],
    regex_priority: 0,
    https_redirect_status_code: 426,
    tags: [pick(teams, i)],
    ...more,
  });
  return {
    name,
    host: i % 5 === 0 ? `${name}-pool` : `${name}.internal`,
    port: i % 4 === 0 ? 8443 : 8080,
    protocol: i % 4 === 0 ? "https" : "http",
    path: i % 3 === 0 ? "/api" : null,
    connect_timeout: 60_000,
    read_timeout: 60_000,
    write_timeout: 60_000,
    retries: 5,
    tags: [pick(teams, i)],
    plugins: [auth, ...acl, ...limit, pick(extras, i)].filter((plugin) => plugin !== null),
    routes: [
      route(1, {
        paths: [`/${name}`],
        strip_path: true,
        preserve_host: i % 6 === 0,
        methods: i % 2 === 0 ? ["GET", "POST"] : null,
      }),
      ...(i % 4 === 1 ? [route(2, { paths: [`/v1/${name}/`, `/legacy/${name}`], strip_path: false })] : []),
      ...(i % 4 === 2 ? [route(3, { paths: [`~/v2/${name}/(?<id>\\d+)$`], strip_path: false, methods: ["GET"] })] : []),
      ...(i % 7 === 3 ? [route(4, { hosts: [`${name}.acme.example`, "*.acme.example"], paths: null })] : []),
      ...(i % 9 === 5 ? [route(5, { paths: [`/${name}/admin`], headers: { "x-admin": ["yes"] } })] : []),
    ],
  };
}

function consumer(i: number): object {
  const secret = `secret-of-${i}-4711`;
  return {
    username: `${pick(teams, i)}-app-${i}`,
    acls: [{ group: pick(teams, i) }, ...(i % 4 === 0 ? [{ group: "shop" }] : [])],
    ...(i % 2 === 0 ? { keyauth_credentials: [{ key: secret }] } : {}),
    ...(i % 3 === 0 ? { jwt_secrets: [{ algorithm: "RS256", key: secret, rsa_public_key: secret }] } : {}),
    ...(i % 5 === 0 ? { basicauth_credentials: [{ username: "u", password: secret }] } : {}),
    ...(i === 4 ? { plugins: [{ name: "rate-limiting", config: { hour: 500 } }] } : {}),
  };
}

const text = `# deck gateway dump\n${stringify({
  _format_version: "3.0",
  _info: { defaults: {}, select_tags: ["acme"] },
  services: Array.from({ length: 40 }, (_, i) => service(i)),
  upstreams: Array.from({ length: 8 }, (_, i) => {
    return {
      name: `${nameOf(i * 5)}-pool`,
      targets: [
        { target: `10.0.${i}.1:9000`, weight: 100 },
        { target: `10.0.${i}.2:9000`, weight: 100 },
      ],
    };
  }),
  consumers: Array.from({ length: 25 }, (_, i) => consumer(i)),
  plugins: [
    { name: "prometheus", config: {} },
    { name: "correlation-id", config: { header_name: "x-request-id" } },
    { name: "opentelemetry", enabled: false },
  ],
})}`;

const imported = importSource({ io: memoryEstateIo({ "kong.yaml": text }, () => now), file: "kong.yaml", choice: {} });
assert.ok("files" in imported);
const { files, report } = imported;
const loaded = loadEstateFrom(
  memoryEstateIo(Object.fromEntries(files.map(({ file, text }) => [file, text])), () => now),
);

/** Lines at which the items of the lists of a kind begin, nested ones included. */
function linesOf(kinds: readonly string[]): readonly number[] {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const lines: number[] = [];
  const walk = (node: unknown): void => {
    if (isSeq(node)) node.items.forEach(walk);
    if (!isMap(node)) return;
    for (const { key, value } of node.items) {
      if (kinds.includes(String(key)) && isSeq(value))
        for (const item of value.items) if (isMap(item)) lines.push(counter.linePos(item.range?.[0] ?? 0).line);
      walk(value);
    }
  };
  walk(document.contents);
  return lines;
}

test("forty services, twenty-five consumers: the estate has no error, and each service and consumer is a system or said to be none", () => {
  assert.deepEqual(loaded.findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  const [production] = loaded.estate.environments;
  assert.deepEqual(production?.broken, []);
  assert.ok((production?.systems.length ?? 0) >= 65, `${production?.systems.length}`);
  assert.ok((production?.integrations.length ?? 0) > 100, `${production?.integrations.length}`);
  assert.equal(
    report.entries.some(({ why }) => why.includes("what was written is not accepted")),
    false,
  );
});

test("nothing of the source is passed over in silence: each service, route, consumer, plugin and credential has its line in the report", () => {
  const spoken = new Set(report.entries.map(({ line }) => line));
  const lists = ["services", "consumers", "plugins", "keyauth_credentials", "jwt_secrets", "basicauth_credentials"];
  const lines = linesOf(lists);
  assert.ok(lines.length > 130, `${lines.length}`);
  const silent = lines.filter((line) => !spoken.has(line)).map((line) => `${line}: ${text.split("\n")[line - 1]}`);
  assert.deepEqual(silent, []);
  const names = [...text.matchAll(/^ {6}- name: (\S+-\d)\n {8}protocols/gm)].map(([, name]) => name);
  assert.ok(names.length > 50, `${names.length}`);
  for (const name of names)
    assert.ok(
      report.entries.some(({ what }) => what.endsWith(`route ${name}`)),
      `route ${name}`,
    );
});

test("attack: what Kong refused to a consumer is granted to none, and no system that asked for a proof is open", () => {
  const [production] = loaded.estate.environments;
  const names = Array.from({ length: 40 }, (_, i) => nameOf(i));
  for (const { from, to } of production?.integrations ?? []) {
    const written = files.find(({ file }) => file === `systems/${to}.yaml`)?.text ?? "";
    const at = names.indexOf(/^# Imported from Kong: service (\S+)\. /.exec(written)?.[1] ?? "");
    const kind = ["keyauth_credentials", "jwt_secrets", "basicauth_credentials"][at % 4];
    assert.ok(kind !== undefined, `${to} asked for no proof, and nobody is granted it`);
    const who = consumer(Number(/-app-(\d+)$/.exec(from)?.[1]));
    assert.ok(kind in who, `${from} has no ${kind} for ${to}`);
    if (at % 3 === 0) assert.match(JSON.stringify(who), new RegExp(`"group":"${pick(teams, at)}"`), `${from} to ${to}`);
  }
  const open = (production?.systems ?? []).filter(({ passthrough }) => passthrough !== undefined);
  assert.ok(open.length > 0);
  for (const { id } of open) {
    const { plugins } = service(names.indexOf(id)) as { plugins: { name: string }[] };
    assert.ok(
      plugins.every(({ name }) => ["cors", "http-log"].includes(name)),
      id,
    );
  }
});

test("no credential of the source stands in the estate or in the report", () => {
  assert.doesNotMatch(files.map((file) => file.text).join("") + JSON.stringify(report), /4711/);
});
