// Promises a worker thread of a gateway that fails once a file exists, as one with a bug in it does; loaded before the binary with `--import`.
// Trusts the test that names the files. Threads of other names are not touched.
import fs from "node:fs";
import { threadName } from "node:worker_threads";

const named = (variable: string): (() => boolean) => {
  const file = process.env[variable] ?? "";
  return () => file !== "" && fs.existsSync(file);
};
const throws = named("TEST_WORKER_THROWS_FILE");
const losesLock = named("TEST_WORKER_LOSES_LOCK_FILE");

if (threadName === "sallyport-gateway-2") {
  setInterval(() => {
    if (throws()) throw new Error("a bug of the test");
  }, 10).unref();
  const { exchange } = Atomics;
  // What gives a lock back: it ends with it still taken, as one does that the system stops in the middle.
  const giveBack = (words: Int32Array, at: number, value: number): number => {
    if (!losesLock()) return exchange(words, at, value);
    setImmediate(() => process.exit());
    return 0;
  };
  Object.defineProperty(Atomics, "exchange", { value: giveBack });
}
