// Promises a real gateway in a process that is made to be killed, over a data-plane store that outlives it. Trusts the soak that starts it for the
// address of the provider, the store's place and key, and the clock. Words: ../gateway/process.ts.
import { mkdirSync } from "node:fs";
import { dataStoreAt } from "@sallyport/gateway/idempotency/open-data-store.ts";
import { repeatEstate } from "@sallyport/gateway/testing/repeat-estate.ts";
import { movableClock, startTestGateway, type TestGateway } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { environment, region, tenant } from "@sallyport/gateway/testing/test-estate.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import type { StorePlace } from "@sallyport/kernel/store/open.ts";
import { systemRandom } from "sallyport/roles/system-ports.ts";
import { answerQuestions } from "../gateway/process.ts";

export interface KilledStart {
  readonly upstream: string;
  /** Of this process alone. */
  readonly directory: string;
  readonly store: StorePlace;
  readonly dataKey: string;
  readonly shiftMs: number;
  readonly issuer: { readonly kid: string; readonly jwk: Readonly<Record<string, string>> };
}

const heartbeatMs = 1_000;
let running: TestGateway | null = null;

function openRealLog(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  return openLog({ directory, identity });
}

answerQuestions(
  {
    async start({ upstream, directory, store, dataKey, shiftMs, issuer }: KilledStart): Promise<string> {
      const clock = movableClock();
      clock.shiftMs = shiftMs;
      const bed = await startTestGateway({
        estate: repeatEstate(upstream),
        openLog: openRealLog,
        ...{ clock, directory, dataKey: Buffer.from(dataKey, "base64url") },
        changes: { dataStore: dataStoreAt(store, { clock, random: systemRandom }) },
      });
      running = bed;
      bed.feed.push({ t: "keys", seq: 2, keys: [{ ...issuer, alg: "ES256", state: "active" }] });
      setInterval(() => bed.feed.heartbeat(), heartbeatMs).unref();
      return bed.addresses[0]?.url ?? "";
    },
  },
  async () => {
    await running?.close();
  },
);
