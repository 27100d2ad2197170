// Promises how a client takes part in the end of a log-in: where its user is sent afterwards, and where it is told. Trusts the types (logout-schema.ts).
// Specified in docs/identity/logout.md.
import type { ClientConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IdentitySource } from "./identity-schema.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { redirectUriFault } from "./redirect-uri.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export type ClientLogout = Pick<ClientConfig, "postLogoutRedirectUris" | "backchannelLogout">;

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** Members that say nothing beyond the default are left out. */
export function readClientLogout({ tree, findings }: Reader, source: IdentitySource): ClientLogout {
  const { postLogoutRedirectUris, backchannelLogout, grants } = source;
  for (const [index, uri] of postLogoutRedirectUris.entries()) {
    const fault = redirectUriFault(uri, source.public);
    if (fault !== null)
      findings.push(errorAt(spotOf(tree, ["identity", "postLogoutRedirectUris", index]), fault.message, fault.fix));
  }
  const said = [
    ...(postLogoutRedirectUris.length > 0 ? ["postLogoutRedirectUris"] : []),
    ...(backchannelLogout === undefined ? [] : ["backchannelLogout"]),
  ];
  if (grants.every((grant) => grant === "client_credentials"))
    for (const key of said)
      findings.push(
        errorAt(
          spotOf(tree, ["identity", key], "key"),
          "a client that asks no users has nobody to sign out",
          "add `authorization_code` to `grants`",
        ),
      );
  return {
    ...(postLogoutRedirectUris.length === 0 ? {} : { postLogoutRedirectUris }),
    ...(backchannelLogout === undefined
      ? {}
      : { backchannelLogout: readBackchannel({ tree, findings }, backchannelLogout) }),
  };
}

function readBackchannel(
  { tree, findings }: Reader,
  { uri, allowPrivate, tls }: NonNullable<IdentitySource["backchannelLogout"]>,
): NonNullable<ClientConfig["backchannelLogout"]> {
  if (!allowPrivate && needsPrivateWord(new URL(uri).hostname))
    findings.push(
      errorAt(
        spotOf(tree, ["identity", "backchannelLogout", "uri"]),
        "the URL leads to a private or loopback address",
        "add `allowPrivate: true` if that is meant",
      ),
    );
  const trust = tls?.ca;
  return { uri, allowPrivate, ...(trust === undefined ? {} : { trust }) };
}
