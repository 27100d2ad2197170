// Promises a copy of a directory that a process goes on writing to, as a backup would take it. Trusts writers to replace whole files by rename
// and logs to grow only at their end (docs/formats/leaf.md "On disk").
import { cpSync, rmSync } from "node:fs";

const attemptsMax = 5;
/** Held by the one who runs, or on their way to another name. */
const passing = /(?:\block(?:-\w+)?|\.new|\.staged)$/;

/** Copies `from` to `to`; starts over when a file vanished between being listed and being read. `skip` leaves out whole paths. */
export function copyRunning(from: string, to: string, skip: (path: string) => boolean = () => false): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      cpSync(from, to, { recursive: true, filter: (path) => !passing.test(path) && !skip(path) });
      return;
    } catch (error) {
      const vanished = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!vanished || attempt === attemptsMax) throw error;
      rmSync(to, { recursive: true, force: true });
    }
  }
}
