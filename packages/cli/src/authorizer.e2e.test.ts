// nginx and Caddy that ask a gateway and send requests on themselves: the files of examples/authorizer through the real compiler, real programs, and a
// provider that says what it saw.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { compileSnapshot } from "@sallyport/control/snapshot/compile-snapshot.ts";
import { openTestLog } from "@sallyport/gateway/testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { TestCaller } from "@sallyport/gateway/testing/test-caller.ts";
import { type BuiltSnapshot, group, issuer, region, tenant } from "@sallyport/gateway/testing/test-estate.ts";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { signManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import { issue, newCa, nginxConf, replaced, startProxy } from "./behind-a-proxy.test-support.ts";
import { until } from "./installation.test-support.ts";
import { freePorts } from "./port-lane.test-support.ts";

const bounded = { timeout: 180_000 };
const examples = new URL("../../../examples/authorizer/", import.meta.url);
const example = (file: string) => readFileSync(new URL(file, examples), "utf8");
const children: ChildProcess[] = [];
const front = newCa("front");

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
const seen: Seen[] = [];
let provider: Server;
let providerStatus = 200;
let bed: TestGateway;
let orders: TestCaller;
let ports: Readonly<Record<"nginx" | "caddy" | "forNginx" | "forCaddy" | "provider", number>>;
const folder = mkdtempSync(join(tmpdir(), "sallyport-authorizer-"));

const proxies = ["nginx", "caddy"] as const;
type Proxy = (typeof proxies)[number];
const originOf = (proxy: Proxy) => `https://localhost:${ports[proxy]}`;

async function startProvider(): Promise<void> {
  provider = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += String(chunk);
    });
    request.once("end", () => {
      seen.push({ method: request.method ?? "", target: request.url ?? "", headers: request.headers, body });
      response.writeHead(providerStatus, { "content-type": "application/json" }).end('{"from":"provider"}');
    });
  });
  await new Promise<void>((resolve) => provider.listen(ports.provider, "127.0.0.1", resolve));
}

function folderOf(name: string): string {
  const own = join(folder, name);
  mkdirSync(own);
  const pair = issue(front, { ip: ["127.0.0.1"], dns: ["localhost"] }, "server");
  writeFileSync(join(own, "api.pem"), pair.cert);
  writeFileSync(join(own, "api.key"), pair.key);
  return own;
}

const root = () => join(folder, "gateway.pem");

/** The example with other addresses, and beside it what an administrator might add: a cache, a redirect inside, another location for the provider. */
async function startNginx(): Promise<void> {
  const own = folderOf("nginx");
  const server = replaced(example("nginx.conf"), {
    "443 ssl": `127.0.0.1:${ports.nginx} ssl`,
    "api.acme.example": "localhost",
    "/etc/nginx/tls/api.": `${own}/api.`,
    "/etc/nginx/tls/sallyport-production.pem": root(),
    "127.0.0.1:8444": `127.0.0.1:${ports.forNginx}`,
    "127.0.0.1:8080": `127.0.0.1:${ports.provider}`,
    "    internal;": "    internal; proxy_cache answers; proxy_cache_key $request_uri; proxy_cache_valid any 1m;",
    "    proxy_pass http://billing$target;":
      "    proxy_pass http://billing$target; proxy_intercept_errors on; error_page 418 /billing/v1/reports/9;",
  });
  const conf = join(own, "nginx.conf");
  const cache = `proxy_cache_path ${own}/cache keys_zone=answers:1m;`;
  writeFileSync(conf, nginxConf(own, [cache, server]));
  children.push(await startProxy("nginx", ["-p", own, "-e", "stderr", "-c", conf], ports.nginx));
}

async function startCaddy(): Promise<void> {
  const own = folderOf("caddy");
  const site = replaced(example("Caddyfile"), {
    "api.acme.example {": `https://localhost:${ports.caddy} {\n  bind 127.0.0.1\n  tls ${own}/api.pem ${own}/api.key`,
    "/etc/caddy/sallyport-production.pem": root(),
    "tls_server_name api.acme.example": "tls_server_name localhost",
    "127.0.0.1:8444": `127.0.0.1:${ports.forCaddy}`,
    "127.0.0.1:8080": `127.0.0.1:${ports.provider}`,
  });
  const file = join(own, "Caddyfile");
  writeFileSync(file, `{\n  admin off\n  auto_https off\n  storage file_system ${own}/storage\n}\n${site}`);
  children.push(await startProxy("caddy", ["run", "--config", file, "--adapter", "caddyfile"], ports.caddy));
}

