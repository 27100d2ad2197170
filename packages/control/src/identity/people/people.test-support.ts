// Promises the commands of people with those they stand on as a commands module for the tests of this folder, and small steps towards a user.
// Trusts store.ts. Shape: docs/store.md "A commands module".
import { randomBytes } from "node:crypto";
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { backupMigrations } from "../../backup/store.ts";
import { oauthCommands, oauthMigrations } from "../oauth/store.ts";
import { identityCommands, identityMigrations } from "../store.ts";
import { digestOf, makeSecret, makeSessionId, makeUserId } from "./one-time-secrets.ts";
import type { NewSession } from "./session-commands.ts";
import { peopleCommands, peopleMigrations } from "./store.ts";

export const commands = { ...outboxCommands, ...identityCommands, ...oauthCommands, ...peopleCommands };
export const migrations = [...identityMigrations, ...oauthMigrations, ...backupMigrations, ...peopleMigrations];
export type PeopleTestCommands = typeof commands;
export const commandsUrl = new URL(import.meta.url);

export const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
export const place = { tenant: "main", environment: "production" } as const;

/** A clock that stands until it is moved. */
export function standingClock(at = Date.UTC(2027, 0, 5, 9)): {
  now(): number;
  monotonic(): number;
  move(ms: number): void;
} {
  let now = at;
  return {
    now: () => now,
    monotonic: () => now,
    move: (ms) => {
      now += ms;
    },
  };
}

type TestStore = Pick<Store<PeopleTestCommands>, "run">;

/** A user without credentials, and the secret of the link. */
export async function addTestUser(
  store: TestStore,
  name: string,
  now: number,
): Promise<{ readonly user: string; readonly link: string }> {
  const user = makeUserId(random);
  const link = makeSecret(random);
  const input = { ...place, user, name, actor: "operator:test" };
  const added = await store.run("addUser", {
    ...input,
    link: { digest: digestOf("enrolment", link), until: now + 3_600_000 },
  });
  if (added.kind !== "added") throw new Error(added.kind);
  return { user, link };
}

export function newSession(user: string, cookie: string, over: Partial<NewSession> = {}): NewSession {
  return {
    ...place,
    sid: makeSessionId(random),
    digest: digestOf("session", cookie),
    user,
    acr: "urn:sallyport:acr:password",
    amr: ["pwd"],
    device: "new",
    browser: "a browser",
    authTime: null,
    outside: null,
    idleMs: 3_600_000,
    absoluteMs: 12 * 3_600_000,
    replaces: null,
    remember: null,
    ...over,
  };
}
