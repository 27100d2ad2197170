// A policy in shadow over real processes: nobody loses access, and operators see who would.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const today = new Date().toISOString().slice(0, 10);
const cedar = (mark: string) =>
  `@id("not-by-orders") ${mark}\nforbid(principal in System::"orders", action == Action::"billing:invoice.read", resource);\n`;

let installation: Installation;
before(async () => {
  installation = await Installation.open();
  installation.writeEstate({ "policies/rules.cedar": cedar(`@shadow("${today}")`) });
  await installation.startControl();
  await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation?.close());

const run = (...args: string[]) => runBinary(["--operator", installation.operatorKey, ...args], { HOME: "/" });
const status = async (id: string) => (await installation.caller().fetch(`/billing/v1/invoices/${id}`)).status;

interface Report {
  readonly shadows: readonly {
    readonly policy: string;
    readonly would: string;
    readonly caller: string;
    readonly count: number;
    readonly examples: readonly string[];
  }[];
}

test(
  "attack: it enforces nothing; observe lists whose access it would take, and why shows it of one crossing",
  bounded,
  async () => {
    assert.deepEqual([await status("in-1"), await status("in-2")], [200, 200]);
    const { out } = await run("observe", "--json");
    const { shadows }: Report = JSON.parse(out);
    assert.deepEqual(
      shadows.map(({ policy, would, caller, count }) => [policy, would, caller, count]),
      [["not-by-orders", "deny", "orders", 2]],
    );
    assert.match(
      (await run("observe")).out,
      /^2 × billing:invoice\.read by orders: would lose access by not-by-orders; /m,
    );
    const why = await run("why", shadows[0]?.examples[0] ?? "");
    assert.equal(why.exit, 0, "it was allowed");
    assert.match(why.out, /^shadow +not-by-orders would have denied it$/m);
    assert.match(why.out, /^policy +not-by-orders \(policies\/rules\.cedar:1\) read no attribute$/m);
  },
);

test("a question is answered with what it would do", bounded, async () => {
  const { exit, out } = await run("why", "--from", "orders", "--op", "billing:invoice.read");
  assert.equal(exit, 0, out);
  assert.match(out, /in shadow not-by-orders would deny/);
});

test("with its mark removed it is enforced", bounded, async () => {
  const files = installation.files({ "policies/rules.cedar": cedar("") });
  const applied = await installation
    .operator()
    .call<{ findings: readonly object[] }>("POST", "/v1/estate/apply", { files });
  assert.deepEqual(applied.findings, []);
  await until("the new snapshot", async () => (await status("in-3")) === 403);
});
