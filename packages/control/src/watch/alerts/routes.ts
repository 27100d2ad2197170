// Promises the admin routes about notifiers. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md and docs/alerts.md.
import { z } from "zod";
import { type AdminRoute, ids, reason } from "../../admin/route.ts";

// What changes is a file of control's and not its store: the record is durable before the act.
const why = z.strictObject({ reason });

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
  {
    method: "POST",
    path: "/v1/alerts/:id/replay",
    id: ids.word,
    action: "alert.replay",
    audit: "appended",
    object: (id) => `alert/${id}`,
    asked: (call) => call.body(why),
    handle: ({ actions, id }) => actions.replayAlert(id),
  },
];
