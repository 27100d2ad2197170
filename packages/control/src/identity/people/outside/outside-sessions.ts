// Promises that a session knows which providers outside vouched for it, and ends with its log-in there or with the provider's place in the estate: with its
// tokens and its grants, in one transaction. Trusts its callers for what a provider said. Specified in docs/identity/outside-login.md "When it ends there".
import { createHash } from "node:crypto";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../../store.ts";
import { endOne } from "../session-ends.ts";
import type { Act } from "../user-commands.ts";

/** Who vouched for a log-in. Both digests say nothing about the person. */
export interface OutsideProof {
  readonly issuer: string;
  /** linkDigest of issuer and subject. */
  readonly link: string;
  /** Of the session there; null: the provider does not name its sessions. */
  readonly session: string | null;
}

/** What is stored of a session at a provider. */
export function outsideSessionDigest(issuer: string, sid: string): string {
  const hash = createHash("sha256").update("sallyport-outside-session/v1");
  for (const part of [issuer, sid]) hash.update(`\n${Buffer.byteLength(part)}:${part}`);
  return hash.digest("base64url");
}

/** The newest word of each provider counts. */
export function* noteOutside(
  { tenant, environment, sid }: Place & { readonly sid: string },
  outside: OutsideProof | null,
): Act<void> {
  if (outside === null) return;
  const { issuer, link, session } = outside;
  yield {
    sql: `INSERT INTO people_session_outside (tenant, environment, sid, issuer, link, session) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (tenant, environment, sid, issuer) DO UPDATE SET link = excluded.link, session = excluded.session`,
    params: [tenant, environment, sid, issuer, link, session],
  };
}

/** Sessions one command ends; call again while there are as many. */
export const endedPerRunMax = 200;
const alive = `FROM people_session_outside o JOIN people_session s ON s.tenant = o.tenant AND s.environment = o.environment AND s.sid = o.sid
  WHERE s.ended_at IS NULL AND o.tenant = ? AND o.environment = ?`;

/** A logout token names a session, a subject, or both; a session whose name there is not known ends by its subject. Returns how many ended. */
const endSessionsFrom: Command<
  Place & {
    readonly provider: string;
    readonly issuer: string;
    readonly link: string | null;
    readonly session: string | null;
  },
  number
> = {
  audit: "session.end",
  *body({ tenant, environment, provider, issuer, link, session }, context) {
    const rows = yield {
      sql: `SELECT o.sid ${alive} AND o.issuer = ? AND (? = '' OR o.link = ?) AND (? = '' OR o.session = ? OR (o.session IS NULL AND ? <> ''))
        ORDER BY o.sid LIMIT ${endedPerRunMax}`,
      params: [tenant, environment, issuer, link ?? "", link ?? "", session ?? "", session ?? "", link ?? ""],
    };
    const end = { tenant, environment, actor: `provider:${provider}`, why: "provider-logout" };
    for (const row of rows) yield* endOne({ ...end, sid: String(row["sid"]) }, context);
    return rows.length;
  },
};

/** Ends what providers vouched for that are not among `issuers` (any more). Returns how many ended. */
const endSessionsBeyond: Command<Place & { readonly issuers: readonly string[] }, number> = {
  audit: "session.end",
  *body({ tenant, environment, issuers }, context) {
    const kept = issuers.length === 0 ? "" : `AND o.issuer NOT IN (${issuers.map(() => "?").join(", ")})`;
    const rows = yield {
      sql: `SELECT DISTINCT o.sid ${alive} ${kept} ORDER BY o.sid LIMIT ${endedPerRunMax}`,
      params: [tenant, environment, ...issuers],
    };
    const end = { tenant, environment, actor: "built-in", why: "provider-removed" };
    for (const row of rows) yield* endOne({ ...end, sid: String(row["sid"]) }, context);
    return rows.length;
  },
};

export const outsideSessionCommands = { endSessionsFrom, endSessionsBeyond } satisfies CommandTable;
