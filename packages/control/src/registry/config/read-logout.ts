// Promises how a client takes part in the end of a log-in: where its user is sent afterwards. Trusts the types (logout-schema.ts).
// Specified in docs/identity/logout.md.
import type { ClientConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IdentitySource } from "./identity-schema.ts";
import { redirectUriFault } from "./redirect-uri.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export type ClientLogout = Pick<ClientConfig, "postLogoutRedirectUris">;

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** Members that say nothing beyond the default are left out. */
export function readClientLogout({ tree, findings }: Reader, source: IdentitySource): ClientLogout {
  const { postLogoutRedirectUris, grants } = source;
  for (const [index, uri] of postLogoutRedirectUris.entries()) {
    const fault = redirectUriFault(uri, source.public);
    if (fault !== null)
      findings.push(errorAt(spotOf(tree, ["identity", "postLogoutRedirectUris", index]), fault.message, fault.fix));
  }
  if (postLogoutRedirectUris.length > 0 && grants.every((grant) => grant === "client_credentials"))
    findings.push(
      errorAt(
        spotOf(tree, ["identity", "postLogoutRedirectUris"], "key"),
        "a client that asks no users has nobody to sign out",
        "add `authorization_code` to `grants`",
      ),
    );
  return postLogoutRedirectUris.length === 0 ? {} : { postLogoutRedirectUris };
}
