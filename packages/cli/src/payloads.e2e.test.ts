// Payloads from the estate to the operator, in real processes: kept, read, held, erased, and brought back by nobody.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import { Installation, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const canary = "canary-4929420573595709";
const schema = `type: object
properties:
  customerId: { type: string, x-data-class: pii }
  amount: { type: integer }
  card: { type: string, x-data-class: payment }
  note: { type: string, x-data-class: secret }
`;
let installation: Installation;
let control: Served;
let gateway: Served;
let crossing = "";
let other = "";

const billing = (port: string) => `system: billing
url: ${port}
allowPrivate: true
operations:
  invoice.read: GET /v1/invoices/{id}
  invoice.create:
    match: POST /v1/invoices
    body: { schema: invoice.yaml }
    payload:
      keep: [request, response]
      subject: body:$.customerId
      days: 90
      drop: [payment]
      responseSchema: answer.json
`;

before(async () => {
  installation = await Installation.open();
  const [url = ""] = /http:\/\/127\.0\.0\.1:\d+/.exec(installation.files()["systems/billing.yaml"] ?? "") ?? [];
  const grant = installation
    .files()
    ["integrations/orders-to-billing.yaml"]?.replace("operations:\n", "operations:\n  invoice.create: {}\n");
  installation.writeEstate({
    "systems/billing.yaml": billing(url),
    "systems/invoice.yaml": schema,
    "systems/answer.json": '{ "properties": { "ok": { "type": "boolean" } } }',
    "integrations/orders-to-billing.yaml": grant ?? "",
  });
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation.close());

const key = () => ["--operator", installation.operatorKey];
const audit = (...args: readonly string[]) => runBinary(["audit", ...args, ...key()]);
const read = (id: string) => audit("payload", id, "--reason", "complaint 88");

async function charge(customerId: string): Promise<string> {
  const body = JSON.stringify({ customerId, amount: 7, card: canary, note: canary, undeclared: canary });
  const headers = { "content-type": "application/json" };
  const answer = await installation.caller().fetch("/billing/v1/invoices", { method: "POST", headers, body });
  assert.equal(answer.status, 200, await answer.text());
  return answer.headers.get("sallyport-crossing") ?? assert.fail("no crossing id");
}

/** All that was signed is in control's archive. */
async function shipped(): Promise<void> {
  await until("records are archived", async () => {
    const { log } = await installation.operator().call<ControlStatus>("GET", "/v1/status");
    return log.kept.length > 0 && log.kept.every(({ archived }) => archived.behind === 0 && archived.leaves > 0);
  });
}

/** Names of all files below the installation that hold the word. */
async function filesWith(word: string): Promise<readonly string[]> {
  let found: readonly string[] = [];
  // A running process replaces its files: a look during which one went has not seen all of them.
  await until("a look at every file", () => {
    try {
      found = readdirSync(installation.root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(word))
        .map(({ name }) => name);
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
      throw error;
    }
  });
  return found;
}

test(
  "what an operation keeps is read by an operator who says why; what it drops, and who it is about, is nowhere in clear",
  bounded,
  async () => {
    crossing = await charge("canary-customer-17");
    other = await charge("customer-18");
    await until("the payload is in the archive", async () => (await read(crossing)).exit === 0);
    const shown = await read(crossing);
    assert.match(shown.out, /request, until \d{4}-\d\d-\d\d:\n {2}\{"customerId":"canary-customer-17","amount":7\}\n/);
    assert.match(shown.out, /response, until .*\n {2}\{"ok":true\}/);
    assert.deepEqual(await filesWith("canary"), []);
    const printed = JSON.stringify([control.lines, gateway.lines]);
    assert.equal(printed.includes("canary"), false);
    await until("the reading is in the index", async () =>
      (await audit("search", "--action", "payload.read", "--json")).out.includes("payload.read"),
    );
    const why = await runBinary(["why", crossing, ...key()]);
    assert.match(why.out, /invoice\.create/, why.err);
  },
);

test("an erasure waits for no hold to end: it is refused, and names the hold", bounded, async () => {
  const hold = ["--environment", "production", "--owner", "legal", "--reason", "case 4711"];
  assert.equal((await audit("hold", "add", "acme-v-us", ...hold)).exit, 0);
  const refused = await audit("erase", "--subject", "canary-customer-17", "--reason", "asked to");
  assert.equal(refused.exit, 1, refused.out);
  assert.match(refused.err, /legal hold acme-v-us/);
  assert.equal((await read(crossing)).exit, 0);
  assert.equal((await audit("hold", "release", "acme-v-us", "--reason", "settled")).exit, 0);
});

test(
  "who is erased can be read by nobody, at once and after restarts; others can, both logs verify, and the record names a pseudonym",
  bounded,
  async () => {
    const erased = await audit("erase", "--subject", "canary-customer-17", "--reason", "asked to");
    assert.equal(erased.exit, 0, erased.err);
    const [pseudonym = ""] = /\d{4}:[A-Za-z0-9_-]{22}/.exec(erased.out) ?? [];
    const gone = await read(crossing);
    assert.equal(gone.exit, 1);
    assert.match(gone.out, /request: its data subject was erased on/);
    assert.equal((await read(other)).exit, 0);
    await shipped();
    await gateway.signal("SIGTERM");
    await control.signal("SIGTERM");
    assert.deepEqual(await filesWith("canary"), []);
    control = await installation.startControl();
    gateway = await installation.startGateway();
    assert.equal((await read(crossing)).exit, 1);
    assert.equal((await read(other)).exit, 0);
    const again = await charge("canary-customer-17");
    await until("a new key", async () => (await read(again)).exit === 0);
    await until("the record is in the index", async () =>
      (await audit("search", "--action", "payload.erase", "--json")).out.includes(`data-subject/${pseudonym}`),
    );
    const [node = ""] = /^(.*)-[0-9A-Z]{26}$/.exec(crossing)?.slice(1) ?? [];
    for (const where of [["--archive", node], []]) {
      const place = installation.data("control");
      const verified = await runBinary([
        "audit",
        "verify",
        where.length > 0 ? place : join(place, "log"),
        "--live",
        ...where,
      ]);
      assert.equal(verified.exit, 0, verified.out + verified.err);
    }
    const own = await runBinary(["audit", "verify", join(installation.data("gateway"), "log"), "--live"]);
    assert.equal(own.exit, 0, own.out);
  },
);

test(
  "control is away: for people the gateway has met in the last minute crossings go on, for others they end before the provider is reached",
  bounded,
  async () => {
    await charge("customer-met");
    const caller = installation.caller();
    await caller.token();
    await control.signal("SIGKILL");
    const send = (customerId: string) =>
      caller.fetch("/billing/v1/invoices", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ customerId }),
      });
    assert.equal((await send("customer-met")).status, 200);
    const reached = installation.upstreamRequests;
    const refused = await send("customer-never-met");
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /payload-unavailable/);
    assert.equal(installation.upstreamRequests, reached);
  },
);
