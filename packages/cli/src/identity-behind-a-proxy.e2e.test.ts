// The identity listener behind nginx, which ends TLS: the file and the command line are those of docs/behind-a-proxy.md "The identity listener".
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertion, dpopProof, form, testKey } from "@sallyport/control/identity/issuer.test-support.ts";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { issue, newCa, nginxConf, replaced, startProxy } from "./behind-a-proxy.test-support.ts";
import { createSender } from "./calling/sender.ts";
import { Installation, isReady } from "./installation.test-support.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(new URL("../../../docs/behind-a-proxy.md", import.meta.url), "utf8");
const block = /## The identity listener\n[\s\S]*?```nginx\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
/** Of the client `orders`, and of who holds its tokens. */
const [client, holder] = [testKey(), testKey()];
const front = newCa("front");
const workloads = newCa("workloads");
const shown = issue(workloads, { uri: "spiffe://acme/orders" }, "client");
/** Where callers come from: nginx sees it, control does not. */
const callerAddress = "127.0.0.9";

let installation: Installation;
let nginx: ChildProcess;
let ports: Readonly<Record<"setting" | "adding", number>>;
let sender: ReturnType<typeof createSender>;

const issuer = () => `https://localhost:${ports.setting}/main/production`;

async function startNginx(): Promise<void> {
  const folder = join(installation.root, "nginx");
  mkdirSync(folder);
  const pair = issue(front, { ip: ["127.0.0.1"], dns: ["localhost"] }, "server");
  writeFileSync(join(folder, "id.pem"), pair.cert);
  writeFileSync(join(folder, "id.key"), pair.key);
  // A certificate of nginx's own, which would prove every caller to be orders.
  writeFileSync(join(folder, "own.pem"), shown.cert);
  writeFileSync(join(folder, "own.key"), shown.key);
  const server = (port: number) =>
    replaced(block, {
      "443 ssl": `127.0.0.1:${port} ssl`,
      "id.acme.example": "localhost",
      "/etc/nginx/tls/id.": `${folder}/id.`,
      "/etc/nginx/tls/sallyport-control.pem": join(installation.data("control"), "ca/control.pem"),
      "127.0.0.1:7440": `127.0.0.1:${installation.ports.identity}`,
      "proxy_http_version 1.1;": `proxy_http_version 1.1; proxy_ssl_certificate ${folder}/own.pem; proxy_ssl_certificate_key ${folder}/own.key;`,
    });
  const conf = join(folder, "nginx.conf");
  const adding = replaced(server(ports.adding), {
    "X-Forwarded-For $remote_addr": "X-Forwarded-For $proxy_add_x_forwarded_for",
  });
  writeFileSync(conf, nginxConf(folder, [server(ports.setting), adding]));
  nginx = await startProxy("nginx", ["-p", folder, "-e", "stderr", "-c", conf], ports.setting);
}

before(async () => {
  installation = await Installation.open();
  const [setting = 0, adding = 0] = await freePorts(2);
  ports = { setting, adding };
  installation.writeEstate({
    "systems/orders.yaml":
      "system: orders\nidentity:\n  client: orders\n  keys: [orders.jwks.json]\n  certificate: { trust: workloads, uri: spiffe://acme/orders }\n",
    "systems/orders.jwks.json": JSON.stringify({
      keys: [{ ...client.jwk, kid: client.kid }, installation.clientKey.signer.jwk],
    }),
    // Decided after the client has proven itself, and told with the address it was decided by.
    "policies/tokens.cedar": `@id("not-from-there")
forbid (principal, action == Action::"token:issue", resource in System::"billing")
when { context has address && context.address == ip("${callerAddress}") };
`,
    "trust/workloads.yaml": "trust: workloads\nroots: [workloads.pem]\n",
    "trust/workloads.pem": workloads.certificatePem,
  });
  const control = installation.serve("control", [
    ...[...installation.controlArguments(), "--data", installation.data("control")],
    ...["--identity-url", `https://localhost:${setting}`, "--identity-proxies", "127.0.0.1"],
  ]);
  await control.line(isReady);
  await startNginx();
  const root = readFileSync(join(installation.data("control"), "ca/control.pem"), "utf8");
  sender = createSender({ roots: root + front.certificatePem });
}, bounded);
after(async () => {
  nginx?.kill("SIGTERM");
  await sender?.close();
  await installation.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** One token request of `orders` over a port of nginx. */
function ask(port: number, headers: Readonly<Record<string, string>>, localAddress = "127.0.0.1"): Promise<Answer> {
  const resource = `${issuer()}/systems/billing`;
  const body = String(form("orders", assertion("orders", issuer(), client), { resource }));
  return new Promise((resolve, reject) => {
    request(
      {
        ...{ host: "127.0.0.1", port, path: "/main/production/token", method: "POST", agent: false },
        ...{ ca: front.certificatePem, localAddress },
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "content-length": String(Buffer.byteLength(body)),
          ...headers,
        },
      },
      (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += String(chunk);
        });
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text || "{}") }),
        );
      },
    )
      .once("error", reject)
      .end(body);
  });
}

