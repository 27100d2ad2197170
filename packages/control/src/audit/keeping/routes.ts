// Promises the admin routes about legal holds and retention. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md.
import { z } from "zod";
import { type AdminRoute, ids, reason, word } from "../../admin/route.ts";

const year = z.int().min(2_000).max(9_999);
const origin = z
  .string()
  .max(512)
  .regex(/^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9-]*){5}$/, "an origin is host/tenant/environment/node/role/year");
const hold = z
  .strictObject({
    id: word,
    origin: origin.optional(),
    environment: word.optional(),
    fromYear: year.optional(),
    toYear: year.optional(),
    owner: z.string().min(1).max(200),
    reason,
  })
  .refine(
    ({ origin: named, environment, fromYear, toYear }) =>
      named === undefined || (environment === undefined && fromYear === undefined && toYear === undefined),
    "name an origin, or an environment and years, not both",
  )
  .refine(({ fromYear = 0, toYear = 9_999 }) => fromYear <= toYear, "the years end before they begin");

export const keepingRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/holds",
    action: "hold.list",
    audit: "appended",
    object: () => "hold",
    handle: ({ actions }) => actions.holds(),
  },
  {
    method: "POST",
    path: "/v1/holds",
    action: "hold.place",
    audit: "outbox",
    handle: async (call) => call.actions.placeHold(call.actor, await call.body(hold)),
  },
  {
    method: "POST",
    path: "/v1/holds/:id/release",
    id: ids.word,
    action: "hold.release",
    audit: "outbox",
    handle: async (call) =>
      call.actions.releaseHold(call.actor, call.id, (await call.body(z.strictObject({ reason }))).reason),
  },
  {
    method: "GET",
    path: "/v1/retention",
    action: "retention.read",
    audit: "appended",
    object: () => "retention",
    handle: ({ actions }) => actions.retention(),
  },
];
