// Promises that an issuer which is asked about opaque tokens has rules for them, an https address that may be dialled, and no second one beside it for a provider:
// a token that says nothing must never be shown to an issuer it may not be of. Trusts the types (issuer-schema.ts). docs/identity/outside-introspection.md.
import type { IssuerConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IssuerSource } from "./issuer-schema.ts";
import type { LinkedEnvironment } from "./link.ts";
import { readKeysUri } from "./read-keys-uri.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** All its tokens are opaque: there is nothing to verify with a key. */
export function hasNoKeys({ introspection, jwks, jwksUri, systems }: IssuerSource): boolean {
  return introspection !== undefined && jwks === undefined && jwksUri === undefined && systems.length === 0;
}

export function readIntrospection(
  tree: MapTree,
  { introspection, gateways, preset, allowPrivate, tls }: IssuerSource,
  findings: Finding[],
): Pick<IssuerConfig, "introspection"> {
  if (introspection === undefined) return {};
  const at = spotOf(tree, ["introspection"], "key");
  if (gateways.length === 0)
    findings.push(errorAt(at, "no rule says whom its tokens stand for", "add `gateways`, or take `introspection` out"));
  if (preset !== "access-token")
    findings.push(
      errorAt(
        at,
        `tokens of the preset \`${preset}\` are JWTs, which are verified and not asked about`,
        "use `preset: access-token`, or take `introspection` out",
      ),
    );
  const { url, client, providers, keep, perSecond } = introspection;
  const where = { at: ["introspection", "url"], word: "allowPrivate: true" };
  const place = readKeysUri({ tree, findings }, where, { uri: url, allowPrivate, trust: tls?.ca });
  return { introspection: { ...place, client, providers: [...new Set(providers)], keepMs: keep, perSecond } };
}

/** Of an opaque token only its provider says whose it is. */
export function refuseSharedProviders(environment: LinkedEnvironment): void {
  const named = [...environment.issuers.values()].flatMap(({ id, tree, config, findings }) =>
    (config?.introspection?.providers ?? []).map((provider, index) => ({ id, tree, findings, provider, index })),
  );
  for (const [provider, same] of Map.groupBy(named, (one) => one.provider)) {
    if (same.length < 2) continue;
    for (const { id, tree, findings, index } of same) {
      if (tree === null) continue;
      const others = same.filter((other) => other.id !== id).map((other) => `\`${other.id}\``);
      findings.push(
        errorAt(
          spotOf(tree, ["introspection", "providers", index]),
          `opaque tokens for \`${provider}\` are taken for ${others.join(", ")}'s as well`,
          "let one issuer be asked for it: nothing else says whose such a token is",
        ),
      );
    }
  }
}
