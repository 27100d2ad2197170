// Promises who could call a route at Kong by name: the consumers that its authentication knows and its acl lets in. Pure.
// Trusts the plugins that are in force (kong-source.ts). Source: Kong's acl and authentication plugins. What nobody proves, nobody may.

import type { Tree } from "../../config/yaml-tree.ts";
import { scalarText } from "../tree-members.ts";
import {
  type CallPlace,
  credentialKinds,
  type KongConsumer,
  type KongPlugin,
  type KongSource,
  pluginFor,
  settingOf,
} from "./kong-source.ts";

/** Plugins that know callers from elsewhere: which consumer they stand for is not in the file. */
const outside = [
  "openid-connect",
  "ldap-auth",
  "ldap-auth-advanced",
  "oauth2-introspection",
  "jwt-signer",
  "session",
  "saml",
  "header-cert-auth",
];

export type Access =
  | { readonly kind: "nobody-known" }
  | {
      readonly kind: "consumers";
      readonly consumers: readonly KongConsumer[];
      readonly authentication: readonly KongPlugin[];
      readonly acl: KongPlugin | null;
      readonly lists: "allow" | "deny" | null;
    };

export function accessTo(source: KongSource, place: CallPlace): Access {
  const names = [...credentialKinds.values(), ...outside];
  const authentication = names.flatMap((name) => pluginFor(source.plugins, name, place) ?? []);
  if (authentication.length === 0) return { kind: "nobody-known" };
  const kinds = [...credentialKinds]
    .filter(([, plugin]) => authentication.some(({ name }) => name === plugin))
    .map(([kind]) => kind);
  const isOutside = authentication.some(({ name }) => outside.includes(name));
  const known = source.consumers.filter(
    ({ credentials }) => isOutside || credentials.some(({ kind }) => kinds.includes(kind)),
  );
  const acl = pluginFor(source.plugins, "acl", place) ?? null;
  const allow = acl === null ? [] : listOf(acl, "allow", "whitelist");
  const deny = acl === null ? [] : listOf(acl, "deny", "blacklist");
  const lists = allow.length > 0 ? "allow" : deny.length > 0 ? "deny" : null;
  const consumers = known.filter(({ groups }) => {
    if (lists === "allow") return groups.some((group) => allow.includes(group));
    return lists === null || !groups.some((group) => deny.includes(group));
  });
  return { kind: "consumers", consumers, authentication, acl, lists };
}

function listOf(plugin: KongPlugin, key: string, oldKey: string): readonly string[] {
  const tree = settingOf(plugin, key) ?? settingOf(plugin, oldKey);
  const items: readonly Tree[] = tree?.kind === "list" ? tree.items : tree === undefined ? [] : [tree];
  return items.flatMap((item) => scalarText(item) ?? []);
}
