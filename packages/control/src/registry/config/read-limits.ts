// Promises what an integration allows at once, over time and in each calendar period, each entry one of them. Trusts the types (integration-schema.ts).
// Specified in docs/limits.md.
import type { ConcurrencyLimit, QuotaLimit, RateLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { IntegrationConfig } from "./estate.ts";
import { compareText, errorAt, type Finding } from "./finding.ts";
import type { LimitSource } from "./integration-schema.ts";
import { nearest } from "./nearest.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Limited {
  readonly limits: readonly LimitSource[];
  /** Names of the granted operations. */
  readonly granted: readonly string[];
}

export function readLimits(
  tree: MapTree,
  { limits, granted }: Limited,
  findings: Finding[],
): Pick<IntegrationConfig, "limits" | "concurrency" | "quotas" | "ratesAt"> {
  const rates: RateLimit[] = [];
  const ratesAt: number[] = [];
  const concurrency: ConcurrencyLimit[] = [];
  const quotas: QuotaLimit[] = [];
  for (const [index, limit] of limits.entries()) {
    findings.push(...whatIsWrong(tree, { limit, index, granted }));
    const { per, rate, burst, concurrency: max, quota, timeZone } = limit;
    const counts = limit.operations === undefined ? {} : { operations: [...limit.operations].sort(compareText) };
    const across = limit.across === undefined ? {} : { across: { onLoss: limit.onLoss ?? ("local" as const) } };
    if (rate !== undefined) {
      rates.push({ per, ...rate, burst: burst ?? rate.rate, ...counts, ...across });
      ratesAt.push(index);
    } else if (max !== undefined) concurrency.push({ per, max, ...counts, ...across });
    else if (quota !== undefined) quotas.push({ per, ...quota, timeZone: timeZone ?? "UTC", ...counts });
  }
  return {
    limits: rates,
    ...(concurrency.length === 0 ? {} : { concurrency }),
    ...(quotas.length === 0 ? {} : { quotas }),
    ...(rates.length === limits.length ? {} : { ratesAt }),
  };
}

function whatIsWrong(
  tree: MapTree,
  {
    limit,
    index,
    granted,
  }: { readonly limit: LimitSource; readonly index: number; readonly granted: readonly string[] },
): Finding[] {
  const at = (...path: readonly (string | number)[]) => spotOf(tree, ["limits", index, ...path]);
  const findings: Finding[] = [];
  const [first, second] = (["rate", "concurrency", "quota"] as const).filter((word) => limit[word] !== undefined);
  if (first === undefined)
    findings.push(
      errorAt(at(), "the limit limits nothing", "write `rate: 200/s`, `concurrency: 20` or `quota: 10000/day`"),
    );
  if (second !== undefined)
    findings.push(errorAt(at(second), "one limit counts one thing", "make it an entry of its own"));
  if (limit.rate === undefined && limit.burst !== undefined)
    findings.push(errorAt(at("burst"), "`burst` belongs to `rate`", "remove it"));
  if (limit.quota === undefined && limit.timeZone !== undefined)
    findings.push(errorAt(at("timeZone"), "`timeZone` belongs to `quota`", "remove it"));
  if (limit.quota !== undefined && limit.across !== undefined)
    findings.push(
      errorAt(at("across"), "gateways share a quota where they share a data-plane store", "remove it (docs/limits.md)"),
    );
  if (limit.across === undefined && limit.onLoss !== undefined)
    findings.push(errorAt(at("onLoss"), "`onLoss` belongs to `across: gateways`", "remove it"));
  for (const [n, name] of (limit.operations ?? []).entries()) {
    if (limit.operations?.indexOf(name) !== n)
      findings.push(errorAt(at("operations", n), "the operation is named twice", "keep one"));
    else if (!granted.includes(name))
      findings.push(errorAt(at("operations", n), `operation ${name} is not granted here`, fixFor(name, granted)));
  }
  return findings;
}

function fixFor(name: string, granted: readonly string[]): string {
  const near = nearest(name, granted);
  return near === null ? `name one of ${granted.slice(0, 5).join(", ")}` : `did you mean ${near}?`;
}
