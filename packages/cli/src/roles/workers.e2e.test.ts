// A whole installation whose gateway is several worker threads, in a process of its own: docs/workers.md.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Caller, Installation, isReady, type Served, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";
import { readEndpoints } from "./endpoints.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
let all: Served;
let caller: Caller;
const data = () => installation.data("control");
const invoice = () => `https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`;

before(async () => {
  installation = await Installation.open();
  all = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data(), "--listen", `public=127.0.0.1:${installation.ports.gateway}`],
    ...["--grace", "1s", "--workers", "2"],
  ]);
  await all.line(isReady);
  installation.trustRoots(join(data(), "control", "ca"));
  caller = installation.caller();
}, bounded);
after(() => installation.close());

test(
  "the start says how many they are, /readyz too, and crossings over many connections are all let through",
  bounded,
  async () => {
    assert.equal((await all.line(isReady))["workers"], "2");
    const { statusUrl = "" } = readEndpoints(data()) ?? {};
    const ready = (await (await fetch(`${statusUrl}/readyz`)).json()) as {
      readonly gateway: { readonly workers: number };
    };
    assert.equal(ready.gateway.workers, 2);
    const answers = await Promise.all(Array.from({ length: 24 }, () => caller.fetch(invoice())));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    // A crossing is counted when it has ended, which its caller may see a moment earlier.
    await until("all of them to be counted", async () => {
      const metrics = await (await fetch(`${statusUrl}/metrics`)).text();
      return /^sallyport_crossings_total\{code="ok",outcome="success"\} 24$/m.test(metrics);
    });
  },
);

test("why finds a crossing whichever worker it went through, and a suspension holds in both", bounded, async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => caller.fetch(invoice())));
  const operator = ["--operator", join(data(), "control", "operator.key.json")];
  for (const { headers } of answers.slice(0, 3)) {
    const { exit, out } = await runBinary(["why", headers.get("sallyport-crossing") ?? "", ...operator]);
    assert.equal(exit, 0, out);
  }
  const before = installation.upstreamRequests;
  assert.equal(
    (await runBinary(["integration", "suspend", "orders-to-billing", "--reason", "a test", ...operator])).exit,
    0,
  );
  await until("everything is refused", async () => {
    const all = await Promise.all(Array.from({ length: 16 }, () => caller.fetch(invoice())));
    return all.every(({ status }) => status === 403);
  });
  const after = installation.upstreamRequests;
  await Promise.all(Array.from({ length: 32 }, () => caller.fetch(invoice())));
  assert.equal(installation.upstreamRequests, after, `the provider's own count, ${before} before`);
});

test("it drains and ends with exit 0, and its log verifies", bounded, async () => {
  const { exit, output } = await all.signal("SIGTERM");
  assert.equal(exit, 0, output);
  const verified = await runBinary(["audit", "verify", join(data(), "gateway", "log")]);
  assert.equal(verified.exit, 0, verified.out + verified.err);
});
