// Promises the admin routes over the records. Bodies and not queries, because a token or an address in a URL would stay in every log on the way.
// Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md, docs/audit-search.md.
import { z } from "zod";
import type { AdminRoute } from "../../admin/route.ts";
import { followRequest, recordsRequest, wordsOf } from "./records-request.ts";

export const recordRoutes: readonly AdminRoute[] = [
  {
    method: "POST",
    path: "/v1/audit/records",
    action: "record.search",
    audit: "appended",
    object: () => "record",
    asked: async (call) => {
      const { where, from, to, limit } = await call.body(recordsRequest);
      return { where: wordsOf(where), from, to, limit };
    },
    handle: async (call) => call.actions.searchRecords(await call.body(recordsRequest)),
  },
  {
    method: "POST",
    path: "/v1/audit/tail",
    action: "record.follow",
    audit: "appended",
    object: () => "record",
    asked: async (call) => {
      const { where, cursor } = await call.body(followRequest);
      return { where: wordsOf(where), from: cursor === undefined ? "now" : "cursor" };
    },
    handle: async (call) => call.actions.followRecords(await call.body(followRequest), call),
  },
  {
    method: "POST",
    path: "/v1/audit/index/rebuild",
    action: "index.rebuild",
    audit: "appended",
    object: () => "index",
    handle: async (call) => {
      await call.body(z.strictObject({}));
      return call.actions.rebuildIndex();
    },
  },
];
