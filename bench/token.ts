// `npm run bench -- token`: promises what our token endpoint gives beside a stock oidc-provider with its memory adapter: the same requests
// (client_credentials, private_key_jwt, DPoP, TLS), in turns, each on the same core. Ours is the whole control plane, with SQLite and its log.
// Trusts neither's own count. Specified in RESULTS.md.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { testCertificate } from "@sallyport/control/identity/certificates.test-support.ts";
import { Installation } from "sallyport/installation.test-support.ts";
import { median, rounded } from "./figures.ts";
import { canPin, type RunningProcess, startProcess } from "./gateway/process.ts";
import { describeMachine } from "./machine.ts";
import { threadTimes, usPerPiece } from "./threads.ts";
import type { TokenResult, TokenWindow } from "./token/load.ts";

const usage = `usage: npm run bench -- token [--quick] [--enforce]

  --quick    short windows: ends within 45 s (default: about two minutes)
  --enforce  exit 1 when ours is below 0.8 of stock
`;
const floor = 0.8;
const connections = 32;

interface Side {
  readonly pid: number;
  readonly issuer: string;
  readonly ca: string;
}

async function startStock(pinned: boolean, client: Readonly<Record<string, string>>) {
  const stock = startProcess(resolve(import.meta.dirname, "token/stock.ts"), { core: pinned ? 0 : null });
  const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
  const port = await stock.ask<number>({ ask: "start", tls, client, signer });
  return { stock, side: { pid: stock.pid, issuer: `https://127.0.0.1:${port}`, ca: tls.cert } };
}

interface Row extends TokenResult {
  /** Microseconds of processor time for each token, by kind of thread. What is signed before a window's clock starts is not theirs. */
  readonly cpuUs: Readonly<Record<string, number>>;
}

async function measure(
  load: RunningProcess,
  sides: Readonly<Record<"ours" | "stock", Side>>,
  on: { key: object; quick: boolean },
) {
  const rows: Record<"ours" | "stock", Row[]> = { ours: [], stock: [] };
  const [rounds, warmUps, durationMs] = on.quick ? [5, 2, 1_000] : [7, 4, 4_000];
  for (let n = -warmUps; n < rounds; n++) {
    for (const name of n % 2 === 0 ? (["ours", "stock"] as const) : (["stock", "ours"] as const)) {
      const { pid, ...side } = sides[name];
      const window: Omit<TokenWindow, "key"> = { ...side, durationMs, connections };
      const before = threadTimes(pid);
      const result = await load.ask<TokenResult>({ ask: "run", ...window, key: on.key });
      const cpuUs = usPerPiece(before, threadTimes(pid), result.answers);
      if (n >= 0) rows[name].push({ ...result, cpuUs });
    }
  }
  return rows;
}

/** The median of each kind of thread. */
function cpuOf(all: readonly Row[]): Record<string, number> {
  const names = Object.keys(all[0]?.cpuUs ?? {});
  return Object.fromEntries(names.map((name) => [name, rounded(median(all.map(({ cpuUs }) => cpuUs[name] ?? 0)), 0)]));
}

const perS = (one: TokenResult): number => (one.answers * 1000) / one.elapsedMs;

function report(rows: Readonly<Record<"ours" | "stock", readonly Row[]>>): number {
  const ratios = rows.ours.map((one, n) => perS(one) / perS(rows.stock[n] ?? one));
  const ratio = rounded(median(ratios), 3);
  const figuresOf = (all: readonly Row[]) => ({
    per_s: rounded(median(all.map(perS)), 0),
    p50_ms: rounded(median(all.map((one) => one.p50Ms)), 2),
    p99_ms: rounded(median(all.map((one) => one.p99Ms)), 2),
    cpu_us: cpuOf(all),
  });
  const figures = {
    machine: describeMachine(),
    rounds: ratios.length,
    spread: [rounded(Math.min(...ratios), 3), rounded(Math.max(...ratios), 3)],
    ours: figuresOf(rows.ours),
    stock: figuresOf(rows.stock),
  };
  process.stdout.write(
    `vs_stock ${ratio} (floor ${floor})\n${JSON.stringify({ bench: "token", ratios: { vs_stock: ratio }, figures })}\n`,
  );
  return ratio;
}

async function bench(quick: boolean): Promise<number> {
  const pinned = canPin(describeMachine().cores);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [key, jwk] = [privateKey.export({ format: "jwk" }), publicKey.export({ format: "jwk" })];
  const installation = await Installation.open();
  const started: RunningProcess[] = [];
  try {
    installation.writeEstate({ "systems/orders.jwks.json": JSON.stringify({ keys: [jwk] }) });
    const control = await installation.startControl();
    if (pinned) spawnSync("taskset", ["-a", "-c", "-p", "0", String(control.pid)]);
    const load = startProcess(resolve(import.meta.dirname, "token/load.ts"), { core: pinned ? 1 : null });
    started.push(load);
    // An EC key always exports texts.
    const { stock, side } = await startStock(pinned, jwk as Record<string, string>);
    started.push(stock);
    const ours = {
      pid: control.pid,
      issuer: `https://127.0.0.1:${installation.ports.identity}/main/production`,
      ca: readFileSync(join(installation.data("control"), "ca", "control.pem"), "utf8"),
    };
    return report(await measure(load, { ours, stock: side }, { key, quick }));
  } finally {
    await Promise.all(started.map((one) => one.stop()));
    await installation.close();
  }
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    enforce: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) process.stdout.write(usage);
else {
  const ratio = await bench(values.quick);
  process.exitCode = values.enforce && ratio < floor ? 1 : 0;
}
