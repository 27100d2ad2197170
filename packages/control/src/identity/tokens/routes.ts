// Promises the admin routes about single tokens. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md.
import { hash } from "node:crypto";
import { z } from "zod";
import { type AdminRoute, environment, ids, reason, word } from "../../admin/route.ts";

const inspected = z.strictObject({ token: z.string().min(1).max(8_192) });

export const tokenRoutes: readonly AdminRoute[] = [
  {
    method: "POST",
    path: "/v1/tokens/inspect",
    action: "token.inspect",
    audit: "appended",
    object: () => "token",
    // Which one it was can be told by whoever has it, and from nothing else.
    asked: async (call) => ({ sha256: hash("sha256", (await call.body(inspected)).token, "hex") }),
    handle: async (call) => call.actions.inspectToken((await call.body(inspected)).token),
  },
  {
    method: "POST",
    path: "/v1/tokens/issue",
    action: "token.issue",
    audit: "outbox",
    handle: async (call) => {
      const jkt = z.string().regex(ids.kid);
      const scope = z.string().min(1).max(4_096).optional();
      const body = z.strictObject({ environment, client: word, to: word, scope, jkt, reason });
      return call.actions.issueToken(call.actor, await call.body(body));
    },
  },
];
