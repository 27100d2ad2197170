// What pages tell people to write and to type: every file of an estate in the pages about identity loads, every command line of every page is one
// the binary takes.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import type { Command } from "commander";
import { CommandEnd } from "../../packages/cli/src/exit.ts";
import { createProgram } from "../../packages/cli/src/main.ts";
import { memoryEstateIo } from "../../packages/control/src/registry/config/estate-io.ts";
import { loadEstateFrom } from "../../packages/control/src/registry/config/load.ts";

const root = join(import.meta.dirname, "../..");
const pages = globSync(["docs/identity.md", "docs/identity/*.md", "docs/policy*.md"], { cwd: root }).toSorted();
const everyPage = globSync(["README.md", "docs/**/*.md"], { cwd: root }).toSorted();
const textOf = (page: string) => readFileSync(join(root, page), "utf8");

interface Block {
  readonly page: string;
  readonly line: number;
  readonly text: string;
}

/** Fenced blocks of one language, with the line of the fence. */
function blocksOf(page: string, language: string): readonly Block[] {
  const text = textOf(page);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((match) => ({
    page,
    line: text.slice(0, match.index).split("\n").length,
    text: match[1] ?? "",
  }));
}

const now = Date.parse("2026-11-22T00:00:00Z");
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const ca = createLocalCa({
  ...{ tenant: "main", environment: "docs", random, notBeforeMs: now - 86_400_000, notAfterMs: now + 365 * 86_400_000 },
});
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
const jwk = key.export({ format: "jwk" });
const leaf = issueLeaf({
  ca,
  publicKeySpki: key.export({ format: "der", type: "spki" }),
  names: { uri: "spiffe://acme/orders" },
  usage: "client",
  notBeforeMs: now - 3_600_000,
  notAfterMs: now + 3_600_000,
  random,
});

/** What the pages are written about; a block replaces the file it names. */
const estate: Readonly<Record<string, string>> = {
  "sallyport.yaml": "environments:\n  production:\n    people: { signIn: [passkey, password] }\n",
  "systems/billing.yaml":
    "system: billing\nurl: https://billing.acme.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create: POST /v1/invoices\n  report.read: GET /v1/reports/{region}\n  payout.create: POST /v1/payouts\n",
  "systems/orders.yaml":
    "system: orders\nurl: https://orders.acme.example\nidentity: { client: orders, keys: [orders.jwks.json] }\noperations:\n  order.list: GET /v1/orders\n  order.create: POST /v1/orders\n",
  "systems/portal.yaml": "system: portal\nidentity: { client: portal, keys: [portal.jwks.json] }\n",
  "systems/acme-partner.yaml":
    "system: acme-partner\nidentity: { signatures: { keys: [acme-partner.signing.jwks.json] } }\n",
  "systems/vendor.yaml": "system: vendor\nidentity: { apiKeys: {} }\n",
  ...Object.fromEntries(
    ["deployer", "analytics", "partner"].map((id) => [
      `systems/${id}.yaml`,
      `system: ${id}\nidentity: { client: ${id} }\n`,
    ]),
  ),
  "issuers/keycloak.yaml":
    "issuer: keycloak\nurl: https://sso.acme.example/realms/shop\npreset: keycloak\njwksUri: https://sso.acme.example/realms/shop/protocol/openid-connect/certs\naudiences: [sallyport]\n",
  "trust/mesh.yaml": "trust: mesh\nroots: [mesh.pem]\n",
  "trust/mesh.pem": ca.certificatePem,
  "trust/partner.yaml": "trust: partner\nroots: [mesh.pem]\n",
};

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
const jwksOf = {
  systems: JSON.stringify({ keys: [jwk] }),
  issuers: JSON.stringify({ keys: [{ ...rsa, kid: "k1", alg: "RS256", use: "sig" }] }),
};

