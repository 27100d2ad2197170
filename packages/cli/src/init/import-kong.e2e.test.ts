// A Kong file as it stands, imported, checked, served by `dev` and called: what Kong did is what happens, and what does not is in the report.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { isReady, served } from "../installation.test-support.ts";
import { inheritedEnvironment, runBinary } from "../program.test-support.ts";
import { readEndpoints } from "../roles/endpoints.ts";

const bounded = { timeout: 120_000 };
const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sallyport-kong-"));
const estate = join(folder, "estate");
const data = join(folder, ".sallyport");
const seen: { readonly url: string; readonly host: string }[] = [];
const provider = () =>
  createServer((request, response) => {
    seen.push({ url: request.url ?? "", host: request.headers.host ?? "" });
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
const upstream = provider();
const second = provider();
let upstreamHost = "";
let secondHost = "";
let child: ChildProcess | null = null;
let imported: {
  readonly exit: number;
  readonly report: {
    readonly mapped: number;
    readonly changed: number;
    readonly notMapped: number;
    readonly entries: readonly {
      readonly outcome: string;
      readonly file: string;
      readonly line: number;
      readonly what: string;
    }[];
  };
};

const kong = (host: string, other: string) => `_format_version: "3.0"
services:
  - name: orders
    url: http://${host}/api
    routes:
      - name: list
        paths: [/orders]
        methods: [GET]
        preserve_host: true
    plugins:
      - name: key-auth
      - name: acl
        config: { allow: [shop] }
      - name: rate-limiting
        config: { hour: 2, policy: local }
  - name: stock
    url: http://${host}/api
    routes:
      - name: items
        paths: [/stock]
        methods: [GET]
        strip_path: false
    plugins:
      - name: key-auth
  - name: parts
    host: parts-pool
    path: /api
    routes:
      - name: parts
        paths: [/parts]
        methods: [GET]
    plugins:
      - name: key-auth
consumers:
  - username: portal
    acls: [{ group: shop }]
    keyauth_credentials: [{ key: very-secret-key }]
  - username: stranger
    keyauth_credentials: [{ key: other-secret-key }]
upstreams:
  - name: parts-pool
    targets:
      - { target: "${host}", weight: 100 }
      - { target: "${other}", weight: 100 }
plugins:
  - name: cors
    service: orders
    config: { origins: [https://shop.example], max_age: 60 }
`;

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}

before(async () => {
  upstreamHost = await listening(upstream);
  secondHost = await listening(second);
  writeFileSync(join(folder, "kong.yaml"), kong(upstreamHost, secondHost));
  const { exit, out } = await runBinary(["--json", "init", estate, "--from", join(folder, "kong.yaml")]);
  imported = { exit, report: JSON.parse(out).report };
}, bounded);
after(async () => {
  if (child !== null && child.exitCode === null) {
    const gone = new Promise((resolve) => child?.once("close", resolve));
    child.kill("SIGKILL");
    await gone;
  }
  for (const server of [upstream, second]) await closed(server);
  rmSync(folder, { recursive: true, force: true });
});

/** A caller that the import made, with the key that dev gave it. */
function caller(name: string, system: string) {
  const endpoints = readEndpoints(data) ?? assert.fail("nothing is served");
  const roots = [endpoints.roots.identity, endpoints.roots.gateway["production"]];
  setDefaultCACertificates([...getCACertificates("bundled"), ...roots.map((path) => readFileSync(path ?? "", "utf8"))]);
  const issuer = endpoints.issuers["production"] ?? "";
  const key = signerFromPem(readFileSync(join(data, "clients", `${name}.key.pem`), "utf8"));
  const client = new TokenClient({ issuer, clientId: name, key });
  return sallyportFetch({ client, gateway: endpoints.gateway[0]?.url ?? "", resource: `${issuer}/systems/${system}` });
}

test(
  "the report sorts into mapped, changed and not mapped, each with file and line, and check has no error",
  bounded,
  async () => {
    const { exit, report } = imported;
    assert.equal(exit, 0);
    const { entries } = report;
    const of = (outcome: string, what: string) =>
      entries
        .filter((entry) => entry.outcome === outcome && entry.what.startsWith(what))
        .map(({ file, line }) => `${file}:${line}`);
    assert.deepEqual(of("mapped", "service orders"), ["kong.yaml:3"]);
    assert.deepEqual(of("mapped", "plugin acl of service orders"), ["kong.yaml:12"]);
    assert.deepEqual(of("changed", "plugin rate-limiting of service orders"), ["kong.yaml:14"]);
    assert.deepEqual(of("mapped", "consumer portal"), ["kong.yaml:35"]);
    assert.deepEqual(of("not-mapped", "preserve_host of route list"), ["kong.yaml:9"]);
    assert.deepEqual(of("not-mapped", "keyauth_credentials of consumer portal"), ["kong.yaml:37"]);
    assert.deepEqual(of("mapped", "upstream parts-pool"), ["kong.yaml:41"]);
    assert.deepEqual(of("changed", "round-robin of upstream parts-pool"), ["kong.yaml:41"]);
    assert.deepEqual(of("mapped", "plugin cors of service orders"), ["kong.yaml:46"]);
    const count = (outcome: string) => entries.filter((entry) => entry.outcome === outcome).length;
    assert.deepEqual(
      [report.mapped, report.changed, report.notMapped],
      [count("mapped"), count("changed"), count("not-mapped")],
    );
    const checked = await runBinary(["check", estate]);
    assert.equal(checked.exit, 0, checked.out);
  },
);

test(
  "served: paths are stripped or not as in Kong, acl decides who calls, and the rate is enforced",
  bounded,
  async () => {
    const argv = [
      "--disable-warning=ExperimentalWarning",
      main,
      "--json",
      "dev",
      estate,
      "--data",
      data,
      "--port",
      "0",
    ];
    child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"], env: inheritedEnvironment() });
    await served(child).line(isReady);
    const portal = caller("portal", "orders");
    const first = await portal("/orders", { headers: { origin: "https://shop.example" } });
    assert.deepEqual(
      [first.status, first.headers.get("access-control-allow-origin")],
      [200, "https://shop.example"],
      "a page that the plugin named may read the answer",
    );
    // The path is stripped, the provider's base path stays, and it sees the host of its own url: what the report says of preserve_host.
    assert.deepEqual(seen, [{ url: "/api/", host: upstreamHost }]);
    assert.equal((await caller("portal", "stock")("/stock")).status, 200);
    assert.deepEqual(seen.at(-1), { url: "/api/stock", host: upstreamHost });

    const reached = seen.length;
    await assert.rejects(caller("stranger", "orders")("/orders"), "who is in no group of the acl gets no token");
    const strangers = await caller("stranger", "stock")("/orders");
    assert.equal(strangers.status, 401, "nor is a token for another service one");
    const around = await fetch(`${readEndpoints(data)?.gateway[0]?.url}/orders`, {
      headers: { apikey: "very-secret-key" },
    });
    assert.equal(around.status, 401, "the key of then opens nothing");
    assert.equal(seen.length, reached);

    assert.equal((await portal("/orders")).status, 200);
    const third = await portal("/orders");
    assert.deepEqual([third.status, JSON.parse(await third.text()).code], [429, "rate-limited"]);
    assert.equal(seen.length, reached + 1);
  },
);

test(
  "served: the page that the cors plugin named gets a yes before its request, another gets what a stranger gets",
  bounded,
  async () => {
    const reached = seen.length;
    const url = `${readEndpoints(data)?.gateway[0]?.url}/orders`;
    const asked = (origin: string) =>
      fetch(url, { method: "OPTIONS", headers: { origin, "access-control-request-method": "GET" } });
    const yes = await asked("https://shop.example");
    const told = ["access-control-allow-origin", "access-control-max-age"].map((name) => yes.headers.get(name));
    assert.deepEqual([yes.status, ...told], [204, "https://shop.example", "60"]);
    const no = await asked("https://shop.example.evil.example");
    assert.deepEqual([no.status, no.headers.get("access-control-allow-origin")], [401, null]);
    assert.equal(seen.length, reached, "the provider hears of neither");
  },
);

test("served: the targets of an upstream share the requests, and one that is gone is left out", bounded, async () => {
  const portal = caller("portal", "parts");
  const from = seen.length;
  // Equal weights and nothing under way: each gets a request by a fair draw, so that forty for one of them never happens.
  for (let call = 0; call < 40; call += 1) assert.equal((await portal("/parts")).status, 200);
  const hosts = new Set(seen.slice(from).map(({ host }) => host));
  assert.deepEqual([...hosts].sort(), [upstreamHost, secondHost].sort());
  assert.ok(seen.slice(from).every(({ url }) => url === "/api/"));
  await closed(second);
  const later = seen.length;
  for (let call = 0; call < 10; call += 1) assert.equal((await portal("/parts")).status, 200);
  assert.deepEqual([...new Set(seen.slice(later).map(({ host }) => host))], [upstreamHost]);
});
