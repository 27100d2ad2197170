// Promises `<data>/endpoints.json`: where a running process can be reached and which roots prove it, for commands on the same machine.
// Trusts the role that wrote it; holds paths and addresses, never a secret. Specified in docs/cli/serve.md "endpoints.json".
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readPrivateFile, replacePrivateFile } from "@sallyport/kernel/seal/key-file.ts";

export const endpointsFile = "endpoints.json";
const endpointsBytesMax = 256 * 1024;

/** A gateway listener: the origin callers use, and what was bound. */
export interface GatewayEndpoint {
  readonly listener: string;
  readonly url: string;
  /** `host:port` */
  readonly address: string;
}

/** What one role knows of itself; null where it has none. */
export interface RoleEndpoints {
  readonly identityUrl: string | null;
  readonly adminUrl: string | null;
  readonly channelUrl: string | null;
  /** Environment -> issuer. */
  readonly issuers: Readonly<Record<string, string>>;
  readonly gateway: readonly GatewayEndpoint[];
  readonly roots: {
    /** PEM file of the root that proves identity and admin listeners. */
    readonly identity: string | null;
    /** Environment -> PEM file of the root that proves its gateways' listeners; absent where they have certificates of your own. */
    readonly gateway: Readonly<Record<string, string>>;
  };
  readonly operatorKey: string | null;
}

export interface Endpoints extends RoleEndpoints {
  readonly v: 1;
  readonly role: "all" | "control" | "gateway";
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The estate directory that is applied, or null. */
  readonly config: string | null;
  readonly statusUrl: string;
}

/** Replaces the file, 0600, in one step. */
export function writeEndpoints(dataDirectory: string, endpoints: Endpoints): void {
  replacePrivateFile(join(dataDirectory, endpointsFile), Buffer.from(`${JSON.stringify(endpoints, null, 2)}\n`));
}

/** Removes the file at a clean end, unless another process has written its own since. */
export function removeEndpoints(dataDirectory: string, pid: number): void {
  const path = join(dataDirectory, endpointsFile);
  try {
    const found: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof found === "object" && found !== null && "pid" in found && found.pid === pid) rmSync(path);
  } catch {
    // Not there, or not ours to judge: nobody is harmed by a file that says where something was.
  }
}

/**
 * What runs on a data directory, or null when nothing says so. A crash leaves the file behind: `isAlive` tells whether its process still
 * runs. Throws SealFault when others can read or replace the file, for what it names is trusted.
 */
export function readEndpoints(dataDirectory: string): (Endpoints & { readonly isAlive: boolean }) | null {
  const bytes = readPrivateFile(join(dataDirectory, endpointsFile), endpointsBytesMax);
  if (bytes === null) return null;
  try {
    const found: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof found !== "object" || found === null || !("v" in found) || found.v !== 1) return null;
    // Written by writeEndpoints into a file that only its owner can write.
    const endpoints = found as Endpoints;
    return { ...endpoints, isAlive: isAlive(endpoints.pid) };
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
