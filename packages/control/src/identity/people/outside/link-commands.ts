// Promises that a log-in outside is a user here by (issuer, subject) alone, never by a name or an address; that a link is made by the user's own session, an
// operator, or with a new user; and that each is one person's. Trusts its callers for who asks. Specified in docs/identity/outside-login.md "Who it is here".
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../../store.ts";
import { findEnrolment, takeRight } from "../credential-commands.ts";
import { type Act, findUser, type UserPlace, userAudit, usersMax } from "../user-commands.ts";

/** What is stored of an identity outside: it says nothing about the person. */
export function linkDigest(issuer: string, subject: string): string {
  const hash = createHash("sha256").update("sallyport-outside/v1");
  // Length-prefixed, so that no issuer runs into its subject.
  for (const part of [issuer, subject]) hash.update(`\n${Buffer.byteLength(part)}:${part}`);
  return hash.digest("base64url");
}

export interface Link {
  readonly provider: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** Whose link this is; null: nobody's. */
const readLink: Command<Place & { readonly digest: string }, string | null> = {
  audit: null,
  *body({ tenant, environment, digest }) {
    const [row] = yield {
      sql: "SELECT user_id FROM people_link WHERE tenant = ? AND environment = ? AND digest = ?",
      params: [tenant, environment, digest],
    };
    return row === undefined ? null : String(row["user_id"]);
  },
};

const listLinks: Command<UserPlace, readonly Link[]> = {
  audit: null,
  *body({ tenant, environment, user }) {
    const rows = yield {
      sql: "SELECT provider, created_at FROM people_link WHERE tenant = ? AND environment = ? AND user_id = ? ORDER BY provider",
      params: [tenant, environment, user],
    };
    return rows.map((row) => ({ provider: String(row["provider"]), createdAt: Number(row["created_at"]) }));
  },
};

export interface NewLink extends UserPlace {
  readonly digest: string;
  readonly provider: string;
}

/** `taken`: it is somebody's, this user's too. `has-one`: the user is connected with another account of this provider. */
export type Linked = "linked" | "taken" | "has-one" | "no-user";

function* insertLink(link: NewLink, now: number): Act<"linked" | "taken" | "has-one"> {
  const { tenant, environment, user, digest, provider } = link;
  const known = yield {
    sql: "SELECT digest FROM people_link WHERE tenant = ? AND environment = ? AND (digest = ? OR (user_id = ? AND provider = ?))",
    params: [tenant, environment, digest, user, provider],
  };
  if (known.some((row) => row["digest"] === digest)) return "taken";
  if (known.length > 0) return "has-one";
  const made = yield {
    sql: "INSERT INTO people_link (tenant, environment, digest, user_id, provider, created_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING digest",
    params: [tenant, environment, digest, user, provider, now],
  };
  return made.length === 1 ? "linked" : "taken";
}

/** `actor`: the user themselves, in their session, or an operator. */
const linkUser: Command<NewLink & { readonly actor: string; readonly reason?: string }, Linked> = {
  audit: "user.link",
  *body(input, context) {
    const { actor, provider, reason } = input;
    if ((yield* findUser(input)) === null) return "no-user";
    const outcome = yield* insertLink(input, context.now);
    if (outcome !== "linked") return outcome;
    const facts = { provider, ...(reason === undefined ? {} : { reason }) };
    yield userAudit({ ...input, actor, action: "user.link", facts }, context);
    return outcome;
  },
};

export type LinkedByEnrolment =
  | { readonly kind: "linked"; readonly user: string }
  /** The link is used, old, or from before a restore, or its user is not active. */
  | { readonly kind: "no-right" }
  /** The identity is somebody's, or the user is connected with another one of this provider. The link stays good. */
  | { readonly kind: "taken" };

/** Connects the user of an enrolment link with the identity that its holder proved, and uses the link up. `link`: its digest. */
const linkByEnrolment: Command<Omit<NewLink, "user"> & { readonly link: string }, LinkedByEnrolment> = {
  audit: "user.link",
  *body({ link, ...input }, context) {
    const holder = yield* findEnrolment(input, link, context.now);
    if (holder === null) return { kind: "no-right" };
    const of = { ...input, user: holder.id };
    // Commands run as if one after another, so what was found is still so: the link is used up only for what was made.
    if ((yield* insertLink(of, context.now)) !== "linked") return { kind: "taken" };
    assert.ok(yield* takeRight(of, { kind: "link", digest: link }, context.now), "a link that was good is good");
    const facts = { provider: of.provider, right: "link" };
    yield userAudit({ ...of, actor: `user:${of.user}`, action: "user.link", facts }, context);
    return { kind: "linked", user: of.user };
  },
};

/** Makes a user for somebody who signed in outside for the first time: without credentials, without a name of theirs. False: the link is somebody's by now. */
const addLinkedUser: Command<NewLink & { readonly name: string }, boolean> = {
  audit: "user.add",
  *body(input, context) {
    const { tenant, environment, user, name, provider } = input;
    const [count] = yield {
      sql: "SELECT count(*) AS n FROM people_user WHERE tenant = ? AND environment = ?",
      params: [tenant, environment],
    };
    if (Number(count?.["n"] ?? 0) >= usersMax) return false;
    if ((yield* insertLink(input, context.now)) !== "linked") return false;
    yield {
      sql: "INSERT INTO people_user (tenant, environment, id, name, state, created_at) VALUES (?, ?, ?, ?, 'active', ?)",
      params: [tenant, environment, user, name, context.now],
    };
    const act = { ...input, actor: `provider:${provider}`, facts: { provider } };
    yield userAudit({ ...act, action: "user.add" }, context);
    return true;
  },
};

/** `last-way-in`: the user has no other. */
export type Unlinked = "unlinked" | "last-way-in" | "no-link";

const unlinkUser: Command<UserPlace & { readonly provider: string; readonly actor: string }, Unlinked> = {
  audit: "user.unlink",
  *body(input, context) {
    const { tenant, environment, user, provider, actor } = input;
    const found = yield* findUser(input);
    const links = yield {
      sql: "SELECT provider FROM people_link WHERE tenant = ? AND environment = ? AND user_id = ?",
      params: [tenant, environment, user],
    };
    if (found === null || !links.some((row) => row["provider"] === provider)) return "no-link";
    if (found.password === null && found.passkeys.length === 0 && links.length === 1) return "last-way-in";
    yield {
      sql: "DELETE FROM people_link WHERE tenant = ? AND environment = ? AND user_id = ? AND provider = ?",
      params: [tenant, environment, user, provider],
    };
    yield userAudit({ ...input, actor, action: "user.unlink", facts: { provider } }, context);
    return "unlinked";
  },
};

export interface ProviderKeyName extends Place {
  readonly provider: string;
}

/** The sealed key we prove ourselves with to a provider; null: there is none yet. */
const readProviderKey: Command<ProviderKeyName, Uint8Array | null> = {
  audit: null,
  *body({ tenant, environment, provider }) {
    const [row] = yield {
      sql: "SELECT sealed FROM people_provider_key WHERE tenant = ? AND environment = ? AND provider = ?",
      params: [tenant, environment, provider],
    };
    const sealed = row?.["sealed"];
    return sealed instanceof Uint8Array ? sealed : null;
  },
};

/** False, and nothing changed, when there is one: of two nodes that make one, one does. */
const insertProviderKey: Command<ProviderKeyName & { readonly sealed: Uint8Array; readonly kid: string }, boolean> = {
  audit: "provider.key",
  *body({ tenant, environment, provider, sealed, kid }, context) {
    const made = yield {
      sql: "INSERT INTO people_provider_key (tenant, environment, provider, sealed, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING provider",
      params: [tenant, environment, provider, sealed, context.now],
    };
    if (made.length === 0) return false;
    // `issuer/<id>`: of an issuer that is asked about tokens. No provider's id has a slash.
    const object = provider.includes("/") ? provider : `provider/${provider}`;
    yield actStatement(context, {
      tenant,
      environment,
      actor: "built-in",
      action: "provider.key",
      object,
      facts: { kid },
    });
    return true;
  },
};

export const linkCommands = {
  readLink,
  listLinks,
  linkUser,
  linkByEnrolment,
  addLinkedUser,
  unlinkUser,
  readProviderKey,
  insertProviderKey,
} satisfies CommandTable;
