// Promises the directory of what is in force: the estate, the states of its integrations, and what rows and published documents add to its clients.
// Trusts its parts. Specified in docs/identity.md.
import type { EnvironmentInForce } from "../registry/estate-state.ts";
import type { ClientCredentials } from "./clients/credentials.ts";
import type { PublishedKeys } from "./clients/published-keys.ts";
import { type Directory, directoryOf } from "./directory.ts";

export function directoryInForce(
  { config, states }: EnvironmentInForce,
  credentials: Pick<ClientCredentials, "keys" | "endedKeys" | "secrets">,
  published: Pick<PublishedKeys, "keys">,
): Directory {
  return directoryOf({
    ...config,
    isActive: (id) => states.get(id) === "active",
    rows: credentials.keys(),
    published: published.keys(credentials.endedKeys()),
    secrets: credentials.secrets(),
  });
}