/** The example's estate with these addresses, compiled as control does. */
function snapshotOf({ feed, clock }: Pick<TestGateway, "feed" | "clock">): BuiltSnapshot {
  const edge = (name: string, proxy: Proxy) =>
    `  ${name}:\n    url: ${originOf(proxy)}\n    authorizer: { proxy: ${proxy}, trustedProxies: [127.0.0.1] }\n`;
  const files = {
    "sallyport.yaml": `estate: tiny\nlisteners:\n${edge("for-nginx", "nginx")}${edge("for-caddy", "caddy")}`,
    "systems/billing.yaml": replaced(example("estate/systems/billing.yaml"), {
      "127.0.0.1:8080": `127.0.0.1:${ports.provider}`,
    }),
    "systems/orders.yaml": example("estate/systems/orders.yaml"),
    "systems/orders.jwks.json": JSON.stringify(publicJwks([generateClientKey().signer])),
  };
  const { estate, findings } = loadEstateFrom(memoryEstateIo(files, () => clock.now()));
  assert.deepEqual(findings, []);
  const [production] = estate.environments;
  assert.ok(production !== undefined);
  const { manifest, blobs } = compileSnapshot(
    {
      environment: production,
      states: new Map(),
      ...{ tenant, region, group, issuer, epoch: 0, version: 1, now: clock.now(), lifetimeMs: 86_400_000 },
      minKeySeq: 0,
      minRevocationSeq: 0,
    },
    createSliceCompiler(),
  );
  return { signed: signManifest(manifest, feed.snapshotSigner), blobs };
}

before(async () => {
  const [nginx = 0, caddy = 0, forNginx = 0, forCaddy = 0, at = 0] = await freePorts(5);
  ports = { nginx, caddy, forNginx, forCaddy, provider: at };
  await startProvider();
  const ca = newCa("gateway");
  writeFileSync(root(), ca.certificatePem);
  const tls = issue(ca, { dns: ["localhost"] }, "server");
  const listener = (name: string, port: number) => ({ name, host: "127.0.0.1", port, tls });
  bed = await startTestGateway({
    estate: { systems: [], integrations: [] },
    unpublished: true,
    openLog: openTestLog,
    listeners: [listener("for-nginx", forNginx), listener("for-caddy", forCaddy)],
  });
  bed.feed.publish(snapshotOf(bed));
  await until("readiness", () => bed.gateway.readiness().ready);
  orders = new TestCaller(bed.feed, "orders");
  await Promise.all([startNginx(), startCaddy()]);
}, bounded);
after(async () => {
  for (const child of children) child.kill("SIGTERM");
  await bed?.close();
  provider?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Sent {
  readonly method?: string;
  /** As it goes over the wire. */
  readonly target?: string;
  /** Lines beside Host and the credentials. */
  readonly lines?: readonly string[];
  readonly body?: string;
  readonly htu?: string;
  /** Lines in place of fresh credentials. */
  readonly credentials?: readonly string[];
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly text: string;
}

const fieldOf = (answer: Answer, name: string) => new RegExp(`^${name}: (.*)\r$`, "im").exec(answer.head)?.[1];

/** Exactly these bytes to a proxy, over TLS, and what comes back. */
function sendBytes(proxy: Proxy, bytes: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: ports[proxy],
      servername: "localhost",
      ca: front.certificatePem,
    });
    let all = "";
    socket.on("secureConnect", () => socket.write(bytes, "latin1"));
    socket.on("data", (chunk) => {
      all += chunk.toString("latin1");
    });
    socket.once("error", reject);
    socket.once("close", () => {
      const [head = "", ...rest] = all.split("\r\n\r\n");
      resolve({
        status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
        head: `${head}\r\n`,
        text: rest.join("\r\n\r\n"),
      });
    });
  });
}

function send(
  proxy: Proxy,
  { method = "GET", target = "/billing/v1/invoices/1", lines = [], body = "" }: Sent,
): Promise<Answer> {
  const content = body === "" ? [] : ["Content-Type: application/json", `Content-Length: ${body.length}`];
  const host = `Host: localhost:${ports[proxy]}`;
  const all = [`${method} ${target} HTTP/1.1`, host, ...lines, ...content, "Connection: close"];
  return sendBytes(proxy, `${all.join("\r\n")}\r\n\r\n${body}`);
}

