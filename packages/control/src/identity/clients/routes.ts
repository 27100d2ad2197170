// Promises the admin routes about clients, their secrets and their keys. Trusts serve-api.ts to have proven the operator.
// Specified in docs/admin-api.md; the words of the bodies are those of client-actions.ts.
import { z } from "zod";
import { type AdminRoute, environment, ids, lifetimeMs, overlapMs, reason } from "../../admin/route.ts";

const dayMs = 86_400_000;
const moment = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const revokeTokens = z.boolean().default(false);

export const clientRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/clients",
    action: "client.list",
    audit: "appended",
    object: () => "client",
    handle: ({ actions }) => actions.clients(),
  },
  {
    method: "POST",
    path: "/v1/clients/:id/secrets",
    id: ids.word,
    action: "client.secret.add",
    audit: "outbox",
    handle: async (call) => {
      const body = z.strictObject({
        environment,
        reason,
        overlapMs,
        lifetimeMs: lifetimeMs.optional(),
      });
      return call.actions.addClientSecret(call.actor, { client: call.id, ...(await call.body(body)) });
    },
  },
  {
    method: "POST",
    path: "/v1/clients/:id/secrets/end",
    id: ids.word,
    action: "client.secret.end",
    audit: "outbox",
    handle: async (call) => {
      const secret = z.string().regex(ids.secret);
      const body = z.strictObject({ environment, reason, secret, revokeTokens });
      return call.actions.endClientSecret(call.actor, { client: call.id, ...(await call.body(body)) });
    },
  },
  {
    method: "POST",
    path: "/v1/clients/:id/keys",
    id: ids.word,
    action: "client.key.add",
    audit: "outbox",
    handle: async (call) => {
      const body = z.strictObject({
        environment,
        reason,
        jwk: z.record(z.string().max(64), z.unknown()),
        notBefore: moment.optional(),
        notAfter: moment.optional(),
      });
      return call.actions.addClientKey(call.actor, { client: call.id, ...(await call.body(body)) });
    },
  },
  {
    method: "POST",
    path: "/v1/clients/:id/enrolment-codes",
    id: ids.word,
    action: "client.key.code",
    audit: "outbox",
    handle: async (call) => {
      const body = z.strictObject({
        environment,
        reason,
        lifetimeMs: z.int().min(60_000).max(dayMs).default(900_000),
        keyLifetimeMs: lifetimeMs.optional(),
      });
      return call.actions.makeEnrolmentCode(call.actor, { client: call.id, ...(await call.body(body)) });
    },
  },
  {
    method: "POST",
    path: "/v1/clients/:id/keys/end",
    id: ids.word,
    action: "client.key.end",
    audit: "outbox",
    handle: async (call) => {
      const body = z.strictObject({ environment, reason, kid: z.string().regex(ids.kid), revokeTokens });
      return call.actions.endClientKey(call.actor, { client: call.id, ...(await call.body(body)) });
    },
  },
];
