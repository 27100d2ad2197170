// A candidate estate over what real gateways recorded: the policies in force change nothing, another set says exactly whose access it would change.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import type { ReplayReport } from "@sallyport/control/replay/replay-report.ts";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const forbid = (condition: string) =>
  `@id("region") forbid(principal, action == Action::"billing:invoice.read", resource) when { ${condition} };\n`;

let installation: Installation;
let billing: string;
before(async () => {
  installation = await Installation.open();
  billing = (installation.files()["systems/billing.yaml"] ?? "").replace(
    "  invoice.read: GET /v1/invoices/{id}\n",
    '  invoice.read:\n    match: GET /v1/invoices/{id}\n    attributes: { region: "query:region" }\n',
  );
  const grant = installation.files()["integrations/orders-to-billing.yaml"] ?? "";
  installation.writeEstate({
    "systems/billing.yaml": billing,
    "integrations/orders-to-billing.yaml": `${grant}  invoice.create:\n`,
    "policies/rules.cedar": forbid('resource.region == "us"'),
  });
  await installation.startControl();
  await installation.startGateway();
  installation.trustRoots();
  const caller = installation.caller();
  const read = async (region: string) => (await caller.fetch(`/billing/v1/invoices/in-1?region=${region}`)).status;
  for (const [region, status] of [
    ["eu", 200],
    ["us", 403],
    ["eu", 200],
    ["us", 403],
    ["eu", 200],
  ] as const)
    assert.equal(await read(region), status);
  const post = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
  assert.equal((await caller.fetch("/billing/v1/invoices", post)).status, 200);
  // The six that policies decided on: what was denied before, for want of a nonce, is a record too.
  await until("the records are in the archive", async () => (await replay(installation.estate)).report.same === 6);
}, bounded);
after(() => installation?.close());

async function replay(directory: string, ...more: string[]) {
  const { exit, out, err } = await runBinary(
    ["--operator", installation.operatorKey, "--json", "policy", "replay", directory, ...more],
    { HOME: "/" },
  );
  const report: ReplayReport = out === "" ? assert.fail(err) : JSON.parse(out);
  return { exit, report, err };
}

