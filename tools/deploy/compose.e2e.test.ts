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

const root = fileURLToPath(new URL("../..", import.meta.url));
const bounded = { timeout: 120_000 };

interface Service {
  readonly image?: string;
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
    .replaceAll("/estate", join(folder, "estate"))
    .replaceAll("/join", join(folder, "join"))
    .replaceAll("/data", join(folder, service === "tokens" ? "control" : service))
    .replace(/(0\.0\.0\.0|localhost|control):(\d+)/g, (_, host: string, port: string) => {
      const place = at[`${service}:${port}`] ?? at[`control:${port}`];
      return `${host === "0.0.0.0" ? "127.0.0.1" : "localhost"}:${place}`;
    });
}

function start(service: string): ChildProcess {
  const { command = [], environment = {} } = compose.services[service] ?? {};
  const [binary = "", ...rest] = service === "tokens" ? ["/bin/sh", "-euc"] : [join(folder, "bin", "sallyport")];
  const child = spawn(binary, [...rest, ...command.map((text) => local(text.replaceAll("$$", "$"), service))], {
    env: {
      ...inheritedEnvironment(),
      PATH: [join(folder, "bin"), process.env["PATH"]].join(delimiter),
      ...Object.fromEntries(Object.keys(environment).map((name) => [name, database.url])),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.once("close", () => children.delete(child));
  return child;
}

async function ready(service: string): Promise<void> {
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
    return output.includes('"event":"ready"');
  });
}

before(async () => {
  database = await createDatabase();
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const address = upstream.address();
  const places = ["control", "gateway-1", "gateway-2"].flatMap((service) =>
    (service === "control" ? [7440, 7441, 7442, 7443] : [8443, 7443]).map((port) => `${service}:${port}`),
  );
  const ports = await freePorts(places.length);
  for (const [i, place] of places.entries()) at[place] = ports[i] ?? 0;
  mkdirSync(join(folder, "bin"));
  writeFileSync(
    join(folder, "bin", "sallyport"),
    `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${join(root, "packages/cli/src/main.ts")}" "$@"\n`,
  );
  chmodSync(join(folder, "bin", "sallyport"), 0o755);
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

test("control on PostgreSQL, one join token for each gateway, and a call through both", bounded, async () => {
  await ready("control");
  const tokens = start("tokens");
  assert.equal(await new Promise((resolve) => tokens.once("close", resolve)), 0);
  await Promise.all([ready("gateway-1"), ready("gateway-2")]);
  const ca = join(folder, "control", "ca");
  setDefaultCACertificates([
    ...getCACertificates("bundled"),
    ...["control", "production"].map((name) => readFileSync(join(ca, `${name}.pem`), "utf8")),
  ]);
  const issuer = `https://localhost:${at["control:7440"]}/main/production`;
  const client = new TokenClient({ issuer, clientId: "orders", key: key.signer });
  for (const service of ["gateway-1", "gateway-2"]) {
    // The estate names the balancer's address: the proof is made for it, and the connection goes where the balancer would send it.
    const call = sallyportFetch({
      client,
      gateway: "https://localhost:8443",
      resource: `${issuer}/systems/billing`,
      fetch: (url, init) => fetch(String(url).replace(":8443", `:${at[`${service}:8443`]}`), init),
    });
    const answer = await call("/billing/v1/invoices/7");
    assert.equal(answer.status, 200, `${service}: ${await answer.text()}`);
  }
});
