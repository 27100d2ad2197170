// Promises the marketplace on one machine and the story of what passes and what does not; ends non-zero when a single step is not as promised.
// Trusts marketplace.ts for the processes and the chapters for the story. Specified in docs/demo.md. `npm run demo -- --help` for the options.
import { parseArgs } from "node:util";
import { tellAllowed } from "./chapter-allowed.ts";
import { tellControlBack, tellControlKilled, tellStale } from "./chapter-away.ts";
import { tellForged } from "./chapter-forged.ts";
import { tellLog } from "./chapter-log.ts";
import { tellRefused, tellSpoofed } from "./chapter-refused.ts";
import { readManifest, tellSnapshots } from "./chapter-snapshots.ts";
import { tellSuspended } from "./chapter-suspended.ts";
import { tellCanary, tellWalls } from "./chapter-walls.ts";
import { type Marketplace, startMarketplace } from "./marketplace.ts";
import { Planted } from "./planted.ts";
import { Processes } from "./processes.ts";
import { Story } from "./story.ts";
import { prepareTelling, type Telling } from "./telling.ts";

const usage = `npm run demo              the story, then everything stays up until Ctrl-C
npm run demo -- --once    the story, then the end
npm run demo -- --json    one JSON summary on standard output at the end, the story on standard error
`;

async function tell(telling: Telling): Promise<void> {
  const first = readManifest(telling.market.directories.production);
  await tellAllowed(telling);
  await tellRefused(telling);
  await tellForged(telling);
  await tellSpoofed(telling);
  await tellSuspended(telling);
  const killedMs = await tellControlKilled(telling);
  await tellSnapshots(telling, first);
  await tellStale(telling, killedMs);
  await tellControlBack(telling);
  await tellLog(telling);
  await tellWalls(telling);
  await tellCanary(telling);
}

/** Runs the demo; returns the exit code: 0 as promised, 1 not, 2 bad use, 3 it could not be started. */
async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { once: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const startedMs = performance.now();
  const print = (line: string) => (values.json === true ? process.stderr : process.stdout).write(`${line}\n`);
  const processes = new Processes();
  const ended = whenInterrupted(processes);
  print("Sallyport: the marketplace. Control, a production and a staging gateway, six services, all on 127.0.0.1 ...");
  const market = await startMarketplace(processes);
  try {
    const story = new Story({ record: (id) => market.operator.record(id), print, now: () => performance.now() });
    const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(1);
    print(`up in ${seconds()} s\n\n    verdict status code        stopped at   latency`);
    const telling = await prepareTelling({ market, story, planted: plantKeys(market) });
    await Promise.race([tell(telling), ended]);
    const { broken, lines } = story;
    print(`\n${lines.length} steps, ${broken === 0 ? "all as promised" : `${broken} NOT as promised`}, ${seconds()} s`);
    if (values.json === true)
      process.stdout.write(`${JSON.stringify({ ok: broken === 0, seconds: Number(seconds()), steps: lines })}\n`);
    if (values.once !== true) {
      print(invitation(telling));
      await ended;
    }
    return broken === 0 ? 0 : 1;
  } finally {
    await market.close();
  }
}

/** Private keys that exist before the story: each may stand in one place at most. */
function plantKeys(market: Marketplace): Planted {
  const planted = new Planted();
  for (const [environment, { clients }] of Object.entries(market.workloads)) {
    for (const [client, { pem }] of Object.entries(clients))
      planted.remember(`the private key of ${client} in ${environment}`, pem.split("\n")[1]?.slice(-24) ?? "");
  }
  return planted;
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

/** Resolves at the first signal; a second one ends this process at once. No child outlives it either way. */
function whenInterrupted(processes: Processes): Promise<void> {
  process.on("exit", () => processes.killAll());
  return new Promise((resolve) => {
    let signals = 0;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        signals += 1;
        if (signals > 1) process.exit(1);
        resolve();
      });
    }
  });
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`the demo could not go on: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 3;
  }
}
