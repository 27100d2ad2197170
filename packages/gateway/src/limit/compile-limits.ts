// Promises the limits of one granted operation, each with the name of the thing that it counts for a principal. Trusts the snapshot's shapes.
// Specified in docs/limits.md.
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { ConcurrencyLimit, LimitPer, QuotaLimit, RateLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { RateLimiter } from "./gcra.ts";

/** What of a principal is counted. */
export type Counted = Pick<Principal, "client" | "caller" | "subject" | "issuer">;

export interface CompiledLimit {
  readonly rule: RateLimit;
  /** Key of the counted thing. */
  keyFor(principal: Counted): bigint;
}

export interface CompiledConcurrency {
  readonly rule: ConcurrencyLimit;
  /** Name of the counted thing. */
  nameFor(principal: Counted): string;
}

export interface CompiledQuota {
  readonly rule: QuotaLimit;
  /** Name of the counted thing. */
  nameFor(principal: Counted): string;
}

/** Of limits that all gateways share: its name in Redis is made of `nameFor`. */
export interface CompiledShared {
  readonly rates: readonly (CompiledLimit & { nameFor(principal: Counted): string })[];
  readonly concurrency: readonly CompiledConcurrency[];
}

export interface CompiledLimits {
  readonly rates: readonly CompiledLimit[];
  readonly concurrency: readonly CompiledConcurrency[];
  readonly quotas: readonly CompiledQuota[];
  /** Also in `concurrency`, for no gateway has more under way than all may. Null: none of them. */
  readonly shared: CompiledShared | null;
}

type OfIntegration = Pick<IntegrationObject, "id" | "limits" | "concurrency" | "quotas">;

/** Keys that are kept per limit; a system has a handful of clients. */
const keysMax = 1024;

/** The limits of an integration, and of them those that count one operation. */
export function compileLimits(integration: OfIntegration, limiter: RateLimiter): (operation: string) => CompiledLimits {
  const { id, limits, concurrency = [], quotas = [] } = integration;
  const rates = limits.map((rule, index) => compileRate(`${id}\n${index}\n${rule.per}`, rule, limiter));
  // Of its own words, not of its place in the list: what is under way is still counted after a change.
  const atOnce = concurrency.map((rule): CompiledConcurrency => {
    const base = `${id}\n${rule.per}\n${rule.operations?.join(" ") ?? "*"}`;
    return { rule, nameFor: (principal) => nameOf(base, rule.per, principal) };
  });
  // Likewise, and without its number: who raises a quota does not begin a new count.
  const perPeriod = quotas.map((rule): CompiledQuota => {
    const { period, timeZone, operations } = rule;
    const base = `${id}\n${rule.per}\n${operations?.join(" ") ?? "*"}\n${period}\n${timeZone}`;
    return { rule, nameFor: (principal) => nameOf(base, rule.per, principal) };
  });
  return (operation) => {
    const counts = ({ rule }: { readonly rule: Pick<RateLimit, "operations"> }) =>
      rule.operations?.includes(operation) ?? true;
    const isShared = ({ rule: { across } }: { readonly rule: Pick<RateLimit, "across"> }) => across !== undefined;
    const shared = {
      rates: rates
        .filter(counts)
        .filter(isShared)
        .map((one) => ({ ...one, nameFor: sharedName(id, one.rule) })),
      concurrency: atOnce.filter(counts).filter(isShared),
    };
    return {
      rates: rates.filter(counts).filter((one) => !isShared(one)),
      concurrency: atOnce.filter(counts),
      quotas: perPeriod.filter(counts),
      shared: shared.rates.length + shared.concurrency.length === 0 ? null : shared,
    };
  };
}

/** Of the rule's own words: gateways may hold snapshots in which it stands at another place. */
function sharedName(id: string, rule: RateLimit): (principal: Counted) => string {
  const { per, rate, periodMs, burst, operations } = rule;
  const base = `${id}\n${per}\n${operations?.join(" ") ?? "*"}\n${rate}/${periodMs}/${burst}`;
  return (principal) => nameOf(base, per, principal);
}

function compileRate(base: string, rule: RateLimit, limiter: RateLimiter): CompiledLimit {
  const keys = new Map<string, bigint>();
  return {
    rule,
    keyFor(principal) {
      const name = nameOf(base, rule.per, principal);
      const known = keys.get(name);
      if (known !== undefined) return known;
      if (keys.size >= keysMax) keys.clear();
      const key = limiter.key(name);
      keys.set(name, key);
      return key;
    },
  };
}

/** A user is one whatever client acts for it, but two issuers may mean two users by one name. */
function nameOf(base: string, per: LimitPer, { client, caller, subject, issuer }: Counted): string {
  if (per === "integration") return base;
  if (per === "subject" && subject !== undefined) return `${base}\nsubject\n${issuer ?? ""}\n${subject}`;
  return `${base}\n${client ?? caller}`;
}
