// Promises every admin route in one table: method, path, action, audit event, handler. A row without an audit action does not compile.
// Trusts `authenticate`, which proves the operator, and the actions, which record in the same transaction as they act. Specified in docs/admin-api.md.
import { factorNames } from "@sallyport/kernel/geo/risk.ts";
import { z } from "zod";
import { peopleRoutes } from "./admin/people-routes.ts";
import { type AdminCall, type AdminRoute, change, environment, ids, reason, word } from "./admin/route.ts";

import { edgeRoutes } from "./audit/edges/edge-actions.ts";
import { exportRoutes } from "./audit/export/routes.ts";
import { keepingRoutes } from "./audit/keeping/routes.ts";
import { recordRoutes } from "./audit/search/routes.ts";
import { apiKeyRoutes } from "./identity/api-keys/routes.ts";
import { clientRoutes } from "./identity/clients/routes.ts";
import { tokenRoutes } from "./identity/tokens/routes.ts";
import { trustRoutes } from "./identity/trust/routes.ts";
import { payloadRoutes } from "./payloads/routes.ts";
import { replayRoutes } from "./replay/routes.ts";
import { alertRoutes } from "./watch/alerts/routes.ts";
import { findingRoutes } from "./watch/finding-routes.ts";

const filesMax = 5_000;
/** What an operator may revoke tokens by; keys are killed (`key.kill`). */
const revocableKinds = ["jti", "client", "grant", "session", "subject"] as const;

const files = z.strictObject({
  files: z
    .record(z.string().max(300), z.string().max(1_000_000))
    .refine((given) => Object.keys(given).length <= filesMax, `more than ${filesMax} files`),
});
const since = z.strictObject({ sinceMs: z.int().min(0) });
const question = z.strictObject({
  environment,
  from: word,
  operation: z.string().min(1).max(300),
  attributes: z.record(z.string().max(128), z.string().max(1_024)).default({}),
  for: word.optional(),
  grantType: z
    .enum(["client_credentials", "authorization_code", "refresh_token", "device_code", "jwt-bearer"])
    .optional(),
  address: z.union([z.ipv4(), z.ipv6()]).optional(),
  proof: z.enum(["dpop", "mtls", "signature", "bearer", "api-key"]).optional(),
  scopes: z.array(z.string().max(300)).max(256).optional(),
  user: z
    .strictObject({ acr: z.enum(["password", "mfa", "phishing-resistant"]), authAgeSeconds: z.int().min(0) })
    .optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/)
    .optional(),
  risk: z.int().min(0).max(100).optional(),
  riskFactors: z.array(z.enum(factorNames)).max(factorNames.length).optional(),
});

/** An id may be cut off before it exists, where that is said. */
const cutOff = z.strictObject({ environment, reason, absent: z.boolean().default(false) });

const setState = (to: "active" | "suspended" | "retired") => async (call: AdminCall) =>
  call.actions.setIntegrationState(call.actor, {
    id: call.id,
    to,
    ...(await (to === "suspended" ? call.body(cutOff) : call.body(change))),
  });

