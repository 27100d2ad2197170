// Promises one running installation in which everybody lives whom the pages about tokens speak of, declared by the files of those pages, and a shell in which their
// commands are typed as they stand. Trusts the pages for nothing: what comes back is the test's to judge.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import { issue, newCa } from "../../packages/cli/src/behind-a-proxy.test-support.ts";
import { Installation, isReady } from "../../packages/cli/src/installation.test-support.ts";
import { inheritedEnvironment } from "../../packages/cli/src/program.test-support.ts";

const root = dirname(dirname(import.meta.dirname));
const blockMsMax = 60_000;
const dayMs = 86_400_000;
const firstCertificate = /^-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n/;

/** A fenced block: the n-th of its language on its page, from 0, and its text without the indentation of a list. */
export interface Shown {
  readonly page: string;
  readonly language: string;
  readonly nth: number;
  readonly text: string;
}

/** All fenced blocks of a page of docs/, in order. */
export function shownIn(page: string): readonly Shown[] {
  const seen = new Map<string, number>();
  return [...textOf(page).matchAll(/^( *)```(\w+)\n([\s\S]*?)^ *```$/gm)].map(
    ([, indent = "", language = "", body = ""]) => {
      const nth = seen.get(language) ?? 0;
      seen.set(language, nth + 1);
      return { page, language, nth, text: body.replaceAll(new RegExp(`^${indent}`, "gm"), "") };
    },
  );
}

const textOf = (page: string): string => readFileSync(join(root, "docs", page), "utf8");

/** The file of an estate that a page shows under this name or declares by this line. */
function fileOf(page: string, begins: string): string {
  const found = shownIn(page).find(({ language, text }) => language === "yaml" && text.startsWith(begins));
  assert.ok(found, `docs/${page} shows no file that begins with ${begins}`);
  return found.text;
}

export interface Typed {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

export class TokenPages {
  readonly installation: Installation;
  readonly directory: string;
  /** Blocks that were typed or run. */
  readonly taken: Shown[] = [];
  readonly #partner = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #keycloak = generateKeyPairSync("rsa", { modulusLength: 2048 });

  private constructor(installation: Installation) {
    this.installation = installation;
    this.directory = join(installation.root, "reader");
  }

  static async open(): Promise<TokenPages> {
    const pages = new TokenPages(await Installation.open());
    await pages.#start();
    return pages;
  }

  get issuer(): string {
    return `https://127.0.0.1:${this.installation.ports.identity}/main/production`;
  }

  get gateway(): string {
    return `https://127.0.0.1:${this.installation.ports.gateway}`;
  }

  get partnerKey() {
    return this.#partner.privateKey;
  }

  get keycloakKey() {
    return this.#keycloak.privateKey;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** The block, counted from 0, with the hosts and ports of the pages replaced by those of this installation and nothing else. */
  block(page: string, language: string, nth: number): string {
    const found = shownIn(page).find((one) => one.language === language && one.nth === nth);
    assert.ok(found, `docs/${page} shows no ${language} block ${nth}`);
    this.taken.push(found);
    return this.#placed(found.text);
  }

  /**
   * Types a block in the reader's folder. `before` is what the reader has done already (variables of by-hand.md), `changes` placeholders that nobody could type.
   */
  async type(page: string, nth: number, { before = "", changes = {}, input = "" }: TypeOptions = {}): Promise<Typed> {
    let text = this.block(page, "sh", nth);
    for (const [from, to] of Object.entries(changes)) {
      assert.ok(text.includes(from), `docs/${page} says ${from}`);
      text = text.replaceAll(from, to);
    }
    return this.shell(`${before}\n${text}`, input);
  }

  /** Types something else. */
  shell(text: string, input = ""): Promise<Typed> {
    const child = spawn("bash", ["-euo", "pipefail", "-c", text], {
      cwd: this.directory,
      env: {
        ...inheritedEnvironment(),
        PATH: `${this.path("bin")}:${dirname(process.execPath)}:/usr/bin:/bin`,
        CURL_CA_BUNDLE: this.path("roots.pem"),
        ISSUER: this.issuer,
      },
      stdio: ["pipe", "pipe", "pipe"],
      timeout: blockMsMax,
    });
    const said = { out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said.out += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said.err += chunk;
    });
    child.stdin.end(input);
    return new Promise((resolve, reject) => {
      child.once("error", reject).once("close", (exit) => resolve({ exit, ...said }));
    });
  }

  /** `$NAME` of the pages, made by the page's own script: a proof of this key for one request to the token endpoint. */
  async proof(
    key: string,
    { name = "PROOF", path = "/token" }: { name?: string; path?: string } = {},
  ): Promise<string> {
    const answer = await fetch(`${this.issuer}/token`, {
      method: "POST",
      headers: { dpop: (await this.shell(`node sign.mjs proof ${key} POST "$ISSUER/token"`)).out.trim() },
      body: new URLSearchParams({
        ...{ grant_type: "urn:ietf:params:oauth:grant-type:device_code", client_id: "tv", device_code: "none" },
      }),
    });
    await answer.arrayBuffer();
    const nonce = answer.headers.get("dpop-nonce") ?? "";
    assert.notEqual(nonce, "");
    return `${name}=$(node sign.mjs proof ${key} POST "$ISSUER${path}" "${nonce}")\n`;
  }

  async close(): Promise<void> {
    await this.installation.close();
  }

  #placed(text: string): string {
    return text
      .replaceAll("https://id.acme.example/main/production", this.issuer)
      .replaceAll("https://gateway.acme.example", this.gateway);
  }

