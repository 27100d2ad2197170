// Promises the settings of a connection to Redis that cannot switch off the check of its certificate. Trusts the operator for the host name.
// URL form: `rediss://user:password@host:port/database?ca=/path&wait=20ms`, specified in docs/limits.md "Across gateways".
import { readFileSync } from "node:fs";

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | null;
  readonly password: string | null;
  readonly database: number;
  /** False only on the same machine. `ca`: PEM of a private CA; null: those of the platform. */
  readonly tls: false | { readonly ca: string | null };
  /** Longest wait of a crossing. */
  readonly waitMs: number;
}

export const waitMsDefault = 20;
const waitMsMax = 1_000;
const parameters = ["ca", "wait"];

/** Faults: RangeError that never holds the URL, which holds the password. */
export function parseRedisUrl(text: string): RedisAddress {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "redis:" && url.protocol !== "rediss:")) throw bad("is no rediss:// URL");
  const host = decodeURIComponent(url.hostname).replace(/^\[|\]$/g, "");
  if (host === "") throw bad("names no host: rediss://user:password@host:6379");
  const database = /^\/?(\d{0,4})$/.exec(url.pathname)?.[1];
  if (database === undefined) throw bad("names its database by a number: rediss://host:6379/0");
  for (const key of url.searchParams.keys())
    if (!parameters.includes(key))
      throw bad(`has the parameter ${JSON.stringify(key.slice(0, 20))}; ca and wait are known`);
  const isTls = url.protocol === "rediss:";
  if (!isTls && !isLoopback(host))
    throw bad("asks for a connection in clear to another machine: use rediss://, with ?ca=<file> for a private CA");
  const ca = url.searchParams.get("ca");
  return {
    host,
    port: url.port === "" ? 6_379 : Number(url.port),
    username: url.username === "" ? null : decodeURIComponent(url.username),
    password: url.password === "" ? null : decodeURIComponent(url.password),
    database: Number(database),
    tls: isTls ? { ca: ca === null ? null : readCa(ca) } : false,
    waitMs: readWait(url.searchParams.get("wait")),
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function readCa(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw bad(`names ca=${path}, which cannot be read: give the path of a PEM file`);
  }
}

function readWait(text: string | null): number {
  if (text === null) return waitMsDefault;
  const ms = Number(/^(\d{1,4})ms$/.exec(text)?.[1] ?? 0);
  if (ms < 1 || ms > waitMsMax) throw bad(`has a wait that is not 1ms to ${waitMsMax}ms`);
  return ms;
}

function bad(why: string): RangeError {
  return new RangeError(`the Redis URL ${why}`);
}
