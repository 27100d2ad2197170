// Promises gateways the digests of the API keys that count now: of systems whose file has them, for integrations that take them, in their time. Pure.
// Trusts the rows and the estate. Specified in docs/identity/api-keys.md.
import type { ApiKeysObject } from "@sallyport/protocol/snapshot/api-keys.ts";
import type { StoredApiKey } from "../identity/api-keys/store.ts";
import type { EnvironmentConfig } from "../registry/config/estate.ts";

/** Null: no system has API keys. */
export function compileApiKeys(
  { systems, integrations }: Pick<EnvironmentConfig, "systems" | "integrations">,
  rows: readonly StoredApiKey[],
  now: number,
): ApiKeysObject | null {
  const holders = new Map(
    systems.flatMap(({ id, apiKeys }) => (apiKeys === undefined ? [] : [[id, apiKeys] as const])),
  );
  if (holders.size === 0) return null;
  const taking = new Set(
    integrations
      .filter(({ proof, bearerUntilMs = 0 }) => proof.includes("api-key") && bearerUntilMs > now)
      .map(({ id, from }) => `${from} ${id}`),
  );
  const keys = rows
    .filter(({ endedAt, notAfter, system }) => endedAt === null && notAfter > now && holders.has(system))
    .map(({ id, digest, system, integrations: names, notAfter }) => ({
      id,
      digest,
      system,
      integrations: names.filter((name) => taking.has(`${system} ${name}`)),
      notAfterMs: notAfter,
    }))
    .filter((key) => key.integrations.length > 0)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const headers = [...holders.values()].flatMap(({ header }) => (header === undefined ? [] : [header]));
  return { headers: [...new Set(headers)].sort(), keys };
}
