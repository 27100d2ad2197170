// Promises the admin routes about findings. Trusts serve-api.ts to have proven the operator. Specified in docs/admin-api.md, docs/findings.md.
import { z } from "zod";
import { type AdminCall, type AdminRoute, ids, reason, word } from "../admin/route.ts";

const why = z.strictObject({ reason });
const question = z.strictObject({ rule: word, sinceMs: z.int().min(0) });

const setTo = (to: "acknowledged" | "resolved") => async (call: AdminCall) =>
  call.actions.setFinding(call.actor, { id: call.id, to, ...(await call.body(why)) });

const setRule = (tells: boolean) => async (call: AdminCall) =>
  call.actions.setRule(call.actor, { rule: call.id, tells, ...(await call.body(why)) });

export const findingRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/findings",
    action: "finding.list",
    audit: "appended",
    object: () => "finding",
    handle: ({ actions }) => actions.findings(),
  },
  {
    method: "GET",
    path: "/v1/findings/:id",
    id: ids.finding,
    action: "finding.show",
    audit: "appended",
    object: (id) => `finding/${id}`,
    handle: ({ actions, id }) => actions.finding(id),
  },
  {
    method: "POST",
    path: "/v1/findings/:id/acknowledge",
    id: ids.finding,
    action: "finding.acknowledge",
    audit: "outbox",
    handle: setTo("acknowledged"),
  },
  {
    method: "POST",
    path: "/v1/findings/:id/resolve",
    id: ids.finding,
    action: "finding.resolve",
    audit: "outbox",
    handle: setTo("resolved"),
  },
  {
    method: "GET",
    path: "/v1/rules",
    action: "rule.list",
    audit: "appended",
    object: () => "rule",
    handle: ({ actions }) => actions.rules(),
  },
  {
    method: "POST",
    path: "/v1/rules/:id/tell",
    id: ids.word,
    action: "rule.tell",
    audit: "outbox",
    handle: setRule(true),
  },
  {
    method: "POST",
    path: "/v1/rules/:id/hold",
    id: ids.word,
    action: "rule.hold",
    audit: "outbox",
    handle: setRule(false),
  },
  {
    method: "POST",
    path: "/v1/backtests",
    action: "finding.backtest",
    audit: "appended",
    object: () => "finding",
    asked: (call) => call.body(question),
    handle: async (call) => call.actions.backtest(await call.body(question)),
  },
];
