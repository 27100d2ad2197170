// Promises that a system with live callers joins by one file, observed before it is enforced, that what would be denied is told with what mends it,
// and that the whole installation can be saved while it serves. Trusts the binary's command line (docs/cli.md) and docs/observe.md, docs/backup.md.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { call } from "./call.ts";
import type { Ended } from "./processes.ts";
import { type Service, startWarehouse } from "./services.ts";
import type { Telling } from "./telling.ts";

const observedDays = 30;
/** A snapshot comes within a moment; where the machine is busy it may be long. */
const snapshotPollMs = 10;
const snapshotPollsMax = 3_000;

/** warehouse.yaml, as its owner writes it on the first day. */
function declaration(origin: string, until: string): string {
  return `# Stock, older than the gateway: its callers bring a key of their own. Decided and recorded, not enforced yet.
system: warehouse
owner: team:shop
mode: observe
until: ${until}
reason: its callers move one by one
passthrough: { until: ${until}, reason: not every operation is declared yet }
operations:
  stock.read: GET /v1/stock/{item}
environments:
  production: { url: "${origin}", allowPrivate: true }
`;
}

export async function tellJoined(telling: Telling): Promise<void> {
  const { market, story, planted } = telling;
  story.chapter("A system with live callers joins");
  const key = planted.crossing("the warehouse's own API key");
  const warehouse = await startWarehouse(key);
  try {
    await tellOneFile(telling, warehouse);
    await tellObserved(telling, warehouse, key);
    await tellQuestions(telling);
  } finally {
    planted.seenElsewhere += warehouse.saw();
    await warehouse.close();
  }
  await tellBackup({ market, story });
}

const operatorOf = (market: Telling["market"]) => ["--json", "--operator", market.operatorKeyFile];
/** What a command printed with --json. */
const printed = <T>({ stdout }: Ended): T => JSON.parse(stdout);

async function tellOneFile({ market, story }: Telling, warehouse: Service): Promise<void> {
  const estate = join(market.root, "estate");
  const until = new Date(Date.now() + observedDays * 86_400_000).toISOString().slice(0, 10);
  writeFileSync(join(estate, "systems", "warehouse.yaml"), declaration(warehouse.origin, until));
  const command = (name: string) => market.processes.run(name, [...operatorOf(market), name, estate]);
  await story.check("one file is added: check, plan, apply, and a second plan is empty", async (expect) => {
    const check = await market.processes.run("check", ["--json", "check", estate]);
    expect.equal("exit of check", check.code, 0);
    const plan = await command("plan");
    expect.equal("exit of plan: something would change", plan.code, 1);
    expect.ok("plan names the system", plan.stdout.includes("system/warehouse"), plan.stdout.slice(0, 200));
    expect.equal("exit of apply", (await command("apply")).code, 0);
    expect.equal("exit of the second plan", (await command("plan")).code, 0);
    return undefined;
  });
}

async function tellObserved({ market, story }: Telling, warehouse: Service, key: string): Promise<void> {
  const ask = (path: string) =>
    call(`${market.urls.production}/warehouse${path}`, {
      headers: { authorization: `ApiKey ${key}` },
      tls: { ca: market.roots.production.pem },
    });
  const observed = async (caption: string, path: string, mode: string) => {
    await story.check(caption, async (expect) => {
      const before = warehouse.reached();
      let reply = await ask(path);
      // The new snapshot reaches the gateway within a moment of the apply.
      for (let poll = 0; poll < snapshotPollsMax && reply.status === 401; poll += 1) {
        await delay(snapshotPollMs);
        reply = await ask(path);
      }
      expect.equal("status", reply.status, 200);
      expect.equal("requests that reached warehouse", warehouse.reached() - before, 1);
      expect.equal("identity sent for nobody", warehouse.last()?.headers["sallyport-identity"], undefined);
      const { leaves } = await market.operator.crossing(reply.id);
      const decided = leaves.find((leaf) => "verdict" in leaf) ?? {};
      expect.equal("record", [decided["mode"], decided["verdict"], decided["code"]], [mode, "deny", "api-key-unknown"]);
      return "passes with its own key; recorded as a denial";
    });
  };
  await observed("an old client reads stock", "/v1/stock/apples", "observe");
  await observed("and calls what nobody declared yet", "/v1/bins/17", "passthrough");
  await story.check("a forged identity does not pass, observed or not", async (expect) => {
    await call(`${market.urls.production}/warehouse/v1/stock/apples`, {
      headers: { authorization: `ApiKey ${key}`, "sallyport-identity": "forged", "x-forwarded-user": "root" },
      tls: { ca: market.roots.production.pem },
    });
    const headers = warehouse.last()?.headers ?? {};
    expect.equal(
      "what warehouse was told",
      [headers["sallyport-identity"], headers["x-forwarded-user"]],
      [undefined, undefined],
    );
    return undefined;
  });
}

async function tellQuestions({ market, story }: Telling): Promise<void> {
  await story.check(
    "sallyport observe: what enforcement would have denied, with the YAML that mends it",
    async (expect) => {
      const report = await market.processes.run("observe", [...operatorOf(market), "observe", "--system", "warehouse"]);
      expect.equal("exit: it is not ready to be enforced", report.code, 1);
      expect.ok(
        "it proposes the undeclared operation",
        report.stdout.includes("/v1/bins/{id}"),
        report.stdout.slice(0, 400),
      );
      return undefined;
    },
  );
  await story.check("sallyport why, without a crossing: the nearest grant, and the line to write", async (expect) => {
    const asked = await market.processes.run("why", [
      ...operatorOf(market),
      "why",
      "--from",
      "orders",
      "--op",
      "billing:report.read",
    ]);
    expect.equal("exit: it would be denied", asked.code, 1);
    const answer = printed<Readonly<Record<string, unknown>>>(asked);
    expect.ok(
      "it names code and file",
      /not-granted/.test(asked.stdout) && /systems\/orders\.yaml:\d+/.test(asked.stdout),
      JSON.stringify(answer).slice(0, 300),
    );
    return undefined;
  });
  await story.check("the estate's own policy tests hold", async (expect) => {
    const tested = await market.processes.run("policy test", ["--json", "policy", "test", join(market.root, "estate")]);
    expect.equal("exit", tested.code, 0);
    return undefined;
  });
}

async function tellBackup({ market, story }: Pick<Telling, "market" | "story">): Promise<void> {
  const elsewhere = join(market.root, "elsewhere");
  const [keyFile, backup] = [join(elsewhere, "backup.key"), join(elsewhere, "control.sallyport")];
  await story.check("control is saved while it serves, encrypted, and the backup can be restored", async (expect) => {
    const run = (name: string, args: readonly string[]) => market.processes.run(name, ["--json", "backup", ...args]);
    const made = await run("backup key", ["key", "new", "--out", keyFile]);
    const { recipient } = printed<{ readonly recipient: string }>(made);
    const created = await run("backup create", [
      "create",
      "--data",
      market.directories.control,
      "--out",
      backup,
      "--to",
      recipient,
    ]);
    expect.equal("exit of create", created.code, 0);
    const verified = await run("backup verify", ["verify", backup, "--key", keyFile]);
    expect.equal("exit of verify", verified.code, 0);
    return undefined;
  });
}
