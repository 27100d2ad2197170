// Promises the admin routes about kept payloads. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md.
import { z } from "zod";
import { type AdminRoute, environment, ids, reason } from "../admin/route.ts";

const erasure = z.union([
  z.strictObject({ subject: z.string().min(1).max(1_024), reason }),
  z.strictObject({
    pseudonym: z
      .string()
      .regex(/^[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{21}[AQgw]$/, "a pseudonym is <year>:<22 characters>"),
    environment,
    reason,
  }),
]);
const why = z.strictObject({ reason });

export const payloadRoutes: readonly AdminRoute[] = [
  {
    method: "POST",
    path: "/v1/payloads/:id",
    id: ids.event,
    action: "payload.read",
    audit: "appended",
    object: (id) => `payload/${id}`,
    asked: (call) => call.body(why),
    handle: ({ actions, id }) => actions.payload(id),
  },
  {
    method: "POST",
    path: "/v1/erasures",
    action: "payload.erase",
    audit: "outbox",
    handle: async (call) => call.actions.erase(call.actor, await call.body(erasure)),
  },
  {
    method: "POST",
    path: "/v1/payload-keys/unlock",
    action: "payload.unlock",
    audit: "outbox",
    handle: async (call) => call.actions.unlockPayloads(call.actor, (await call.body(why)).reason),
  },
];
