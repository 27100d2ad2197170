// `sallyport dev` as a newcomer meets it: the real binary, an estate in a folder, an upstream that may not be there yet.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { type Fields, type Served, served, until } from "../installation.test-support.ts";
import { freePorts } from "../port-lane.test-support.ts";
import { runBinary } from "../program.test-support.ts";
import { readEndpoints } from "../roles/endpoints.ts";

const bounded = { timeout: 120_000 };
const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sallyport-dev-"));
const estate = join(folder, "estate");
const data = join(folder, ".sallyport");
const children = new Set<ReturnType<typeof spawn>>();
let upstreamPort = 0;
let dev: Served;
let ready: Fields;

const orders = (operations: string) => `system: orders
identity: { client: orders }
uses:
  - to: billing
    purpose: Charge a customer when an order ships
    operations: [${operations}]
`;
const put = (file: string, text: string) => {
  mkdirSync(join(estate, "systems"), { recursive: true });
  writeFileSync(join(estate, file), text);
};

function startDev(more: readonly string[] = ["--port", "0"], json = true): Served {
  const argv = ["--disable-warning=ExperimentalWarning", main, ...(json ? ["--json"] : []), "dev", ...more];
  const child = spawn(process.execPath, argv, {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] ?? "" },
  });
  children.add(child);
  child.once("close", () => children.delete(child));
  return served(child);
}

const event =
  (name: string, more: (fields: Fields) => boolean = () => true) =>
  (fields: Fields) =>
    fields["event"] === name && more(fields);

before(async () => {
  [upstreamPort = 0] = await freePorts(1);
  put(
    "systems/billing.yaml",
    `system: billing\nurl: http://127.0.0.1:${upstreamPort}\nallowPrivate: true\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n`,
  );
  put("systems/orders.yaml", orders("invoice.read"));
  dev = startDev();
  ready = await dev.line(event("ready"));
}, bounded);
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** A caller with the test key, over the endpoints file alone. */
function caller() {
  const endpoints = readEndpoints(data);
  const issuer = endpoints?.issuers["production"] ?? "";
  const { identity, gateway } = endpoints?.roots ?? { identity: null, gateway: {} };
  const roots = [identity, gateway["production"]].map((path) => readFileSync(path ?? "", "utf8"));
  setDefaultCACertificates([...getCACertificates("bundled"), ...roots]);
  const key = signerFromPem(readFileSync(join(data, "clients", "orders.key.pem"), "utf8"));
  const resource = `${issuer}/systems/billing`;
  const client = new TokenClient({ issuer, clientId: "orders", key });
  return { fetch: sallyportFetch({ client, gateway: endpoints?.gateway[0]?.url ?? "", resource }), resource, client };
}

test("a client without keys gets a test key of its owner's alone, and the estate is not written to", bounded, () => {
  const keyFile = join(data, "clients", "orders.key.pem");
  assert.deepEqual(ready["identities"], [{ client: "orders", system: "orders", keyFile }]);
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  assert.match(readFileSync(keyFile, "utf8"), /^-----BEGIN PRIVATE KEY-----/);
  assert.equal(readFileSync(join(estate, "systems/orders.yaml"), "utf8"), orders("invoice.read"));
});

test("everything listens on loopback only", bounded, () => {
  const urls = Object.values(ready["addresses"] as Record<string, string>);
  assert.equal(urls.length, 5);
  for (const url of urls) assert.equal(new URL(url).hostname, "127.0.0.1");
});

test(
  "a provider that is not up is named with the fix, and once it is up a call with the test key is allowed, shown and timed",
  bounded,
  async () => {
    const down = await dev.line(event("upstream-down"));
    assert.equal(down["system"], "billing");
    const upstream = createServer((_request, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    );
    await new Promise<void>((resolve) => upstream.listen(upstreamPort, "127.0.0.1", resolve));
    try {
      await dev.line(event("upstream-up"));
      const answer = await caller().fetch("/billing/v1/invoices/7");
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("server-timing") ?? "", /forward/);
      const seen = await dev.line(event("crossing", ({ verdict }) => verdict === "allow"));
      assert.deepEqual(
        [seen["caller"], seen["operation"], seen["status"], seen["id"]],
        ["orders", "billing:invoice.read", 200, answer.headers.get("sallyport-crossing")],
      );
    } finally {
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
    }
  },
);

