// Promises that nobody reaches an admin route unproven, unrecorded or while records wait, and that what a proven operator was refused is
// on record too. Trusts the table of ../api.ts and its ports.
// Specified in docs/admin-api.md.
import { type Context, Hono } from "hono";
import type { z } from "zod";
import { adminRoutes } from "../api.ts";
import type { AuditAction } from "../audit/audit-actions.ts";
import { type Actor, type AdminActions, AdminFault } from "./actions.ts";
import { decidePermission, type OperatorRole, rolesWith } from "./permissions.ts";
import { type AdminCall, type AdminRoute, type Asked, formOf } from "./route.ts";
import { unavailableFault } from "./unavailable.ts";

export interface AdminApiPorts {
  readonly actions: AdminActions;
  /** Proves the operator of a request, or says how to (a challenge); both are recorded. */
  authenticate(
    request: Request,
  ): Promise<
    | { readonly kind: "operator"; readonly id: string; readonly kid: string; readonly roles: readonly OperatorRole[] }
    | { readonly kind: "refused"; readonly code: string; readonly headers: Readonly<Record<string, string>> }
  >;
  /** The roles of this key of an operator as they are now; none when it is registered no more. */
  rolesNow(operator: { readonly id: string; readonly kid: string }): Promise<readonly OperatorRole[]>;
  /** Appends the audit record of a read, durable before the answer. `object` is in the form of docs/formats/leaf.md. */
  recordRead(actor: Actor, action: AuditAction, object: string, asked: Asked): Promise<void>;
  /** Appends the record of an act that was ordered and not done. */
  recordRefusal(
    actor: Actor,
    refused: { readonly action: string; readonly id: string; readonly code: string },
  ): Promise<void>;
  /** Names the reason why administrative acts must wait (an audit backlog over 5 s, a full disk), or null. */
  hold(): Promise<string | null>;
  fault(error: unknown): void;
}

/** Of an answer that goes on: a JSON value a line. */
export const linesType = "application/x-ndjson";
const bodyBytesMax = 16 * 1024 * 1024;
const statusOf = {
  "bad-request": 400,
  "too-large": 413,
  "not-found": 404,
  conflict: 409,
  "too-many": 429,
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
  await assertPermitted(route, { ...who, actor }, ports);
  const id = pathId(route, context);
  let text: Promise<string> | null = null;
  const call: AdminCall = {
    ...{ actions: ports.actions, actor, id },
    permitted: async () => decidePermission(await ports.rolesNow(who), route.action).kind === "allow",
    body: async (schema) => {
      text ??= readText(context.req.raw);
      return parseBody(await text, schema);
    },
  };
  const result = await (route.audit === "appended" ? readRecorded(route, call, ports) : act(route, call, ports));
  const headers = { "cache-control": "no-store" };
  if (result instanceof ReadableStream)
    return new Response(result, { headers: { ...headers, "content-type": linesType } });
  return Response.json(result, { headers });
}

async function readRecorded(
  route: Extract<AdminRoute, { audit: "appended" }>,
  call: AdminCall,
  ports: AdminApiPorts,
): Promise<unknown> {
  const asked = (await route.asked?.(call)) ?? {};
  await ports.recordRead(call.actor, route.action, route.object(call.id), asked);
  return route.handle(call);
}

/** What is done has its record in its own transaction; what is not done has one of its own. */
async function act(route: AdminRoute, call: AdminCall, ports: AdminApiPorts): Promise<unknown> {
  try {
    await assertNotHeld(ports);
    return await route.handle(call);
  } catch (error) {
    const code = error instanceof AdminFault ? error.code : "internal";
    // Refused it is either way: a log that does not take this record is why most of them are refused.
    await ports.recordRefusal(call.actor, { action: route.action, id: call.id, code }).catch(ports.fault);
    throw error;
  }
}

/** Before anything of the request is read: what is not permitted says no more than that, and is on record. */
async function assertPermitted(
  { action }: AdminRoute,
  { id, actor, roles }: { readonly id: string; readonly actor: Actor; readonly roles: readonly OperatorRole[] },
  ports: AdminApiPorts,
): Promise<void> {
  const verdict = decidePermission(roles, action);
  if (verdict.kind === "allow") return;
  await ports.recordRefusal(actor, { action, id: "", code: "not-permitted" }).catch(ports.fault);
  throw new AdminFault(
    "not-permitted",
    `${action} needs the permission ${verdict.missing}, which operator ${id} does not have`,
    `an operator with the role admin may give one of these roles under operators.${id}.roles in sallyport.yaml: ${rolesWith(verdict.missing).join(", ")}`,
  );
}

function pathId(route: AdminRoute, context: Context): string {
  if (route.id === undefined) return "";
  const id = context.req.param("id") ?? "";
  if (!route.id.test(id)) {
    const [form, fix] = formOf(route.id);
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

function parseBody<T>(text: string, schema: z.ZodType<T>): T {
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