/** To a listener itself, from another address of this machine. */
function callFrom(from: string, port: number, headers: Readonly<Record<string, string>>): Promise<Answer> {
  const ca = readFileSync(root());
  const options = { ca, headers, localAddress: from, servername: "localhost", agent: false };
  return new Promise((resolve, reject) => {
    request(`https://127.0.0.1:${port}/authz`, options, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.once("end", () => resolve({ status: response.statusCode ?? 0, head: "", text }));
    })
      .once("error", reject)
      .end();
  });
}

const nonces = new Map<Proxy, string>();

async function credentials(proxy: Proxy, sent: Sent): Promise<string[]> {
  const { method = "GET", target = "/billing/v1/invoices/1", htu } = sent;
  const nonce = nonces.get(proxy) ?? fieldOf(await send(proxy, {}), "dpop-nonce") ?? "";
  nonces.set(proxy, nonce);
  const token = orders.token("billing");
  const url = htu ?? `${originOf(proxy)}${target.split("?", 1)[0]}`;
  return [`Authorization: DPoP ${token}`, `DPoP: ${orders.proof(method, url, token, { nonce })}`];
}

/** A request with everything right but what a test says; asked again once where the nonce has ended. */
async function prove(proxy: Proxy, sent: Sent = {}): Promise<Answer> {
  const once = async () =>
    send(proxy, { ...sent, lines: [...(await credentials(proxy, sent)), ...(sent.lines ?? [])] });
  const first = await once();
  const next = fieldOf(first, "dpop-nonce");
  if (next !== undefined) nonces.set(proxy, next);
  return first.status === 401 && /use_dpop_nonce/.test(first.head) ? once() : first;
}

/** What the provider saw of requests made meanwhile. */
async function during<T>(act: () => Promise<T>): Promise<{ readonly answer: T; readonly reached: readonly Seen[] }> {
  const from = seen.length;
  const answer = await act();
  return { answer, reached: seen.slice(from) };
}

