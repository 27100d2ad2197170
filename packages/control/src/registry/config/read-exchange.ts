// Promises the exchange rules of one integration, each within what the integration grants, one per issuer of subject tokens.
// Trusts the types (integration-schema.ts). That the named issuers exist is checked in link-issuers.ts. docs/identity/token-exchange.md "The rule".
import type { ExchangeConfig, IntegrationConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IntegrationSource } from "./integration-schema.ts";
import { suggest } from "./nearest.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Granting {
  readonly source: IntegrationSource;
  /** Operations of this integration. */
  readonly granted: readonly string[];
}

export function readExchange(
  tree: MapTree,
  { source, granted }: Granting,
  findings: Finding[],
): Pick<IntegrationConfig, "exchange"> {
  if (source.exchange.length === 0) return {};
  const seen = new Set<string>();
  const exchange = source.exchange.map((rule, index): ExchangeConfig => {
    const at = ["exchange", index];
    if (seen.has(rule.subject))
      findings.push(
        errorAt(
          spotOf(tree, [...at, "subject"]),
          `a second rule for tokens of \`${rule.subject}\``,
          "keep one rule per issuer",
        ),
      );
    seen.add(rule.subject);
    const operations = rule.operations ?? granted;
    const within = (names: readonly string[], where: readonly (string | number)[], ceiling: readonly string[]) => {
      for (const [place, name] of names.entries())
        if (!ceiling.includes(name))
          findings.push(
            errorAt(
              spotOf(tree, [...where, place]),
              `\`${name}\` goes beyond what may be carried here`,
              suggest(name, ceiling),
            ),
          );
    };
    within(rule.operations ?? [], [...at, "operations"], granted);
    for (const [word, names] of Object.entries(rule.carries ?? {})) within(names, [...at, "carries", word], operations);
    const { subject, as, carries, depth, binding } = rule;
    return { subject, as, operations, ...(carries === undefined ? {} : { carries }), depth, binding };
  });
  return { exchange };
}
