// A worker thread that ends under load ends the process, whole and at once, and the next start goes on from what was acknowledged: docs/workers.md "A worker that ends".
import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Caller, Installation, isReady, type Served, tinyGrant, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 600_000 };
const crowd = 12;
const headers = { "content-type": "application/json" };
let installation: Installation;
let caller: Caller;
const data = () => installation.data("control");
const log = () => join(data(), "gateway", "log");
const trigger = (name: string) => join(installation.root, name);

async function start(): Promise<Served> {
  const served = installation.serve(
    "all",
    [
      ...installation.controlArguments(),
      ...["--data", data(), "--listen", `public=127.0.0.1:${installation.ports.gateway}`],
      ...["--grace", "0s", "--workers", "2"],
    ],
    {
      NODE_OPTIONS: `--import=${new URL("./failing-worker.test-support.ts", import.meta.url).href}`,
      TEST_WORKER_THROWS_FILE: trigger("throws"),
      TEST_WORKER_LOSES_LOCK_FILE: trigger("loses-lock"),
    },
  );
  await served.line(isReady);
  return served;
}

before(async () => {
  installation = await Installation.open();
  installation.writeEstate({
    "integrations/orders-to-billing.yaml": `${tinyGrant("10s")}  invoice.create: {}\n`,
  });
}, bounded);
after(() => installation.close());

/** Requests of so many connections at once; a text: why there is no answer. */
const all = (method: string, path: string): Promise<number | string>[] =>
  Array.from({ length: crowd }, () =>
    caller.fetch(path, method === "GET" ? {} : { method, headers, body: "{}" }).then(
      ({ status }) => status,
      (error: unknown) => String(error instanceof Error ? (error.cause ?? error) : error),
    ),
  );

async function isListening(): Promise<boolean> {
  const socket = connect(installation.ports.gateway, "127.0.0.1");
  const is = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return is;
}

test(
  "attack: an exception that a worker does not catch ends the whole process with code 1 and says which: no port is left open, and effects under way are cut, none is said to have succeeded",
  bounded,
  async () => {
    const served = await start();
    installation.trustRoots(join(data(), "control", "ca"));
    caller = installation.caller();
    assert.deepEqual(new Set(await Promise.all(all("GET", "/billing/v1/invoices/1"))), new Set([200]));
    installation.upstreamDelayMs = 20_000;
    const before = installation.upstreamRequests;
    const effects = all("POST", "/billing/v1/invoices");
    await until("all effects are under way", () => installation.upstreamRequests === before + crowd);
    writeFileSync(trigger("throws"), "");
    const { exit, output } = await served.ended;
    assert.equal(exit, 1, output);
    assert.match(output, /worker thread 2 of this gateway ended by itself: a bug of the test/);
    const answers = await Promise.all(effects);
    assert.ok(
      answers.every((answer) => typeof answer === "string" || answer >= 500),
      answers.join(" "),
    );
    assert.equal(await isListening(), false);
    rmSync(trigger("throws"));
  },
);

test("the next start serves from the same data, the log is whole, and repeats nothing", bounded, async () => {
  installation.upstreamDelayMs = 0;
  const before = installation.upstreamRequests;
  const served = await start();
  assert.equal(installation.upstreamRequests, before, "no effect is made again by itself");
  assert.deepEqual(new Set(await Promise.all(all("GET", "/billing/v1/invoices/1"))), new Set([200]));
  await served.signal("SIGTERM");
  const { exit, out, err } = await runBinary(["audit", "verify", log()]);
  assert.equal(exit, 0, out + err);
});

test(
  "attack: a worker that ends with the limits' lock in its hand stops the others for no longer than the process takes to end",
  bounded,
  async () => {
    const served = await start();
    assert.deepEqual(new Set(await Promise.all(all("GET", "/billing/v1/invoices/1"))), new Set([200]));
    writeFileSync(trigger("loses-lock"), "");
    let isOver = false;
    const over = served.ended.then((ended) => {
      isOver = true;
      return ended;
    });
    // Whoever asks next at the second worker loses it the lock; the others then wait for it.
    while (!isOver) await Promise.race([over, Promise.all(all("GET", "/billing/v1/invoices/1"))]);
    const { exit, output } = await over;
    assert.equal(exit, 1, output);
    assert.match(output, /worker thread 2 of this gateway ended by itself/);
    assert.equal(await isListening(), false);
  },
);
