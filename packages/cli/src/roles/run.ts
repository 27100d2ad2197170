// Promises one life for every role: a safe environment, a start that says what listens, drain on SIGTERM or SIGINT, an end with the right code.
// Trusts the role files. Specified in docs/cli/serve.md.
import { assertEnvironment } from "@sallyport/kernel/dial/environment.ts";
import { pino } from "pino";
import type { ServeOptions } from "../commands/serve.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { removeEndpoints, writeEndpoints } from "./endpoints.ts";
import type { RoleHooks } from "./role-hooks.ts";
import type { RoleLogger, RunningRole } from "./running-role.ts";
import { openStatusListener } from "./status-listener.ts";

/** Longest wait before the start is announced with what is still missing. */
const readyWaitMs = 10_000;
const readyPollMs = 25;

/** Runs until told to stop; resolves after a clean end. */
export async function runRole(options: ServeOptions, json: boolean): Promise<void> {
  assertEnvironment(process.env);
  // Nothing this process makes is for others on the machine to read.
  process.umask(0o077);
  const logger = createLogger(json);
  const stopping = Promise.withResolvers<NodeJS.Signals>();
  // From the first moment: a signal during the start ends it right after, instead of being lost.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.resolve(signal));
  let publish = () => {};
  const hooks: RoleHooks = { applied: () => publish() };
  const role = await startRole(options, logger, hooks).catch((error: unknown) => {
    throw startFault(error);
  });
  const status = await openStatusListener(options.status, {
    dataDirectory: options.dataDirectory,
    readiness: () => role.readiness(),
    metricsText: () => role.metricsText(),
  }).catch(async (error: unknown) => {
    await role.stop(0);
    throw startFault(error);
  });
  const addresses = { ...role.addresses, status: `http://${options.status.host}:${status.port}` };
  const readiness = await untilReady(role, stopping.promise);
  const startedAt = Date.now();
  publish = () => {
    const { role: name, configDirectory: config } = options;
    const here = { v: 1, role: name, pid: process.pid, startedAt, config, statusUrl: addresses.status } as const;
    writeEndpoints(options.dataDirectory, { ...here, ...role.endpoints() });
  };
  publish();
  logger.info(
    { event: "ready", role: options.role, addresses, ...role.details, readiness, pid: process.pid },
    banner(options.role, addresses),
  );
  const signal = await stopping.promise;
  logger.info({ event: "stopping", signal, graceMs: options.shutdownGraceMs }, "draining");
  await role.stop(options.shutdownGraceMs);
  await status.close();
  removeEndpoints(options.dataDirectory, process.pid);
  logger.info({ event: "stopped" }, "stopped");
}

/** A gateway that has just joined needs a moment for its first snapshot; whoever waits for the start line wants it served. */
async function untilReady(role: RunningRole, stopped: Promise<unknown>): Promise<{ readonly ready: boolean }> {
  const deadline = performance.now() + readyWaitMs;
  for (;;) {
    const readiness = await role.readiness();
    if (readiness.ready || performance.now() > deadline) return readiness;
    const next = new Promise((resolve) => setTimeout(resolve, readyPollMs));
    if ((await Promise.race([next, stopped.then(() => "stopped")])) === "stopped") return readiness;
  }
}

async function startRole(options: ServeOptions, logger: RoleLogger, hooks: RoleHooks): Promise<RunningRole> {
  switch (options.role) {
    case "all":
      return (await import("./all.ts")).startAll(options, logger, hooks);
    case "control":
      return (await import("./control.ts")).startControlRole(options, logger, hooks);
    case "gateway":
      return (await import("./gateway.ts")).startGateway(options, logger);
    default: {
      const never: never = options.role;
      return never;
    }
  }
}

function startFault(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  if (error.code === "EADDRINUSE" && "port" in error) {
    return new CommandEnd(
      exitCode.badUse,
      `port ${String(error.port)} is in use by another process`,
      "stop that one, or choose another address with the matching --…-listen option",
    );
  }
  if (error.code === "join-unreachable") return new CommandEnd(exitCode.unreachable, error.message);
  if (error.code === "join-refused") return new CommandEnd(exitCode.notPermitted, error.message);
  return error;
}

function banner(role: string, addresses: Readonly<Record<string, string>>): string {
  const places = Object.entries(addresses).map(([name, url]) => `${name} ${url}`);
  return `sallyport ${role} is up: ${places.join(", ")}`;
}

/** JSON lines with --json; else one readable line per event. No field ever holds a secret or a caller's text: the callers see to it. */
function createLogger(json: boolean): RoleLogger {
  if (json) return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime });
  const write = (level: string) => (fields: object, message: string) => {
    const extra = Object.entries(fields).filter(([name]) => name === "err" || name === "fix" || name === "operatorKey");
    const detail = extra.map(([name, value]) => `\n    ${name}: ${String(value)}`).join("");
    process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${level} ${message}${detail}\n`);
  };
  return { info: write("info "), warn: write("warn "), error: write("error") };
}
