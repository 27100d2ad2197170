// Promises the admin routes about API keys. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md.
import { z } from "zod";
import { type AdminRoute, change, environment, ids, lifetimeMs, overlapMs, reason } from "../../admin/route.ts";

export const apiKeyRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/api-keys",
    action: "api-key.list",
    audit: "appended",
    object: () => "api-key",
    handle: ({ actions }) => actions.apiKeys(),
  },
  {
    method: "POST",
    path: "/v1/systems/:id/api-keys",
    id: ids.word,
    action: "api-key.add",
    audit: "outbox",
    handle: async (call) => {
      const body = z.strictObject({
        environment,
        reason,
        integrations: z.array(z.string().regex(ids.word)).min(1).max(32),
        lifetimeMs,
        overlapMs,
      });
      return call.actions.addApiKey(call.actor, { system: call.id, ...(await call.body(body)) });
    },
  },
  {
    method: "POST",
    path: "/v1/api-keys/:id/end",
    id: ids.secret,
    action: "api-key.end",
    audit: "outbox",
    handle: async (call) => call.actions.endApiKey(call.actor, { id: call.id, ...(await call.body(change)) }),
  },
];
