// From live flows to enforcement, in real processes: observe and passthrough, the report, what it proposes pasted, and then nothing passes undecided.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Installation, type Served, tinyGrant, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const end = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
const words = `mode: observe\nuntil: ${end}\nreason: forty live flows\npassthrough: { until: ${end}, reason: not all declared }\n`;

let installation: Installation;
let control: Served;
let gateway: Served;
let declared: string;

before(async () => {
  installation = await Installation.open();
  declared = installation.files()["systems/billing.yaml"] ?? "";
  installation.writeEstate({ "systems/billing.yaml": declared + words });
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation?.close());

const origin = () => `https://127.0.0.1:${installation.ports.gateway}`;

interface Report {
  readonly nodes: readonly { readonly sinceMs: number | null }[];
  readonly systems: readonly {
    readonly system: string;
    readonly ready: boolean;
    readonly why: string;
    readonly wouldDeny: number;
    readonly allowed: number;
  }[];
  readonly groups: readonly {
    readonly operation: string;
    readonly caller: string | null;
    readonly code: string;
    readonly count: number;
    readonly examples: readonly string[];
    readonly shapes: readonly string[];
    readonly fix: { readonly says: string; readonly file?: string; readonly yaml?: string };
  }[];
}

const observe = (...more: string[]) =>
  runBinary(["--operator", installation.operatorKey, "observe", ...more], { HOME: "/" });
const report = () => installation.operator().call<Report>("POST", "/v1/observed", { sinceMs: Date.now() - 86_400_000 });
const groupOf = ({ groups }: Report, operation: string, code: string) =>
  groups.find((one) => one.operation === operation && one.code === code) ?? assert.fail(JSON.stringify(groups));

test("every start says what is not enforced, until when, on control and on the gateway", bounded, async () => {
  const said = (served: Served, text: string) => served.line((line) => JSON.stringify(line).includes(text));
  await said(control, `nothing is enforced here until ${end}`);
  await said(control, `requests that match no operation pass, from anybody, until ${end}`);
  await said(gateway, "not enforced: what would be denied is recorded and passes");
});

test(
  "flows as they are reach the provider, and the report says what enforcement would deny, by whom, why, and what mends it",
  bounded,
  async () => {
    const caller = installation.caller();
    assert.equal((await caller.fetch("/billing/v1/invoices/in-1")).status, 200);
    for (let i = 0; i < 3; i++) {
      const post = await caller.fetch("/billing/v1/invoices", {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json" },
      });
      assert.equal(post.status, 200);
    }
    const basic = { authorization: "Basic bGVnYWN5OnB3" };
    assert.equal((await fetch(`${origin()}/billing/v1/invoices/in-2`, { headers: basic })).status, 200);
    for (const id of [17, 18, 19])
      assert.equal((await fetch(`${origin()}/billing/v1/customers/${id}?x=1`, { headers: basic })).status, 200);
    assert.equal((await fetch(`${origin()}/billing/v1/customers`, { method: "POST", body: "x=1" })).status, 200);
    const { exit, out } = await observe("--json");
    assert.equal(exit, 1);
    const seen: Report = JSON.parse(out);
    const granted = groupOf(seen, "billing:invoice.create", "not-granted");
    assert.deepEqual([granted.caller, granted.count], ["orders", 3]);
    assert.match(
      granted.fix.says,
      /^add to the `operations` of orders-to-billing at integrations\/orders-to-billing\.yaml:\d+: invoice\.create$/,
    );
    const stranger = groupOf(seen, "billing:invoice.read", "credentials-malformed");
    assert.deepEqual([stranger.caller, stranger.count], [null, 1]);
    assert.match(stranger.fix.says, /credentials of another scheme/);
    const undeclared = groupOf(seen, "billing:(undeclared)", "credentials-malformed");
    assert.deepEqual([undeclared.count, undeclared.shapes], [3, ["GET /v1/customers/{id}"]]);
    assert.equal(
      undeclared.fix.yaml,
      "  customers.read: GET /v1/customers/{id}\n  customers.create: POST /v1/customers",
    );
    const [billing] = seen.systems;
    assert.deepEqual([billing?.system, billing?.ready, billing?.wouldDeny], ["billing", false, 8]);
    assert.ok((billing?.allowed ?? 0) >= 1);
    const shown = await observe();
    assert.equal(shown.exit, 1);
    assert.match(shown.out, /3 × billing:invoice\.create by orders: not-granted \(bind\)/);
    assert.match(shown.out, /billing .* no .*8 crossings would be denied/);
    assert.match(shown.out, /^mended\? .*sallyport observe --since 15m$/m);
    assert.doesNotMatch(shown.out, /dpop-nonce/, "callers answer it by themselves: nobody has to mend it");
  },
);

test(
  "why says of an observed crossing that it was let pass, under which word and what would have been denied",
  bounded,
  async () => {
    const seen = await report();
    const [id = ""] = groupOf(seen, "billing:invoice.create", "not-granted").examples;
    const { exit, out } = await runBinary(["--operator", installation.operatorKey, "why", id]);
    assert.equal(exit, 1, "the answer is no: enforcement would have denied it");
    assert.match(
      out,
      /^verdict +deny: observed, not enforced; enforcement would have ended it at bind with not-granted$/m,
    );
    assert.match(out, /^outcome +success, status 200/m);
    assert.match(out, new RegExp(`until +${new Date(Date.parse(end) + 86_400_000).toISOString().slice(0, 10)}`));
  },
);

test("the counts outlive a restart of the gateway", bounded, async () => {
  await gateway.signal("SIGTERM");
  gateway = await installation.startGateway();
  const isBack = async () => (await report()).nodes.every(({ sinceMs }) => sinceMs !== null);
  await until("the gateway is back on the channel", isBack);
  assert.equal(groupOf(await report(), "billing:invoice.create", "not-granted").count, 3);
});

test(
  "with the proposals pasted and the words removed, what was declared is enforced and nothing passes undeclared",
  bounded,
  async () => {
    const yaml = groupOf(await report(), "billing:(undeclared)", "credentials-malformed").fix.yaml ?? "";
    const grant = `${tinyGrant("10s")}  invoice.create:\n  customers.read:\n`;
    const files = installation.files({
      "systems/billing.yaml": `${declared}${yaml}\n`,
      "integrations/orders-to-billing.yaml": grant,
    });
    const applied = await installation
      .operator()
      .call<{ findings: readonly object[] }>("POST", "/v1/estate/apply", { files });
    assert.deepEqual(applied.findings, []);
    const caller = installation.caller();
    await until(
      "the enforcing snapshot",
      async () => (await fetch(`${origin()}/billing/v1/invoices/in-2`)).status === 401,
    );
    const before = installation.upstreamRequests;
    assert.equal((await caller.fetch("/billing/v1/customers/17")).status, 200);
    const post = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
    assert.equal((await caller.fetch("/billing/v1/invoices", post)).status, 200);
    assert.equal(installation.upstreamRequests, before + 2);
    assert.equal((await fetch(`${origin()}/billing/v1/customers/17`)).status, 401);
    assert.equal((await caller.fetch("/billing/v1/other")).status, 404);
    const shown = await observe();
    assert.match(shown.out, /billing .* yes .*enforced now; this was seen before$/m);
    assert.match(shown.out, /systems\/billing\.yaml declares it by now/);
    assert.equal(shown.exit, 0);
    assert.equal(installation.upstreamRequests, before + 2);
  },
);

test("a node that is away is said, and its system is not called ready", bounded, async () => {
  await gateway.signal("SIGKILL");
  await until("control has noticed", async () => {
    const nodes = await installation.operator().call<{ connected: boolean }[]>("GET", "/v1/gateways");
    return nodes.every(({ connected }) => !connected);
  });
  const shown = await observe();
  assert.match(shown.out, /^gateway gw-[0-9a-f]+: away, what it saw is missing here$/m);
});
