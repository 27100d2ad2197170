// Promises the log behind a thread of its own: an append resolves only once a finished fdatasync covers it, and a full queue refuses at once.
// Trusts the thread (log-worker.ts), which alone touches the files. Port: port.ts; formats: docs/formats/leaf.md.
import type { Worker } from "node:worker_threads";
import { openThread } from "../thread-ahead.ts";
import { LogFault } from "./fault.ts";
import { LogClient, type LogListeners, type LogStanding, type OpenedLog, toFault } from "./log-client.ts";
import type { LogAnswer, LogThreadOptions } from "./log-messages.ts";

export interface OpenLogOptions extends Omit<LogThreadOptions, "checkpointIntervalMs"> {
  /** Milliseconds between checkpoints while something is appended; default 1,000, 0: only when asked. */
  readonly checkpointIntervalMs?: number;
  /** Told of what nobody waits for, for example a checkpoint by the clock that could not be copied. */
  readonly onAlarm?: (fault: LogFault) => void;
  /** Told once when the disk failed: nothing is appended any more, everything rejects, and only a restart, which reads the disk again, can say what it holds. */
  readonly onEnded?: (fault: LogFault) => void;
}

/** Starts the log thread; resolves when the log is recovered and open, rejects with the LogFault of `Log.open`. */
export function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { onAlarm, onEnded, checkpointIntervalMs = 1_000, ...rest } = options;
  const data: LogThreadOptions = { ...rest, checkpointIntervalMs };
  const worker = openThread("log", data);
  const { promise, resolve, reject } = Promise.withResolvers<OpenedLog>();
  worker.once("error", (error) => reject(threadFailed(error)));
  worker.once("message", (answer: LogAnswer) => {
    if (answer.t === "opened") resolve(clientOf(worker, answer, { onAlarm, onEnded }));
    else if (answer.t === "refused") reject(toFault(answer.fault));
    else reject(new LogFault("log-closed", "the log thread did not open"));
  });
  return promise;
}

const threadFailed = (error: unknown) =>
  new LogFault("log-closed", `the log thread failed: ${error instanceof Error ? error.message : "unknown"}`, error);

function clientOf(worker: Worker, opened: LogStanding, told: LogListeners): OpenedLog {
  const client = new LogClient({ post: (request, transfer) => worker.postMessage(request, transfer) }, opened, told);
  worker.on("message", (answer: LogAnswer) => client.take(answer));
  worker.on("error", (error) => client.fail(threadFailed(error)));
  worker.on("exit", () => client.end(new LogFault("log-closed", "the log is closed")));
  return client;
}
