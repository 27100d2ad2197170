// Promises the shape of an admin route, and the words that routes share: what a name, a kid, a reason may be.
// Trusts nothing. The routes are the table of ../api.ts; specified in docs/admin-api.md.
import { z } from "zod";
import type { AuditAction } from "../audit/audit-actions.ts";
import type { Actor, AdminActions } from "./actions.ts";

/** What was asked, as sealed facts of the record of a read. */
export type Asked = Readonly<Record<string, string | number>>;

/**
 * `outbox`: the state change and its audit row are one transaction. `appended`: durable in the log before the answer, under the
 * object named here (docs/formats/leaf.md `object`) and with what was asked; absent: the object says it all.
 */
type AuditWay =
  | { readonly audit: "outbox" }
  | {
      readonly audit: "appended";
      readonly object: (id: string) => string;
      readonly asked?: (call: Pick<AdminCall, "body">) => Promise<Asked>;
    };

export type AdminRoute = AuditWay & {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** What is recorded (docs/audit-actions.md), and what an operator must be allowed to do. */
  readonly action: AuditAction;
  /** What `:id` in the path may be; nothing else is passed on or recorded. */
  readonly id?: RegExp;
  /** What is answered: JSON, or a stream of lines. */
  readonly handle: (call: AdminCall) => Promise<unknown>;
};

export interface AdminCall {
  readonly actions: AdminActions;
  readonly actor: Actor;
  /** Whether the operator may still do what the route needs: for what goes on after the answer has begun. */
  permitted(): Promise<boolean>;
  /** The `:id` of the path; an empty text where the route has none. */
  readonly id: string;
  /** The body as `schema` reads it; may be asked for more than once. Throws AdminFault `bad-request` or `too-large`. */
  body<T>(schema: z.ZodType<T>): Promise<T>;
}

export const ids = {
  word: /^[a-z][a-z0-9-]{0,126}$/,
  kid: /^[A-Za-z0-9_-]{43}$/,
  user: /^usr_[A-Za-z0-9_-]{22}$/,
  session: /^ses_[A-Za-z0-9_-]{22}$/,
  finding: /^fnd-[0-7][0-9A-HJKMNP-TV-Z]{25}$/,
  /** Of a secret or an API key that we made: the first part of it. */
  secret: /^[0-9a-f]{10}$/,
  /** A crossing or event id of docs/formats/leaf.md. */
  event: /^(?:[a-z][a-z0-9-]{0,126}-)?[0-7][0-9A-HJKMNP-TV-Z]{25}$/,
} as const;
/** What each looks like, and where to find one. */
const forms = {
  word: ["a name", "a name is small letters, digits and hyphens, and begins with a letter"],
  kid: ["the kid of a key", "a kid is 43 characters of base64url; the keys are in the issuer's jwks"],
  user: ["the id of a user", "it looks like usr_ and 22 characters; sallyport user list shows them"],
  session: ["the id of a session", "it looks like ses_ and 22 characters; sallyport session list shows them"],
  secret: [
    "the id of a key",
    "it is ten hexadecimal digits, the first part of the key; sallyport api-key list shows them",
  ],
  finding: ["the id of a finding", "it looks like fnd-01KAMZZZZZ0000000000000000; sallyport finding list shows them"],
  event: [
    "the id of a crossing or an event",
    "it looks like gw-1-01KAMZZZZZ0000000000000000: the correlationId of the problem document, or the Sallyport-Crossing header of any answer",
  ],
} as const;
/** What an id of this form is called, and where to find one. */
export function formOf(form: RegExp): readonly string[] {
  for (const name of ["kid", "user", "session", "secret", "finding", "event"] as const)
    if (ids[name] === form) return forms[name];
  return forms.word;
}
export const word = z.string().regex(ids.word);
export const environment = word.default("production");
export const reason = z.string().min(1).max(500);
const dayMs = 86_400_000;
/** How long what we make for a caller lives, and how long what it replaces lives beside it. */
export const lifetimeMs = z
  .int()
  .min(60_000)
  .max(400 * dayMs);
export const overlapMs = z
  .int()
  .min(0)
  .max(90 * dayMs)
  .default(7 * dayMs);
/** What a change of one environment says. */
export const change = z.strictObject({ environment, reason });
