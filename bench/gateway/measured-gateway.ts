// Promises the product itself under measurement: the real gateway with its log in a thread, on a disk, with every stage on.
// Trusts the test-bed to wire it as the cli does; nothing is left out or made cheaper. What it serves: estate.ts.
import { mkdirSync } from "node:fs";
import { startTestGateway, type TestGateway } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { environment, region, tenant } from "@sallyport/gateway/testing/test-estate.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { benchEstate } from "./estate.ts";
import { answerQuestions } from "./process.ts";

const heartbeatMs = 1_000;
let running: TestGateway | null = null;
let heartbeat: NodeJS.Timeout | undefined;

function openRealLog(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  return openLog({ directory, identity });
}

async function start(on: {
  upstream: number;
  directory: string;
  issuer: { kid: string; jwk: Record<string, string> };
  /** Systems and integrations beside those that are asked for. */
  estate?: number;
}): Promise<number> {
  running = await startTestGateway({
    estate: benchEstate(`http://127.0.0.1:${on.upstream}`, on.estate),
    openLog: openRealLog,
    directory: on.directory,
  });
  // The load generator signs its own tokens, so that signing costs the measured core nothing.
  const { kid, jwk } = on.issuer;
  running.feed.push({ t: "keys", seq: 2, keys: [{ kid, alg: "ES256", jwk, state: "active" }] });
  heartbeat = setInterval(() => running?.feed.heartbeat(), heartbeatMs);
  const [listener] = running.addresses;
  if (listener === undefined) throw new Error("no listener");
  return listener.port;
}

answerQuestions(
  {
    start,
    usage() {
      const { user, system } = process.cpuUsage();
      const leaves = running?.log.size() ?? 0;
      return {
        cpuMs: (user + system) / 1000,
        systemMs: system / 1000,
        residentBytes: process.memoryUsage.rss(),
        leaves,
      };
    },
  },
  async () => {
    clearInterval(heartbeat);
    await running?.close();
  },
);
