// Promises that a person sees and ends their own sessions and changes their own credentials: only after a log-in of a moment ago, and only with a log-in
// as strong as the strongest they have, so that a stolen password cannot add a passkey. Trusts visit.ts. docs/identity/people.md "Pages".

import { acrLevels } from "@sallyport/protocol/token/acr.ts";
import type { IssuerRoute } from "../../seams.ts";
import { allows, seedContext } from "../login.ts";
import { digestOf, makeRecoveryCodes } from "../one-time-secrets.ts";
import { accountPage, appPage, recoveryPage } from "../pages/account-pages.ts";
import { setCookie } from "../pages/browser-request.ts";
import { messagePage, sendPage, sendRedirect } from "../pages/page.ts";
import { weaknessOf } from "../password.ts";
import type { SessionFacts } from "../session-commands.ts";
import { endSession } from "../sessions.ts";
import { base32, decideTotp, otpauthUri, totpSecretBytes } from "../totp.ts";
import type { StoredUser } from "../user-commands.ts";
import { creationOptions, newPasskeyOf, noPasswords } from "./enrol-routes.ts";
import { reachableLevels } from "./flow-routes.ts";
import { frameOf, getRoute, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

/** A log-in is of a moment ago for this long. */
export const freshMs = 900_000;
const seedLifetimeMs = 900_000;

export interface Owner {
  readonly user: StoredUser;
  readonly session: SessionFacts;
}

export function accountRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    getRoute(parts, "/account", async (visit) => {
      const owner = await ownerOf(parts, visit);
      if (owner === null) return toLogin(parts, visit);
      await showAccount(parts, visit, owner, {});
    }),
    ...sessionRoutes(parts),
    changing(parts, "/account/password", changePassword),
    changing(parts, "/account/passkey", addPasskey),
    changing(parts, "/account/passkey/remove", removePasskey),
    changing(parts, "/account/app", (_parts, visit, owner) =>
      showApp(parts, visit, owner, { seed: parts.random.bytes(totpSecretBytes), error: null }),
    ),
    changing(parts, "/account/app/confirm", confirmApp),
    changing(parts, "/account/app/remove", async (_parts, visit, owner) => {
      await parts.store.run("removeTotp", { ...placeOf(parts, owner), actor: `user:${owner.user.id}` });
      await again(parts, visit, owner, "The authenticator app was removed.");
    }),
    changing(parts, "/account/recovery", newRecoveryCodes),
  ];
}

type Serve = (parts: PeopleParts, visit: Posted, owner: Owner) => Promise<void>;

function owned(parts: PeopleParts, path: string, serve: Serve): IssuerRoute {
  return postRoute(parts, path, async (visit) => {
    const owner = await ownerOf(parts, visit);
    return owner === null ? toLogin(parts, visit) : serve(parts, visit, owner);
  });
}

/** A form that changes how somebody signs in. */
export function changing(parts: PeopleParts, path: string, serve: Serve): IssuerRoute {
  return owned(parts, path, async (_parts, visit, owner) => {
    const locked = lockOf(owner, parts.clock.now());
    if (locked !== null) return showAccount(parts, visit, owner, { error: locked, status: 403 });
    await serve(parts, visit, owner);
  });
}

function sessionRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  const base = new URL(parts.issuer).pathname;
  return [
    owned(parts, "/account/again", async (_parts, visit) => sendRedirect(visit.res, `${base}/login?again=1`)),
    owned(parts, "/account/end", async (_parts, visit, { user }) => {
      const sid = visit.form.get("sid") ?? "";
      await endSession(parts, { sid, user: user.id, actor: `user:${user.id}`, why: "user" });
      sendRedirect(visit.res, `${base}/account`);
    }),
    owned(parts, "/account/others", async (_parts, visit, owner) => {
      await endOthers(parts, owner, "user");
      sendRedirect(visit.res, `${base}/account`);
    }),
    owned(parts, "/account/withdraw", withdrawConsent),
    owned(parts, "/account/logout", async (_parts, visit, { user, session }) => {
      await endSession(parts, { sid: session.sid, user: user.id, actor: `user:${user.id}`, why: "logout" });
      sendPage(visit.res, { ...signedOut, cookies: [setCookie(parts.cookies.session, "", 0)] });
    }),
  ];
}

export const signedOut = messagePage("You are signed out", "You can close this page.");

