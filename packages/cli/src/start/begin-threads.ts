// Promises that the threads a start will open read their modules while the start reads its own, on another processor where there is one.
// Trusts thread-ahead.ts; light, because it is loaded before everything else of a start.
import { beginThread } from "@sallyport/kernel/thread-ahead.ts";
import type { ServeOptions } from "../commands/serve.ts";

/** To be called once nothing of the command line can be refused any more. */
export function beginThreads({ role, storeUrl }: Pick<ServeOptions, "role" | "storeUrl">): void {
  // With PostgreSQL there is no thread for the store.
  if (role !== "gateway" && storeUrl === null)
    beginThread("store", [import.meta.resolve("@sallyport/control/commands.ts")]);
  for (let logs = role === "all" ? 2 : 1; logs > 0; logs--) beginThread("log");
}
