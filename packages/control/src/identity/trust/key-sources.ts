// Promises where keys are fetched, with the roots their servers must chain to. Trusts the configuration. docs/identity/outside-issuers.md "Keys".
import type { OutsideAlgorithm } from "@sallyport/protocol/token/outside-jwk.ts";
import type { KeysUri, TrustConfig } from "../../registry/config/estate.ts";
import type { KeySource } from "./jwks-keeper.ts";

/** A named bundle that is gone leaves nobody to believe, not everybody: such a source is left out. */
export function keySourcesOf(
  declared: readonly (KeysUri & { readonly id: string; readonly algorithms: readonly OutsideAlgorithm[] })[],
  trust: readonly TrustConfig[],
): readonly KeySource[] {
  return declared.flatMap(({ id, algorithms, uri, allowPrivate, trust: named }): KeySource[] => {
    if (named === undefined) return [{ id, algorithms, uri, allowPrivate }];
    const bundle = trust.find(({ name }) => name === named);
    return bundle === undefined ? [] : [{ id, algorithms, uri, allowPrivate, ca: bundle.roots.join("\n") }];
  });
}
