// Promises every admin route in one table: method, path, action, audit event, handler. A row without an audit action does not compile.
// Trusts `authenticate`, which proves the operator, and the actions, which record in the same transaction as they act. Specified in docs/admin-api.md.
import { type Context, Hono } from "hono";
import { z } from "zod";
import { type Actor, type AdminActions, AdminFault } from "./admin/actions.ts";
import { unavailableFault } from "./admin/unavailable.ts";

/**
 * `outbox`: the state change and its audit row are one transaction. `appended`: durable in the log before the answer, under the
 * object named here (docs/formats/leaf.md `object`).
 */
type AuditWay = { readonly audit: "outbox" } | { readonly audit: "appended"; readonly object: (id: string) => string };

export type AdminRoute = AuditWay & {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** What is recorded, and what an operator must be allowed to do. */
  readonly action: string;
  /** What `:id` in the path may be; nothing else is passed on or recorded. */
  readonly id?: RegExp;
  readonly handle: (call: AdminCall) => Promise<unknown>;
};

interface AdminCall {
  readonly actions: AdminActions;
  readonly actor: Actor;
  /** The `:id` of the path; an empty text where the route has none. */
  readonly id: string;
  body<T>(schema: z.ZodType<T>): Promise<T>;
}

const ids = {
  word: /^[a-z][a-z0-9-]{0,126}$/,
  kid: /^[A-Za-z0-9_-]{43}$/,
  /** A crossing or event id of docs/formats/leaf.md. */
  event: /^(?:[a-z][a-z0-9-]{0,126}-)?[0-7][0-9A-HJKMNP-TV-Z]{25}$/,
} as const;
/** What each looks like, and where to find one. */
const forms = {
  word: ["a name", "a name is small letters, digits and hyphens, and begins with a letter"],
  kid: ["the kid of a key", "a kid is 43 characters of base64url; the keys are in the issuer's jwks"],
  event: [
    "the id of a crossing or an event",
    "it looks like gw-1-01KAMZZZZZ0000000000000000: the correlationId of the problem document, or the Sallyport-Crossing header of any answer",
  ],
} as const;
const filesMax = 5_000;
const word = z.string().regex(ids.word);
const environment = word.default("production");
const reason = z.string().min(1).max(500);
const files = z.strictObject({
  files: z
    .record(z.string().max(300), z.string().max(1_000_000))
    .refine((given) => Object.keys(given).length <= filesMax, `more than ${filesMax} files`),
});
const question = z.strictObject({
  environment,
  from: word,
  operation: z.string().min(1).max(300),
  attributes: z.record(z.string().max(128), z.string().max(1_024)).default({}),
  proof: z.enum(["dpop", "mtls", "bearer"]).optional(),
  scopes: z.array(z.string().max(300)).max(256).optional(),
});
const change = z.strictObject({ environment, reason });

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
    method: "POST",
    path: "/v1/revocations",
    action: "revocation.create",
    audit: "outbox",
    handle: async (call) =>
      call.actions.revoke(
        call.actor,
        await call.body(
          z.strictObject({ environment, kind: z.enum(["jti", "client"]), value: z.string().min(1).max(200), reason }),
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
    handle: async (call) =>
      call.actions.observed((await call.body(z.strictObject({ sinceMs: z.int().min(0) }))).sinceMs),
  },
  {
    method: "POST",
    path: "/v1/explain",
    action: "crossing.explain",
    audit: "appended",
    object: () => "crossing",
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
];

export interface AdminApiPorts {
  readonly actions: AdminActions;
  /** Proves the operator of a request, or says how to (a challenge); both are recorded. */
  authenticate(
    request: Request,
  ): Promise<
    | { readonly kind: "operator"; readonly id: string }
    | { readonly kind: "refused"; readonly code: string; readonly headers: Readonly<Record<string, string>> }
  >;
  /** Appends the audit record of a read, durable before the answer. `object` is in the form of docs/formats/leaf.md. */
  recordRead(actor: Actor, action: string, object: string): Promise<void>;
  /** Names the reason why administrative acts must wait (an audit backlog over 5 s, a full disk), or null. */
  hold(): Promise<string | null>;
  fault(error: unknown): void;
}

const bodyBytesMax = 16 * 1024 * 1024;
const statusOf = {
  "bad-request": 400,
  "too-large": 413,
  "not-found": 404,
  conflict: 409,
  "not-permitted": 403,
  unreachable: 504,
  unavailable: 503,
} as const;

/** The admin API as a fetch handler. Everything but the operators' token endpoint, which the listener serves, is in `adminRoutes`. */
export function createAdminApi(ports: AdminApiPorts): { fetch(request: Request): Promise<Response> } {
  const app = new Hono();
  for (const route of adminRoutes) app.on(route.method, route.path, (context) => serve(route, context, ports));
  app.notFound(() => problem(404, "no-route", "Nothing is served here", "The routes are listed in docs/admin-api.md"));
  app.onError((error) => {
    if (error instanceof AdminFault) return problem(statusOf[error.code], error.code, error.message, error.fix);
    ports.fault(error);
    const unavailable = unavailableFault(error);
    if (unavailable !== null) return problem(503, unavailable.code, unavailable.message, unavailable.fix);
    return problem(500, "internal", "Something went wrong inside control", "");
  });
  return { fetch: async (request) => app.fetch(request) };
}

async function serve(route: AdminRoute, context: Context, ports: AdminApiPorts): Promise<Response> {
  const who = await ports.authenticate(context.req.raw);
  if (who.kind === "refused")
    return problem(401, who.code, "Authentication as an operator is required", "", who.headers);
  const actor: Actor = `operator:${who.id}`;
  const id = pathId(route, context);
  if (route.audit === "appended") await ports.recordRead(actor, route.action, route.object(id));
  else await assertNotHeld(ports);
  const result = await route.handle({
    actions: ports.actions,
    actor,
    id,
    body: (schema) => parseBody(context.req.raw, schema),
  });
  return Response.json(result, { headers: { "cache-control": "no-store" } });
}

function pathId(route: AdminRoute, context: Context): string {
  if (route.id === undefined) return "";
  const id = context.req.param("id") ?? "";
  if (!route.id.test(id)) {
    const [form, fix] = route.id === ids.event ? forms.event : route.id === ids.kid ? forms.kid : forms.word;
    throw new AdminFault("bad-request", `The id in the path is not ${form}`, fix);
  }
  return id;
}

async function assertNotHeld(ports: AdminApiPorts): Promise<void> {
  const held = await ports.hold();
  if (held === null) return;
  throw new AdminFault(
    "unavailable",
    `Administrative acts wait: ${held}`,
    "sallyport status says what the log is waiting for",
  );
}

async function parseBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const text = await readText(request);
  let value: unknown;
  try {
    value = JSON.parse(text === "" ? "{}" : text);
  } catch {
    throw new AdminFault("bad-request", "The body is not JSON");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AdminFault(
    "bad-request",
    `${issue?.path.join(".") || "body"}: ${issue?.message ?? "not what this route takes"}`,
  );
}

/** The body of an operator who is already proven: nobody else's is ever read. */
async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > bodyBytesMax)
      throw new AdminFault("too-large", `The body is larger than ${bodyBytesMax} bytes`, "apply a smaller estate");
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new AdminFault("bad-request", "The body is not UTF-8");
  }
}

function problem(
  status: number,
  code: string,
  title: string,
  fix: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = {
    type: `https://sallyport.dev/problems/${code}`,
    title,
    status,
    code,
    ...(fix === "" ? {} : { detail: fix }),
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  });
}
