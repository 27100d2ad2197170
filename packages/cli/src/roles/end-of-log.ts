// Promises an operator the volume that failed and what to do, when a log cannot go on. Trusts the fault's words for the file and the error.
// Specified in docs/audit.md "What is durable when".
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CommandEnd, exitCode } from "../exit.ts";

/** How the process ends. */
export function endOfLog(dataDirectory: string, fault: Error): CommandEnd {
  const volume = volumeOf(resolve(dataDirectory), readMounts());
  const where = volume === null ? "" : ` (volume ${volume.device} mounted at ${volume.mount})`;
  return new CommandEnd(
    exitCode.no,
    `${fault.message}${where}`,
    "nothing can be recorded, so nothing passes and this process ends; see what the system's log says of the volume, mend or replace it, then start again: the start reads the disk anew and refuses a log that lost what was acknowledged",
  );
}

export interface Volume {
  readonly device: string;
  readonly mount: string;
}

function readMounts(): string {
  try {
    return readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    // Only Linux says it there.
    return "";
  }
}

/** The volume a path lies on, from the text of /proc/self/mountinfo (proc(5)); null where that names none. Pure. */
export function volumeOf(path: string, mountInfo: string): Volume | null {
  let found: Volume | null = null;
  for (const line of mountInfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const mount = unescapeMount(before.split(" ")[4] ?? "");
    const device = unescapeMount(after.split(" ")[1] ?? "");
    const isAbove = mount === "/" || path === mount || path.startsWith(`${mount}/`);
    // A later mount over the same place hides the earlier one.
    if (mount !== "" && isAbove && mount.length >= (found?.mount.length ?? 0)) found = { device, mount };
  }
  return found;
}

/** Space, tab, newline and backslash are written as three octal digits. */
const unescapeMount = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
