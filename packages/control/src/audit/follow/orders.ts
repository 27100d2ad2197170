// Promises the folds of every control plane, whatever its estate says. Trusts nothing. Run by follower.ts.
import type { FoldOrder } from "./follower-messages.ts";

export const ownOrders: readonly FoldOrder[] = [
  { id: "search", module: new URL("../search/search-fold.ts", import.meta.url).href, options: null },
  { id: "edges", module: new URL("../edges/edges-fold.ts", import.meta.url).href, options: null },
  { id: "findings", module: new URL("../../watch/findings-fold.ts", import.meta.url).href, options: null },
];
