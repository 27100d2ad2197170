// Promises the admin routes about sinks. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md and docs/export.md.
import { z } from "zod";
import { type AdminRoute, ids, reason } from "../../admin/route.ts";

// What changes is a place in a file of control's and not in its store: the record is durable before the act.
const why = z.strictObject({ reason });
const origin = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9.-]{0,254}(?:\/[a-z0-9][a-z0-9-]{0,126}){1,8}$/,
    "an origin is the first line of a checkpoint",
  );
const again = z.strictObject({ reason, fromIndex: z.int().min(0), origin: origin.nullable().default(null) });

export const exportRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/exports",
    action: "export.list",
    audit: "appended",
    object: () => "export",
    handle: ({ actions }) => actions.exports(),
  },
  {
    method: "POST",
    path: "/v1/exports/:id/test",
    id: ids.word,
    action: "export.test",
    audit: "appended",
    object: (id) => `export/${id}`,
    handle: ({ actions, id }) => actions.testExport(id),
  },
  {
    method: "POST",
    path: "/v1/exports/:id/pause",
    id: ids.word,
    action: "export.pause",
    audit: "appended",
    object: (id) => `export/${id}`,
    asked: (call) => call.body(why),
    handle: ({ actions, id }) => actions.pauseExport(id),
  },
  {
    method: "POST",
    path: "/v1/exports/:id/resume",
    id: ids.word,
    action: "export.resume",
    audit: "appended",
    object: (id) => `export/${id}`,
    asked: (call) => call.body(why),
    handle: ({ actions, id }) => actions.resumeExport(id),
  },
  {
    method: "POST",
    path: "/v1/exports/:id/replay",
    id: ids.word,
    action: "export.replay",
    audit: "appended",
    object: (id) => `export/${id}`,
    asked: async (call) => {
      const { origin: only, ...asked } = await call.body(again);
      return { ...asked, ...(only === null ? {} : { origin: only }) };
    },
    handle: async (call) => call.actions.replayExport(call.id, await call.body(again)),
  },
];
