// Promises that every process of the demo is started with a bounded wait for its own word that it is ready, that all it printed is kept for the
// search at the end, and that none is left behind: also after a failure or a signal. Trusts the binary's `ready` event.
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repository = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const binary = join(repository, "packages", "cli", "src", "main.ts");
const readyMs = 60_000;
const stopMs = 8_000;
/** Most characters of output kept per process; a process that prints more is a finding of its own. */
export const outputCharsMax = 16 * 1024 * 1024;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly name: string;
  /** The `ready` event. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** SIGTERM, then SIGKILL after 8 s. Resolves when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would be. Resolves when it is gone. */
  kill(): Promise<void>;
}

interface Begun extends Omit<Running, "ready"> {
  readonly child: ChildProcess;
  readonly collected: Collected;
  readonly gone: Promise<void>;
}

export class Processes {
  readonly #running = new Set<ChildProcess>();
  #closed = false;
  readonly #output: { readonly name: string; text: string }[] = [];

  /** Everything printed so far, by process. */
  output(): readonly { readonly name: string; readonly text: string }[] {
    return this.#output;
  }

  /** Runs `sallyport` to its end. */
  async run(name: string, args: readonly string[]): Promise<Ended> {
    const child = this.#spawn(args);
    const collected = this.#collect(name, child);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), readyMs);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(timer);
        resolve({ code, stdout: collected.stdout, stderr: collected.stderr });
      });
    });
  }

  /** Starts `sallyport serve …` without waiting for anything. */
  begin(name: string, args: readonly string[]): Begun {
    const child = this.#spawn(["--json", "serve", ...args]);
    const collected = this.#collect(name, child);
    const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const stop = () => end(child, gone, "SIGTERM");
    return { name, child, collected, gone, stop, kill: () => end(child, gone, "SIGKILL") };
  }

  /** Starts `sallyport serve …`; rejects, with what it printed, when it ends or is not ready within a minute. */
  async serve(name: string, args: readonly string[]): Promise<Running> {
    const { child, collected, stop, kill } = this.begin(name, args);
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${name} ${why}\n${lastLines(collected)}`));
      const timer = setTimeout(() => {
        fail(`was not ready within ${readyMs / 1000} s`);
        child.kill("SIGKILL");
      }, readyMs);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(timer);
        fail(`ended with exit code ${code} before it was ready`);
      });
      collected.onLine = (line) => {
        const ready = readyEvent(line);
        if (ready === null) return;
        clearTimeout(timer);
        collected.onLine = () => {};
        resolve({ name, ready, stop, kill });
      };
    });
  }

  /** Ends whatever still runs, for good: nothing can be started afterwards. */
  async stopAll(): Promise<void> {
    this.#closed = true;
    const left = [...this.#running];
    await Promise.all(
      left.map((child) => end(child, new Promise<void>((resolve) => child.once("close", () => resolve())), "SIGTERM")),
    );
  }

  /** For the end of this very process, where nothing can be waited for. */
  killAll(): void {
    for (const child of this.#running) child.kill("SIGKILL");
  }

  #spawn(args: readonly string[]): ChildProcess {
    if (this.#closed) throw new Error("the demo is ending: no process is started any more");
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", binary, ...args], {
      cwd: repository,
      stdio: ["ignore", "pipe", "pipe"],
      env: process.env,
    });
    this.#running.add(child);
    child.once("close", () => this.#running.delete(child));
    return child;
  }

  #collect(name: string, child: ChildProcess): Collected {
    const all = { name, text: "" };
    this.#output.push(all);
    const collected: Collected = { stdout: "", stderr: "", onLine: () => {} };
    let line = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      if (all.text.length < outputCharsMax) all.text += chunk;
      if (collected.stdout.length < outputCharsMax) collected.stdout += chunk;
      const lines = (line + chunk).split("\n");
      line = lines.pop() ?? "";
      for (const whole of lines) collected.onLine(whole);
    });
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      if (all.text.length < outputCharsMax) all.text += chunk;
      if (collected.stderr.length < outputCharsMax) collected.stderr += chunk;
    });
    return collected;
  }
}

interface Collected {
  stdout: string;
  stderr: string;
  onLine: (line: string) => void;
}

function readyEvent(line: string): Readonly<Record<string, unknown>> | null {
  if (!line.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || !("event" in value) || value.event !== "ready") return null;
    return Object.fromEntries(Object.entries(value));
  } catch {
    // Not every line is ours to read.
    return null;
  }
}

function lastLines({ stdout, stderr }: Collected): string {
  return `${stdout}${stderr}`.trimEnd().split("\n").slice(-12).join("\n");
}

async function end(child: ChildProcess, gone: Promise<void>, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
  await gone;
  clearTimeout(timer);
}
