// Promises the Redis in which a gateway counts together with others, where one is named; nothing is connected before a snapshot needs it.
// Trusts the operator for its host name. Specified in docs/limits.md "Across gateways".
import type { LimitsStorePort } from "@sallyport/gateway/limit/limits-store.ts";
import { limitsStoreAt } from "@sallyport/gateway/limit/redis-counts.ts";
import { parseRedisUrl } from "@sallyport/gateway/limit/redis-url.ts";
import { CommandEnd, exitCode } from "../exit.ts";

export function limitsStoreOf({ limitsStoreUrl: url }: { readonly limitsStoreUrl: string | null }): {
  readonly limitsStore?: LimitsStorePort;
} {
  if (url === null) return {};
  try {
    return { limitsStore: limitsStoreAt(parseRedisUrl(url)) };
  } catch (cause) {
    throw new CommandEnd(
      exitCode.badUse,
      cause instanceof Error ? cause.message : "the Redis URL cannot be read",
      "write rediss://user:password@host:6379, with ?ca=<file> for a private CA",
    );
  }
}