for (const proxy of proxies)
  describe(proxy, bounded, () => {
    test("allowed: the provider sees exactly what was authorised, and who calls; the record says that nobody saw how it ended", async () => {
      const target = "/billing/v1/invoices/caf%c3%a9?full=1";
      const { answer, reached } = await during(() => prove(proxy, { target }));
      assert.equal(answer.status, 200, answer.head + answer.text);
      assert.deepEqual(
        reached.map((one) => [one.method, one.target]),
        // nginx sends the target of the answer, Caddy the client's own without the prefix: the same path, otherwise spelt.
        [["GET", `/v1/invoices/caf${proxy === "nginx" ? "%C3%A9" : "%c3%a9"}?full=1`]],
      );
      const { headers }: Pick<Seen, "headers"> = reached[0] ?? { headers: {} };
      assert.equal(headers.authorization, undefined, "the caller's token stays here");
      assert.equal(headers["dpop"], undefined);
      const signed = String(headers["sallyport-identity"]).split(".")[1] ?? "";
      const claims = JSON.parse(Buffer.from(signed, "base64url").toString("utf8"));
      assert.deepEqual([claims.sub, claims.op], ["orders", "billing:invoice.read"]);
      const [leaf] = await bed.leaves(String(headers["sallyport-crossing"]));
      assert.ok(leaf?.t === "crossing" && leaf.outcome === "unobserved");
    });

    test("an effect goes on with its own body, and nobody asks with it", async () => {
      const body = '{"text":"hello"}';
      const { answer, reached } = await during(() =>
        prove(proxy, { method: "POST", target: "/billing/v1/notes", body }),
      );
      assert.equal(answer.status, 200, answer.head + answer.text);
      assert.deepEqual(
        reached.map((one) => [one.method, one.target, one.body]),
        [["POST", "/v1/notes", body]],
      );
    });

    test("denied: a stranger's 401 with the challenge and a nonce, and what is not granted with its code; the provider hears of neither", async () => {
      const { answer: stranger, reached } = await during(() => send(proxy, {}));
      assert.equal(stranger.status, 401);
      assert.match(fieldOf(stranger, "www-authenticate") ?? "", /^DPoP /);
      assert.ok((fieldOf(stranger, "dpop-nonce") ?? "").length > 10);
      const { answer: denied, reached: then } = await during(() => prove(proxy, { target: "/billing/v1/reports/1" }));
      assert.equal(denied.status, 403);
      assert.match(fieldOf(denied, "sallyport-verdict") ?? "", /code=not-granted$/);
      assert.deepEqual([...reached, ...then], []);
      const [leaf] = await bed.leaves(fieldOf(denied, "sallyport-crossing") ?? "");
      assert.ok(leaf?.t === "crossing" && leaf.code === "not-granted");
    });

    test("a proof names the url that callers call, and is good once", async () => {
      const wrong = await during(() =>
        prove(proxy, { htu: `https://127.0.0.1:${ports[proxy]}/billing/v1/invoices/1` }),
      );
      assert.deepEqual([wrong.answer.status, wrong.reached], [401, []]);
      await prove(proxy);
      const lines = await credentials(proxy, {});
      assert.equal((await send(proxy, { lines })).status, 200);
      const again = await during(() => send(proxy, { lines }));
      assert.deepEqual([again.answer.status, again.reached], [401, []]);
    });

    test("attack: a client writes what only the proxy or the gateway may say", async () => {
      const spoofed = [
        "Sallyport-Identity: forged",
        "Sallyport-Target: /v1/reports/9",
        "X-Original-URI: /billing/v1/reports/9",
        "X-Original-Method: DELETE",
        "X-Forwarded-Uri: /billing/v1/reports/9",
        "X-Forwarded-Method: DELETE",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: http",
        "X-Forwarded-For: 203.0.113.66",
      ];
      const { answer, reached } = await during(() => prove(proxy, { lines: spoofed }));
      assert.equal(answer.status, 200, answer.head + answer.text);
      assert.deepEqual(
        reached.map((one) => [one.method, one.target]),
        [["GET", "/v1/invoices/1"]],
      );
      assert.notEqual(reached[0]?.headers["sallyport-identity"], "forged");
      const anonymous = await during(() => send(proxy, { lines: spoofed }));
      assert.deepEqual([anonymous.answer.status, anonymous.reached], [401, []]);
    });

    test("attack: a client that may read asks a provider's framework for another method and another target", async () => {
      const proofs = ["Signature: sig=:AAAA:", "Signature-Input: sig=()"];
      for (const line of [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /v1/reports/9",
        "X-Rewrite-URL: /v1/reports/9",
        "X-Middleware-Subrequest: middleware",
      ]) {
        const { answer, reached } = await during(() => prove(proxy, { lines: [line, ...proofs] }));
        const name = (line.split(":")[0] ?? "").toLowerCase();
        if (proxy === "nginx") assert.deepEqual([answer.status, reached[0]?.headers[name]], [200, undefined], line);
        else assert.deepEqual([answer.status, reached.length], [400, 0], line);
      }
      const { answer, reached } = await during(() => prove(proxy, { lines: proofs }));
      const { headers = {} } = reached[0] ?? {};
      assert.deepEqual([answer.status, headers["signature"], headers["signature-input"]], [200, undefined, undefined]);
    });

    test("attack: an alias with underscores decides nothing and reaches nobody who believes it", async () => {
      const lines = ["X_Forwarded_User: admin", "X_Original_URI: /billing/v1/reports/9"];
      const { answer, reached } = await during(() => prove(proxy, { lines }));
      // nginx drops them; what hands them on is refused.
      if (proxy === "nginx") assert.deepEqual([answer.status, reached.length], [200, 1]);
      else assert.deepEqual([answer.status, reached.length], [400, 0]);
      assert.ok(reached.every(({ headers }) => headers["x_forwarded_user"] === undefined));
    });

    const ambiguous = [
      "//billing/v1/invoices/1",
      "/billing//v1/invoices/1",
      "/billing/v1/reports/../invoices/1",
      "/billing/v1/invoices/./1",
      "/billing/v1/invoices%2F1",
      "/billing/v1/invoices/%2e%2e/reports/1",
      "/billing/v1/invoices/1%23x",
      "/billing/v1/invoices/1;a=b",
      "/billing/v1/invoices/1#x",
      "/x/../billing/v1/invoices/1",
    ];
    for (const target of ambiguous)
      test(`a path that one of us might read otherwise is no yes, or reaches the provider as authorised: ${target}`, async () => {
        const { answer, reached } = await during(() => prove(proxy, { target }));
        if (target.endsWith("%23x") && answer.status === 200) {
          // An encoded fragment is part of the segment, for everybody.
          assert.deepEqual(
            reached.map((one) => one.target),
            ["/v1/invoices/1%23x"],
          );
          return;
        }
        assert.ok(answer.status >= 400, `${answer.status}`);
        assert.deepEqual(reached, []);
      });

    test("attack: an encoded letter in the public prefix reaches the provider as authorised, or not at all", async () => {
      const target = "/%62illing/v1/invoices/1";
      const { answer, reached } = await during(() =>
        prove(proxy, { target, htu: `${originOf(proxy)}/billing/v1/invoices/1` }),
      );
      assert.equal(reached.length, answer.status === 200 ? 1 : 0);
      assert.ok(
        reached.every((one) => one.target === "/v1/invoices/1"),
        JSON.stringify(reached),
      );
    });

    test("CONNECT, TRACE and an absolute target are no way around", async () => {
      for (const [method, target] of [
        ["CONNECT", `localhost:${ports[proxy]}`],
        ["CONNECT", "/billing/v1/invoices/1"],
        ["TRACE", "/billing/v1/invoices/1"],
        ["GET", "https://evil.example/billing/v1/reports/1"],
      ] as const) {
        const { answer, reached } = await during(() => prove(proxy, { method, target }));
        // A host that is none of its sites Caddy answers with an empty 200 of its own.
        assert.ok(!answer.text.includes("provider"), `${method}: ${answer.status}`);
        assert.deepEqual(reached, []);
      }
    });

    test("attack: content behind a read that was authorised without it is not another request", async () => {
      const hidden = "GET /billing/v1/reports/9 HTTP/1.1\r\nHost: x\r\n\r\n";
      const { reached } = await during(() => prove(proxy, { body: hidden }));
      assert.ok(
        reached.every(({ target }) => target === "/v1/invoices/1"),
        JSON.stringify(reached),
      );
    });

    test("attack: the fields of the proxy from a client that reaches the listener itself", async () => {
      const port = proxy === "nginx" ? ports.forNginx : ports.forCaddy;
      const name = proxy === "nginx" ? "X-Original" : "X-Forwarded";
      const told = { [`${name}-Method`]: "GET", [`${name}-URI`]: "/billing/v1/invoices/1" };
      const headers = { ...told, [`${name}-Host`]: "localhost", [`${name}-Proto`]: "https" };
      const answer = await callFrom("127.0.0.2", port, headers);
      assert.deepEqual([answer.status, JSON.parse(answer.text).code], [403, "proxy-not-trusted"]);
    });
  });

