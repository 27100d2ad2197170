// Promises an operator why the process ends when one of its worker threads did. Trusts the fault's words. Specified in docs/workers.md "A worker that ends".
import { CommandEnd, exitCode } from "../exit.ts";

/** How the process ends. */
export function endOfWorker(fault: Error): CommandEnd {
  return new CommandEnd(
    exitCode.no,
    fault.message,
    "what that thread had under way is cut, so this process ends and nothing is served half; let it be started again, and report this with the lines before it",
  );
}