/** The address by which a request from `callerAddress` with these fields was decided; it is refused for it. */
async function decidedAddress(port: number, fields: Readonly<Record<string, string>>): Promise<unknown> {
  const nonce = String((await ask(port, fields, callerAddress)).headers["dpop-nonce"]);
  const dpop = dpopProof(holder, `${issuer()}/token`, nonce);
  const refused = await ask(port, { ...fields, dpop }, callerAddress);
  assert.equal(refused.body["error"], "unauthorized_client", JSON.stringify(refused.body));
  const id = String(refused.headers["sallyport-record"]);
  const { out, err } = await runBinary(["--json", "why", id, "--operator", installation.operatorKey]);
  assert.notEqual(out, "", err);
  return JSON.parse(out).decision.decision.address;
}

test(
  "behind nginx every URL is the public issuer's, and a proof for the public token endpoint gets a token",
  bounded,
  async () => {
    const metadata = await (await sender.send(`${issuer()}/.well-known/openid-configuration`, {})).json();
    const urls = Object.entries(metadata as Readonly<Record<string, unknown>>).filter(
      ([name, value]) => name !== "service_documentation" && /^https:/.test(String(value)),
    );
    assert.ok(urls.length > 5);
    for (const [name, url] of urls) assert.ok(String(url).startsWith(issuer()), `${name} ${url}`);
    const tokens = new TokenClient({
      issuer: issuer(),
      clientId: "orders",
      key: installation.clientKey.signer,
      dpopKey: generateClientKey().signer,
      fetch: sender.send,
    });
    const { token } = await tokens.token({ resource: `${issuer()}/systems/billing` });
    assert.equal(JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).iss, issuer());
  },
);

test("a policy decides by the address nginx saw, not by nginx's, and its record has it", bounded, async () => {
  assert.equal(await decidedAddress(ports.setting, {}), callerAddress);
  assert.equal(await decidedAddress(ports.adding, {}), callerAddress);
});

test(
  "attack: fields a client sends itself change nothing of that, whether nginx replaces or adds",
  bounded,
  async () => {
    const forged = {
      "x-forwarded-for": "198.51.100.1, 127.0.0.1",
      forwarded: "for=198.51.100.2",
      "x-real-ip": "198.51.100.3",
      "x-forwarded-host": "evil.example",
    };
    assert.equal(await decidedAddress(ports.setting, forged), callerAddress);
    assert.equal(await decidedAddress(ports.adding, forged), callerAddress);
  },
);

test(
  "attack: nginx's own certificate, or one in a header, proves no caller; a proof for the public URL does",
  bounded,
  async () => {
    const unproven = await ask(ports.setting, {
      "client-cert": `:${Buffer.from(shown.cert).toString("base64")}:`,
    });
    assert.equal(unproven.status, 400, JSON.stringify(unproven.body));
    assert.equal(unproven.body["access_token"], undefined);
    const nonce = String(unproven.headers["dpop-nonce"]);
    const proven = await ask(ports.setting, {
      dpop: dpopProof(holder, `${issuer()}/token`, nonce),
    });
    assert.equal(proven.body["token_type"], "DPoP", JSON.stringify(proven.body));
  },
);
