// Promises that a code lets exactly one key of its client in, once, while it lasts, and that both are records. Trusts the store to run each command in
// one transaction; the code itself is never here. Specified in docs/identity/client-authentication.md "Enrolling a key".

import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import {
  type By,
  insertKey,
  judgeKey,
  type KeyAdded,
  type OfClient,
  type Place,
  recorded,
  type StoredClientKey,
} from "./store.ts";

/** How long a code that ended stays, so that its second use is told apart from a guess by whoever reads the table. */
const codeKeptMs = 7 * 86_400_000;

export interface NewCode extends OfClient, By {
  /** SHA-256 of the code's ASCII text, base64url. */
  readonly digest: string;
  readonly lifetimeMs: number;
  /** How long the key is good that it lets in; null: until it is ended. */
  readonly keyLifetimeMs: number | null;
}

/** Makes the one code of a client: an earlier one that was not used is worth nothing from now on. */
const createEnrolmentCode: Command<NewCode, { readonly expiresAt: number }> = {
  audit: "client.key.code",
  *body(input, context) {
    const { tenant, environment, client, digest, lifetimeMs, keyLifetimeMs } = input;
    const expiresAt = context.now + lifetimeMs;
    yield { sql: "DELETE FROM clients_code WHERE expires_at < ?", params: [context.now - codeKeptMs] };
    yield {
      sql: "DELETE FROM clients_code WHERE tenant = ? AND environment = ? AND client = ? AND used_at IS NULL",
      params: [tenant, environment, client],
    };
    yield {
      sql: "INSERT INTO clients_code (tenant, environment, digest, client, created_at, expires_at, key_lifetime, used_at, kid) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
      params: [tenant, environment, digest, client, context.now, expiresAt, keyLifetimeMs],
    };
    yield recorded(context, { ...input, action: "client.key.code", facts: { expiresAt } });
    return { expiresAt };
  },
};

export type Enrolled =
  | { readonly kind: "enrolled"; readonly client: string; readonly notAfter: number | null }
  /** No such code here, or used, or over: which one stays in here. */
  | { readonly kind: "unknown" }
  /** The code is still good: another key may come with it. */
  | { readonly kind: "refused"; readonly client: string; readonly why: Exclude<KeyAdded["kind"], "added"> };

const codeIs = "tenant = ? AND environment = ? AND digest = ? AND used_at IS NULL AND expires_at > ?";

/** Is there such a code that is still good? It is not used up. */
const isEnrolmentCode: Command<Place & { readonly digest: string }, boolean> = {
  audit: null,
  *body({ tenant, environment, digest }, { now }) {
    const rows = yield {
      sql: `SELECT client FROM clients_code WHERE ${codeIs}`,
      params: [tenant, environment, digest, now],
    };
    return rows.length > 0;
  },
};

const enrolClientKey: Command<Place & { readonly digest: string } & Pick<StoredClientKey, "kid" | "jwk">, Enrolled> = {
  audit: "client.key.enrol",
  *body({ tenant, environment, digest, kid, jwk }, context) {
    const { now } = context;
    const [code] = yield {
      sql: `SELECT client, key_lifetime FROM clients_code WHERE ${codeIs}`,
      params: [tenant, environment, digest, now],
    };
    if (code === undefined) return { kind: "unknown" };
    const client = String(code["client"]);
    const notAfter = code["key_lifetime"] === null ? null : now + Number(code["key_lifetime"]);
    const key = { tenant, environment, client, kid, jwk, notBefore: null, notAfter };
    const verdict = yield* judgeKey(key, now);
    if (verdict.kind !== "added") return { kind: "refused", client, why: verdict.kind };
    // Compare-and-set: of two workloads with one code only one finds it unused.
    const used = yield {
      sql: `UPDATE clients_code SET used_at = ?, kid = ? WHERE ${codeIs} RETURNING client`,
      params: [now, kid, tenant, environment, digest, now],
    };
    if (used.length === 0) return { kind: "unknown" };
    yield* insertKey(key, now);
    yield actStatement(context, {
      tenant,
      environment,
      actor: `client:${client}`,
      action: "client.key.enrol",
      object: `client/${client}`,
      facts: { kid },
    });
    return { kind: "enrolled", client, notAfter };
  },
};

export const enrolmentCommands = { createEnrolmentCode, isEnrolmentCode, enrolClientKey } satisfies CommandTable;
export type EnrolmentCommands = typeof enrolmentCommands;
