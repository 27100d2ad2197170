// Promises connection settings that cannot switch off the check of the server's certificate. Trusts the operator for the host name.
// URL form: PostgreSQL manual §32.1.1.2, less what is refused here.
import { readFileSync } from "node:fs";
import { StoreFault } from "./fault.ts";

export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** False only on the same machine. */
  readonly ssl: false | { readonly rejectUnauthorized: true; readonly ca?: string };
}

/** Parses `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path`. Throws StoreFault `bad-url`; the URL itself (it holds the password) is in no message. */
export function parsePostgresUrl(text: string): PostgresAddress {
  const url = URL.parse(text);
  if (!url || (url.protocol !== "postgres:" && url.protocol !== "postgresql:")) throw bad("is no postgres:// URL");
  const host = decodeURIComponent(url.hostname).replace(/^\[|\]$/g, "");
  const database = decodeURIComponent(url.pathname.slice(1));
  if (!host || !url.username || !database)
    throw bad("needs a user, a host and a database: postgres://user:password@host:5432/database");
  for (const key of url.searchParams.keys())
    if (key !== "sslmode" && key !== "sslrootcert")
      throw bad(`has the parameter ${JSON.stringify(key)}; only sslmode and sslrootcert are known`);
  return {
    host,
    port: url.port === "" ? 5_432 : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database,
    ssl: decideTls(host, url.searchParams),
  };
}

function decideTls(host: string, parameters: URLSearchParams): PostgresAddress["ssl"] {
  const mode = parameters.get("sslmode");
  const root = parameters.get("sslrootcert");
  if (mode !== null && mode !== "verify-full" && !(mode === "disable" && isLoopback(host)))
    throw bad(
      `asks for sslmode=${JSON.stringify(mode.slice(0, 20))}: a server on another machine is always verified; use sslmode=verify-full, with sslrootcert=<file> for a private CA`,
    );
  if (isLoopback(host) && mode !== "verify-full") return false;
  return root === null ? { rejectUnauthorized: true } : { rejectUnauthorized: true, ca: readRoot(root) };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function readRoot(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new StoreFault("bad-url", `sslrootcert ${path} cannot be read: give the path of a PEM file`, {
      cause: error,
    });
  }
}

function bad(why: string): StoreFault {
  return new StoreFault("bad-url", `the database URL ${why}`);
}
