// Promises the admin routes that show who is believed and who may exchange whose tokens. Trusts trust-actions.ts. Specified in docs/admin-api.md.
import { type AdminRoute, ids } from "../../admin/route.ts";

export const trustRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/issuers",
    action: "issuer.list",
    audit: "appended",
    object: () => "issuer",
    handle: ({ actions }) => actions.issuers(),
  },
  {
    method: "GET",
    path: "/v1/issuers/:id",
    id: ids.word,
    action: "issuer.show",
    audit: "appended",
    object: (id) => `issuer/${id}`,
    handle: ({ actions, id }) => actions.issuer(id),
  },
  {
    method: "GET",
    path: "/v1/exchanges",
    action: "exchange.list",
    audit: "appended",
    object: () => "exchange",
    handle: ({ actions }) => actions.exchanges(),
  },
];
