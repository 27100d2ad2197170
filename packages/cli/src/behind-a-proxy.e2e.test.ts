// A gateway behind nginx (which ends TLS) and behind HAProxy (which passes TCP on, with and without a word about where from): the files are those of docs/behind-a-proxy.md.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { signDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { issue, newCa, nginxConf, replaced, startProxy } from "./behind-a-proxy.test-support.ts";
import { createSender } from "./calling/sender.ts";
import { Installation, isReady } from "./installation.test-support.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(fileURLToPath(new URL("../../../docs/behind-a-proxy.md", import.meta.url)), "utf8");
const children: ChildProcess[] = [];
const prover = generateClientKey().signer;
let installation: Installation;
let workloads: LocalCa;
let ports: Readonly<Record<"inner" | "nginx" | "wrong" | "haproxy" | "told" | "telling", number>>;
let tokens: TokenClient;
let sender: ReturnType<typeof createSender>;

/** The block of that language on the page, with every placeholder replaced; a placeholder that is gone fails. */
function snippet(language: string, changes: Readonly<Record<string, string>>): string {
  return replaced(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "", changes);
}

async function startNginx(ca: LocalCa): Promise<void> {
  const folder = join(installation.root, "nginx");
  mkdirSync(folder);
  const pair = issue(ca, { ip: ["127.0.0.1"], dns: ["localhost"] }, "server");
  writeFileSync(join(folder, "api.pem"), pair.cert);
  writeFileSync(join(folder, "api.key"), pair.key);
  const server = (port: number, to: number) =>
    snippet("nginx", {
      "443 ssl": `127.0.0.1:${port} ssl`,
      "api.acme.example": "localhost",
      "/etc/nginx/tls/api.": `${folder}/api.`,
      "/etc/nginx/tls/sallyport-production.pem": join(installation.data("control"), "control/ca/production.pem"),
      "127.0.0.1:8443": `127.0.0.1:${to}`,
      // Asks for the client's certificate, as those do who hope that it arrives.
      "proxy_http_version 1.1;": "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $remote_addr;",
    }).replace("server {", "server {\n  ssl_verify_client optional_no_ca;");
  const { nginx, wrong, inner } = ports;
  writeFileSync(
    join(folder, "nginx.conf"),
    nginxConf(folder, [server(nginx, installation.ports.gateway), server(wrong, inner)]),
  );
  children.push(await startProxy("nginx", ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")], nginx));
}

async function startHaproxy(): Promise<void> {
  const file = join(installation.root, "haproxy.cfg");
  const text = snippet("haproxy", {
    "bind :443": `bind 127.0.0.1:${ports.haproxy}`,
    // The forwarder's own address, so that the record tells it from the caller's.
    "127.0.0.1:8443 check": `127.0.0.1:${ports.inner} source 127.0.0.3`,
  });
  // The line of the page, with a checksum for the gateway to hold against, and each option that brings an extension.
  const told = /^ {2}server gw1 (.*send-proxy-v2)$/m.exec(page)?.[1] ?? "";
  const server = replaced(told, { "127.0.0.1:8443 check": `127.0.0.1:${ports.told} source 127.0.0.3` });
  const options = "proxy-v2-options crc32c,unique-id";
  const listen = `listen telling\n  bind 127.0.0.1:${ports.telling}\n  unique-id-format %[uuid()]\n  server gw1 ${server} ${options}\n`;
  writeFileSync(file, `${text}\n${listen}`);
  children.push(await startProxy("haproxy", ["-db", "-f", file], ports.haproxy));
}

const estateFiles = () => ({
  "sallyport.yaml": `estate: tiny\nlisteners:\n  public:\n    url: https://localhost:${ports.nginx}\n  inner:\n    url: https://127.0.0.1:${ports.haproxy}\n  told:\n    url: https://127.0.0.1:${ports.telling}\n    proxyProtocol: { trustedProxies: [127.0.0.3] }\n`,
  "systems/orders.yaml":
    "system: orders\nidentity:\n  client: orders\n  keys: [orders.jwks.json]\n  certificate: { trust: workloads, uri: spiffe://acme/orders }\n",
  "systems/ledger.yaml":
    "system: ledger\nurl: http://127.0.0.1:9\nallowPrivate: true\npublic: { host: ledger.acme.example }\noperations:\n  entry.read: GET /v1/entries/{id}\n",
  "trust/workloads.yaml": "trust: workloads\nroots: [workloads.pem]\n",
  "trust/workloads.pem": workloads.certificatePem,
});

before(async () => {
  installation = await Installation.open();
  workloads = newCa("workloads");
  const [inner = 0, nginx = 0, wrong = 0, haproxy = 0, told = 0, telling = 0] = await freePorts(6);
  ports = { inner, nginx, wrong, haproxy, told, telling };
  installation.writeEstate(estateFiles());
  const { gateway } = installation.ports;
  const listen = [
    "--listen",
    `public=127.0.0.1:${gateway}`,
    `inner=127.0.0.1:${inner}`,
    `told=127.0.0.1:${told}`,
    "--grace",
    "0s",
  ];
  await installation
    .serve("all", [...installation.controlArguments(), "--data", installation.data("control"), ...listen])
    .line(isReady);
  const front = newCa("front");
  await Promise.all([startNginx(front), startHaproxy()]);
  const root = (name: string) => readFileSync(join(installation.data("control"), "control/ca", `${name}.pem`), "utf8");
  sender = createSender({ roots: root("control") + root("production") + front.certificatePem });
  const issuer = `https://127.0.0.1:${installation.ports.identity}/main/production`;
  tokens = new TokenClient({
    issuer,
    clientId: "orders",
    key: installation.clientKey.signer,
    dpopKey: prover,
    fetch: sender.send,
  });
}, bounded);
after(async () => {
  for (const child of children) child.kill("SIGTERM");
  await sender?.close();
  await installation.close();
});

const path = "/billing/v1/invoices/1";

interface Sent {
  readonly port: number;
  /** What the proof says, where it is not what is called. */
  readonly htu?: string;
  readonly htm?: string;
  readonly key?: typeof prover;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly host?: string;
}

interface Answer {
  readonly status: number;
  readonly id: string;
  readonly text: string;
}

/** One proven request; asked again once where the nonce has ended. */
async function prove(sent: Sent): Promise<Answer> {
  const first = await proveOnce(sent);
  if (!first.needsNonce) return first;
  known = null;
  return proveOnce(sent);
}

/** The nonce is learnt first where it is not known. */
async function proveOnce(sent: Sent): Promise<Answer & { readonly needsNonce: boolean }> {
  const { host = "127.0.0.1", port } = sent;
  const url = `https://${host}:${port}${sent.path ?? path}`;
  const { token, ath } = await tokens.token({ resource: `${await issuer()}/systems/billing` });
  const nonce = await nonceOf(port);
  const proof = signDpopProof(
    {
      jti: randomBytes(16).toString("base64url"),
      method: sent.htm ?? "GET",
      url: sent.htu ?? url,
      iat: Math.floor(Date.now() / 1000),
      ath,
      nonce,
    },
    sent.key ?? prover,
  );
  const response = await sender.send(url, {
    headers: { authorization: `DPoP ${token}`, dpop: proof, ...sent.headers },
  });
  const needsNonce = /use_dpop_nonce/.test(response.headers.get("www-authenticate") ?? "");
  const id = response.headers.get("sallyport-crossing") ?? "";
  return { status: response.status, id, text: await response.text(), needsNonce };
}

const issuer = async () => `https://127.0.0.1:${installation.ports.identity}/main/production`;
let known: string | null = null;

/** Nonces belong to the node, so that one serves on every way to it. */
async function nonceOf(port: number): Promise<string> {
  if (known !== null) return known;
  const { token } = await tokens.token({ resource: `${await issuer()}/systems/billing` });
  const url = `https://127.0.0.1:${port}${path}`;
  const proof = { jti: randomBytes(16).toString("base64url"), method: "GET", url, iat: Math.floor(Date.now() / 1000) };
  const headers = { authorization: `DPoP ${token}`, dpop: signDpopProof(proof, prover) };
  known = (await sender.send(url, { headers })).headers.get("dpop-nonce") ?? "";
  return known;
}

/** A request with a client certificate and no token. */
function present(port: number, pair: { cert: string; key: string }, more: RequestOptions = {}): Promise<Answer> {
  const ca = ["control/ca/production.pem"].map((name) => readFileSync(join(installation.data("control"), name)));
  return new Promise((resolve, reject) => {
    const front =
      port === ports.haproxy || port === ports.telling
        ? {}
        : { ca: [...ca, readFileSync(join(installation.root, "nginx/api.pem"))] };
    request({ host: "127.0.0.1", port, path, ca, ...pair, agent: false, ...front, ...more }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, id: String(response.headers["sallyport-crossing"]), text }),
      );
    })
      .once("error", reject)
      .end();
  });
}

