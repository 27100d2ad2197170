// `npm run bench -- start`: promises how long a gateway takes from the start of its process to its first answer, from its last good snapshot,
// with the control plane gone. Trusts the harness of the end-to-end tests for the installation; the caller's token is fetched before.
import { request } from "node:https";
import { parseArgs } from "node:util";
import { type Caller, Installation } from "sallyport/installation.test-support.ts";
import { median, percentile, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- start [--quick] [--enforce]

  --quick    5 starts (default 11)
  --enforce  exit 1 when the median is over 1 s
`;
const floorMs = 1_000;

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

async function bench(starts: number): Promise<number> {
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
    return report(all);
  } finally {
    await installation.close();
  }
}

function report(all: readonly { answerMs: number; crossingMs: number }[]): number {
  const answers = all.map((one) => one.answerMs);
  const figures = {
    machine: describeMachine(),
    starts: all.length,
    first_answer_ms: rounded(median(answers), 0),
    first_answer_p99_ms: rounded(percentile(answers, 0.99), 0),
    first_crossing_ms: rounded(median(all.map((one) => one.crossingMs)), 0),
  };
  process.stdout.write(
    `first answer after ${figures.first_answer_ms} ms (floor ${floorMs}), first crossing of a known caller after ${figures.first_crossing_ms} ms\n` +
      `${JSON.stringify({ bench: "start", figures })}\n`,
  );
  return figures.first_answer_ms;
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
  const ms = await bench(values.quick ? 5 : 11);
  process.exitCode = values.enforce && ms > floorMs ? 1 : 0;
}
