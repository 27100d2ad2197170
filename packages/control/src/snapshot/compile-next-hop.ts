// Promises gateways what they need to know of a provider's own tokens, and another snapshot whenever control would decide otherwise about one: then they hold none
// of before. Pure. Trusts registry/config. Specified in docs/formats/snapshot.md.
import { createHash } from "node:crypto";
import type { NextHopObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import type { EnvironmentConfig, SystemConfig } from "../registry/config/estate.ts";
import { stableJson } from "./stable-json.ts";

export function compileNextHop(
  { upstream, operations }: SystemConfig,
  { policies, tokens }: EnvironmentConfig,
): { readonly nextHop?: NextHopObject } {
  const rule = upstream?.nextHop;
  if (rule === undefined) return {};
  const scopes = operations.map(({ name, nextHopScope = null }) => [name, nextHopScope]);
  const decidedBy = { rule, scopes, policies, tokens: tokens ?? null };
  return {
    nextHop: {
      exchanged: rule.outside?.grant !== "client-credentials",
      scheme: rule.bearer === undefined ? "DPoP" : "Bearer",
      ...(rule.withoutIdentity === undefined ? {} : { withoutIdentity: rule.withoutIdentity }),
      rules: createHash("sha256").update(stableJson(decidedBy)).digest("hex"),
    },
  };
}
