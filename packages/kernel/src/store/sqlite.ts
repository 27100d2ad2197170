// Promises that a resolved run is on disk and that a dead writer thread answers everybody. Trusts sqlite-thread.ts.
// Behaviour: docs/store.md, "SQLite".
import type { Worker } from "node:worker_threads";
import type { Clock, Random } from "../ports.ts";
import { openThread } from "../thread-ahead.ts";
import { type DirectoryPorts, prepareDatabaseFile } from "./directory.ts";
import { idSeedBytes } from "./event-id.ts";
import { StoreFault } from "./fault.ts";
import type { PendingSteps } from "./migration.ts";
import { loadCommands } from "./module.ts";
import type { CommandTable, InputOf, OutputOf, Store } from "./port.ts";
import type { RunRequest, ThreadOptions, ThreadReply, ThreadRequest, WireReply } from "./sqlite-thread.ts";

export interface SqliteOptions {
  readonly path: string;
  readonly commands: URL;
  readonly clock: Clock;
  readonly random: Random;
  readonly pendingMax: number;
  readonly pendingSteps: PendingSteps;
  readonly databaseBytesMax?: number;
  readonly directory: DirectoryPorts;
}

interface Waiter {
  readonly resolve: (output: unknown) => void;
  readonly reject: (fault: StoreFault) => void;
}

/** Checks the directory, starts the writer thread and waits until it has opened, checked and migrated the database. */
export async function openSqliteStore<T extends CommandTable>(options: SqliteOptions): Promise<Store<T>> {
  prepareDatabaseFile(options.path, options.directory);
  const { commands } = await loadCommands(options.commands.href);
  const thread: ThreadOptions = {
    path: options.path,
    commands: options.commands.href,
    now: options.clock.now(),
    pendingSteps: options.pendingSteps,
    ...(options.databaseBytesMax === undefined ? {} : { databaseBytesMax: options.databaseBytesMax }),
  };
  const worker = openThread("store", thread);
  const store = new SqliteStore<T>(worker, commands, options);
  await store.opened;
  return store;
}

/**
 * One batch is with the thread at a time, and what comes meanwhile is the next one: commands of many callers share a commit and a message,
 * the more of them the busier the process is.
 */
class SqliteStore<T extends CommandTable> implements Store<T> {
  readonly dialect = "sqlite";
  readonly opened: Promise<void>;
  readonly #worker: Worker;
  readonly #commands: CommandTable;
  readonly #options: SqliteOptions;
  readonly #waiting = new Map<number, Waiter>();
  #nextId = 0;
  /** Not handed to the thread yet. */
  #queue: RunRequest[] = [];
  /** Commands the thread has and has not answered. */
  #atThread = 0;
  #flushPlanned = false;
  #ended: StoreFault | null = null;
  #closing: Promise<void> | null = null;

  constructor(worker: Worker, commands: CommandTable, options: SqliteOptions) {
    this.#worker = worker;
    this.#commands = commands;
    this.#options = options;
    const opened = Promise.withResolvers<void>();
    this.opened = opened.promise;
    worker.on("message", (reply: ThreadReply) => {
      if (reply.t === "ready") opened.resolve();
      else if (reply.t === "failed") opened.reject(new StoreFault(reply.fault.code, reply.fault.internal));
      else if (reply.t === "closed") this.#end(new StoreFault("store-closed", "the store is closed"));
      else this.#settle(reply.replies);
    });
    const died = (how: string, cause?: unknown) => {
      const fault = new StoreFault(
        "store-thread-dead",
        `the writer thread of ${options.path} ${how}: what was not acknowledged may or may not be stored; restart sallyport`,
        { cause },
      );
      opened.reject(fault);
      this.#end(fault);
    };
    worker.on("error", (error) => died(`failed (${error instanceof Error ? error.message : "unknown error"})`, error));
    worker.on("exit", (code) => died(`ended with code ${code}`));
  }

  run<K extends keyof T & string>(name: K, input: InputOf<T[K]>): Promise<OutputOf<T[K]>> {
    const refused = this.#refusal(name);
    if (refused) return Promise.reject(refused);
    const id = this.#nextId;
    this.#nextId += 1;
    const { promise, resolve, reject } = Promise.withResolvers<OutputOf<T[K]>>();
    // as: the thread runs the body of this very command.
    this.#waiting.set(id, { resolve: (output) => resolve(output as OutputOf<T[K]>), reject });
    const { clock, random } = this.#options;
    this.#queue.push({ id, name, input, now: clock.now(), seed: random.bytes(idSeedBytes) });
    this.#planFlush();
    return promise;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ended) return;
    const exited = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#flush();
    this.#post({ t: "close" });
    await exited;
  }

  #refusal(name: string): StoreFault | null {
    if (this.#closing) return new StoreFault("store-closed", `command ${name} came after close`);
    if (this.#ended) return this.#ended;
    if (!Object.hasOwn(this.#commands, name))
      return new StoreFault("unknown-command", `there is no command ${JSON.stringify(name.slice(0, 80))}`);
    if (this.#waiting.size >= this.#options.pendingMax)
      return new StoreFault("store-busy", `${this.#waiting.size} commands are waiting already`);
    return null;
  }

  #post(request: ThreadRequest): void {
    this.#worker.postMessage(request);
  }

  /** Everybody whose turn comes before the next one is in the same batch. */
  #planFlush(): void {
    if (this.#flushPlanned || this.#atThread > 0) return;
    this.#flushPlanned = true;
    setImmediate(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    const runs = this.#queue;
    this.#queue = [];
    if (runs.length > 0 && !this.#ended) this.#hand(runs);
  }

  /** Where one of them cannot be copied, each goes by itself, so that only that one fails. */
  #hand(runs: readonly RunRequest[]): void {
    try {
      this.#post({ t: "batch", runs });
      this.#atThread += runs.length;
    } catch (cause) {
      const [only] = runs;
      if (runs.length > 1) for (const one of runs) this.#hand([one]);
      else if (only !== undefined) this.#refuse(only, cause);
    }
  }

  #refuse({ id, name }: RunRequest, cause: unknown): void {
    const why = `the input of command ${name} cannot be copied between threads`;
    this.#waiting.get(id)?.reject(new StoreFault("not-cloneable", why, { cause }));
    this.#waiting.delete(id);
  }

  #settle(replies: readonly WireReply[]): void {
    this.#atThread -= replies.length;
    for (const reply of replies) {
      const waiter = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.ok) waiter?.resolve(reply.output);
      else waiter?.reject(new StoreFault(reply.fault.code, reply.fault.internal));
    }
    if (this.#queue.length > 0) this.#planFlush();
  }

  #end(fault: StoreFault): void {
    this.#ended ??= fault;
    for (const waiter of this.#waiting.values()) waiter.reject(this.#ended);
    this.#waiting.clear();
  }
}