interface Why {
  readonly id: string;
  readonly decision: {
    readonly address: string;
    readonly principal: { readonly proof: { readonly kind: string } } | null;
  };
  readonly denial: {
    readonly code: string;
    readonly expected: string;
    readonly sent: string;
    readonly fix: string;
    readonly facts: Readonly<Record<string, string>>;
  };
}

const operator = () => ["--operator", join(installation.data("control"), "control", "operator.key.json")];

async function why(answer: Answer): Promise<{ readonly read: Why; readonly printed: string }> {
  const [json, words] = await Promise.all([
    runBinary([...operator(), "--json", "why", answer.id]),
    runBinary([...operator(), "why", answer.id]),
  ]);
  return { read: JSON.parse(json.out), printed: words.out };
}

/** A stranger's 401 and nothing else, which neither value of the comparison may be in. */
function assertSilent(answer: Answer, ...values: readonly string[]): void {
  assert.equal(answer.status, 401, answer.text);
  assert.equal(JSON.parse(answer.text).code, "unauthenticated");
  for (const value of values) assert.ok(!answer.text.includes(value), value);
}

test("behind nginx with the listener's url right, a proven call crosses", bounded, async () => {
  const answer = await prove({ host: "localhost", port: ports.nginx });
  assert.equal(answer.status, 200, answer.text);
});

