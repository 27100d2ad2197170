// Promises the marketplace on one machine and the story of what passes and what does not; ends non-zero when a single step is not as promised.
// Trusts marketplace.ts for the processes and the chapters for the story. Specified in docs/demo.md. `npm run demo -- --help` for the options.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { tellAllowed } from "./chapter-allowed.ts";
import { tellAnswers } from "./chapter-answers.ts";
import { tellControlBack, tellControlKilled, tellStale } from "./chapter-away.ts";
import { tellCourier } from "./chapter-courier.ts";
import { tellForged } from "./chapter-forged.ts";
import { tellJoined } from "./chapter-joined.ts";
import { tellLog } from "./chapter-log.ts";
import { tellPeople } from "./chapter-people.ts";
import { tellRecords } from "./chapter-records.ts";
import { tellRefused, tellSpoofed } from "./chapter-refused.ts";
import { readManifest, tellSnapshots } from "./chapter-snapshots.ts";
import { tellSuspended } from "./chapter-suspended.ts";
import { tellCanary, tellWalls } from "./chapter-walls.ts";
import { type Marketplace, startMarketplace } from "./marketplace.ts";
import { Planted } from "./planted.ts";
import { Processes } from "./processes.ts";
import { heading, Story } from "./story.ts";
import { prepareTelling, type Telling } from "./telling.ts";

const usage = `npm run demo              the story, then everything stays up until Ctrl-C
npm run demo -- --once    the story, then the end
npm run demo -- --json    one JSON summary on standard output at the end, the story on standard error
`;

async function tell(telling: Telling): Promise<"told"> {
  const { market, story } = telling;
  const first = readManifest(market.directories.production);
  await story.attempt(() => tellAllowed(telling));
  await story.attempt(() => tellPeople(telling));
  await story.attempt(() => tellRefused(telling));
  await story.attempt(() => tellAnswers(telling));
  await story.attempt(() => tellCourier(telling));
  let stolen = "";
  await story.attempt(async () => {
    stolen = await tellForged(telling);
  });
  await story.attempt(() => tellSpoofed(telling));
  await story.attempt(() => tellSuspended(telling));
  await story.attempt(async () => {
    const killedMs = await tellControlKilled(telling);
    await tellSnapshots(telling, first);
    await tellStale(telling, killedMs);
  });
  await story.attempt(() => tellControlBack(telling));
  await story.attempt(() => tellJoined(telling));
  await story.attempt(() => tellLog(telling));
  await story.attempt(() => tellRecords(telling, stolen));
  await story.attempt(() => tellWalls(telling));
  await story.attempt(() => tellCanary(telling));
  return "told";
}

function readOptions(args: readonly string[]) {
  try {
    const options = { once: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean" } } as const;
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : "unknown option"}\n\n${usage}`);
    return null;
  }
}

/** Runs the demo; returns the exit code: 0 as promised, 1 not, 2 bad use, 3 it could not be started. */
async function main(args: readonly string[]): Promise<number> {
  const values = readOptions(args);
  if (values === null) return 2;
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const print = (line: string) => (values.json === true ? process.stderr : process.stdout).write(`${line}\n`);
  const processes = new Processes();
  const interrupted = whenInterrupted(processes);
  const startedMs = performance.now();
  print("Sallyport: the marketplace. Control, a production and a staging gateway, six services, all on 127.0.0.1 ...");
  const market = await startMarketplace(processes);
  try {
    const story = new Story({ record: (id) => market.operator.record(id), print, now: () => performance.now() });
    const seconds = () => Number(((performance.now() - startedMs) / 1000).toFixed(1));
    print(`up in ${seconds()} s\n\n${heading}`);
    const telling = await prepareTelling({ market, story, planted: plantSecrets(market) });
    const end = await Promise.race([tell(telling), aborted(interrupted)]);
    story.end();
    const { broken, lines } = story;
    const ok = broken === 0 && end === "told";
    const verdict = end === "interrupted" ? "interrupted" : ok ? "all as promised" : `${broken} NOT as promised`;
    print(`\n${lines.length} steps, ${verdict}, ${seconds()} s`);
    for (const { chapter, caption, problems } of lines) {
      for (const problem of problems) print(`  ✗ ${chapter}: ${caption}: ${problem}`);
    }
    if (values.json === true) process.stdout.write(`${JSON.stringify({ ok, seconds: seconds(), steps: lines })}\n`);
    if (values.once !== true && end === "told") {
      print(invitation(telling));
      await aborted(interrupted);
    }
    return ok ? 0 : 1;
  } finally {
    await market.close();
  }
}

/** Secrets that exist before the story, each held by one process; the operator's key has its file in control's directory. */
function plantSecrets(market: Marketplace): Planted {
  const planted = new Planted();
  for (const environment of ["production", "staging"] as const) {
    const { clients, analytics, courier } = market.workloads[environment];
    const courierPem = courier.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    planted.privateKey(`the private key of the carrier in ${environment}`, courierPem);
    for (const [client, { pem }] of Object.entries(clients))
      planted.privateKey(`the private key of ${client} in ${environment}`, pem);
    planted.privateKey(`the private key of analytics in ${environment}`, analytics.key);
    planted.remember(
      `the join token of ${environment}`,
      joinSecret(readFileSync(market.joinFiles[environment], "utf8")),
    );
  }
  const operatorKey = "the operator's private key";
  // The key file, version 1 (docs/identity.md "Operators").
  const { jwk } = JSON.parse(readFileSync(market.operatorKeyFile, "utf8")) as { readonly jwk: Record<string, unknown> };
  planted.privateKey(operatorKey, jwk);
  planted.except({
    what: operatorKey,
    place: /^control\/operator\.key\.json$/,
    reason: "it is the operator's key file, mode 0600, to be moved to wherever the operator is",
  });
  return planted;
}

/** The secret inside `spj1_…` (docs/formats/join.md). */
function joinSecret(token: string): string {
  const text = Buffer.from(token.trim().slice("spj1_".length), "base64url").toString("utf8");
  return String((JSON.parse(text) as { readonly secret: unknown }).secret);
}

function invitation({ market, analytics }: Telling): string {
  const { production, staging, identity, admin } = market.urls;
  return [
    "",
    "It stays up; Ctrl-C ends it. Try:",
    `  ${analytics.command("/billing/v1/reports/eu")}`,
    `  ${analytics.command("/billing/v1/reports/us")}      # denied: another region`,
    `  npm run sallyport -- --operator ${market.operatorKeyFile} status`,
    `  npm run sallyport -- --operator ${market.operatorKeyFile} why <Sallyport-Crossing>`,
    "",
    `  production ${production}   staging ${staging}   identity ${identity}   admin ${admin}`,
    `  data ${market.root}`,
  ].join("\n");
}

/** One Ctrl-C may arrive twice: from the terminal, and handed on by npm. */
const sameSignalMs = 1_000;

/** Aborts at the first signal; another one a second later ends this process at once. No child outlives it either way. */
function whenInterrupted(processes: Processes): AbortSignal {
  const controller = new AbortController();
  let firstMs: number | null = null;
  process.on("exit", () => processes.killAll());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (firstMs !== null && performance.now() - firstMs > sameSignalMs) process.exit(1);
      firstMs ??= performance.now();
      controller.abort();
    });
  }
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<"interrupted"> {
  if (signal.aborted) return Promise.resolve("interrupted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("interrupted"), { once: true }));
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`the demo could not go on: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 3;
  }
}