export const placeOf = ({ tenant, environment }: PeopleParts, { user }: Owner) => ({
  tenant,
  environment,
  user: user.id,
});

export async function ownerOf(parts: PeopleParts, { session }: Visit): Promise<Owner | null> {
  if (session === null) return null;
  const { tenant, environment, store } = parts;
  const user = await store.run("readUser", { tenant, environment, user: session.user });
  return user === null ? null : { user, session };
}

const toLogin = async (parts: PeopleParts, { res }: Visit): Promise<void> =>
  sendRedirect(res, `${new URL(parts.issuer).pathname}/login`);

/** Why this session may not change credentials, or null. */
export function lockOf({ user, session }: Owner, now: number): string | null {
  const strongest = Math.max(-1, ...reachableLevels(user).map((level) => acrLevels.indexOf(level)));
  if (acrLevels.indexOf(session.acr) < strongest)
    return user.passkeys.length > 0
      ? "To change how you sign in, sign in with a passkey first."
      : "To change how you sign in, sign in with your second factor first.";
  const age = now - session.authTime;
  return age < 0 || age > freshMs ? "You signed in a while ago. To change how you sign in, sign in again first." : null;
}

export interface Shown {
  readonly error?: string;
  readonly done?: string;
  readonly status?: number;
}

export async function showAccount(parts: PeopleParts, visit: Visit, owner: Owner, shown: Shown): Promise<void> {
  const { tenant, environment, store, clock, outside } = parts;
  const { user, session } = owner;
  const locked = lockOf(owner, clock.now());
  const frame = frameOf(parts, visit.request, { flow: null });
  const links = await store.run("listLinks", placeOf(parts, owner));
  sendPage(
    visit.res,
    accountPage({
      // A form that begins a log-in elsewhere leads there.
      frame: { ...frame, formTargets: await outside.targets() },
      user,
      session,
      sessions: await store.run("listSessions", { tenant, environment, user: user.id }),
      outside: outside.list().map(({ id, name }) => {
        return { id, name, isConnected: links.some(({ provider }) => provider === id) };
      }),
      consents: await store.run("listConsents", placeOf(parts, owner)),
      passkey: locked === null ? creationOptions(parts, visit, user) : null,
      password: allows(parts, "password"),
      locked,
      error: shown.error ?? null,
      done: shown.done ?? null,
      cookies: visit.request.cookies,
      ...(shown.status === undefined ? {} : { status: shown.status }),
    }),
  );
}

/** The page with what is true now. */
export async function again(parts: PeopleParts, visit: Visit, owner: Owner, done: string): Promise<void> {
  const user = await parts.store.run("readUser", placeOf(parts, owner));
  await showAccount(parts, visit, { ...owner, user: user ?? owner.user }, { done });
}

export async function endOthers(parts: PeopleParts, { user, session }: Owner, why: string): Promise<void> {
  const { tenant, environment, store } = parts;
  const ended = await store.run("endUserSessions", {
    tenant,
    environment,
    user: user.id,
    keep: session.sid,
    actor: `user:${user.id}`,
    why,
  });
  if (ended > 0) await parts.revoked();
}

/** Needs no fresh log-in: whoever holds a session may always allow less. */
async function withdrawConsent(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  const client = visit.form.get("client") ?? "";
  const actor = `user:${owner.user.id}`;
  const isWithdrawn = await parts.store.run("withdrawConsent", { ...placeOf(parts, owner), client, actor });
  if (isWithdrawn) await parts.revoked();
  await again(parts, visit, owner, "It was taken back. The application has to ask you again.");
}

async function newRecoveryCodes(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  if (owner.user.totp === null)
    return showAccount(parts, visit, owner, { error: "Recovery codes come with an authenticator app.", status: 400 });
  const codes = makeRecoveryCodes(parts.random);
  const digests = codes.map((code) => digestOf("recovery", code));
  await parts.store.run("setRecoveryCodes", { ...placeOf(parts, owner), digests, actor: `user:${owner.user.id}` });
  showCodes(parts, visit, codes);
}

async function changePassword(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  if (!allows(parts, "password")) return showAccount(parts, visit, owner, { error: noPasswords, status: 400 });
  const password = visit.form.get("password") ?? "";
  const weakness = weaknessOf(password, owner.user.name);
  if (weakness !== null) return showAccount(parts, visit, owner, { error: weakness, status: 400 });
  const hash = await parts.passwords.hash(password, visit.request.source);
  if (hash === null)
    return showAccount(parts, visit, owner, { error: "Too many at once. Try again in a moment.", status: 429 });
  await parts.store.run("setPassword", {
    ...placeOf(parts, owner),
    password: hash,
    right: { kind: "session" },
    actor: `user:${owner.user.id}`,
  });
  // Whoever knew the old one is out.
  await endOthers(parts, owner, "password-changed");
  await again(parts, visit, owner, "Your password was changed, and your other sessions were ended.");
}

