// Promises a program of this bench as a process of its own, pinned to one core where the system can, that answers questions and ends with its parent.
// Trusts `taskset` to pin. Questions and answers are JSON over Node's process channel; their names are in roles.ts.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { runtimeEnvironment, runtimeOptions } from "sallyport/start/runtime-options.ts";

export type Question = { readonly ask: string } & Readonly<Record<string, unknown>>;

export interface RunningProcess {
  readonly pid: number;
  /** Resolves with the answer; rejects when the process fails on it or ends. */
  ask<T>(question: Question): Promise<T>;
  stop(): Promise<void>;
}

interface Reply {
  readonly ticket: number;
  readonly answer?: unknown;
  readonly fault?: string;
}

const endMs = 5_000;

/** Can processes be pinned here? Two cores and `taskset` are needed. */
export function canPin(cores: number): boolean {
  return cores >= 2 && spawnSync("taskset", ["-c", "0", "true"]).status === 0;
}

interface Start {
  /** null: wherever. */
  readonly core: number | null;
  /** For node. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the product as its launcher does, with `flags` besides. */
export function startProduct(file: string, { core, flags = [] }: Pick<Start, "core" | "flags">): RunningProcess {
  const processors = core === null ? availableParallelism() : 1;
  return startProcess(file, {
    core,
    flags: [...runtimeOptions(processors), ...flags],
    env: runtimeEnvironment(processors),
  });
}

/** Starts `<file>` of this folder. */
export function startProcess(file: string, on: Start): RunningProcess {
  const node = [process.execPath, ...(on.flags ?? []), resolve(import.meta.dirname, file)];
  const [command = "", ...args] = on.core === null ? node : ["taskset", "-c", String(on.core), ...node];
  const child = spawn(command, args, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
    env: { ...process.env, ...on.env },
  });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const ended = new Promise<void>((resolve) => {
    const end = (why: string) => {
      for (const one of waiting.values()) one.reject(new Error(`${file} ${why}`));
      waiting.clear();
      resolve();
    };
    child.once("exit", (code, signal) => end(`ended with ${signal ?? code}`));
    child.once("error", (cause) => end(`could not start: ${cause.message}`));
  });
  child.on("message", (reply: Reply) => {
    const one = waiting.get(reply.ticket);
    waiting.delete(reply.ticket);
    if (reply.fault === undefined) one?.resolve(reply.answer);
    else one?.reject(new Error(`${file}: ${reply.fault}`));
  });
  return { pid: child.pid ?? -1, ask: asker(child, waiting, file), stop: () => stop(child, ended) };
}

function asker(
  child: ChildProcess,
  waiting: Map<number, PromiseWithResolvers<unknown>>,
  file: string,
): RunningProcess["ask"] {
  let last = 0;
  return <T>(question: Question) => {
    const ticket = ++last;
    const pending = Promise.withResolvers<unknown>();
    waiting.set(ticket, pending);
    child.send({ ticket, question }, (cause) => {
      if (cause !== null && waiting.delete(ticket)) pending.reject(new Error(`${file} takes no questions`));
    });
    return pending.promise as Promise<T>; // each question has one kind of answer, declared in roles.ts
  };
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode === null && child.connected) child.disconnect();
  const killer = setTimeout(() => child.kill("SIGKILL"), endMs);
  await ended;
  clearTimeout(killer);
}

/** The other side: answers each question with what its handler returns; `closed` runs when the parent lets go. */
export function answerQuestions(
  // The parent of this process is the only one that asks, in the words of roles.ts.
  handlers: Readonly<Record<string, (question: never) => unknown>>,
  closed: () => Promise<void> | void,
): void {
  process.on("message", async ({ ticket, question }: { ticket: number; question: Question }) => {
    try {
      const handler = handlers[question.ask];
      if (handler === undefined) throw new Error(`no such question: ${question.ask}`);
      process.send?.({ ticket, answer: await handler(question as never) });
    } catch (fault) {
      process.send?.({ ticket, fault: fault instanceof Error ? (fault.stack ?? fault.message) : String(fault) });
    }
  });
  process.once("disconnect", async () => {
    await closed();
    process.exit(0);
  });
}
