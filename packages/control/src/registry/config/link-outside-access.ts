// Promises that rules for access tokens presented at gateways name systems and operations of their environment, or the nearest name is said.
// Trusts the rules' own shape (read-outside-access.ts).
import type { IssuerConfig } from "./estate.ts";
import { errorAt, type Finding, type Spot } from "./finding.ts";
import type { EstateNames, LinkedEnvironment } from "./link.ts";
import { suggest } from "./nearest.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Where {
  readonly environment: LinkedEnvironment;
  readonly names: EstateNames;
}

export function linkOutsideAccess(
  { gateways = [], introspection }: IssuerConfig,
  tree: MapTree,
  where: Where,
): Finding[] {
  const asked = (introspection?.providers ?? []).flatMap((provider, index) =>
    checkSystem(provider, spotOf(tree, ["introspection", "providers", index]), where),
  );
  const rules = gateways.flatMap(({ system, audiences, carries }, index) => {
    const at = (...path: (string | number)[]): Spot => spotOf(tree, ["gateways", index, ...path]);
    return [
      ...checkSystem(system, at("system"), where),
      ...Object.entries(audiences).flatMap(([audience, providers]) =>
        providers.flatMap((provider, place) => checkSystem(provider, at("audiences", audience, place), where)),
      ),
      ...Object.entries(carries ?? {}).flatMap(([word, operations]) =>
        operations.flatMap((operation, place) => checkOperation(operation, at("carries", word, place), where)),
      ),
    ];
  });
  return [...asked, ...rules];
}

/** Do tokens of an outside issuer prove this system at gateways? */
export function isSpokenFor(system: string, { issuers }: LinkedEnvironment): boolean {
  return [...issuers.values()].some(({ config }) => config?.gateways?.some((rule) => rule.system === system) === true);
}

function checkSystem(id: string, spot: Spot, { environment, names }: Where): Finding[] {
  if (environment.systems.has(id)) return [];
  if (names.systems.has(id))
    return [
      errorAt(
        spot,
        `the system \`${id}\` does not exist in ${environment.name}`,
        `add ${environment.name} to its \`environments\``,
      ),
    ];
  return [errorAt(spot, `there is no system \`${id}\``, suggest(id, environment.systems.keys()))];
}

function checkOperation(name: string, spot: Spot, where: Where): Finding[] {
  const [id = "", operation = ""] = name.split(":");
  const missing = checkSystem(id, spot, where);
  if (missing.length > 0) return missing;
  const config = where.environment.systems.get(id)?.config;
  // A broken provider has findings of its own.
  if (config === undefined || config === null || config.operations.some((one) => one.name === operation)) return [];
  const all = config.operations.map((one) => `${id}:${one.name}`);
  return [errorAt(spot, `${id} publishes no operation \`${operation}\``, suggest(name, all))];
}
