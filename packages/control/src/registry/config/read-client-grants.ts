// Promises what a client may ask for: its grants, where answers about users go, and whether it can keep a key. Trusts the types (identity-schema.ts).
// Specified in docs/identity/authorization-code.md "Declaring a client".
import type { ClientConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IdentitySource } from "./identity-schema.ts";
import { redirectUriFault } from "./redirect-uri.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export type ClientGrants = Pick<ClientConfig, "grantTypes" | "isPublic" | "redirectUris" | "signsRequests">;

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** Of the grants that are not called `grant_type` by their short word (RFC 8628 §3.4). */
const longNames = new Map([["device_code", "urn:ietf:params:oauth:grant-type:device_code"]]);

/** Members that say nothing beyond the default are left out. */
export function readClientGrants({ tree, findings }: Reader, source: IdentitySource): ClientGrants {
  const { grants, redirectUris } = source;
  const isPublic = source.public;
  const refuse = (
    key: "grants" | "redirectUris" | "signedRequests" | "public" | "keys" | "jwksUri" | "tls" | "secrets",
    message: string,
    fix: string,
  ) => findings.push(errorAt(spotOf(tree, ["identity", key], "key"), message, fix));
  for (const [index, uri] of redirectUris.entries()) {
    const fault = redirectUriFault(uri, isPublic);
    if (fault !== null)
      findings.push(errorAt(spotOf(tree, ["identity", "redirectUris", index]), fault.message, fault.fix));
  }
  const asks = grants.includes("authorization_code");
  if (asks && redirectUris.length === 0)
    refuse("grants", "`authorization_code` without a redirect URI to answer at", "add `redirectUris: [https://…]`");
  if (!asks && redirectUris.length > 0)
    refuse("redirectUris", "redirect URIs without `authorization_code` among the grants", "add it to `grants`");
  if (grants.includes("refresh_token") && !asks && !grants.includes("device_code"))
    refuse("grants", "`refresh_token` without a grant that begins it", "add `authorization_code` or `device_code`");
  if (isPublic) {
    if (grants.includes("client_credentials"))
      refuse(
        "public",
        "a client that cannot keep a key cannot speak for itself",
        "write `grants: [authorization_code]`, or `[device_code]`",
      );
    for (const way of ["keys", "jwksUri", "tls", "secrets"] as const)
      if (way === "keys" ? source.keys.length > 0 : source[way] !== undefined)
        refuse(way, `\`${way}\` of a client that cannot keep a key`, "remove it, or remove `public: true`");
  }
  const signsRequests = source.signedRequests === "required";
  if (signsRequests) {
    if (!asks) refuse("signedRequests", "a client that asks no users sends no requests to sign", "remove it");
    if (isPublic || source.tls !== undefined || source.secrets !== undefined)
      refuse("signedRequests", "a client without keys cannot sign its requests", "give it `keys` or a `jwksUri`");
    if (grants.includes("device_code"))
      refuse(
        "signedRequests",
        "what a device asks for cannot be signed, so `device_code` would be a way around",
        "remove `device_code` from `grants`",
      );
  }
  const isDefault = grants.length === 1 && grants[0] === "client_credentials";
  return {
    ...(isDefault ? {} : { grantTypes: [...new Set(grants)].map((grant) => longNames.get(grant) ?? grant) }),
    ...(isPublic ? { isPublic } : {}),
    ...(redirectUris.length === 0 ? {} : { redirectUris }),
    ...(signsRequests ? { signsRequests } : {}),
  };
}
