// Promises estates of any size as files, the same for the same seed: what loading, checking, compiling and routing are measured on.
// Trusts nothing; every file is one a person could have written. The shape is that of docs/configuration.md.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface EstateSize {
  readonly systems: number;
  /** At most systems × (systems - 1): one for each pair that crosses. */
  readonly integrations: number;
  readonly operationsPerSystem: number;
  readonly seed: number;
  /** Where every system is served; by default each has a host of its own. */
  readonly url?: string;
  readonly environments?: readonly string[];
}

/** What the issue names: 300 integrations over 40 systems. */
export const large: EstateSize = { systems: 40, integrations: 300, operationsPerSystem: 8, seed: 1 };

/** A file of the estate by its path. */
export type EstateFiles = Readonly<Record<string, string>>;

interface Made {
  readonly id: string;
  readonly operations: readonly string[];
}

const areas = ["billing", "orders", "ledger", "stock", "shipping", "claims", "payroll", "fleet", "search", "portal"];
const things = ["invoice", "order", "entry", "item", "parcel", "claim", "payslip", "vehicle", "document", "session"];
const verbs = [
  ["create", "POST", ""],
  ["read", "GET", "/{id}"],
  ["update", "PUT", "/{id}"],
  ["list", "GET", ""],
  ["cancel", "POST", "/{id}/cancel"],
  ["approve", "POST", "/{id}/approve"],
  ["history", "GET", "/{id}/history"],
  ["note", "PATCH", "/{id}/note"],
] as const;
const teams = ["payments", "shop", "logistics", "people", "platform"];

/** The estate as files. Keys are public halves made from the seed; their private halves exist nowhere. */
export function estateFiles(size: EstateSize): EstateFiles {
  const next = seeded(size.seed);
  const files: Record<string, string> = { "sallyport.yaml": estateFile(size) };
  const systems: Made[] = [];
  for (let n = 0; n < size.systems; n++) {
    const system = { id: systemId(n), operations: operationNames(n, size.operationsPerSystem) };
    systems.push(system);
    files[`systems/${system.id}.yaml`] = systemFile(system, n, size);
    for (const environment of size.environments ?? ["production"])
      files[`keys/${environment}/${system.id}.jwks.json`] = jwks(`${size.seed} ${environment} ${system.id}`);
    files[`policies/${system.id}.cedar`] = policyFile(system);
  }
  for (const [from, to] of pairs(systems, size.integrations, next)) {
    const id = `${from.id}-to-${to.id}`;
    files[`integrations/${id}.yaml`] = integrationFile({ id, from, to }, next);
  }
  return files;
}

/** Writes the files below a directory, which may exist. */
export function writeEstate(directory: string, files: EstateFiles): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), text);
  }
}

function systemId(n: number): string {
  const area = areas[n % areas.length] ?? "system";
  return n < areas.length ? area : `${area}-${Math.floor(n / areas.length) + 1}`;
}

function operationNames(system: number, count: number): string[] {
  return Array.from({ length: count }, (_, n) => {
    const thing = things[(system + Math.floor(n / verbs.length)) % things.length] ?? "thing";
    return `${thing}.${verbs[n % verbs.length]?.[0] ?? "read"}`;
  });
}

function estateFile(size: EstateSize): string {
  const environments = (size.environments ?? ["production"]).join(", ");
  return `estate: large\nenvironments: [${environments}]\nteams:\n${teams.map((team) => `  ${team}: { contact: "${team}@acme.example" }\n`).join("")}`;
}

function systemFile(system: Made, n: number, size: EstateSize): string {
  const environments = size.environments ?? ["production"];
  const perEnvironment = environments.map((environment) =>
    [
      `  ${environment}:`,
      `    url: ${size.url ?? `https://${system.id}.${environment}.acme.example`}`,
      ...(size.url?.startsWith("http://127.") ? ["    allowPrivate: true"] : []),
      `    identity: { client: ${system.id}, keys: [../keys/${environment}/${system.id}.jwks.json] }`,
    ].join("\n"),
  );
  return [
    `system: ${system.id}`,
    `owner: team:${teams[n % teams.length]}`,
    `description: Keeps the ${things[n % things.length]}s of one line of business`,
    `attributes: { region: ${n % 3 === 0 ? "us" : "eu"} }`,
    "environments:",
    ...perEnvironment,
    "operations:",
    ...system.operations.map((name, index) => operationOf(name, index)),
    "",
  ].join("\n");
}