export const adminRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/status",
    action: "status.read",
    audit: "appended",
    object: () => "status",
    handle: ({ actions }) => actions.status(),
  },
  {
    method: "POST",
    path: "/v1/estate/plan",
    action: "estate.plan",
    audit: "appended",
    object: () => "estate",
    asked: async (call) => ({ files: Object.keys((await call.body(files)).files).length }),
    handle: async (call) => call.actions.planEstate((await call.body(files)).files),
  },
  {
    method: "POST",
    path: "/v1/estate/apply",
    action: "estate.apply",
    audit: "outbox",
    handle: async (call) => call.actions.applyEstate(call.actor, (await call.body(files)).files),
  },
  {
    method: "GET",
    path: "/v1/integrations",
    action: "integration.list",
    audit: "appended",
    object: () => "integration",
    handle: ({ actions }) => actions.integrations(),
  },
  {
    method: "POST",
    path: "/v1/integrations/:id/activate",
    id: ids.word,
    action: "integration.activate",
    audit: "outbox",
    handle: setState("active"),
  },
  {
    method: "POST",
    path: "/v1/integrations/:id/suspend",
    id: ids.word,
    action: "integration.suspend",
    audit: "outbox",
    handle: setState("suspended"),
  },
  {
    method: "POST",
    path: "/v1/integrations/:id/retire",
    id: ids.word,
    action: "integration.retire",
    audit: "outbox",
    handle: setState("retired"),
  },
  {
    method: "POST",
    path: "/v1/restore/confirm",
    action: "restore.confirm",
    audit: "outbox",
    handle: async (call) =>
      call.actions.confirmRestore(call.actor, (await call.body(z.strictObject({ reason }))).reason),
  },
  {
    method: "POST",
    path: "/v1/groups/:id/join-tokens",
    id: ids.word,
    action: "gateway.token",
    audit: "outbox",
    handle: async (call) => {
      const { lifetimeMs } = await call.body(
        z.strictObject({
          lifetimeMs: z
            .int()
            .min(1_000)
            .max(7 * 86_400_000)
            .default(3_600_000),
        }),
      );
      return call.actions.createJoinToken(call.actor, { group: call.id, lifetimeMs });
    },
  },
  {
    method: "GET",
    path: "/v1/gateways",
    action: "gateway.list",
    audit: "appended",
    object: () => "gateway",
    handle: ({ actions }) => actions.gateways(),
  },
  {
    method: "POST",
    path: "/v1/gateways/:id/revoke",
    id: ids.word,
    action: "gateway.revoke",
    audit: "outbox",
    handle: async (call) => {
      await call.actions.revokeGateway(call.actor, call.id, (await call.body(z.strictObject({ reason }))).reason);
      return { revoked: call.id };
    },
  },
  {
    method: "GET",
    path: "/v1/keys",
    action: "key.list",
    audit: "appended",
    object: () => "key",
    handle: ({ actions }) => actions.keys(),
  },
  {
    method: "POST",
    path: "/v1/keys/rotate",
    action: "key.rotate",
    audit: "outbox",
    handle: async (call) =>
      call.actions.rotateKeys(call.actor, (await call.body(z.strictObject({ environment }))).environment),
  },
  {
    method: "POST",
    path: "/v1/keys/:id/kill",
    id: ids.kid,
    action: "key.kill",
    audit: "outbox",
    handle: async (call) => {
      const input = await call.body(change);
      await call.actions.killKey(call.actor, input.environment, call.id, input.reason);
      return { killed: call.id };
    },
  },
  {
    method: "GET",
    path: "/v1/data-encryption-keys",
    action: "data-encryption-key.list",
    audit: "appended",
    object: () => "data-encryption-key",
    handle: ({ actions }) => actions.dataKeys(),
  },
  {
    method: "POST",
    path: "/v1/data-encryption-keys/rotate",
    action: "data-encryption-key.rotate",
    audit: "outbox",
    handle: async (call) =>
      call.actions.rotateDataKeys(call.actor, (await call.body(z.strictObject({ reason }))).reason),
  },
  {
    method: "POST",
    path: "/v1/revocations",
    action: "revocation.create",
    audit: "outbox",
    handle: async (call) =>
      call.actions.revoke(
        call.actor,
        await call.body(
          z.strictObject({
            ...{ environment, reason, kind: z.enum(revocableKinds) },
            // Its form is judged by kind; a token that stands here by mistake gets an answer that says so.
            ...{ value: z.string().min(1).max(8_192), absent: z.boolean().default(false) },
          }),
        ),
      ),
  },
  {
    method: "GET",
    path: "/v1/crossings/:id",
    id: ids.event,
    action: "crossing.read",
    audit: "appended",
    object: (id) => `crossing/${id}`,
    handle: ({ actions, actor, id }) => actions.crossing(actor, id),
  },
  {
    method: "POST",
    path: "/v1/observed",
    action: "observe.read",
    audit: "appended",
    object: () => "observe",
    asked: (call) => call.body(since),
    handle: async (call) => call.actions.observed((await call.body(since)).sinceMs),
  },
  {
    method: "POST",
    path: "/v1/explain",
    action: "crossing.explain",
    audit: "appended",
    object: () => "crossing",
    asked: async (call) => {
      const { environment: where, from, operation, for: user } = await call.body(question);
      return { environment: where, from, operation, ...(user === undefined ? {} : { for: user }) };
    },
    handle: async (call) => call.actions.explain(await call.body(question)),
  },
  {
    method: "GET",
    path: "/v1/checkpoints",
    action: "checkpoint.list",
    audit: "appended",
    object: () => "checkpoint",
    handle: ({ actions }) => actions.checkpoints(),
  },
  ...exportRoutes,
  {
    method: "GET",
    path: "/v1/archive",
    action: "archive.list",
    audit: "appended",
    object: () => "archive",
    handle: ({ actions }) => actions.archive(),
  },
  {
    method: "GET",
    path: "/v1/log-findings",
    action: "log-finding.list",
    audit: "appended",
    object: () => "log-finding",
    handle: ({ actions }) => actions.logFindings(),
  },
  {
    method: "GET",
    path: "/v1/witnesses",
    action: "witness.list",
    audit: "appended",
    object: () => "witness",
    handle: ({ actions }) => actions.witnesses(),
  },
  ...apiKeyRoutes,
  ...clientRoutes,
  ...keepingRoutes,
  ...payloadRoutes,
  ...peopleRoutes,
  ...recordRoutes,
  ...edgeRoutes,
  ...tokenRoutes,
  ...trustRoutes,
  ...findingRoutes,
  ...alertRoutes,
  ...replayRoutes(files.shape.files),
];
