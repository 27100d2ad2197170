// Promises one life for every role: a safe environment, a start that says what it serves, drain on SIGTERM or SIGINT, an end with the right code.
// Trusts the role files. Specified in docs/cli/serve.md.
import { assertEnvironment } from "@sallyport/kernel/dial/environment.ts";
import type { ServeOptions } from "../commands/serve.ts";
import { measureDisk } from "../doctor/disk.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { endOfLog } from "./end-of-log.ts";
import { endOfWorker } from "./end-of-worker.ts";
import { removeEndpoints, writeEndpoints } from "./endpoints.ts";
import type { GatewayExtras } from "./gateway.ts";
import { takeLibraryWords } from "./library-words.ts";
import type { Reporter } from "./reporter.ts";
import type { RoleHooks } from "./role-hooks.ts";
import type { RoleLogger, RunningRole } from "./running-role.ts";
import { settleMemory, settlePorts } from "./settle-memory.ts";
import { openStatusListener } from "./status-listener.ts";

/** Longest wait before the start is announced with what is still missing. */
const readyWaitMs = 10_000;
const readyPollMs = 25;
/** Longest end of a process whose log has ended. */
const endMsMax = 4_000;
/** Writes timed for the banner. */
const syncProbes = 5;

export interface RunOptions {
  readonly serve: ServeOptions;
  readonly reporter: Reporter;
  /** As `dev` takes an estate; absent: as it stands. */
  readonly taking?: Pick<RoleHooks, "load" | "sentAs">;
  /** Told of every crossing of the gateway of role all. */
  readonly observers?: GatewayExtras["observers"];
}

/** Runs until told to stop; resolves after a clean end. */
export async function runRole({ serve: options, reporter, taking, ...extras }: RunOptions): Promise<void> {
  assertEnvironment(process.env);
  // Nothing this process makes is for others on the machine to read.
  process.umask(0o077);
  const stopping = Promise.withResolvers<NodeJS.Signals>();
  // From the first moment: a signal during the start ends it right after, instead of being lost.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.resolve(signal));
  const failing = Promise.withResolvers<CommandEnd>();
  const { logEnded, workerEnded } = endsOf(options.dataDirectory, failing.resolve);
  let publish = () => {};
  const hooks: RoleHooks = {
    ...taking,
    applied: (report, loaded) => {
      reporter.applied(report, loaded);
      publish();
    },
    applyFailed: (error) => reporter.applyFailed(error),
    logEnded,
  };
  const role = await startRole(options, reporter.logger, { hooks, extras: { ...extras, logEnded, workerEnded } }).catch(
    (error: unknown) => {
      throw startFault(error);
    },
  );
  const status = await openStatusListener(options.status, {
    dataDirectory: options.dataDirectory,
    readiness: () => role.readiness(),
    metricsText: () => role.metricsText(),
  }).catch(async (error: unknown) => {
    await role.stop(0);
    throw startFault(error);
  });
  const statusUrl = `http://${options.status.host}:${status.port}`;
  const readiness = await untilReady(role, stopping.promise);
  const startedAt = Date.now();
  const { configDirectory: config, dataDirectory } = options;
  const endpoints = () =>
    ({ v: 1, role: options.role, pid: process.pid, startedAt, config, statusUrl, ...role.endpoints() }) as const;
  publish = () => writeEndpoints(dataDirectory, endpoints());
  publish();
  reporter.ready({
    endpoints: endpoints(),
    addresses: { ...role.addresses, status: statusUrl },
    details: role.details ?? {},
    readiness,
    standing: await role.standing(),
    dataDirectory,
    disk: measureDisk(dataDirectory, syncProbes),
  });
  const ending = new AbortController();
  void settleMemory(settlePorts(ending.signal)).catch(() => undefined); // A thread without an inspector keeps what it has.
  const signal = await Promise.race([stopping.promise, failing.promise]);
  ending.abort();
  if (typeof signal !== "string") return endNow(role, signal);
  reporter.stopping(signal, options.shutdownGraceMs);
  await role.stop(options.shutdownGraceMs);
  await status.close();
  removeEndpoints(dataDirectory, process.pid);
  reporter.stopped();
}

/** What ends the process from within. */
function endsOf(dataDirectory: string, end: (end: CommandEnd) => void) {
  return {
    logEnded: (fault: Error) => end(endOfLog(dataDirectory, fault)),
    workerEnded: (fault: Error) => end(endOfWorker(fault)),
  };
}

/** Nothing can be recorded, so nothing passes: no grace for what is in flight, and no waiting for what cannot be closed any more. */
async function endNow(role: RunningRole, end: CommandEnd): Promise<never> {
  setTimeout(() => process.exit(end.exit), endMsMax).unref();
  const given = new Promise((resolve) => setTimeout(resolve, endMsMax / 2).unref());
  await Promise.race([role.stop(0).catch(() => undefined), given]);
  throw end;
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

interface RoleMore {
  readonly hooks: RoleHooks;
  readonly extras: GatewayExtras;
}

async function startRole(options: ServeOptions, logger: RoleLogger, more: RoleMore): Promise<RunningRole> {
  takeLibraryWords(logger);
  switch (options.role) {
    case "all":
      return (await import("./all.ts")).startAll(options, logger, more);
    case "control":
      return (await import("./control.ts")).startControlRole(options, logger, more.hooks);
    case "gateway":
      return (await import("./gateway.ts")).startGateway(options, logger, more.extras);
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
      "stop that one, choose another address with the matching --…-listen option, or start dev again, which takes free ports",
    );
  }
  if (error.code === "join-unreachable") return new CommandEnd(exitCode.unreachable, error.message);
  if (error.code === "join-refused") return new CommandEnd(exitCode.notPermitted, error.message);
  return error;
}