function operationOf(name: string, index: number): string {
  const [, method, path] = verbs[index % verbs.length] ?? verbs[0];
  const [thing = "thing"] = name.split(".");
  const lines = [`  ${name}:`, `    match: ${method} /v1/${thing}s${path}`, "    timeout: 3s"];
  if (name.endsWith(".read")) lines.push("    attributes: { region: header:x-region }", "    data: [confidential]");
  if (method === "GET") return lines.join("\n");
  return [
    ...lines,
    "    body:",
    "      size: 64KiB",
    "      schema:",
    "        type: object",
    "        required: [reference, amount]",
    "        additionalProperties: false",
    "        properties:",
    `          reference: { type: string, maxLength: 64, pattern: "^${thing}-[0-9]{1,12}$" }`,
    "          amount: { type: integer, minimum: 1, maximum: 100000000 }",
    "          currency: { enum: [EUR, USD, GBP] }",
    "          note: { type: string, maxLength: 500 }",
    "          customer: { type: string, maxLength: 120, x-data-class: pii }",
    "          lines:",
    "            type: array",
    "            maxItems: 100",
    "            items:",
    "              type: object",
    "              additionalProperties: false",
    "              properties:",
    "                sku: { type: string, maxLength: 40 }",
    "                count: { type: integer, minimum: 1, maximum: 1000 }",
  ].join("\n");
}

function policyFile({ id, operations }: Made): string {
  const read = operations.find((name) => name.endsWith(".read")) ?? "none";
  return `@id("${id}-own-region")\nforbid (principal, action == Action::"${id}:${read}", resource)\nunless { resource.region == principal.region };\n`;
}

function pairs(systems: readonly Made[], count: number, next: () => number): [Made, Made][] {
  const all = systems.flatMap((from) => systems.filter((to) => to !== from).map((to): [Made, Made] => [from, to]));
  // Fisher-Yates: which pairs cross follows from the seed alone.
  for (let n = all.length - 1; n > 0; n--) {
    const other = Math.floor(next() * (n + 1));
    const [here, there] = [all[n], all[other]];
    if (here !== undefined && there !== undefined) [all[n], all[other]] = [there, here];
  }
  return all.slice(0, count);
}

function integrationFile(of: { id: string; from: Made; to: Made }, next: () => number): string {
  const start = Math.floor(next() * of.to.operations.length);
  const granted = Array.from(
    { length: 1 + Math.floor(next() * 3) },
    (_, n) => of.to.operations[(start + n) % of.to.operations.length] ?? "",
  );
  return [
    `integration: ${of.id}`,
    `from: ${of.from.id}`,
    `to: ${of.to.id}`,
    `purpose: ${of.from.id} needs what ${of.to.id} keeps to serve a customer`,
    "review: 2027-06-30",
    "limits:",
    `  - { per: client, rate: ${10 + Math.floor(next() * 90)}/s, burst: 200 }`,
    `operations: [${[...new Set(granted)].join(", ")}]`,
    "",
  ].join("\n");
}

/** A public Ed25519 key whose private half follows from the text: equal estates are equal bytes. */
function jwks(text: string): string {
  const seed = createHash("sha256").update(text).digest();
  const pkcs8 = generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" });
  // RFC 8410 §7: the last 32 bytes of the PKCS #8 form are the private key itself.
  const key = createPrivateKey({ key: Buffer.concat([pkcs8.subarray(0, -32), seed]), format: "der", type: "pkcs8" });
  return `${JSON.stringify({ keys: [createPublicKey(key).export({ format: "jwk" })] }, null, 2)}\n`;
}

/** Mulberry32: small, and the same on every machine. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

if (import.meta.main) {
  const [directory] = process.argv.slice(2);
  if (directory === undefined) {
    process.stderr.write("usage: node bench/estates.ts <directory>: writes 300 integrations over 40 systems there\n");
    process.exit(2);
  }
  writeEstate(directory, estateFiles(large));
}