  async #start(): Promise<void> {
    const { installation } = this;
    const portal = generateClientKey();
    const holder = generateClientKey();
    const mesh = newCa("mesh");
    const orders = issue(mesh, { uri: "spiffe://acme/orders" }, "client");
    const billing = issue(newCa("billing"), { uri: "spiffe://acme/billing" }, "client");
    const plain = installation.files();
    installation.writeEstate({
      ...this.#ofPages(),
      "sallyport.yaml": `${plain["sallyport.yaml"]}environments:\n  production:\n    people: { signIn: [password] }\n`,
      "systems/billing.yaml": `${plain["systems/billing.yaml"]}identity: { client: billing, tls: { selfSigned: [billing.pem] } }\n`,
      "systems/billing.pem": firstCertificate.exec(billing.cert)?.[0] ?? "",
      "systems/orders.yaml": `${this.#orders()}url: http://127.0.0.1:9\nallowPrivate: true\noperations: { order.list: GET /v1/orders }\n`,
      "systems/portal.jwks.json": JSON.stringify(publicJwks([portal.signer])),
      "trust/mesh.yaml": "trust: mesh\nroots: [mesh.pem]\n",
      "trust/mesh.pem": mesh.certificatePem,
    });
    const served = installation.serve("all", [
      ...installation.controlArguments(),
      ...["--data", installation.data("all"), "--listen", `public=127.0.0.1:${installation.ports.gateway}`],
    ]);
    await served.line(isReady);
    installation.trustRoots(join(installation.data("all"), "control/ca"));
    mkdirSync(this.path("bin"), { recursive: true });
    symlinkSync(installation.data("all"), this.path(".sallyport"));
    symlinkSync(installation.estate, this.path("estate"));
    const main = join(root, "packages/cli/src/main.ts");
    writeFileSync(
      this.path("bin/sallyport"),
      `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${main}" "$@"\n`,
      { mode: 0o755 },
    );
    const ca = (name: string) => readFileSync(this.path(`.sallyport/control/ca/${name}.pem`), "utf8");
    const script = shownIn("identity/by-hand.md").find(({ text }) => text.startsWith("// sign.mjs"))?.text ?? "";
    const files: Readonly<Record<string, string>> = {
      "sign.mjs": script,
      "roots.pem": ca("control") + ca("production"),
      "issuer.pem": ca("control"),
      "portal.key.pem": portal.pem,
      "stock.key.pem": installation.clientKey.pem,
      "holder.key.pem": holder.pem,
      ...{ "orders.pem": orders.cert, "orders.key": orders.key },
      ...{ "billing.pem": billing.cert, "billing.key": billing.key },
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(this.path(name), text, { mode: 0o600 });
  }

  /** Files as the pages show them. What is replaced is not there in a test: addresses of issuers outside, and years. */
  #ofPages(): Readonly<Record<string, string>> {
    const jwks = (key: KeyObject, alg: string) =>
      JSON.stringify({ keys: [{ ...publicHalf(key), kid: "k1", alg, use: "sig" }] });
    const uses = "uses:\n  - { to: billing, purpose: Bill what was sold, operations: [invoice.read] }\n";
    const soon = new Date(Date.now() + 30 * dayMs).toISOString().slice(0, 10);
    const vendor = fileOf("identity/api-keys.md", "# integrations/vendor-to-billing.yaml");
    return {
      "systems/portal.yaml": fileOf("identity/authorization-code.md", "system: portal"),
      "systems/tv.yaml": fileOf("identity/device.md", "system: tv"),
      "integrations/portal-to-billing.yaml": fileOf("identity/token-exchange.md", "# integrations/portal-to-billing"),
      "issuers/partner.yaml": locally(fileOf("identity/outside-issuers.md", "# issuers/partner.yaml"), "partner"),
      "issuers/partner.jwks.json": jwks(this.partnerKey, "ES256"),
      "issuers/keycloak.yaml": locally(
        fileOf("identity/outside-access-tokens.md", "# issuers/keycloak.yaml"),
        "keycloak",
      ),
      "issuers/keycloak.jwks.json": jwks(this.keycloakKey, "RS256"),
      "issuers/sso.yaml": fileOf("identity/outside-introspection.md", "# issuers/sso.yaml"),
      "systems/stock.yaml": `system: stock\nidentity: { client: stock, keys: [orders.jwks.json] }\n${uses}`,
      "systems/analytics.yaml": "system: analytics\n",
      "systems/partner.yaml": `system: partner\nidentity: { client: partner }\n${uses}`,
      "systems/shop.yaml": `system: shop\nidentity: { client: shop, secrets: { reason: A packaged client, until: ${soon} } }\n${uses}`,
      "systems/vendor.yaml": fileOf("identity/api-keys.md", "# systems/vendor.yaml"),
      "integrations/vendor-to-billing.yaml": vendor.replace(/until: \S+/, `until: ${soon}`),
    };
  }

  #orders(): string {
    return fileOf(
      "identity/client-authentication.md",
      "# systems/orders.yaml\nsystem: orders\nidentity:\n  client: orders\n  tls",
    );
  }
}

interface TypeOptions {
  readonly before?: string;
  readonly changes?: Readonly<Record<string, string>>;
  readonly input?: string;
}

const locally = (file: string, id: string): string => file.replace(/^jwksUri: .*$/m, `jwks: ${id}.jwks.json`);

function publicHalf(key: KeyObject): Readonly<Record<string, unknown>> {
  const { kty, crv, x, y, n, e } = key.export({ format: "jwk" });
  return kty === "RSA" ? { kty, n, e } : { kty, crv, x, y };
}
