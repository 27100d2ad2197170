// Promises that a trusted issuer names bundles and systems that exist in its environment, and that no two answer to one `iss`.
// Trusts each issuer's own shape (read-issuer.ts).
import type { IssuerConfig } from "./estate.ts";
import { compareText, errorAt, type Finding } from "./finding.ts";
import { checkTrust, type EstateNames, type LinkedEnvironment } from "./link.ts";
import { suggest } from "./nearest.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** An issuer of one environment while it is being linked; `findings` with an error keep it from being trusted. */
export interface LinkedIssuer {
  readonly id: string;
  readonly tree: MapTree | null;
  readonly config: IssuerConfig | null;
  readonly findings: Finding[];
}

export function linkIssuers(environment: LinkedEnvironment, names: EstateNames): void {
  for (const { config, tree, findings } of environment.issuers.values()) {
    if (config === null || tree === null) continue;
    if (config.keys.from === "uri" && config.keys.trust !== undefined)
      findings.push(...checkTrust(config.keys.trust, spotOf(tree, ["tls", "ca"]), { environment, names }));
    for (const [index, { system }] of config.systems.entries())
      findings.push(...checkSystem(system, { at: index, tree, environment, names }));
  }
  refuseSameUrl(environment);
}

function checkSystem(
  id: string,
  where: { at: number; tree: MapTree; environment: LinkedEnvironment; names: EstateNames },
): Finding[] {
  const { at, tree, environment, names } = where;
  const spot = spotOf(tree, ["systems", at, "system"]);
  const system = environment.systems.get(id);
  if (system === undefined && names.systems.has(id))
    return [
      errorAt(
        spot,
        `the system \`${id}\` does not exist in ${environment.name}`,
        `add ${environment.name} to its \`environments\``,
      ),
    ];
  if (system === undefined) return [errorAt(spot, `there is no system \`${id}\``, suggest(id, names.systems))];
  if (system.config !== null && system.config.clients.length === 0)
    return [
      errorAt(
        spot,
        `the system \`${id}\` has no client the token could be issued to`,
        `add \`identity: { client: ${id} }\` to systems/${id}.yaml`,
      ),
    ];
  return [];
}

/** `iss` chooses the issuer: two that answer to one would leave open whose rules hold. */
function refuseSameUrl(environment: LinkedEnvironment): void {
  const byUrl = Map.groupBy([...environment.issuers.values()], ({ config }) => config?.url ?? "");
  for (const [url, same] of byUrl) {
    if (url === "" || same.length < 2) continue;
    for (const { id, tree, findings } of same) {
      if (tree === null) continue;
      const others = same.filter((other) => other.id !== id).map((other) => `\`${other.id}\``);
      findings.push(
        errorAt(spotOf(tree, ["url"]), `the same \`url\` as ${others.join(", ")}`, "keep one issuer for it"),
      );
    }
  }
}

/** The issuers that are trusted: those without an error. `say` hears of the others. */
export function finishIssuers(
  environment: LinkedEnvironment,
  findings: Finding[],
  say: (object: string, finding: Finding) => void,
): readonly IssuerConfig[] {
  const healthy = [...environment.issuers.values()].flatMap(({ id, config, findings: own }) => {
    findings.push(...own);
    const error = own.find(({ severity }) => severity === "error");
    if (error !== undefined) say(`issuer/${id}`, error);
    return error === undefined && config !== null ? [config] : [];
  });
  return healthy.sort((a, b) => compareText(a.id, b.id));
}
