// Every mistake a newcomer makes in the first hour, as the real binary answers it: the promised exit code, the file and line, and the fix.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";
import { type Ended, runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const root = mkdtempSync(join(tmpdir(), "sallyport-first-hour-"));
const taken = createServer().unref();
let takenPort = 0;
before(async () => {
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  takenPort = typeof address === "object" && address !== null ? address.port : 0;
});
after(() => {
  taken.close();
  rmSync(root, { recursive: true, force: true });
});

const key = generateClientKey();
const good: Readonly<Record<string, string>> = {
  "sallyport.yaml": "estate: shop\nenvironments:\n  production:\n    approval: none\n",
  "systems/billing.yaml":
    "system: billing\nurl: https://billing.acme.example\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n",
  "systems/orders.yaml":
    "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\nuses:\n  - to: billing\n    purpose: Charge a customer when an order ships\n    operations: [invoice.create]\n",
  "systems/orders.jwks.json": JSON.stringify(publicJwks([key.signer])),
};

let folders = 0;
/** A folder with the good estate and what `more` lays over it. */
function estate(more: Readonly<Record<string, string>> = {}): string {
  const directory = join(root, `estate-${folders++}`);
  for (const [file, text] of Object.entries({ ...good, ...more })) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), text);
  }
  return directory;
}

const swap = (file: string, from: string, to: string): Readonly<Record<string, string>> => {
  const text = good[file] ?? "";
  assert.ok(text.includes(from), `${file} holds ${from}`);
  return { [file]: text.replace(from, to) };
};

interface Mistake {
  readonly mistake: string;
  readonly exit: number;
  /** What the message must name: file and line (or path), and the fix. */
  readonly says: readonly RegExp[];
  readonly run: () => Promise<Ended>;
}

/** A mistake in an estate, as `check` answers it: exit 1, the file with the line, and a fix. */
function inEstate(
  mistake: string,
  more: Readonly<Record<string, string>>,
  said: { readonly at: string; readonly says: readonly RegExp[] },
): Mistake {
  const place = new RegExp(`${said.at.replaceAll(".", "\\.")}:\\d+`);
  return { mistake, exit: 1, says: [place, ...said.says, /fix: ./i], run: () => runBinary(["check", estate(more)]) };
}

const operatorKey = (mode: number): string => {
  const path = join(root, `operator-${mode.toString(8)}.json`);
  const operator = {
    operator: "first",
    issuer: "https://127.0.0.1:1/operators",
    pin: Buffer.alloc(32).toString("base64"),
  };
  writeFileSync(path, JSON.stringify({ v: 1, ...operator }), { mode });
  chmodSync(path, mode);
  return path;
};