/** The estate with other policies, in a folder of its own. */
function candidate(name: string, changes: Readonly<Record<string, string>>): string {
  const directory = join(installation.root, name);
  const grant = `${installation.files()["integrations/orders-to-billing.yaml"]}  invoice.create:\n`;
  const files = installation.files({
    "systems/billing.yaml": billing,
    "integrations/orders-to-billing.yaml": grant,
    "policies/rules.cedar": forbid('resource.region == "us"'),
    ...changes,
  });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

/** Denials before any policy: a client's first request has no nonce yet. */
const early = ({ undecided }: ReplayReport) =>
  undecided.reduce((sum, { why, count }) => (why.startsWith("it was denied before") ? sum + count : sum), 0);

test(
  "the policies in force, replayed over a real log, change nothing, and every decision is taken again",
  bounded,
  async () => {
    const { exit, report } = await replay(installation.estate, "--fail-undecided");
    assert.equal(exit, 0, JSON.stringify(report));
    assert.deepEqual([report.same, report.loses, report.gains, report.groups], [6, 0, 0, []]);
    assert.equal(report.records, 6 + early(report));
    assert.deepEqual((await replay(installation.estate)).report, report, "and again");
  },
);

test("another set says who would lose and gain, how often, when, for example where, and why", bounded, async () => {
  const { exit, report } = await replay(
    candidate("other", { "policies/rules.cedar": forbid('resource.region == "eu"') }),
  );
  assert.equal(exit, 1);
  assert.deepEqual([report.same, report.loses, report.gains], [1, 3, 2]);
  assert.deepEqual(
    report.groups.map(({ caller, operation, environment, change, count, why }) => [
      caller,
      operation,
      environment,
      change,
      count,
      why,
    ]),
    [
      ["orders", "billing:invoice.read", "production", "loses", 3, "region"],
      ["orders", "billing:invoice.read", "production", "gains", 2, "grant:orders-to-billing"],
    ],
  );
  const [loses] = report.groups;
  assert.ok(loses !== undefined && loses.firstMs <= loses.lastMs);
  const why = await runBinary(["--operator", installation.operatorKey, "why", loses.example], { HOME: "/" });
  assert.match(why.out, /^verdict +allow$/m, "the example is one that was allowed");
  const shown = await runBinary(
    ["--operator", installation.operatorKey, "policy", "replay", join(installation.root, "other")],
    { HOME: "/" },
  );
  assert.match(shown.out, /1 as they were, 3 would lose access, 2 would gain it/);
});

test("a grant that is taken away is access that is lost", bounded, async () => {
  const { report } = await replay(
    candidate("less", {
      "integrations/orders-to-billing.yaml": installation.files()["integrations/orders-to-billing.yaml"] ?? "",
    }),
  );
  assert.deepEqual(
    report.groups.map(({ operation, change, count, why }) => [operation, change, count, why]),
    [["billing:invoice.create", "loses", 1, "orders-to-billing does not grant it"]],
  );
});

test("attack: what the record does not hold is counted and named, never guessed", bounded, async () => {
  const country = await replay(
    candidate("country", { "policies/rules.cedar": forbid('context has country && context.country == "US"') }),
    "--fail-undecided",
  );
  assert.equal(country.exit, 1);
  assert.deepEqual([country.report.loses, country.report.gains, country.report.same], [0, 0, 1]);
  assert.ok(
    country.report.undecided.some(({ why, count }) => why === "the record does not say context.country" && count === 5),
  );
  const renamed = billing.replace("{ region:", "{ area:");
  const gone = await replay(
    candidate("renamed", { "systems/billing.yaml": renamed, "policies/rules.cedar": forbid('resource.area == "us"') }),
  );
  assert.ok(
    gone.report.undecided.some(({ why, count }) => why === "the record does not say resource.area" && count === 5),
  );
  const retyped = billing.replace('{ region: "query:region" }', '{ region: { from: "query:region", type: long } }');
  const wrong = await replay(
    candidate("retyped", { "systems/billing.yaml": retyped, "policies/rules.cedar": forbid("resource.region == 1") }),
  );
  assert.ok(
    wrong.report.undecided.some(({ why, count }) => /does not fit: resource\.region/.test(why) && count === 5),
    JSON.stringify(wrong.report.undecided),
  );
});

test("attack: policies that cannot be read deny, as at a gateway, and it is said why", bounded, async () => {
  const { exit, report, err } = await replay(candidate("broken", { "policies/rules.cedar": "forbid (" }));
  assert.equal(exit, 1);
  assert.equal(report.loses, 4);
  assert.match(err, /policies\/rules\.cedar:1/);
});

test("period and integration narrow it", bounded, async () => {
  assert.equal((await replay(installation.estate, "--until", "2026-01-01")).report.records, 0);
  assert.equal(
    (await replay(installation.estate, "--since", "1h", "--integration", "orders-to-billing")).report.same,
    6,
  );
  assert.equal((await replay(installation.estate, "--integration", "someone-else")).report.records, 0);
  assert.equal((await replay(installation.estate, "--environment", "staging")).report.records, 0);
});

test(
  "over a log directory alone, what its leaves say in clear is decided, and the rest is counted as sealed",
  bounded,
  async () => {
    const log = join(installation.data("gateway"), "log");
    const { report } = await replay(installation.estate, "--log", log);
    assert.deepEqual([report.same, report.loses, report.gains], [1, 0, 0], JSON.stringify(report));
    assert.ok(
      report.undecided.some(
        ({ why, count }) =>
          why === "the record does not say resource.region, and its sealed inputs are not at hand" && count === 5,
      ),
    );
    const proof = await replay(
      candidate("proof", { "policies/rules.cedar": forbid('context.proof == "dpop"') }),
      "--log",
      log,
    );
    assert.deepEqual([proof.report.loses, proof.report.gains, proof.report.same], [3, 0, 3]);
  },
);

test("a replay is on record: who asked, how many files and which period", bounded, async () => {
  await replay(installation.estate, "--since", "1h");
  const { hits } = await installation
    .operator()
    .call<{ hits: readonly { readonly leaf: string }[] }>("POST", "/v1/audit/records", {
      where: { action: ["policy.replay"] },
    });
  assert.ok(hits.length >= 1);
});
