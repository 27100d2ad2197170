// The commands of compose.yaml, run as they stand there: each container a process here, each host name this machine, each port a free one.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import { sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import pg from "pg";
import { parse } from "yaml";
import { until } from "../../packages/cli/src/installation.test-support.ts";
import { freePorts } from "../../packages/cli/src/port-lane.test-support.ts";
import { inheritedEnvironment } from "../../packages/cli/src/program.test-support.ts";
import { testServer } from "../../packages/kernel/src/store/for-each-dialect.ts";
import { debianProgram } from "../debian-packages.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bounded = { timeout: 240_000 };

interface Service {
  readonly image?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly ports?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}
// Our own file; the first test judges its shape.
const compose = parse(readFileSync(join(root, "deploy/docker/compose.yaml"), "utf8"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
};

const folder = mkdtempSync(join(tmpdir(), "sallyport-compose-"));
const children = new Set<ChildProcess>();
const key = generateClientKey();
const upstream = createServer((_request, response) => response.end("{}"));
const at: Record<string, number> = {};
const redisPassword = randomBytes(24).toString("hex");
let database: { readonly url: string; drop(): Promise<void> };

/** A database of its own on the test server, gone afterwards. */
async function createDatabase(): Promise<typeof database> {
  const server = await testServer();
  const name = `compose_${randomBytes(8).toString("hex")}`;
  const ask = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(statement);
    await client.end();
  };
  await ask(`CREATE DATABASE ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async drop() {
      await ask(`DROP DATABASE ${name} WITH (FORCE)`);
      await server.stop();
    },
  };
}

/** A container's command on this machine: its folders below ours, its listeners and its neighbours on free ports. */
function local(text: string, service: string): string {
  return text
    .replace(/\$\{REDIS_PASSWORD:\?[^}]+\}/g, redisPassword)
    .replaceAll("$$", "$")
    .replaceAll("/estate", join(folder, "estate"))
    .replaceAll("/join", join(folder, "join"))
    .replaceAll("/data", join(folder, service === "tokens" ? "control" : service))
    .replaceAll("/redis-", join(folder, "redis-"))
    .replaceAll("DNS:redis", "DNS:localhost")
    .replace(/(0\.0\.0\.0|localhost|control|redis):(\d+)/g, (_, host: string, port: string) => {
      const place = at[`${service}:${port}`] ?? at[`${host}:${port}`] ?? at[`control:${port}`];
      return `${host === "0.0.0.0" ? "127.0.0.1" : "localhost"}:${place}`;
    })
    .replace(/^6379$/, String(at["redis:6379"]));
}

/** What a container is told; a crowded machine may take longer than a gateway waits for Redis by default. */
function environmentOf(service: string): Readonly<Record<string, string>> {
  const { environment = {} } = compose.services[service] ?? {};
  const urls: Readonly<Record<string, (text: string) => string>> = {
    SALLYPORT_STORE: () => database.url,
    SALLYPORT_LIMITS: (text) => `${local(text, service)}&wait=1000ms`,
  };
  return Object.fromEntries(Object.entries(environment).map(([name, text]) => [name, urls[name]?.(text) ?? text]));
}

function start(service: string): ChildProcess {
  const { command = [], entrypoint = [join(folder, "bin", "sallyport")] } = compose.services[service] ?? {};
  const words = command.map((text) => local(text, service));
  const [binary = "", ...rest] =
    service === "redis"
      ? [debianProgram("redis-server"), ...words.slice(1), "--bind", "127.0.0.1", "--dir", folder]
      : [...entrypoint, ...words];
  const child = spawn(binary, rest, {
    env: {
      ...inheritedEnvironment(),
      PATH: [join(folder, "bin"), process.env["PATH"]].join(delimiter),
      ...environmentOf(service),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.once("close", () => children.delete(child));
  return child;
}

async function done(service: string): Promise<void> {
  const child = start(service);
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  assert.equal(await new Promise((resolve) => child.once("close", resolve)), 0, said);
}

async function ready(service: string, says = '"event":"ready"'): Promise<void> {
  const child = start(service);
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  await until(`${service} is ready`, () => {
    if (child.exitCode !== null) throw new Error(`${service} ended with ${child.exitCode}:\n${output}`);
    return output.includes(says);
  });
}

before(async () => {
  database = await createDatabase();
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const address = upstream.address();
  const places = ["control", "gateway-1", "gateway-2"].flatMap((service) =>
    (service === "control" ? [7440, 7441, 7442, 7443] : [8443, 7443]).map((port) => `${service}:${port}`),
  );
  places.push("redis:6379");
  const ports = await freePorts(places.length);
  for (const [i, place] of places.entries()) at[place] = ports[i] ?? 0;
  mkdirSync(join(folder, "bin"));
  writeFileSync(
    join(folder, "bin", "sallyport"),
    `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${join(root, "packages/cli/src/main.ts")}" "$@"\n`,
  );
  // Who runs the tests may be nobody who gives files away.
  writeFileSync(join(folder, "bin", "chown"), "#!/bin/sh\n");
  for (const name of ["sallyport", "chown"]) chmodSync(join(folder, "bin", name), 0o755);
  for (const name of ["redis-tls", "redis-ca"]) mkdirSync(join(folder, name));
  mkdirSync(join(folder, "join"), { mode: 0o700 });
  cpSync(join(root, "deploy/docker/estate"), join(folder, "estate"), { recursive: true });
  const billing = join(folder, "estate/systems/billing.yaml");
  const port = typeof address === "object" && address !== null ? address.port : 0;
  writeFileSync(billing, readFileSync(billing, "utf8").replace("host.docker.internal:8080", `127.0.0.1:${port}`));
  const orders = join(folder, "estate/systems/orders.yaml");
  writeFileSync(
    orders,
    readFileSync(orders, "utf8").replace("{ client: orders }", "{ client: orders, keys: [orders.jwks.json] }"),
  );
  const grant = join(folder, "estate/integrations/orders-to-billing.yaml");
  const few = readFileSync(grant, "utf8").replace("rate: 100/s, burst: 200", "rate: 1/h, burst: 3");
  assert.match(few, /rate: 1\/h, burst: 3, across: gateways/);
  writeFileSync(grant, few);
  writeFileSync(join(folder, "estate/systems/orders.jwks.json"), JSON.stringify(publicJwks([key.signer])));
}, bounded);
after(async () => {
  await Promise.all(
    [...children].map((child) => {
      const gone = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      return gone;
    }),
  );
  upstream.closeAllConnections();
  upstream.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

test("our containers are read-only, without capabilities, and everything is published on loopback alone", () => {
  const ours = Object.entries(compose.services).filter(([, { image }]) => image === "sallyport:local");
  assert.deepEqual(ours.map(([name]) => name).sort(), ["control", "gateway-1", "gateway-2", "tokens"]);
  for (const [name, service] of ours) {
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ["ALL"], name);
  }
  for (const { ports = [] } of Object.values(compose.services))
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
});

/** A call of orders as the balancer would send it on: the proof is made for its address, and the connection goes to one gateway. */
function callerOf(client: TokenClient, resource: string) {
  return (service: string) =>
    sallyportFetch({
      client,
      gateway: "https://localhost:8443",
      resource,
      fetch: (url, init) => fetch(String(url).replace(":8443", `:${at[`${service}:8443`]}`), init),
    })("/billing/v1/invoices/7");
}

test(
  "control on PostgreSQL, one join token for each gateway, a call through both, and one count of them in Redis",
  bounded,
  async () => {
    await Promise.all([
      ready("control"),
      done("redis-certificate").then(() => ready("redis", "Ready to accept connections")),
    ]);
    await done("tokens");
    const gateways = ["gateway-1", "gateway-2"] as const;
    await Promise.all(gateways.map((service) => ready(service)));
    const ca = join(folder, "control", "ca");
    setDefaultCACertificates([
      ...getCACertificates("bundled"),
      ...["control", "production"].map((name) => readFileSync(join(ca, `${name}.pem`), "utf8")),
    ]);
    for (const service of gateways)
      await until(`${service} counts with the other`, async () => {
        const metrics = await (await fetch(`http://127.0.0.1:${at[`${service}:7443`]}/metrics`)).text();
        return /^sallyport_shared_limits_up 1$/m.test(metrics) && /^sallyport_shared_limits_gateways 2$/m.test(metrics);
      });
    const issuer = `https://localhost:${at["control:7440"]}/main/production`;
    const client = new TokenClient({ issuer, clientId: "orders", key: key.signer });
    const call = callerOf(client, `${issuer}/systems/billing`);
    const statuses: number[] = [];
    for (const service of ["gateway-1", "gateway-2", "gateway-1", "gateway-2", "gateway-1"])
      statuses.push((await call(service)).status);
    assert.deepEqual(statuses, [200, 200, 200, 429, 429]);
  },
);