test("nginx: an answer is not cached, whatever the proxy is told to cache", bounded, async () => {
  const before = seen.length;
  for (let i = 0; i < 3; i++) assert.equal((await prove("nginx", { target: "/billing/v1/invoices/77" })).status, 200);
  assert.equal(seen.length, before + 3);
  const { answer, reached } = await during(() => send("nginx", { target: "/billing/v1/invoices/77" }));
  assert.deepEqual([answer.status, reached], [401, []], "nobody lives on the yes of another");
});

test("nginx: attack: a redirect inside, after the yes, does not bring the request elsewhere", bounded, async () => {
  providerStatus = 418;
  const { answer, reached } = await during(() => prove("nginx")).finally(() => {
    providerStatus = 200;
  });
  assert.ok(answer.status >= 400, String(answer.status));
  assert.deepEqual(
    reached.map(({ target }) => target),
    ["/v1/invoices/1"],
  );
});

test("the gateway is away: no request passes", bounded, async () => {
  // Last: it does not come back.
  await bed.gateway.close();
  for (const proxy of proxies) {
    const { answer, reached } = await during(() => send(proxy, { lines: ["Authorization: DPoP x", "DPoP: y"] }));
    assert.ok(answer.status >= 500, `${proxy}: ${answer.status}`);
    assert.deepEqual(reached, []);
  }
});

test("docs/authorizer.md shows the hearts of the examples, line for line", () => {
  const page = readFileSync(new URL("../../../docs/authorizer.md", import.meta.url), "utf8");
  const hosts = { "sallyport.internal:8444": "127.0.0.1:8444", "billing.internal:8080": "127.0.0.1:8080" };
  for (const [language, file] of [
    ["nginx", "nginx.conf"],
    ["caddy", "Caddyfile"],
  ] as const) {
    const shown = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";
    const lines = new Set(
      example(file)
        .split("\n")
        .map((line) => line.trim()),
    );
    let text = shown;
    for (const [from, to] of Object.entries(hosts)) text = text.replaceAll(from, to);
    const missing = text.split("\n").filter((line) => !lines.has(line.trim()));
    assert.deepEqual(missing, [], file);
    assert.ok(text.length > 200);
  }
});
