// Promises the API keys of a snapshot by digest and by name, each with its system. Trusts control for what is in it. docs/identity/api-keys.md.
import type { ApiKeyObject, ApiKeysObject } from "@sallyport/protocol/snapshot/api-keys.ts";
import type { CompiledSystem } from "./estate.ts";

export interface KnownApiKey {
  readonly object: ApiKeyObject;
  readonly system: CompiledSystem;
}

export interface ApiKeys {
  readonly headers: readonly string[];
  readonly byDigest: ReadonlyMap<string, KnownApiKey>;
  readonly byId: ReadonlyMap<string, KnownApiKey>;
}

/** Null: nobody has one. */
export function compileApiKeys(
  object: ApiKeysObject | undefined,
  systems: ReadonlyMap<string, CompiledSystem>,
): ApiKeys | null {
  if (object === undefined) return null;
  const known = object.keys.flatMap((key): KnownApiKey[] => {
    const system = systems.get(key.system);
    return system === undefined ? [] : [{ object: key, system }];
  });
  return {
    headers: object.headers,
    byDigest: new Map(known.map((one) => [one.object.digest, one])),
    byId: new Map(known.map((one) => [one.object.id, one])),
  };
}
