// `npm run bench -- start`: promises how long a gateway takes from the start of its process to its first answer, from its last good snapshot,
// with the control plane gone; and how long `sallyport dev` takes until it serves a starter estate. Trusts the harness of the end-to-end tests
// for the installation; the caller's token is fetched before.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Caller, Installation, isReady, served } from "sallyport/installation.test-support.ts";
import { runBinary } from "sallyport/program.test-support.ts";
import { median, percentile, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- start [--quick] [--enforce]

  --quick    5 starts (default 11)
  --enforce  exit 1 when the gateway's median is over 1 s, or dev's over 1.5 s
`;
const floorMs = 1_000;
const devFloorMs = 1_500;

/** Milliseconds until something answers on the gateway's port: a connection that is refused is tried again at once. */
async function untilAnswer(port: number): Promise<number> {
  for (;;) {
    const status = await new Promise<number>((resolve) => {
      const options = {
        host: "127.0.0.1",
        port,
        path: "/billing/v1/invoices/in-1",
        agent: false,
        rejectUnauthorized: false,
      };
      const sent = request(options, (response) => {
        response.resume().once("end", () => resolve(response.statusCode ?? 0));
      });
      sent.on("error", () => resolve(0));
      sent.end();
    });
    // Until its snapshot is in force it answers 503; a stranger's 401 is the first real answer.
    if (status === 401) return performance.now();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** As the launcher starts it: with a place for compiled code. */
function serveGateway(installation: Installation) {
  const listen = `public=127.0.0.1:${installation.ports.gateway}`;
  const args = ["--data", installation.data("gateway"), "--listen", listen, "--grace", "100ms"];
  return installation.serve("gateway", args, { NODE_COMPILE_CACHE: installation.data("compile-cache") });
}

async function startOnce(
  installation: Installation,
  caller: Caller,
): Promise<{ answerMs: number; crossingMs: number }> {
  const startedMs = performance.now();
  const gateway = serveGateway(installation);
  const answeredMs = await untilAnswer(installation.ports.gateway);
  const response = await caller.fetch("/billing/v1/invoices/in-1");
  if (response.status !== 200)
    throw new Error(`the first crossing ended with ${response.status}: ${await response.text()}`);
  await response.text();
  const crossedMs = performance.now();
  await gateway.signal("SIGTERM");
  return { answerMs: answeredMs - startedMs, crossingMs: crossedMs - startedMs };
}

async function startGateways(starts: number): Promise<readonly { answerMs: number; crossingMs: number }[]> {
  const installation = await Installation.open();
  try {
    const control = await installation.startControl();
    const gateway = await installation.startGateway();
    installation.trustRoots();
    const caller = installation.caller();
    const first = await caller.fetch("/billing/v1/invoices/in-1");
    if (first.status !== 200) throw new Error(`the installation does not serve: ${first.status}`);
    await first.text();
    await gateway.signal("SIGTERM");
    await control.signal("SIGTERM");
    // Fills the place for compiled code.
    await startOnce(installation, caller);
    const all: { answerMs: number; crossingMs: number }[] = [];
    for (let n = 0; n < starts; n++) all.push(await startOnce(installation, caller));
    return all;
  } finally {
    await installation.close();
  }
}

/** From the start of the process until it says that it serves: once with nothing kept (keys are made), then as at every later start. */
async function startDev(starts: number): Promise<{ readonly firstMs: number; readonly againMs: readonly number[] }> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-bench-dev-"));
  const main = fileURLToPath(import.meta.resolve("sallyport/main.ts"));
  const environment = { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: join(folder, "compile-cache") };
  const once = async (data: string): Promise<number> => {
    const argv = [main, "--json", "dev", join(folder, "estate"), "--port", "0", "--data", join(folder, data)];
    const startedMs = performance.now();
    const dev = served(spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"], env: environment }));
    await dev.line(isReady);
    const upMs = performance.now() - startedMs;
    await dev.signal("SIGTERM");
    return upMs;
  };
  try {
    const made = await runBinary(["init", join(folder, "estate")]);
    if (made.exit !== 0) throw new Error(`init ended with ${made.exit}: ${made.err}`);
    await once("warm-up");
    const firstMs = await once("data");
    const againMs: number[] = [];
    for (let n = 0; n < starts; n++) againMs.push(await once("data"));
    return { firstMs, againMs };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(
  all: readonly { answerMs: number; crossingMs: number }[],
  dev: Awaited<ReturnType<typeof startDev>>,
): { readonly gatewayMs: number; readonly devMs: number } {
  const answers = all.map((one) => one.answerMs);
  const figures = {
    machine: describeMachine(),
    starts: all.length,
    first_answer_ms: rounded(median(answers), 0),
    first_answer_p99_ms: rounded(percentile(answers, 0.99), 0),
    first_crossing_ms: rounded(median(all.map((one) => one.crossingMs)), 0),
    dev_first_up_ms: rounded(dev.firstMs, 0),
    dev_up_ms: rounded(median(dev.againMs), 0),
    dev_up_p99_ms: rounded(percentile(dev.againMs, 0.99), 0),
  };
  process.stdout.write(
    `first answer after ${figures.first_answer_ms} ms (floor ${floorMs}), first crossing of a known caller after ${figures.first_crossing_ms} ms\n` +
      `dev serves after ${figures.dev_up_ms} ms (floor ${devFloorMs}), with nothing kept after ${figures.dev_first_up_ms} ms\n` +
      `${JSON.stringify({ bench: "start", figures })}\n`,
  );
  return { gatewayMs: figures.first_answer_ms, devMs: figures.dev_up_ms };
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
  const starts = values.quick ? 5 : 11;
  const { gatewayMs, devMs } = report(await startGateways(starts), await startDev(starts));
  process.exitCode = values.enforce && (gatewayMs > floorMs || devMs > devFloorMs) ? 1 : 0;
}
