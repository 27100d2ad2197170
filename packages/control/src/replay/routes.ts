// Promises the admin route over recorded decisions. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md and docs/policy.md.
import type { z } from "zod";
import type { AdminRoute } from "../admin/route.ts";
import { replayQuestion } from "./replay-actions.ts";

/** @param files what an estate is sent as */
export function replayRoutes(files: z.ZodType<Readonly<Record<string, string>>>): readonly AdminRoute[] {
  const request = replayQuestion.extend({ files });
  return [
    {
      method: "POST",
      path: "/v1/policy/replay",
      action: "policy.replay",
      audit: "appended",
      object: () => "policy",
      asked: async (call) => {
        const { from, to, integrations, environments, files: sent } = await call.body(request);
        const where = [...integrations, ...environments].join(",").slice(0, 2_000);
        return { files: Object.keys(sent).length, from, to, where };
      },
      handle: async (call) => call.actions.replayPolicies(await call.body(request), call),
    },
  ];
}
