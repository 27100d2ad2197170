// Promises the folds of every control plane, whatever its estate says. Trusts nothing. Run by follower.ts.
import { hash } from "node:crypto";
import type { IndexPlaceOptions } from "../search/search-fold.ts";
import type { FoldOrder } from "./follower-messages.ts";

const schemaCharactersMax = 63;

/** The index of control planes on PostgreSQL lies beside their store, in a schema of its own, so that no backup and no migration meets it. */
export function indexPlaceOf({
  storeUrl,
  storeSchema = "sallyport",
}: {
  readonly storeUrl: string | null;
  readonly storeSchema?: string;
}): IndexPlaceOptions {
  if (storeUrl === null) return null;
  const schema = `${storeSchema}_search`;
  if (schema.length <= schemaCharactersMax) return { url: storeUrl, schema };
  return {
    url: storeUrl,
    schema: `${storeSchema.slice(0, 40)}_${hash("sha256", storeSchema, "hex").slice(0, 12)}_search`,
  };
}

export const ownOrders = (index: IndexPlaceOptions): readonly FoldOrder[] => [
  { id: "search", module: new URL("../search/search-fold.ts", import.meta.url).href, options: index },
  { id: "edges", module: new URL("../edges/edges-fold.ts", import.meta.url).href, options: null },
  { id: "findings", module: new URL("../../watch/findings-fold.ts", import.meta.url).href, options: null },
];