const mistakes: readonly Mistake[] = [
  inEstate("a tab where YAML wants spaces", swap("systems/orders.yaml", "    purpose", "\tpurpose"), {
    at: "systems/orders.yaml:5",
    says: [/tab/i, /spaces/],
  }),
  inEstate(
    "a path parameter without quotes in a flow map",
    swap(
      "systems/billing.yaml",
      "operations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}",
      "operations: { invoice.read: GET /v1/invoices/{id} }",
    ),
    { at: "systems/billing.yaml:3", says: [/quote/] },
  ),
  inEstate("a key with a letter missing", swap("systems/orders.yaml", "purpose", "purpse"), {
    at: "systems/orders.yaml:5",
    says: [/purpse/, /did you mean `?purpose/],
  }),
  inEstate(
    "an operation that the provider does not have",
    swap("systems/orders.yaml", "invoice.create", "invoice.creat"),
    {
      at: "systems/orders.yaml:6",
      says: [/did you mean `?invoice\.create/],
    },
  ),
  inEstate("a provider that nobody declared", swap("systems/orders.yaml", "to: billing", "to: biling"), {
    at: "systems/orders.yaml:4",
    says: [/did you mean `?billing/],
  }),
  inEstate(
    "operations without the url where they are served",
    swap("systems/billing.yaml", "url: https://billing.acme.example\n", ""),
    {
      at: "systems/billing.yaml:2",
      says: [/no `url`/, /add `url: /],
    },
  ),
  inEstate(
    "an http url on this very machine",
    swap("systems/billing.yaml", "https://billing.acme.example", "http://127.0.0.1:3000"),
    {
      at: "systems/billing.yaml:2",
      says: [/private or loopback/, /allowPrivate: true/],
    },
  ),
  inEstate(
    "the private key where the public one belongs",
    {
      "systems/orders.jwks.json": JSON.stringify({
        keys: [{ kty: "EC", crv: "P-256", x: "AA", y: "AA", d: "c2VjcmV0" }],
      }),
    },
    { at: "systems/orders.yaml:2", says: [/private key/] },
  ),
  inEstate("a key file that is not there", swap("systems/orders.yaml", "orders.jwks.json", "order.jwks.json"), {
    at: "systems/orders.yaml:2",
    says: [/no such file/, /sallyport client-key new/],
  }),
  inEstate(
    "two systems with one client",
    { "systems/portal.yaml": "system: portal\nidentity: { client: orders, keys: [orders.jwks.json] }\n" },
    { at: "systems/portal.yaml:2", says: [/orders/, /client/] },
  ),
  inEstate(
    "a grant that does not say what it is for",
    swap("systems/orders.yaml", "    purpose: Charge a customer when an order ships\n", ""),
    {
      at: "systems/orders.yaml:4",
      says: [/purpose/],
    },
  ),
  inEstate("a path without its slash", swap("systems/billing.yaml", "POST /v1/invoices", "POST v1/invoices"), {
    at: "systems/billing.yaml:4",
    says: [/\//],
  }),
  inEstate(
    "two operations for the same requests",
    swap("systems/billing.yaml", "invoice.read: GET /v1/invoices/{id}", "invoice.make: POST /v1/invoices"),
    {
      at: "systems/billing.yaml:5",
      says: [/the same requests as/, /its own method and path/],
    },
  ),
  inEstate("a password in the url", swap("systems/billing.yaml", "https://billing", "https://ada:hunter2@billing"), {
    at: "systems/billing.yaml:2",
    says: [/secret|user|password|credential/i],
  }),
  inEstate(
    "a day that no calendar has",
    {
      "integrations/portal-to-billing.yaml":
        "integration: portal-to-billing\nfrom: portal\nto: billing\npurpose: Show invoices\nreview: 2027-02-30\noperations:\n  invoice.read:\n",
    },
    {
      at: "integrations/portal-to-billing.yaml:5",
      says: [/date|day/i],
    },
  ),
  inEstate(
    "an environment that is not declared",
    swap("systems/billing.yaml", "operations:", "environments: [prod]\noperations:"),
    {
      at: "systems/billing.yaml:3",
      says: [/no such environment/, /production/],
    },
  ),
  inEstate(
    "a file name that is not the id",
    {
      "systems/stock.yaml":
        "system: stocks\nurl: https://stock.acme.example\noperations:\n  item.read: GET /items/{id}\n",
    },
    {
      at: "systems/stock.yaml:1",
      says: [/not the name of the file/, /write `system: stock`/],
    },
  ),
  inEstate(
    "a file that ends in .yml",
    { "systems/stock.yml": "system: stock\n" },
    {
      at: "systems/stock.yml:1",
      says: [/not read/, /rename it to stock\.yaml/],
    },
  ),
  {
    mistake: "the folder above the estate",
    exit: 2,
    says: [/is no estate/, /did you mean .*\/shop\/estate\?/],
    run: () => {
      cpSync(estate(), join(root, "shop/estate"), { recursive: true });
      return runBinary(["serve", "--config", join(root, "shop"), "--data", join(root, "never")]);
    },
  },
  {
    mistake: "a folder that does not exist",
    exit: 2,
    says: [/no-such-folder cannot be read/, /fix: /],
    run: () => runBinary(["check", join(root, "no-such-folder")]),
  },
  {
    mistake: "a port that something else has",
    exit: 2,
    says: [/port \d+ is in use/, /fix: .*--…-listen|fix: stop that one/],
    run: () =>
      runBinary([
        "serve",
        "--config",
        estate(),
        "--data",
        join(root, "port"),
        "--identity-listen",
        `127.0.0.1:${takenPort}`,
      ]),
  },
  {
    mistake: "a data directory that others can read",
    exit: 2,
    says: [/open-data\S* has mode 0755/, /chmod 0700 /],
    run: () => {
      mkdirSync(join(root, "open-data/control"), { recursive: true });
      chmodSync(join(root, "open-data/control"), 0o755);
      return runBinary(["serve", "--config", estate(), "--data", join(root, "open-data")]);
    },
  },
  {
    mistake: "an operator key that others can read",
    exit: 2,
    says: [/operator-644\.json has mode 0644/, /chmod 600 /],
    run: () => runBinary(["status", "--operator", operatorKey(0o644)]),
  },
  {
    mistake: "no operator key where one is looked for",
    exit: 2,
    says: [/no operator key file at .*nowhere\.json/, /fix: .*--operator <file>/],
    run: () => runBinary(["status", "--operator", join(root, "nowhere.json")]),
  },
  {
    mistake: "a command that does not exist",
    exit: 2,
    says: [/unknown command 'chekc'/, /Did you mean check/, /--help/],
    run: () => runBinary(["chekc", "estate"]),
  },
  {
    mistake: "an option that does not exist",
    exit: 2,
    says: [/unknown option '--force'/, /--help/],
    run: () => runBinary(["apply", "estate", "--force"]),
  },
  {
    mistake: "a store URL on the command line",
    exit: 2,
    says: [/command line is no place for a password/, /fix: put the URL into a variable/],
    run: () => runBinary(["serve", "--store", "postgres://sallyport:hunter2@db/sallyport"]),
  },
  {
    mistake: "verification of certificates switched off",
    exit: 2,
    says: [/NODE_TLS_REJECT_UNAUTHORIZED/, /Unset it/],
    run: () =>
      runBinary(["serve", "--config", estate(), "--data", join(root, "unverified")], {
        NODE_TLS_REJECT_UNAUTHORIZED: "0",
      }),
  },
  {
    mistake: "a gateway without its join token",
    exit: 2,
    says: [/has not joined yet/, /sallyport gateway token/],
    run: () => runBinary(["serve", "--role", "gateway", "--data", join(root, "unjoined")]),
  },
  {
    mistake: "an id that is no crossing's",
    exit: 2,
    says: [/"404" is not the id of a crossing/, /fix: copy the correlationId .*Sallyport-Crossing/],
    run: () => runBinary(["why", "404", "--operator", operatorKey(0o600)]),
  },
  {
    mistake: "an operator key file that is no operator key",
    exit: 2,
    says: [/operator-600\.json is not an operator key file/, /name the right one .*operator\.key\.json/],
    run: () => runBinary(["status", "--operator", operatorKey(0o600)]),
  },
  {
    mistake: "a call while nothing runs",
    exit: 3,
    says: [/nothing runs on \S*never/, /fix: start it \(sallyport dev, sallyport serve\)/],
    run: () => runBinary(["call", "billing:invoice.read", "id=1", "--data", join(root, "never")]),
  },
  {
    mistake: "init where an estate is already",
    exit: 2,
    says: [/systems\/billing\.yaml.*systems\/orders\.yaml/, /fix: ./],
    run: () => runBinary(["init", estate()]),
  },
  {
    mistake: "dev in a folder without an estate",
    exit: 2,
    says: [/bare is no estate/, /fix: .*sallyport init/],
    run: () => {
      mkdirSync(join(root, "bare"));
      return runBinary(["dev", join(root, "bare"), "--data", join(root, "bare-data")]);
    },
  },
  {
    mistake: "an operation asked for that nobody publishes",
    exit: 2,
    says: [/biling/, /did you mean `?billing/],
    run: () => runBinary(["show", "biling", "--config", estate()]),
  },
  {
    mistake: "an older Node without the runtime that belongs to the package",
    exit: 2,
    says: [/needs Node 24\.12 or newer; this is v20\.11\.0/, /fix: .*(npm install|install Node)/],
    run: oldNode,
  },
];

/** The packaged launcher alone in a folder, as an npm that left out optional packages leaves it, under a Node that says it is 20. */
function oldNode(): Promise<Ended> {
  const folder = join(root, "package");
  const source = join(import.meta.dirname, "..");
  mkdirSync(join(folder, "bin"), { recursive: true });
  cpSync(join(source, "bin/sallyport.mjs"), join(folder, "bin/sallyport.mjs"));
  cpSync(join(source, "package.json"), join(folder, "package.json"));
  const versions = "{ ...process.versions, node: '20.11.0' }";
  const pretend = `Object.defineProperty(process, 'versions', { value: ${versions} }); Object.defineProperty(process, 'version', { value: 'v20.11.0' });`;
  const argv = [
    "--import",
    `data:text/javascript,${encodeURIComponent(pretend)}`,
    join(folder, "bin/sallyport.mjs"),
    "--version",
  ];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, argv, { timeout: 120_000 }, (_error, out, err) =>
      resolve({ exit: child.exitCode ?? -1, out, err }),
    );
  });
}

for (const { mistake, exit, says, run } of mistakes)
  test(`${mistake}: exit ${exit}, and the message says where it is and what to do`, bounded, async () => {
    const ended = await run();
    const said = ended.out + ended.err;
    assert.equal(ended.exit, exit, said);
    for (const expected of says) assert.match(said, expected);
    assert.doesNotMatch(said, /unexpected:|please report|\n {4}at .*:\d+:\d+/, "no stack trace");
    assert.doesNotMatch(said, /hunter2|c2VjcmV0/, "no secret");
  });

test("the good estate that the mistakes are made in has no errors", bounded, async () => {
  const { exit, out } = await runBinary(["check", estate()]);
  assert.equal(exit, 0, out);
  assert.ok(mistakes.length >= 20);
  assert.ok(readFileSync(import.meta.filename, "utf8").length > 0);
});
