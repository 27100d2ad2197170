// Promises the admin routes about people: users, their credentials and their sessions. Trusts people-actions.ts. Specified in docs/admin-api.md.
import { z } from "zod";
import { type AdminCall, type AdminRoute, change, environment, ids, word } from "./route.ts";

const name = z.string().regex(/^[a-z0-9][a-z0-9._@+-]{0,126}$/, "a name is small letters, digits and . _ @ + -");
/** OpenID Connect Core §2: at most 255 ASCII characters. */
const subject = z.string().regex(/^[\x21-\x7e]{1,255}$/, "a subject is 1 to 255 printable ASCII characters");
const linkLifetimeMs = z
  .int()
  .min(60_000)
  .max(7 * 86_400_000)
  .default(86_400_000);

const setUser = (to: "disabled" | "active") => async (call: AdminCall) =>
  call.actions.setUser(call.actor, { id: call.id, to, ...(await call.body(change)) });

export const peopleRoutes: readonly AdminRoute[] = [
  {
    method: "GET",
    path: "/v1/users",
    action: "user.list",
    audit: "appended",
    object: () => "user",
    handle: ({ actions }) => actions.users(),
  },
  {
    method: "POST",
    path: "/v1/users",
    action: "user.add",
    audit: "outbox",
    handle: async (call) =>
      call.actions.addUser(call.actor, await call.body(z.strictObject({ environment, name, linkLifetimeMs }))),
  },
  {
    method: "POST",
    path: "/v1/users/:id/disable",
    id: ids.user,
    action: "user.disable",
    audit: "outbox",
    handle: setUser("disabled"),
  },
  {
    method: "POST",
    path: "/v1/users/:id/enable",
    id: ids.user,
    action: "user.enable",
    audit: "outbox",
    handle: setUser("active"),
  },
  {
    method: "POST",
    path: "/v1/users/:id/reset",
    id: ids.user,
    action: "user.reset",
    audit: "outbox",
    handle: async (call) =>
      call.actions.resetUser(call.actor, {
        id: call.id,
        ...(await call.body(change.extend({ linkLifetimeMs }))),
      }),
  },
  {
    method: "POST",
    path: "/v1/users/:id/link",
    id: ids.user,
    action: "user.link",
    audit: "outbox",
    handle: async (call) =>
      call.actions.linkUser(call.actor, {
        id: call.id,
        ...(await call.body(change.extend({ provider: word, subject }))),
      }),
  },
  {
    method: "GET",
    path: "/v1/users/:id/consents",
    id: ids.user,
    action: "user.consents",
    audit: "appended",
    object: (id) => `user/${id}`,
    handle: ({ actions, id }) => actions.consents(id),
  },
  {
    method: "POST",
    path: "/v1/users/:id/withdraw",
    id: ids.user,
    action: "user.consent-withdraw",
    audit: "outbox",
    handle: async (call) => {
      const body = await call.body(change.extend({ client: word }));
      await call.actions.withdrawConsent(call.actor, { id: call.id, ...body });
      return { withdrawn: body.client };
    },
  },
  {
    method: "GET",
    path: "/v1/sessions",
    action: "session.list",
    audit: "appended",
    object: () => "session",
    handle: ({ actions }) => actions.sessions(),
  },
  {
    method: "GET",
    path: "/v1/logouts",
    action: "session.undelivered",
    audit: "appended",
    object: () => "session",
    handle: ({ actions }) => actions.undelivered(),
  },
  {
    method: "POST",
    path: "/v1/sessions/:id/end",
    id: ids.session,
    action: "session.end",
    audit: "outbox",
    handle: async (call) => {
      const { environment: where, reason } = await call.body(change);
      await call.actions.endSession(call.actor, { id: call.id, environment: where, reason });
      return { ended: call.id };
    },
  },
];
