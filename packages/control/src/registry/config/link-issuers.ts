// Promises that a trusted issuer names bundles and systems that exist in its environment, and that no two answer to one `iss`.
// Trusts each issuer's own shape (read-issuer.ts).
import type { EnvironmentConfig, IssuerConfig } from "./estate.ts";
import { compareText, errorAt, type Finding } from "./finding.ts";
import { checkTrust, type EstateNames, type LinkedEnvironment, type LinkedIntegration } from "./link.ts";
import { linkOutsideAccess } from "./link-outside-access.ts";
import { suggest } from "./nearest.ts";
import { refuseSharedProviders } from "./read-introspection.ts";
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
    if (config.id === ownSubject)
      findings.push(
        errorAt(spotOf(tree, ["issuer"]), "`own` means this environment's own issuer", "choose another id"),
      );
    // Both addresses have the one bundle.
    const trust = config.keys.from === "uri" ? config.keys.trust : config.introspection?.trust;
    if (trust !== undefined) findings.push(...checkTrust(trust, spotOf(tree, ["tls", "ca"]), { environment, names }));
    for (const [index, { system }] of config.systems.entries())
      findings.push(...checkSystem(system, { at: index, tree, environment, names }));
    findings.push(...linkOutsideAccess(config, tree, { environment, names }));
  }
  refuseSameUrl(environment);
  refuseSharedProviders(environment);
  for (const integration of environment.integrations) linkExchange(integration, environment);
  refuseTwoRules(environment);
}

/** Tokens of this environment's own issuer; no file in issuers/ may have the name. */
export const ownSubject = "own";

function linkExchange({ draft, findings }: LinkedIntegration, environment: LinkedEnvironment): void {
  for (const [index, { subject }] of (draft.config?.exchange ?? []).entries()) {
    if (subject === ownSubject) continue;
    const spot = spotOf(draft.tree, ["exchange", index, "subject"]);
    const issuer = environment.issuers.get(subject);
    if (issuer === undefined)
      findings.push(
        errorAt(
          spot,
          `no issuer \`${subject}\` is trusted in ${environment.name}`,
          suggest(subject, [ownSubject, ...environment.issuers.keys()]),
        ),
      );
    else if (issuer.config === null)
      findings.push(errorAt(spot, `the issuer \`${subject}\` is broken`, `correct issuers/${subject}.yaml`));
  }
}

/** One rule per (client, issuer, audience): two integrations between the same systems may not both have one. */
function refuseTwoRules(environment: LinkedEnvironment): void {
  const holders = Map.groupBy(
    environment.integrations.flatMap((integration) =>
      (integration.draft.config?.exchange ?? []).map((rule, index) => ({ integration, index, rule })),
    ),
    ({ integration, rule }) => `${integration.draft.config?.from} ${integration.draft.config?.to} ${rule.subject}`,
  );
  for (const held of holders.values()) {
    for (const { integration, index, rule } of held) {
      const others = held
        .filter((other) => other.integration !== integration)
        .map((other) => `\`${other.integration.draft.id}\``);
      if (others.length === 0) continue;
      const spot = spotOf(integration.draft.tree, ["exchange", index]);
      integration.findings.push(
        errorAt(
          spot,
          `tokens of \`${rule.subject}\` are also exchanged by ${others.join(", ")}`,
          "keep one rule for both systems",
        ),
      );
    }
  }
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

/** Bundles that providers name. `root`: sallyport.yaml; null where there is none. */
export function linkPeople(
  root: MapTree | null,
  rules: readonly Pick<EnvironmentConfig, "name" | "people">[],
  { linked, names }: { readonly linked: readonly LinkedEnvironment[]; readonly names: EstateNames },
): readonly Finding[] {
  if (root === null) return [];
  return rules.flatMap(({ name, people }) =>
    (people?.providers ?? []).flatMap(({ id, trust }) => {
      const environment = linked.find((one) => one.name === name);
      if (trust === undefined || environment === undefined) return [];
      const spot = spotOf(root, ["environments", name, "people", "providers", id, "tls", "ca"]);
      return checkTrust(trust, spot, { environment, names });
    }),
  );
}