test(
  "behind nginx with the listener's url left at another address: why says the URL expected and the one sent, and what to write",
  bounded,
  async () => {
    const answer = await prove({ port: ports.wrong });
    const expected = `https://127.0.0.1:${ports.haproxy}${path}`;
    const sent = `https://127.0.0.1:${ports.wrong}${path}`;
    assertSilent(answer, expected, sent);
    const { read, printed } = await why(answer);
    assert.deepEqual([read.denial.code, read.denial.expected, read.denial.sent], ["dpop-url", expected, sent]);
    assert.match(
      read.denial.fix,
      new RegExp(`write listeners.inner.url: https://127.0.0.1:${ports.wrong} in sallyport.yaml`),
    );
    assert.equal(read.denial.facts["proxy"], "x-forwarded-for");
    assert.ok(printed.includes(`expected   ${expected}`) && printed.includes(`sent       ${sent}`), printed);
  },
);

test("around nginx, at the gateway's own address: expected the public URL, sent the inner one", bounded, async () => {
  const { gateway } = installation.ports;
  const answer = await prove({ port: gateway });
  const { read } = await why(answer);
  const { code, expected, sent } = read.denial;
  assert.deepEqual(
    [code, expected, sent],
    ["dpop-url", `https://localhost:${ports.nginx}${path}`, `https://127.0.0.1:${gateway}${path}`],
  );
  assertSilent(answer, expected);
});

test(
  "a client certificate ends where nginx ends TLS: why says that none reached the gateway, and that a proxy stands in front",
  bounded,
  async () => {
    const answer = await present(ports.nginx, issue(workloads, { uri: "spiffe://acme/orders" }, "client"));
    assertSilent(answer, "certificate", "x-forwarded-for");
    const { read, printed } = await why(answer);
    assert.equal(read.denial.code, "credentials-missing");
    assert.match(read.denial.sent, /no client certificate on the connection from 127\.0\.0\.1/);
    assert.match(read.denial.fix, /it added x-forwarded-for.*Let it pass TCP through, or use DPoP/);
    assert.match(printed, /expected +Authorization: DPoP/);
  },
);

test(
  "through HAProxy in TCP mode a client certificate arrives, from the forwarder's address, and so does a proof",
  bounded,
  async () => {
    const answer = await present(ports.haproxy, issue(workloads, { uri: "spiffe://acme/orders" }, "client"));
    const { read } = await why(answer);
    assert.equal(answer.status, 200, JSON.stringify(read));
    assert.deepEqual([read.decision.principal?.proof.kind, read.decision.address], ["mtls", "127.0.0.3"]);
    assert.equal((await prove({ port: ports.haproxy })).status, 200);
  },
);

