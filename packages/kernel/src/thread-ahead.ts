// Promises threads that have read their modules by the time they are needed: one that is begun ahead waits, without work, until it is told what it is
// for. One that was not begun, or that died meanwhile, is started when it is asked for, so beginning is never needed and its faults are told then.
// Trusts each entry to ask `threadOptions` for its options, once.
import { parentPort, receiveMessageOnPort, Worker, workerData } from "node:worker_threads";

const entries = {
  log: { file: "./log/log-worker", name: "sallyport-log" },
  store: { file: "./store/sqlite-thread", name: "sallyport-store" },
} as const;
export type ThreadKind = keyof typeof entries;

interface Waiting {
  /** 0 until its options were posted. */
  readonly told: Int32Array;
  /** URLs of modules that it reads besides. */
  readonly modules: readonly string[];
}

interface Begun {
  readonly worker: Worker;
  readonly told: Int32Array;
}

const begun = new Map<ThreadKind, Begun[]>();

function start(kind: ThreadKind, modules: readonly string[]): Begun {
  const { file, name } = entries[kind];
  // The published package is compiled, and its threads with it.
  const entry = new URL(`${file}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
  const told = new Int32Array(new SharedArrayBuffer(4));
  return { worker: new Worker(entry, { workerData: { told, modules } satisfies Waiting, name }), told };
}

/** Begins a thread that this process will open; `modules`: URLs of what it will read for its options. It keeps no process alive. */
export function beginThread(kind: ThreadKind, modules: readonly string[] = []): void {
  const one = start(kind, modules);
  one.worker.unref();
  const all = begun.get(kind) ?? [];
  begun.set(kind, all);
  all.push(one);
  const died = () => {
    const at = all.indexOf(one);
    if (at !== -1) all.splice(at, 1);
  };
  // Listened to until the end: an error without a listener would end the process, and whoever opens it listens as well.
  one.worker.on("error", died);
  one.worker.on("exit", died);
}

/** A thread with these options, which are copied: one that was begun, or a new one. Throws where they cannot be copied. */
export function openThread(kind: ThreadKind, options: unknown): Worker {
  const { worker, told } = begun.get(kind)?.shift() ?? start(kind, []);
  worker.ref();
  worker.postMessage(options);
  Atomics.store(told, 0, 1);
  Atomics.notify(told, 0);
  return worker;
}

/** For an entry, in its thread: resolves with the options, however long they take to come. What cannot be read ahead is for the entry to find. */
export async function threadOptions(): Promise<unknown> {
  // `start` above is the only one that starts these entries.
  const { told, modules } = workerData as Waiting;
  await Promise.allSettled(modules.map((url) => import(url)));
  Atomics.wait(told, 0, 0);
  const received: { readonly message: unknown } | undefined =
    parentPort === null ? undefined : receiveMessageOnPort(parentPort);
  if (received === undefined) throw new Error("a thread was told to go on without options");
  return received.message;
}
