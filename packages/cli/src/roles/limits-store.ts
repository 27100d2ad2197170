// Promises the Redis in which a gateway counts together with others, where one is named; nothing is connected before a snapshot needs it.
// Trusts the operator for its host name. Specified in docs/limits.md "Across gateways".
import type { LimitsStorePort } from "@sallyport/gateway/limit/limits-store.ts";
import { limitsStoreAt } from "@sallyport/gateway/limit/redis-counts.ts";
import { parseRedisUrl, type RedisAddress } from "@sallyport/gateway/limit/redis-url.ts";
import { CommandEnd, exitCode } from "../exit.ts";

type Named = { readonly limitsStoreUrl: string | null };

export function limitsStoreOf(options: Named): { readonly limitsStore?: LimitsStorePort } {
  const address = limitsAddressOf(options);
  return address === null ? {} : { limitsStore: limitsStoreAt(address) };
}

/** Where it is, for worker threads, which each connect by themselves; null: none is named. */
export function limitsAddressOf({ limitsStoreUrl: url }: Named): RedisAddress | null {
  if (url === null) return null;
  try {
    return parseRedisUrl(url);
  } catch (cause) {
    throw new CommandEnd(
      exitCode.badUse,
      cause instanceof Error ? cause.message : "the Redis URL cannot be read",
      "write rediss://user:password@host:6379, with ?ca=<file> for a private CA",
    );
  }
}
