// For tests: a process that does one act over a real store and a real log and stops in the middle of recording it, to be killed there.
// Trusts its arguments: data directory, step. Also opens the same for the test that looks afterwards.
import { randomBytes } from "node:crypto";
import { type Foundations, openFoundations } from "../foundations.ts";
import { AdminLog, type AdminLogOptions } from "./admin-log.ts";

/** `committed`: the change is durable and nobody drains. `claimed`: somebody began to. `appended`: the log has it, the outbox does not know. */
export const killSteps = ["committed", "claimed", "appended"] as const;

const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };

export async function openPlace(dataDirectory: string): Promise<Foundations> {
  return openFoundations({
    ...{ tenant: "main", region: "default", dataDirectory, storeUrl: null, checkpointCopy: null, clock, random },
    fault: (error) => {
      throw error;
    },
    logger: { warn: () => undefined },
  });
}

export function adminLogOf(foundations: Foundations, store: AdminLogOptions["store"] = foundations.store): AdminLog {
  return new AdminLog({
    ...{ tenant: "main", region: "default", ...foundations, store, clock, random },
    recipient: foundations.opener.publicKey,
    fault: (error) => {
      throw error;
    },
  });
}

export async function act({ store }: Pick<Foundations, "store">, id: string): Promise<void> {
  const place = { tenant: "main", environment: "production", id };
  await store.run("suspendIntegration", { ...place, actor: "operator:ada", reason: "incident", absent: true });
}

async function dieAt(step: string, dataDirectory: string): Promise<void> {
  const foundations = await openPlace(dataDirectory);
  await act(foundations, `while-${step}`);
  const here = () => {
    process.stdout.write("here\n");
    // Killed from outside; the timer only keeps the process alive until then.
    return new Promise<never>(() => setInterval(() => undefined, 60_000));
  };
  if (step === "committed") await here();
  const stopping: AdminLogOptions["store"] = {
    run: async (name, input) => {
      if (name === "markDrained" && step === "appended") return here();
      const answer = await foundations.store.run(name, input);
      return name === "claimOutbox" && step === "claimed" ? here() : answer;
    },
  };
  await adminLogOf(foundations, stopping).drain();
}

const [, , dataDirectory, step] = process.argv;
if (import.meta.main && dataDirectory !== undefined && step !== undefined) await dieAt(step, dataDirectory);
