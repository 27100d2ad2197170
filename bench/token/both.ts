// Promises our token endpoint beside a stock oidc-provider with its memory adapter, each a process of its own, and windows of the same requests to both, in turns.
// Ours is the whole control plane, with SQLite and its log. Trusts neither's own count. Specified in RESULTS.md.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { testCertificate } from "@sallyport/control/identity/certificates.test-support.ts";
import { Installation } from "sallyport/installation.test-support.ts";
import { type RunningProcess, startProcess } from "../gateway/process.ts";
import { processMs, threadTimes, usPerPiece } from "../threads.ts";
import type { TokenResult, TokenWindow } from "./load.ts";

interface Side {
  readonly pid: number;
  readonly issuer: string;
  readonly ca: string;
}

async function startStock(pinned: boolean, client: Readonly<Record<string, string>>) {
  const stock = startProcess(resolve(import.meta.dirname, "stock.ts"), { core: pinned ? 0 : null });
  const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
  const port = await stock.ask<number>({ ask: "start", tls, client, signer });
  return { stock, side: { pid: stock.pid, issuer: `https://127.0.0.1:${port}`, ca: tls.cert } };
}

/** One window of one of them. */
export interface Row extends TokenResult {
  /** Microseconds of processor time for each token, by kind of thread. What is signed before a window's clock starts is not theirs. */
  readonly cpuUs: Readonly<Record<string, number>>;
  /** The same of all threads together, to the nanosecond; null where the system does not say. */
  readonly exactUs: number | null;
}

export interface Both {
  /** Windows of both in turns, after warm-ups that do not count. */
  measure(on: Windows): Promise<Readonly<Record<"ours" | "stock", readonly Row[]>>>;
  close(): Promise<void>;
}

export interface Windows {
  readonly rounds: number;
  readonly warmUps: number;
  /** Of each window. */
  readonly durationMs: number;
  /** Of each window, in place of its time. */
  readonly tokens?: number;
  readonly connections: number;
}

/** Starts both; `pinned`: each on the first core and their load on the second. */
export async function openBoth(pinned: boolean): Promise<Both> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [key, jwk] = [privateKey.export({ format: "jwk" }), publicKey.export({ format: "jwk" })];
  const installation = await Installation.open();
  const started: RunningProcess[] = [];
  const close = async () => {
    await Promise.all(started.map((one) => one.stop()));
    await installation.close();
  };
  try {
    installation.writeEstate({ "systems/orders.jwks.json": JSON.stringify({ keys: [jwk] }) });
    const control = await installation.startControl();
    if (pinned) spawnSync("taskset", ["-a", "-c", "-p", "0", String(control.pid)]);
    const load = startProcess(resolve(import.meta.dirname, "load.ts"), { core: pinned ? 1 : null });
    started.push(load);
    // An EC key always exports texts.
    const { stock, side } = await startStock(pinned, jwk as Record<string, string>);
    started.push(stock);
    const ours = {
      pid: control.pid,
      issuer: `https://127.0.0.1:${installation.ports.identity}/main/production`,
      ca: readFileSync(join(installation.data("control"), "ca", "control.pem"), "utf8"),
    };
    return { close, measure: (on) => measure(load, { ours, stock: side }, { ...on, key }) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function measure(
  load: RunningProcess,
  sides: Readonly<Record<"ours" | "stock", Side>>,
  { rounds, warmUps, durationMs, tokens, connections, key }: Windows & { readonly key: object },
) {
  const rows: Record<"ours" | "stock", Row[]> = { ours: [], stock: [] };
  for (let n = -warmUps; n < rounds; n++) {
    for (const name of n % 2 === 0 ? (["ours", "stock"] as const) : (["stock", "ours"] as const)) {
      const { pid, ...side } = sides[name];
      const window: Omit<TokenWindow, "key"> = { ...side, durationMs, tokens, connections };
      const [before, beforeMs] = [threadTimes(pid), processMs(pid)];
      const result = await load.ask<TokenResult>({ ask: "run", ...window, key });
      const cpuUs = usPerPiece(before, threadTimes(pid), result.answers);
      const afterMs = processMs(pid);
      const exactUs = beforeMs === null || afterMs === null ? null : ((afterMs - beforeMs) * 1_000) / result.answers;
      if (n >= 0) rows[name].push({ ...result, cpuUs, exactUs });
    }
  }
  return rows;
}