test("a denial is shown with its fix, at the file and line, and with the id that `why` takes", bounded, async () => {
  const answer = await caller().fetch("/billing/v1/invoices", {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  assert.equal(answer.status, 403);
  const seen = await dev.line(event("crossing", ({ code }) => code === "not-granted"));
  assert.match(String(seen["fix"]), /add invoice\.create to the operations at systems\/orders\.yaml:4/);
  const why = await runBinary(["why", String(seen["id"]), "--operator", join(data, "control", "operator.key.json")]);
  assert.equal(why.exit, 1, why.err);
});

test(
  "a save with an error is refused with file, line and fix, what worked still works, and a good save takes effect",
  bounded,
  async () => {
    put("systems/orders.yaml", orders("invoice.raed"));
    const refused = await dev.line(event("estate-refused"));
    const [finding, ...others] = refused["findings"] as readonly Fields[];
    // Not that the client has no key: here it has one.
    assert.deepEqual(others, []);
    assert.deepEqual([finding?.["file"], finding?.["line"]], ["systems/orders.yaml", 6]);
    assert.match(String(finding?.["fix"]), /invoice\.read/);
    const answer = await caller().fetch("/billing/v1/invoices/8");
    const seen = await dev.line(event("crossing", ({ id }) => id === answer.headers.get("sallyport-crossing")));
    // Granted as before: only the provider is not up.
    assert.equal(seen["code"], "upstream-unreachable");
    put("systems/orders.yaml", orders("invoice.read, invoice.create"));
    const applied = await dev.line(event("applied"));
    assert.deepEqual(applied["changed"], ["production/integration/orders-to-billing"]);
    // What dev adds is no change of the estate's.
    const operator = join(data, "control", "operator.key.json");
    const plan = await runBinary(["plan", estate, "--operator", operator]);
    assert.equal(plan.exit, 0, `${plan.out}${plan.err}`);
  },
);

test(
  "under observe a crossing that enforcement would deny is not called allowed, though the provider answered",
  bounded,
  async () => {
    const end = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
    const upstream = createServer((_request, response) => response.writeHead(200).end());
    await new Promise<void>((resolve) => upstream.listen(upstreamPort, "127.0.0.1", resolve));
    try {
      const applied = dev.lines.filter(event("applied")).length;
      const billing = readFileSync(join(estate, "systems/billing.yaml"), "utf8");
      put("systems/billing.yaml", `${billing}mode: observe\nuntil: ${end}\nreason: flows that live already\n`);
      await dev.line(event("applied", () => dev.lines.filter(event("applied")).length > applied));
      const { gateway } = readEndpoints(data) ?? assert.fail("no endpoints");
      await until("the observing snapshot", async () => {
        const answer = await fetch(`${gateway[0]?.url}/billing/v1/invoices/9`);
        return answer.status === 200;
      });
      const seen = await dev.line(event("crossing", ({ letPass }) => letPass === true));
      assert.deepEqual([seen["verdict"], seen["code"], seen["status"]], ["deny", "credentials-missing", 200]);
      put("systems/billing.yaml", billing);
      await dev.line(event("applied", () => dev.lines.filter(event("applied")).length > applied + 1));
    } finally {
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
    }
  },
);

test("a listener that a save adds is named with its line and that it takes a restart", bounded, async () => {
  put("sallyport.yaml", "listeners:\n  public:\n    url: https://a.example\n  inner:\n    url: https://b.example\n");
  const said = await dev.line(event("restart-needed"));
  assert.deepEqual(
    [said["listener"], said["is"], said["file"], said["line"]],
    ["inner", "not-open", "sallyport.yaml", 4],
  );
  rmSync(join(estate, "sallyport.yaml"));
});

test(
  "attack: `serve` knows no test identity: it refuses dev's data, and over data of its own the test key gets no token",
  bounded,
  async () => {
    for (const place of [data, join(data, "control")]) {
      const { exit, err } = await runBinary(["serve", "--config", estate, "--data", place]);
      assert.equal(exit, 2);
      assert.match(err, /made by `sallyport dev` and holds test identities[\s\S]*fix: name another directory/);
    }
    const own = join(folder, "served");
    const anywhere = ["identity", "channel", "admin", "status"].flatMap((name) => [`--${name}-listen`, "127.0.0.1:0"]);
    const argv = [
      main,
      "--json",
      "serve",
      "--config",
      estate,
      "--data",
      own,
      "--listen",
      "public=127.0.0.1:0",
      ...anywhere,
    ];
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    const real = served(child);
    await real.line(event("ready"));
    const issuer = readEndpoints(own)?.issuers["production"] ?? "";
    setDefaultCACertificates([
      ...getCACertificates("bundled"),
      readFileSync(readEndpoints(own)?.roots.identity ?? "", "utf8"),
    ]);
    const key = signerFromPem(readFileSync(join(data, "clients", "orders.key.pem"), "utf8"));
    const client = new TokenClient({ issuer, clientId: "orders", key });
    await assert.rejects(client.token({ resource: `${issuer}/systems/billing` }), /invalid_client/);
    assert.equal(existsSync(join(own, "clients")), false);
    await real.signal("SIGTERM");
  },
);

test(
  "attack: dev refuses an address that others could reach, and a directory that it did not make",
  bounded,
  async () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.10", "127.0.0.1.example.com"]) {
      const { exit, err } = await runBinary(["dev", estate, "--data", join(folder, "never"), "--host", host]);
      assert.equal(exit, 2, host);
      assert.match(err, /not a loopback address[\s\S]*fix: leave --host out/);
    }
    assert.equal(existsSync(join(folder, "never")), false);
    const { exit, err } = await runBinary(["dev", estate, "--data", join(folder, "served")]);
    assert.equal(exit, 2);
    assert.match(err, /did not make[\s\S]*fix: name another directory/);
  },
);

test(
  "Ctrl-C ends it cleanly, what it made is there the next time, and a taken port moves it and is said",
  bounded,
  async () => {
    const ended = await dev.signal("SIGINT");
    assert.equal(ended.exit, 0, ended.output);
    assert.equal(existsSync(join(data, "endpoints.json")), false);
    const key = readFileSync(join(data, "clients", "orders.key.pem"), "utf8");
    const taken = createTcpServer().unref();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    dev = startDev(["--port", String(port)]);
    ready = await dev.line(event("ready"));
    assert.match(
      String((ready["moved"] as readonly string[]).at(-1)),
      new RegExp(`port ${port} is in use, so the gateway is at`),
    );
    assert.equal(readFileSync(join(data, "clients", "orders.key.pem"), "utf8"), key);
    // The channel may be elsewhere than when the gateway joined: it must find control all the same.
    const answer = await caller().fetch("/billing/v1/invoices/9");
    assert.equal(answer.status, 502);
    assert.equal((await dev.signal("SIGINT")).exit, 0);
    await new Promise((resolve) => taken.close(resolve));
  },
);

test("--fresh keeps nothing", bounded, async () => {
  const fresh = startDev(["--port", "0", "--fresh"]);
  await fresh.line(event("ready"));
  assert.equal((await fresh.signal("SIGINT")).exit, 0);
  assert.equal(existsSync(data), false);
});
