// docs/identity/browser-apps.md, built as the page says, with a real control plane and gateway behind it and a browser before it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import { Browser, codeOf } from "../../examples/marketplace/browser.ts";
import { createWorkloads } from "../../examples/marketplace/workloads.ts";
import { Installation, isReady } from "../../packages/cli/src/installation.test-support.ts";
import { freePorts } from "../../packages/cli/src/port-lane.test-support.ts";
import { readBlocks } from "./doc-blocks.ts";

const root = dirname(dirname(import.meta.dirname));
const page = readFileSync(join(root, "docs/identity/browser-apps.md"), "utf8");
const startMsMax = 60_000;
const people = "    people: { signIn: [password] }\n";

let installation: Installation;
let app: ChildProcess | null = null;
let said = "";
let origin = "";
let issuer = "";
let browser: Browser;

before(async () => {
  installation = await Installation.open();
  const [port = 0] = await freePorts(1);
  origin = `https://localhost:${port}`;
  // The port of the page may be somebody else's; nothing else is changed.
  const blocks = readBlocks(page.replaceAll("8444", String(port)));
  const textOf = (path: string) => {
    const block = blocks.find((one) => one.path === path);
    assert.ok(block, `the page has no file ${path}`);
    return block.text;
  };
  const key = generateClientKey();
  const { sallyport = "", billing = "" } = {
    sallyport: installation.files()["sallyport.yaml"],
    billing: installation.files()["systems/billing.yaml"],
  };
  installation.writeEstate({
    "sallyport.yaml": `${sallyport}environments:\n  production:\n${people}`,
    "systems/billing.yaml": billing.replace(
      "invoice.create: POST /v1/invoices",
      "invoice.create: { match: POST /v1/invoices, acr: mfa, maxAge: 10m }",
    ),
    "systems/shop.yaml": textOf("systems/shop.yaml"),
    "systems/shop.jwks.json": JSON.stringify(publicJwks([key.signer])),
  });
  const listen = `public=127.0.0.1:${installation.ports.gateway}`;
  const served = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", installation.data("all"), "--listen", listen],
  ]);
  await served.line(isReady);
  issuer = `https://127.0.0.1:${installation.ports.identity}/main/production`;
  const folder = join(installation.root, "app");
  mkdirSync(folder);
  const workloads = createWorkloads("production", folder);
  const cas = ["control", "production"].map((name) =>
    readFileSync(join(installation.data("all"), "control/ca", `${name}.pem`), "utf8"),
  );
  const files = { "app.mjs": textOf("app.mjs"), "shop.pem": key.pem, "roots.pem": cas.join("") };
  const tls = { "tls.pem": workloads.portal.cert, "tls.key.pem": workloads.portal.key };
  for (const [name, text] of Object.entries({ ...files, ...tls })) writeFileSync(join(folder, name), text);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  await startApp(folder, port);
  browser = new Browser(cas.join("") + workloads.root);
});
after(async () => {
  app?.kill("SIGKILL");
  await installation.close();
});

function startApp(folder: string, port: number): Promise<void> {
  app = spawn(process.execPath, ["app.mjs"], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"] ?? "",
      NODE_EXTRA_CA_CERTS: join(folder, "roots.pem"),
      ...{ ISSUER: issuer, GATEWAY: `https://127.0.0.1:${installation.ports.gateway}`, ORIGIN: origin },
      ...{ KEY_FILE: "shop.pem", TLS_CERT: "tls.pem", TLS_KEY: "tls.key.pem", PORT: String(port) },
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the page's program did not start:\n${said}`)), startMsMax);
    const take = (chunk: Buffer) => {
      said += chunk;
      if (!said.includes("up at")) return;
      clearTimeout(timer);
      resolve();
    };
    app?.stdout?.on("data", take);
    app?.stderr?.on("data", take);
  });
}

const invoice = () => browser.request("GET", `${origin}/invoices/7`);
const json = { "content-type": "application/json" };
const create = (headers = {}) =>
  browser.request("POST", `${origin}/invoices`, { headers: { ...json, ...headers }, body: "{}" });

test("the page's program signs a user in, calls for them, steps up and signs out, and no token ever reaches the browser", {
  timeout: 120_000,
}, async () => {
  assert.deepEqual(JSON.parse((await invoice()).text), { signIn: "/sign-in" });
  const operator = installation.operator(join(installation.data("all"), "control", "operator.key.json"));
  const { link } = await operator.call<{ link: string }>("POST", "/v1/users", { name: "zora" });
  const password = "correct horse battery";
  const account = await browser.submit(await browser.visit(link), "/enrol/password", { password });
  await browser.submit(account, "/account/logout", {});

  const consent = await browser.submit(await browser.visit(`${origin}/sign-in`), "/login", { name: "zora", password });
  const home = await browser.submit(consent, "/consent", { answer: "allow" });
  assert.deepEqual([home.address, home.text], [`${origin}/`, '{"signedIn":true}']);
  const before = installation.upstreamRequests;
  assert.equal((await invoice()).status, 200);
  assert.equal(installation.upstreamRequests - before, 1);

  const refused = await create();
  const { signIn } = JSON.parse(refused.text);
  assert.deepEqual([refused.status, signIn], [401, "/sign-in?acr_values=urn%3Asallyport%3Aacr%3Amfa&max_age=600"]);
  const app = await browser.submit(await browser.visit(`${issuer}/account`), "/account/app", {});
  const seed = /<code>([A-Z2-7 ]+)<\/code>/.exec(app.text)?.[1] ?? "";
  // The code of now, and for the log-in the next one: each still counts when a step ends between its reading and its judging.
  await browser.submit(app, "/account/app/confirm", { code: codeOf(seed, 0) });
  const code = await browser.submit(await browser.visit(origin + signIn), "/login", { name: "zora", password });
  await browser.submit(code, "/login/code", { code: codeOf(seed, 1) });
  assert.equal((await create()).status, 200);

  const reached = installation.upstreamRequests;
  assert.equal((await create({ origin: "https://evil.example" })).status, 403, "another site's form");
  assert.equal((await create({ origin: "" })).status, 403, "a form that does not say whose it is");
  assert.equal(installation.upstreamRequests, reached);

  const ask = await browser.visit((await browser.request("POST", `${origin}/sign-out`)).headers["location"] ?? "");
  assert.match(ask.text, /Sign out\?/);
  const back = await browser.submit(ask, "/session/end/decide", { answer: "yes" });
  assert.deepEqual([back.address, back.status], [`${origin}/`, 401]);
  assert.match((await browser.visit(`${issuer}/account`)).address, /\/login$/, "signed out at the issuer too");
  assert.equal((await invoice()).status, 401);
  const sent = browser.received.map(({ text }) => text).join("\n");
  assert.match(sent, /__Host-session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax/);
  assert.doesNotMatch(sent, /eyJ[\w-]+\.eyJ[\w-]+\./);
  assert.doesNotMatch(said, /eyJ/);
});

test("an answer that this browser did not ask for signs nobody in", async () => {
  const stranger = await browser.request("GET", `${origin}/callback?code=c&state=s&iss=${encodeURIComponent(issuer)}`);
  assert.equal(stranger.status, 400);
});
