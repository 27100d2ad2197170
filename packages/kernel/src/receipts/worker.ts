// Promises the answers of the thread that reads a log for receipts, one after the other. Trusts finder.ts. Runs as the worker thread of thread.ts.
import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { LogFault } from "../log/fault.ts";
import { realDisk } from "../log/real-disk.ts";
import { ReceiptFinder } from "./finder.ts";
import type { ReceiptAnswer, ReceiptRequest } from "./messages.ts";

const port = parentPort;
assert.ok(port !== null, "worker.ts is started by thread.ts");
// thread.ts is the only one that starts this file.
const finder = new ReceiptFinder(realDisk(), String(workerData));

port.on("message", ({ ticket, crossing }: ReceiptRequest) => port.postMessage(answer(ticket, crossing)));

function answer(ticket: number, crossing: string): ReceiptAnswer {
  try {
    return { ticket, found: finder.find(crossing) };
  } catch (error) {
    const internal = error instanceof Error ? error.message : "unknown";
    return { ticket, fault: { code: error instanceof LogFault ? error.code : "log-corrupt", internal } };
  }
}
