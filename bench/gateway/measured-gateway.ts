// Promises the product itself under measurement: the real gateway with its log in a thread, on a disk, with every stage on.
// Trusts the test-bed to wire it as the cli does; nothing is left out or made cheaper. What it serves: estate.ts.
import { mkdirSync } from "node:fs";
import type { ListenBounds } from "@sallyport/gateway/ports.ts";
import {
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
} from "@sallyport/gateway/testing/start-test-gateway.ts";
import { environment, region, tenant } from "@sallyport/gateway/testing/test-estate.ts";
import { createCrew } from "@sallyport/gateway/workers/crew.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { benchEstate } from "./estate.ts";
import { featureEstate } from "./features.ts";
import { answerQuestions } from "./process.ts";

const heartbeatMs = 1_000;
let running: TestGateway | null = null;
let heartbeat: NodeJS.Timeout | undefined;

function openRealLog(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  return openLog({ directory, identity });
}

let opened: OpenedLog | null = null;

function makerOf(workers: number): Pick<TestGatewayOptions, "make"> {
  if (workers === 1) return {};
  return {
    make: (given, hopPem) => {
      if (opened === null) throw new Error("the log is opened before");
      const ended = (fault: Error): never => {
        throw fault;
      };
      return createCrew(given, {
        workers,
        log: opened,
        hopPem,
        upstreamKeys: null,
        geo: null,
        limitsStore: null,
        ended,
      });
    },
  };
}

async function start(on: {
  upstream: number;
  directory: string;
  issuer: { kid: string; jwk: Record<string, string> };
  /** Systems and integrations beside those that are asked for. */
  estate?: number;
  /** A rung of features.ts in place of the estate of this bench. */
  rung?: number;
  /** Other bounds of the listener than its own. */
  bounds?: Partial<ListenBounds>;
  /** Worker threads; absent, or 1: none. */
  workers?: number;
}): Promise<number> {
  const url = `http://127.0.0.1:${on.upstream}`;
  running = await startTestGateway({
    estate: on.rung === undefined ? benchEstate(url, on.estate) : featureEstate(url, on.rung),
    openLog: async (directory) => {
      opened = await openRealLog(directory);
      return opened;
    },
    directory: on.directory,
    ...makerOf(on.workers ?? 1),
    ...(on.bounds === undefined ? {} : { changes: { bounds: on.bounds } }),
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
