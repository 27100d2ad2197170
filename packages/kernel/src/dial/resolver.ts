// Promises all addresses of a name, inside a deadline and out of a bounded cache that never outlives the TTL.
// Trusts the name servers for nothing: every answer is judged by decideDial. Specified in docs/dial.md, step 1.
import { Resolver as CaresResolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import type { Clock } from "../ports.ts";
import { parseAddress } from "./address.ts";
import { DialFault } from "./dial-fault.ts";

export const resolverCacheMax = 2048;
export const answerAddressesMax = 64;
export const ttlMaxMs = 30_000;

export interface Resolver {
  /** Every A and AAAA record of a lower-case name, at least one. Faults: `name-not-found`, `resolve-failed`. */
  resolve(host: string, timeoutMs: number): Promise<readonly string[]>;
}

/** Names to addresses of a hosts file; lines that are not `address name …` are skipped. */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, readonly string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (parseAddress(address) === null) continue;
    for (const name of names) {
      const known = hosts.get(name.toLowerCase()) ?? [];
      if (!known.includes(address)) hosts.set(name.toLowerCase(), [...known, address]);
    }
  }
  return hosts;
}

/** The system's hosts file; empty where there is none to read. */
export function readHostsFile(path = "/etc/hosts"): ReadonlyMap<string, readonly string[]> {
  try {
    return parseHosts(readFileSync(path, "utf8"));
  } catch {
    return new Map();
  }
}

export interface ResolverOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** Answers that need no name server, lower-case names; usually readHostsFile(). */
  readonly hosts: ReadonlyMap<string, readonly string[]>;
  /** `ip` or `ip:port`; absent: the system's. */
  readonly servers?: readonly string[];
}

interface Cached {
  readonly addresses: readonly string[];
  readonly until: number;
}

type Lookup =
  | { readonly records: readonly { readonly address: string; readonly ttl: number }[] }
  | { readonly error: string };

const loopback = ["127.0.0.1", "::1"];
const absent = new Set(["ENOTFOUND", "ENODATA", "NXDOMAIN"]);

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "UNKNOWN";
}

/** A resolver over c-ares. One lookup per name at a time; waiting callers share its answer. */
export function createResolver(options: ResolverOptions): Resolver {
  const cache = new Map<string, Cached>();
  const running = new Map<string, Promise<readonly string[]>>();
  const now = () => options.clock.monotonic();

  const look = async (host: string, timeoutMs: number): Promise<readonly string[]> => {
    const cares = new CaresResolver({ timeout: Math.max(1, Math.floor(timeoutMs / 2)), tries: 2 });
    if (options.servers !== undefined) cares.setServers([...options.servers]);
    // c-ares backs off beyond its own timeout; this is the deadline that counts.
    const deadline = setTimeout(() => cares.cancel(), timeoutMs);
    const answer = (lookup: Promise<Extract<Lookup, { records: unknown }>["records"]>): Promise<Lookup> =>
      lookup.then(
        (records) => ({ records }),
        (error: unknown) => ({ error: codeOf(error) }),
      );
    const both = await Promise.all([
      answer(cares.resolve4(host, { ttl: true })),
      answer(cares.resolve6(host, { ttl: true })),
    ]);
    clearTimeout(deadline);
    const records = both.flatMap((lookup) => ("records" in lookup ? lookup.records : []));
    const addresses = [...new Set(records.map((record) => record.address))].slice(0, answerAddressesMax);
    if (addresses.length === 0) {
      const failed = both.flatMap((lookup) => ("error" in lookup && !absent.has(lookup.error) ? [lookup.error] : []));
      if (failed.length > 0)
        throw new DialFault("resolve-failed", `the name servers did not answer for ${host} (${failed.join(", ")})`);
      throw new DialFault("name-not-found", `${host} has no address. Check the name; search domains are not applied`);
    }
    const ttlMs = Math.min(ttlMaxMs, ...records.map((record) => record.ttl * 1000));
    cache.delete(host);
    if (cache.size >= resolverCacheMax) cache.delete(cache.keys().next().value ?? "");
    if (ttlMs > 0) cache.set(host, { addresses, until: now() + ttlMs });
    return addresses;
  };
  return {
    async resolve(host, timeoutMs) {
      const fixed =
        options.hosts.get(host) ?? (host === "localhost" || host.endsWith(".localhost") ? loopback : undefined);
      if (fixed !== undefined) return fixed;
      const cached = cache.get(host);
      if (cached !== undefined && now() < cached.until) return cached.addresses;
      const lookup = running.get(host) ?? look(host, timeoutMs).finally(() => running.delete(host));
      running.set(host, lookup);
      return lookup;
    },
  };
}
