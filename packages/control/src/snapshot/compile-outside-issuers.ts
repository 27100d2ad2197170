// Promises the issuers outside whose access tokens gateways of an environment believe, with the keys that are believed now. Trusts the loader for the
// rules and the keeper for the keys. Pure. Specified in docs/identity/outside-access-tokens.md.
import type { OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";
import type { EnvironmentConfig } from "../registry/config/estate.ts";

export interface OutsideInputs {
  /** Public keys that are believed now, of an issuer by id; absent: none are known. */
  readonly issuerKeys?: (issuer: string) => readonly OutsideJwk[];
  /** Milliseconds since the epoch at which control was restored last; absent: never. */
  readonly restoredAt?: number | undefined;
}

/** In ascending order of id; an issuer none of whose tokens may be presented does not travel. */
export function compileOutsideIssuers(
  { issuers }: EnvironmentConfig,
  { issuerKeys, restoredAt }: OutsideInputs,
): OutsideIssuerObject[] {
  return issuers.flatMap(
    ({ id, url, kind, algorithms, companions, lifetimeSecondsMax, gateways, keys, introspection }) =>
      gateways === undefined
        ? []
        : [
            {
              ...{ id, url, kind, algorithms, companions, lifetimeSecondsMax, rules: gateways },
              // Whom it asks, and as whom, is control's alone.
              ...(introspection === undefined
                ? {}
                : { introspection: { providers: introspection.providers, keepMs: introspection.keepMs } }),
              ...(restoredAt === undefined ? {} : { notBeforeMs: restoredAt }),
              keys: keys.from === "file" ? keys.keys : (issuerKeys?.(id) ?? []),
            },
          ],
  );
}
