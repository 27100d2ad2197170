// Promises a word to whoever granted operations to a system that has no way to prove itself. Trusts the linked environment. Pure.
// Specified in docs/configuration.md (identity).
import { type Finding, warningAt } from "./finding.ts";
import type { LinkedEnvironment, LinkedSystem } from "./link.ts";
import { isSpokenFor } from "./link-outside-access.ts";
import { spotOf } from "./yaml-tree.ts";

/** Said of a client that was declared without a key; `dev`, which makes keys, leaves it out. */
export const clientWithoutKey = "the client has no key, so it gets no token";

/** Of one system; none where somebody can call as it, or nobody needs to. */
export function warnNoIdentity(system: LinkedSystem, environment: LinkedEnvironment): Finding[] {
  const { config, tree } = system;
  if (config === null || tree === null) return [];
  const canProve =
    isSpokenFor(system.id, environment) ||
    config.certificates.length > 0 ||
    config.signatures !== undefined ||
    config.apiKeys !== undefined ||
    config.clients.some(
      (one) => one.keys.length > 0 || one.published !== undefined || one.authentication !== undefined || one.isPublic,
    );
  const consumes = environment.integrations.some(({ draft }) => draft.config?.from === system.id);
  if (canProve || !consumes) return [];
  const [client] = config.clients;
  if (client !== undefined)
    return [
      warningAt(spotOf(tree, ["identity", "client"]), {
        rule: "client-without-keys",
        message: "the client has no key, so it gets no token",
        fix: `run \`sallyport client-key new\` and add \`keys: [${client.id}.jwks.json]\`; \`sallyport dev\` makes keys itself`,
      }),
    ];
  return [
    warningAt(spotOf(tree, ["system"], "key"), {
      rule: "caller-without-identity",
      message: "the system is granted operations and has no identity, so nobody can call as it",
      fix: "add `identity` with a `client` or a `certificate`",
    }),
  ];
}
