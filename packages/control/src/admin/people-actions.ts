// Promises the acts of an operator on users and sessions: each one transaction with its record and what follows, then pushed to gateways.
// Trusts api.ts, which has proven the operator. Specified in docs/admin-api.md, docs/identity/people.md.
import type { ControlParts } from "../control-parts.ts";
import type { GivenConsent } from "../identity/people/consent-commands.ts";
import type { UndeliveredLogout } from "../identity/people/logout-commands.ts";
import { digestOf, makeSecret, makeUserId } from "../identity/people/one-time-secrets.ts";
import { linkDigest } from "../identity/people/outside/link-commands.ts";
import type { ListedSession } from "../identity/people/session-commands.ts";
import type { UserSummary } from "../identity/people/user-commands.ts";
import { type Actor, AdminFault } from "./actions.ts";

/** A link that is shown once. */
export interface EnrolmentAnswer {
  readonly id: string;
  readonly environment: string;
  readonly link: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

type InEnvironment<T> = T & { readonly environment: string };

export interface PeopleActions {
  /** Up to 1,000 of each environment, by name. */
  users(): Promise<readonly InEnvironment<UserSummary>[]>;
  addUser(
    actor: Actor,
    user: { readonly environment: string; readonly name: string; readonly linkLifetimeMs: number },
  ): Promise<EnrolmentAnswer>;
  setUser(
    actor: Actor,
    change: {
      readonly id: string;
      readonly environment: string;
      readonly to: "active" | "disabled";
      readonly reason: string;
    },
  ): Promise<{ readonly id: string; readonly state: "active" | "disabled" }>;
  resetUser(
    actor: Actor,
    change: {
      readonly id: string;
      readonly environment: string;
      readonly reason: string;
      readonly linkLifetimeMs: number;
    },
  ): Promise<EnrolmentAnswer>;
  /** Connects a user with an account at a provider outside. */
  linkUser(
    actor: Actor,
    link: {
      readonly id: string;
      readonly environment: string;
      readonly provider: string;
      readonly subject: string;
      readonly reason: string;
    },
  ): Promise<{ readonly id: string; readonly provider: string }>;
  /** Up to 1,000 living ones of each environment, the newest first. */
  sessions(): Promise<readonly InEnvironment<ListedSession>[]>;
  /** What a user allowed clients, in every environment that knows them. */
  consents(id: string): Promise<readonly InEnvironment<GivenConsent>[]>;
  withdrawConsent(
    actor: Actor,
    consent: { readonly id: string; readonly environment: string; readonly client: string; readonly reason: string },
  ): Promise<void>;
  /** Ends that clients could not be told of: up to 1,000 of each environment, the newest first. */
  undelivered(): Promise<readonly InEnvironment<UndeliveredLogout>[]>;
  endSession(
    actor: Actor,
    end: { readonly id: string; readonly environment: string; readonly reason: string },
  ): Promise<void>;
}

type Held = "sessions" | "consents" | "withdrawConsent" | "undelivered" | "endSession";

export function peopleActions(parts: ControlParts): PeopleActions {
  return { ...userActions(parts), ...heldActions(parts) };
}

/** Of every environment. */
async function everywhere<T extends object>(
  { identities }: ControlParts,
  list: (environment: string) => Promise<readonly T[]>,
): Promise<readonly InEnvironment<T>[]> {
  const all: InEnvironment<T>[] = [];
  for (const environment of identities.keys())
    all.push(...(await list(environment)).map((one) => ({ ...one, environment })));
  return all;
}

/** What people hold, and what is taken from them. */
function heldActions(parts: ControlParts): Pick<PeopleActions, Held> {
  const { tenant, store } = parts;
  return {
    sessions: () => everywhere(parts, (environment) => store.run("listSessions", { tenant, environment })),
    consents: (user) => everywhere(parts, (environment) => store.run("listConsents", { tenant, environment, user })),
    withdrawConsent: async (actor, { id, environment, client, reason }) => {
      if (!(await store.run("withdrawConsent", { tenant, environment, user: id, client, actor, reason })))
        throw new AdminFault(
          "not-found",
          `the user has allowed ${client} nothing in ${environment}`,
          "sallyport user consents shows what they allowed",
        );
      await parts.changed();
    },
    undelivered: () => everywhere(parts, (environment) => store.run("listUndelivered", { tenant, environment })),
    endSession: async (actor, { id, environment, reason }) => {
      if (!(await store.run("endSession", { tenant, environment, sid: id, actor, why: reason })))
        throw new AdminFault(
          "not-found",
          `there is no living session ${id} in ${environment}`,
          "sallyport session list shows them",
        );
      await parts.changed();
    },
  };
}

function userActions(parts: ControlParts): Omit<PeopleActions, Held> {
  const { tenant, store, clock, random } = parts;
  const freshLink = (linkLifetimeMs: number) => {
    const secret = makeSecret(random);
    return { secret, link: { digest: digestOf("enrolment", secret), until: clock.now() + linkLifetimeMs } };
  };
  return {
    users: () => everywhere(parts, (environment) => store.run("listUsers", { tenant, environment })),
    addUser: async (actor, { environment, name, linkLifetimeMs }) => {
      const issuer = issuerWithPeople(parts, environment);
      const id = makeUserId(random);
      const { secret, link } = freshLink(linkLifetimeMs);
      const added = await store.run("addUser", { tenant, environment, user: id, name, link, actor });
      if (added.kind === "name-taken")
        throw new AdminFault(
          "conflict",
          `there is a user ${name} in ${environment} already`,
          "sallyport user reset makes a new link for them",
        );
      if (added.kind === "too-many")
        throw new AdminFault("conflict", `${environment} has as many users as it may have`);
      return { id, environment, link: `${issuer}/enrol?link=${secret}`, until: link.until };
    },
    setUser: async (actor, { id, environment, to, reason }) => {
      const command = to === "active" ? "enableUser" : "disableUser";
      const changed = await store.run(command, { tenant, environment, user: id, actor, reason });
      if (!changed) await refuseUser(parts, { id, environment, to });
      await parts.changed();
      return { id, state: to };
    },
    linkUser: (actor, link) => linkUser(parts, actor, link),
    resetUser: async (actor, { id, environment, reason, linkLifetimeMs }) => {
      const issuer = issuerWithPeople(parts, environment);
      const { secret, link } = freshLink(linkLifetimeMs);
      if (!(await store.run("resetUser", { tenant, environment, user: id, actor, reason, link })))
        throw unknownUser(id, environment);
      await parts.changed();
      return { id, environment, link: `${issuer}/enrol?link=${secret}`, until: link.until };
    },
  };
}

async function linkUser(
  { tenant, store, identities }: ControlParts,
  actor: Actor,
  { id, environment, provider, subject, reason }: Parameters<PeopleActions["linkUser"]>[1],
): ReturnType<PeopleActions["linkUser"]> {
  const known = identities.get(environment)?.providers() ?? [];
  const found = known.find((one) => one.id === provider);
  if (found === undefined)
    throw new AdminFault(
      "not-found",
      `nobody signs in through ${provider} in ${environment}`,
      `known: ${known.map((one) => one.id).join(", ") || "none; write it under `people.providers`"}`,
    );
  const digest = linkDigest(found.issuer, subject);
  const linked = await store.run("linkUser", { tenant, environment, user: id, provider, digest, actor, reason });
  if (linked === "no-user") throw unknownUser(id, environment);
  if (linked === "taken") throw new AdminFault("conflict", `this account of ${provider} is somebody's already`);
  if (linked === "has-one")
    throw new AdminFault(
      "conflict",
      `the user has another account of ${provider}`,
      "they disconnect it on their account page, or reset them",
    );
  return { id, provider };
}

const unknownUser = (id: string, environment: string) =>
  new AdminFault("not-found", `there is no user ${id} in ${environment}`, "sallyport user list shows them");

async function refuseUser(
  { tenant, store }: ControlParts,
  { id, environment, to }: { readonly id: string; readonly environment: string; readonly to: string },
): Promise<never> {
  if ((await store.run("readUser", { tenant, environment, user: id })) === null) throw unknownUser(id, environment);
  throw new AdminFault("conflict", `the user is ${to} already`);
}

function issuerWithPeople(parts: ControlParts, environment: string): string {
  const identity = parts.identities.get(environment);
  if (identity === undefined)
    throw new AdminFault(
      "not-found",
      `there is no environment ${environment}`,
      `known: ${[...parts.identities.keys()].join(", ") || "none; apply an estate first"}`,
    );
  if (!identity.servesPeople)
    throw new AdminFault(
      "conflict",
      `nobody signs in in ${environment}`,
      `write \`people:\` below environments.${environment} in sallyport.yaml: docs/identity/people.md`,
    );
  return identity.issuer;
}
