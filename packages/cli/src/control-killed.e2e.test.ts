// kill -9 of the control plane under load, with real processes: every row of docs/control.md "A control plane that is killed".
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Caller, Installation, isReady, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 240_000 };
const callers = 4;
/** Crossings of each caller after control is gone, and more until every row was seen. */
const crossingsLeast = 20;
let installation: Installation;
let control: Served;
let gateway: Served;

const grant = `integration: orders-to-billing
from: orders
to: billing
purpose: Charge a customer when an order ships
limits:
  - { per: client, rate: 100000/s, burst: 100000 }
operations:
  invoice.read: {}
  invoice.create: {}
  secret.read: {}
`;

before(async () => {
  installation = await Installation.open();
  const { "systems/billing.yaml": billing = "" } = installation.files();
  installation.writeEstate({
    "systems/billing.yaml": `${billing}  secret.read: { match: "GET /v1/secrets/{id}", classification: restricted }\n`,
    "integrations/orders-to-billing.yaml": grant,
  });
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation.close());

const read = (caller: Caller) => caller.fetch("/billing/v1/invoices/in-1");
const create = (caller: Caller) =>
  caller.fetch("/billing/v1/invoices", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
const readSecret = (caller: Caller) => caller.fetch("/billing/v1/secrets/s-1");

async function faceOf(answer: Promise<Response>): Promise<string> {
  const response = await answer;
  const text = await response.text();
  return response.status === 200 ? "200" : `${response.status} ${/"code":"([a-z-]+)"/.exec(text)?.[1]}`;
}

test(
  "kill -9 of control under load: whoever has a token crosses on without one failed request, what is restricted is denied in seconds, nobody new gets in, and all of it ends with its return",
  bounded,
  async () => {
    const known = Array.from({ length: callers }, () => installation.caller());
    for (const caller of known) assert.equal(await faceOf(read(caller)), "200");
    assert.equal(await faceOf(readSecret(known[0] ?? installation.caller())), "200");

    const faces = new Map<string, number>();
    let isOver = false;
    let since = 0;
    const load = known.map(async (caller, i) => {
      for (let n = 0; !isOver; n++) {
        const face = await faceOf((n + i) % 4 === 0 ? create(caller) : read(caller));
        faces.set(face, (faces.get(face) ?? 0) + 1);
        since++;
      }
    });
    await until("the load runs", () => since > callers * 4);
    assert.equal((await control.signal("SIGKILL")).exit, null);
    since = 0;

    // Restricted: the bound is three seconds without a word of control.
    const [first] = known;
    assert.ok(first !== undefined);
    await until(
      "restricted operations are denied",
      async () => (await faceOf(readSecret(first))) === "503 stale-snapshot",
    );
    await until("the load went on", () => since > callers * crossingsLeast);
    // No new tokens: whoever is new has none, and is told which side is away.
    await assert.rejects(read(installation.caller()), { code: "metadata-unusable" });
    // No operator either, and the gateway is still ready.
    await assert.rejects(installation.operator().call("GET", "/v1/gateways"));

    control = await installation.startControl();
    await until("restricted operations pass again", async () => (await faceOf(readSecret(first))) === "200");
    assert.equal(await faceOf(read(installation.caller())), "200", "new tokens");
    isOver = true;
    await Promise.all(load);
    assert.deepEqual([...faces.keys()], ["200"], JSON.stringify([...faces]));
  },
);

test("of all that crossed meanwhile each has its record, and the log verifies", bounded, async () => {
  const operator = installation.operator();
  const isConnected = async () =>
    (await operator.call<{ connected: boolean }[]>("GET", "/v1/gateways")).some(({ connected }) => connected);
  await until("the gateway is back on the channel", isConnected);
  assert.equal((await gateway.signal("SIGTERM")).exit, 0);
  const verified = await runBinary(["--json", "audit", "verify", `${installation.data("gateway")}/log`]);
  assert.equal(verified.exit, 0, verified.out + verified.err);
  gateway = await installation.startGateway();
  assert.ok(gateway.lines.some(isReady));
});