/** Keys and certificates that files refer to, made where they look for them. */
function referred(files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const made: Record<string, string> = {};
  for (const [file, text] of Object.entries(files)) {
    const folder = file.startsWith("issuers/") ? "issuers" : "systems";
    for (const [name] of text.matchAll(/[\w.-]+\.jwks\.json/g)) made[`${folder}/${name}`] = jwksOf[folder];
    for (const [name] of text.matchAll(/[\w-]+\.pem/g)) made[`${folder}/${name}`] = leaf.pem;
  }
  return made;
}

/** Where a block goes: the file its first line names, or that of the object it declares. */
function fileOf(text: string): string | null {
  const named = /^# ((?:[a-z]+\/)?[\w-]+\.yaml)\n/.exec(text)?.[1];
  const declared = /^(system|integration|issuer): ([\w-]+)$/m.exec(text);
  const folders: Readonly<Record<string, string>> = {
    system: "systems",
    integration: "integrations",
    issuer: "issuers",
  };
  return named ?? (declared === null ? null : `${folders[declared[1] ?? ""]}/${declared[2]}.yaml`);
}

const estateBlocks = pages.flatMap((page) => blocksOf(page, "yaml")).filter(({ text }) => fileOf(text) !== null);

test("the pages show files of an estate", () => assert.ok(estateBlocks.length >= 12, `${estateBlocks.length} seen`));

for (const { page, line, text } of estateBlocks)
  test(`${page}:${line} loads as a file of an estate`, () => {
    const file = fileOf(text) ?? "";
    const [, folder = "", name = ""] = /^(\w+)\/([\w-]+)\.yaml$/.exec(file) ?? [];
    // A page may show only the keys it is about.
    const declares = folder === "" || new RegExp(`^${folder.slice(0, -1)}:`, "m").test(text);
    const kind = declares ? "" : `${folder.slice(0, -1)}: ${name}\n`;
    const url =
      /^operations:/m.test(text) && !/^url:/m.test(text) && folder === "systems" ? "url: https://x.acme.example\n" : "";
    const whole = kind + url + text;
    const files = { ...estate, [file]: whole };
    const { findings } = loadEstateFrom(memoryEstateIo({ ...files, ...referred(files) }, () => now));
    assert.deepEqual(
      findings
        .filter(({ severity }) => severity === "error")
        .map(({ file: at, line: where, message, fix }) => `${at}:${where} ${message}. ${fix}`),
      [],
    );
  });

/** `sallyport …` lines of a block, continued ones joined, comments and pipes cut off. */
function commandLines({ text }: Block): readonly string[] {
  return (
    text
      .replaceAll("\\\n", " ")
      .split("\n")
      .map((one) =>
        one
          .replace(/^\$ /, "")
          .replace(/\s+#(?= ).*$/, "")
          .replace(/ (?:\|\|?|&&|[<>]) .*$/, "")
          .trim(),
      )
      // `sallyport dev: up in …` is what a command says.
      .filter((one) => /^sallyport (?![\w-]+:)/.test(one))
  );
}

/** Words as a shell splits them, of lines without expansions. */
const wordsOf = (line: string): readonly string[] =>
  [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, plain]) => double ?? single ?? plain ?? "");

/** The binary's own parser, with nothing behind it. */
async function parser(): Promise<Command> {
  const program = await createProgram();
  const silence = (command: Command): void => {
    if (command.commands.length === 0) command.action(() => {});
    for (const child of command.commands) silence(child);
  };
  silence(program);
  return program;
}

const lines = everyPage.flatMap((page) =>
  [...blocksOf(page, "sh"), ...blocksOf(page, "")].flatMap((block) =>
    commandLines(block).map((text) => ({ ...block, text })),
  ),
);

test("the pages tell people what to type", () => assert.ok(lines.length >= 60, `${lines.length} seen`));

for (const { page, line, text } of lines)
  test(`${page}:${line} ${text.slice(0, 60)}: is a command line the binary takes`, async () => {
    try {
      await (await parser()).parseAsync([...wordsOf(text)].slice(1), { from: "user" });
    } catch (error) {
      assert.ok(error instanceof CommandEnd || error instanceof Error);
      assert.fail(`${text}: ${error.message}`);
    }
  });