async function addPasskey(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  const passkey = await newPasskeyOf(parts, visit);
  if (passkey === null)
    return showAccount(parts, visit, owner, { error: "That passkey was not accepted. Try again.", status: 400 });
  const added = await parts.store.run("addPasskey", {
    ...placeOf(parts, owner),
    passkey,
    right: { kind: "session" },
    actor: `user:${owner.user.id}`,
  });
  if (added.kind === "added") return again(parts, visit, owner, "The passkey was added.");
  const error =
    added.kind === "too-many"
      ? "You have as many passkeys as one account may have."
      : "That passkey is in use already.";
  await showAccount(parts, visit, owner, { error, status: 400 });
}

async function removePasskey(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  const removed = await parts.store.run("removePasskey", {
    ...placeOf(parts, owner),
    id: visit.form.get("id") ?? "",
    actor: `user:${owner.user.id}`,
  });
  if (removed.kind === "not-found") return again(parts, visit, owner, "The passkey was removed.");
  if (removed.kind === "removed") {
    // Whoever came in by it is out.
    await endOthers(parts, owner, "passkey-removed");
    return again(parts, visit, owner, "The passkey was removed, and your other sessions were ended.");
  }
  await showAccount(parts, visit, owner, {
    error: "This is your only way to sign in. Set a password or add a passkey first.",
    status: 400,
  });
}

function showApp(
  parts: PeopleParts,
  visit: Visit,
  { user }: Owner,
  shown: { readonly seed: Uint8Array; readonly error: string | null },
): Promise<void> {
  const { seed, error } = shown;
  const binding = { purpose: "seed", browser: visit.request.binding } as const;
  const issuerName = `Sallyport ${parts.environment}`;
  sendPage(
    visit.res,
    appPage({
      frame: frameOf(parts, visit.request, { flow: null }),
      seed: parts.values.seal(
        binding,
        { user: user.id, seed: Buffer.from(seed).toString("base64url") },
        seedLifetimeMs,
      ),
      text: base32(seed),
      uri: otpauthUri(seed, issuerName, user.name),
      error,
      cookies: visit.request.cookies,
      ...(error === null ? {} : { status: 400 }),
    }),
  );
  return Promise.resolve();
}

async function confirmApp(parts: PeopleParts, visit: Posted, owner: Owner): Promise<void> {
  const opened = parts.values.open({ purpose: "seed", browser: visit.request.binding }, visit.form.get("seed") ?? "");
  const held = opened?.payload as { readonly user?: unknown; readonly seed?: unknown } | undefined; // as: sealed by showApp from this shape
  if (typeof held?.seed !== "string" || held.user !== owner.user.id)
    return showAccount(parts, visit, owner, { error: "That took too long. Start again.", status: 400 });
  const secret = new Uint8Array(Buffer.from(held.seed, "base64url"));
  const verdict = decideTotp({ secret, code: visit.form.get("code") ?? "", now: parts.clock.now(), lastStep: null });
  if (verdict.kind === "refused")
    return showApp(parts, visit, owner, {
      seed: secret,
      error: "That is not the code of this key. Is your device's clock right?",
    });
  const sealed = parts.seeds.seal(seedContext(parts, owner.user.id), secret);
  const codes = makeRecoveryCodes(parts.random);
  const recovery = codes.map((code) => digestOf("recovery", code));
  await parts.store.run("setTotp", {
    ...placeOf(parts, owner),
    sealed,
    step: verdict.step,
    recovery,
    actor: `user:${owner.user.id}`,
  });
  // Sessions begun with the password alone are worth less than what this account asks for from now on.
  await endOthers(parts, owner, "second-factor-set");
  showCodes(parts, visit, codes);
}

function showCodes(parts: PeopleParts, visit: Visit, codes: readonly string[]): void {
  sendPage(
    visit.res,
    recoveryPage({
      frame: frameOf(parts, visit.request, { flow: null }),
      codes,
      error: null,
      cookies: visit.request.cookies,
    }),
  );
}
