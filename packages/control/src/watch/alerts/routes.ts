// Promises the admin routes about notifiers. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md and docs/alerts.md.
import { type AdminRoute, ids } from "../../admin/route.ts";

export const alertRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/alerts",
    action: "alert.list",
    audit: "appended",
    object: () => "alert",
    handle: ({ actions }) => actions.alerts(),
  },
  {
    method: "POST",
    path: "/v1/alerts/:id/test",
    id: ids.word,
    action: "alert.test",
    audit: "appended",
    object: (id) => `alert/${id}`,
    handle: ({ actions, id }) => actions.testAlert(id),
  },
];
