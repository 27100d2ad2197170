// Promises who holds a port of this machine, where the system lets it be known. Reads /proc, judges nothing.
// Trusts /proc. Specified in docs/cli/doctor.md "Checks".
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { PortFacts } from "./decide-network.ts";

const processesMax = 10_000;

/** Null where the address is none of this machine: a balancer's, for example. */
export async function gatherPort(name: string, host: string, port: number): Promise<PortFacts | null> {
  const refusal = await tryToListen(host, port);
  if (refusal !== null && elsewhere.has(refusal)) return null;
  return { name, port, free: refusal === null, holder: refusal === null ? null : holderOf(port) };
}

const elsewhere: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN", "EINVAL"]);

/** The code of the error, or null when it could be done. */
function tryToListen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function holderOf(port: number): PortFacts["holder"] {
  const inode = listeningInode(port);
  if (inode === null) return null;
  for (const pid of list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .slice(0, processesMax)) {
    for (const fd of list(`/proc/${pid}/fd`))
      if (read(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) === `socket:[${inode}]`)
        return { pid: Number(pid), command: read(() => readFileSync(`/proc/${pid}/comm`, "utf8")).trim() };
  }
  return null;
}

/** Inode of the listening socket of a port (state 0A), from /proc/net/tcp (proc_net(5)). */
function listeningInode(port: number): string | null {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of read(() => readFileSync(table, "utf8"))
      .split("\n")
      .slice(1)) {
      const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === "0A" && local.endsWith(`:${hex}`)) return inode ?? null;
    }
  }
  return null;
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(from: () => string): string {
  try {
    return from();
  } catch {
    return "";
  }
}
