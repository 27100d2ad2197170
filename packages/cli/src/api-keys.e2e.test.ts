// A vendor with an API key, with a real control and a real gateway: the page's files are all it takes, a key is replaced without an outage and ended within
// the bound of revocations, and what the key is stands nowhere. docs/identity/api-keys.md.
import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(new URL("../../../docs/identity/api-keys.md", import.meta.url), "utf8");
/** A file of the page, as a reader copies it. */
const written = (path: string): string => page.split(`\`\`\`yaml\n# ${path}\n`)[1]?.split("```")[0] ?? "";

let installation: Installation;

before(async () => {
  installation = await Installation.open();
  installation.writeEstate({
    "systems/vendor.yaml": written("systems/vendor.yaml"),
    "integrations/vendor-to-billing.yaml": written("integrations/vendor-to-billing.yaml").replace("2027-", "2099-"),
  });
  await installation.startControl();
  await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation?.close());

const operator = () => ["--operator", installation.operatorKey];
const fileOf = (name: string): string => join(installation.root, `${name}.key`);
const keyIn = (name: string): string => readFileSync(fileOf(name), "utf8").trim();

async function add(name: string, ...more: readonly string[]): Promise<string> {
  const words = ["api-key", "add", "vendor", "--integration", "vendor-to-billing", "--out", fileOf(name)];
  const made = await runBinary([...words, "--reason", "test", ...more, ...operator()]);
  assert.equal(made.exit, 0, made.err);
  assert.equal(made.out.includes(keyIn(name)), false);
  return /key ([0-9a-f]{10}) of vendor/.exec(made.out)?.[1] ?? "";
}

async function send(headers: Record<string, string>): Promise<{ status: number; id: string }> {
  const answer = await fetch(`https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`, { headers });
  await answer.arrayBuffer();
  return { status: answer.status, id: answer.headers.get("sallyport-crossing") ?? "" };
}
const present = (key: string) => send({ authorization: `ApiKey ${key}` });

test(
  "the files of the page and one command are all it takes; the key is in one file that only its owner reads",
  bounded,
  async () => {
    const id = await add("first");
    assert.equal(statSync(fileOf("first")).mode & 0o777, 0o600);
    await until("the first key to open billing", async () => (await present(keyIn("first"))).status === 200);
    assert.equal((await send({ "x-vendor-key": keyIn("first") })).status, 200);
    assert.equal((await present(keyIn("first").replace(id, "0000000000"))).status, 401);
    const listed = await runBinary(["api-key", "list", ...operator()]);
    assert.match(listed.out, new RegExp(`${id} +production +vendor +vendor-to-billing +live`));
  },
);

test("why names a refused key by its digits; whether one would pass is known beforehand", bounded, async () => {
  const { id } = await present(`spk1_00000000aa_${keyIn("first").slice("spk1_0000000000_".length)}`);
  const why = await runBinary(["why", id, ...operator()]);
  assert.match(why.out, /api-key-unknown/);
  assert.match(why.out, /spk1_00000000aa_…/);
  const secret = keyIn("first").slice("spk1_0000000000_".length);
  assert.equal(why.out.includes(secret), false);
  const asked = await runBinary(["why", "--from", "vendor", "--op", "billing:invoice.read", ...operator()]);
  assert.equal(asked.exit, 0, asked.out + asked.err);
});

test("sallyport call presents the key in a file, and refuses a file that others may read", bounded, async () => {
  const ca = join(installation.root, "roots.pem");
  const roots = ["control", "production"].map((name) => join(installation.data("control"), "ca", `${name}.pem`));
  writeFileSync(ca, roots.map((path) => readFileSync(path, "utf8")).join(""));
  const at = ["--gateway", `https://127.0.0.1:${installation.ports.gateway}`, "--ca", ca];
  const issuer = ["--issuer", `https://127.0.0.1:${installation.ports.identity}/main/production`];
  const words = ["call", "billing:invoice.read", "id=1", "--as", "vendor", "--config", installation.estate];
  const call = () => runBinary([...words, ...at, ...issuer, "--api-key", fileOf("first")]);
  const called = await call();
  assert.equal(called.exit, 0, called.out + called.err);
  assert.match(called.out, /^200 billing:invoice\.read as vendor/m);
  chmodSync(fileOf("first"), 0o644);
  const open = await call();
  chmodSync(fileOf("first"), 0o600);
  assert.equal(open.exit, 2);
  assert.equal(open.err.includes(keyIn("first")), false);
});

test(
  "the next key works beside the first, a third is refused; one that is ended is refused at once",
  bounded,
  async () => {
    await add("second", "--overlap", "1h");
    await until("the second key", async () => (await present(keyIn("second"))).status === 200);
    assert.equal((await present(keyIn("first"))).status, 200);
    const third = ["api-key", "add", "vendor", "--integration", "vendor-to-billing", "--out", fileOf("third")];
    const full = await runBinary([...third, "--reason", "test", ...operator()]);
    assert.equal(full.exit, 1);
    assert.match(full.err, /two keys of vendor are live/);
    const id = /^spk1_([0-9a-f]{10})_/.exec(keyIn("first"))?.[1] ?? "";
    const ended = await runBinary(["api-key", "end", id, "--reason", "in a log", ...operator()]);
    assert.equal(ended.exit, 0, ended.err);
    await until("the first key to end", async () => (await present(keyIn("first"))).status === 401);
    assert.equal((await present(keyIn("second"))).status, 200);
  },
);