test(
  "through HAProxy with send-proxy-v2 a client certificate arrives, from the caller's own address; and past HAProxy nobody is served",
  bounded,
  async () => {
    const pair = issue(workloads, { uri: "spiffe://acme/orders" }, "client");
    const answer = await present(ports.telling, pair, { localAddress: "127.0.0.9" });
    const { read } = await why(answer);
    assert.equal(answer.status, 200, JSON.stringify(read));
    assert.deepEqual([read.decision.principal?.proof.kind, read.decision.address], ["mtls", "127.0.0.9"]);
    assert.equal((await prove({ port: ports.telling })).status, 200);
    await assert.rejects(present(ports.told, pair, { localAddress: "127.0.0.9" }));
    await assert.rejects(present(ports.told, pair, { localAddress: "127.0.0.3" }), "without the header");
  },
);

test("a wrong certificate: the declared name is expected, the names it bears were sent", bounded, async () => {
  const answer = await present(
    ports.haproxy,
    issue(workloads, { uri: "spiffe://acme/order", dns: ["o.acme.example"] }, "client"),
  );
  assertSilent(answer, "spiffe://acme/orders", "o.acme.example");
  const { read, printed } = await why(answer);
  assert.equal(read.denial.code, "certificate-unknown");
  assert.match(read.denial.expected, /^uri:spiffe:\/\/acme\/orders \(orders\)/);
  assert.match(
    read.denial.sent,
    /uri:spiffe:\/\/acme\/order, dns:o\.acme\.example|dns:o\.acme\.example, uri:spiffe:\/\/acme\/order/,
  );
  assert.match(printed, /expected +uri:spiffe:\/\/acme\/orders/);
  const foreign = await present(ports.haproxy, issue(newCa("strangers"), { uri: "spiffe://acme/orders" }, "client"));
  const told = (await why(foreign)).read.denial;
  assert.equal(told.code, "certificate-untrusted");
  assert.match(`${told.expected} / ${told.sent}`, /bundle workloads \/ uri:spiffe:\/\/acme\/orders, x5t/);
});

test(
  "another key, another method, another port, another path in the proof: each with both values",
  bounded,
  async () => {
    const other = generateClientKey().signer;
    const { haproxy } = ports;
    const right = `https://127.0.0.1:${haproxy}${path}`;
    const cases: readonly (readonly [string, Omit<Sent, "port">, string, string])[] = [
      ["dpop-key-mismatch", { key: other }, `a proof by key ${prover.kid}`, `a proof by key ${other.kid}`],
      ["dpop-method", { htm: "POST" }, "GET", "POST"],
      ["dpop-url", { htu: `https://127.0.0.1${path}` }, right, `https://127.0.0.1${path}`],
      ["dpop-url", { htu: `${right}0` }, right, `${right}0`],
    ];
    const denied: Answer[] = [];
    for (const [, sent] of cases) denied.push(await prove({ port: haproxy, ...sent }));
    const { out } = await runBinary([...operator(), "--json", "why", ...denied.map(({ id }) => id)]);
    const reads: readonly Why[] = JSON.parse(out);
    for (const [i, [code, , expected, sent]] of cases.entries()) {
      const denial = reads[i]?.denial;
      assert.deepEqual([denial?.code, denial?.expected, denial?.sent], [code, expected, sent]);
      assertSilent(denied[i] ?? { status: 0, id: "", text: "{}" }, prover.kid, right);
    }
  },
);

test(
  "a Host that a forwarder let through for a system that has one of its own: no-route, with what is published",
  bounded,
  async () => {
    const pair = issue(workloads, { uri: "spiffe://acme/orders" }, "client");
    const entries = { path: "/ledger/v1/entries/1" };
    const servername = "localhost";
    const wrong = await present(ports.haproxy, pair, {
      ...entries,
      servername,
      headers: { host: "legder.acme.example" },
    });
    assert.equal(wrong.status, 404, wrong.text);
    assert.ok(!wrong.text.includes("ledger.acme.example"));
    const { read } = await why(wrong);
    assert.match(read.denial.expected, /ledger\.acme\.example\/ledger \(ledger\)/);
    assert.equal(read.denial.sent, "GET legder.acme.example/ledger/v1/entries/1");
    const named = await present(ports.haproxy, pair, {
      ...entries,
      servername,
      headers: { host: "ledger.acme.example" },
    });
    assert.equal(JSON.parse(named.text).code, "not-granted");
  },
);
