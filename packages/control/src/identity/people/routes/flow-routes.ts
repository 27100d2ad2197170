// Promises that an authorization request ends with what it asked for or with an error its client understands: enough of a log-in, a consent given by a
// form, once. Trusts the desk for the request and its end. OpenID Connect Core 1.0 §3.1.2, RFC 9470, docs/identity/step-up.md.

import { type Acr, acrLevels } from "@sallyport/protocol/token/acr.ts";
import type { AuthorizationDesk, LoginRefusal, PendingAuthorization } from "../../oauth/interaction.ts";
import type { IssuerRoute } from "../../seams.ts";
import { decideDemand } from "../acr.ts";
import { consentPage } from "../pages/consent-page.ts";
import { messagePage, type Page, sendPage, sendRedirect } from "../pages/page.ts";
import type { SessionFacts } from "../session-commands.ts";
import { type StartedSession, sessionOf } from "../sessions.ts";
import type { StoredUser } from "../user-commands.ts";
import {
  devicePageOf,
  flowOf,
  frameOf,
  getRoute,
  isDeviceFlow,
  type PeopleParts,
  type Posted,
  postRoute,
  type Visit,
} from "./visit.ts";

const consentLifetimeMs = 600_000;

export const flowOver: Page = messagePage(
  "This sign-in is over",
  "It was finished, took too long, or was begun in another browser. Go back to the application and start again.",
  400,
);

export async function pendingOf(
  parts: PeopleParts,
  { req }: Visit,
  flow: string | null,
): Promise<PendingAuthorization | null> {
  if (flow === null || isDeviceFlow(flow) || parts.desk === null) return null;
  return parts.desk.pending(flow, req.headers.cookie);
}

export function flowRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    // Where the authorization endpoint sends a browser.
    getRoute(parts, "/interaction/", async (visit, id) => {
      const pending = await pendingOf(parts, visit, id);
      if (pending === null) return sendPage(visit.res, flowOver);
      await advance(parts, visit, { pending, isFresh: false, counts: false });
    }),
    postRoute(parts, "/consent", async (visit) => decideConsent(parts, visit)),
  ];
}

/** After a log-in, in the session it made: on to the authorization request, the device page or the account. */
export async function continueFlow(
  parts: PeopleParts,
  visit: Visit & Pick<StartedSession, "counts">,
  flow: string | null,
): Promise<void> {
  const { res, request } = visit;
  const base = new URL(parts.issuer).pathname;
  if (flow === null) return sendRedirect(res, `${base}/account`, request.cookies);
  if (isDeviceFlow(flow)) return sendRedirect(res, devicePageOf(parts, flow), request.cookies);
  const pending = await pendingOf(parts, visit, flow);
  if (pending === null) return sendPage(res, { ...flowOver, cookies: request.cookies });
  await advance(parts, visit, { pending, isFresh: true, counts: visit.counts });
}

interface Asked {
  readonly pending: PendingAuthorization;
  /** The log-in was made for this very request. */
  readonly isFresh: boolean;
  /** And the session is worth what it proved; else it is as old as what it is worth. */
  readonly counts: boolean;
}

type Next =
  | { readonly kind: "login" }
  | { readonly kind: "refuse"; readonly error: LoginRefusal }
  | { readonly kind: "consent" }
  | { readonly kind: "allow" };

/** What the request still needs. Pure. `hasConsent`: this user allowed this client all of it before; `reachable`: the levels the user can prove. */
export function decideNext(
  { pending, isFresh, counts }: Asked,
  more: {
    readonly session: SessionFacts | null;
    readonly hasConsent: boolean;
    readonly reachable: readonly Acr[];
    readonly now: number;
  },
): Next {
  const { prompts } = pending;
  const { session } = more;
  const isSilent = prompts.includes("none");
  const again = !isFresh && (prompts.includes("login") || prompts.includes("select_account"));
  if (session === null || again) return isSilent ? { kind: "refuse", error: "login_required" } : { kind: "login" };
  // A log-in for this very request is not too old for it, whatever max_age says.
  const maxAgeSeconds = isFresh && counts ? null : pending.maxAgeSeconds;
  const verdict = decideDemand(session, { acr: pending.acrValues, maxAgeSeconds }, more.now);
  if (verdict.kind === "unknown-acr") return { kind: "refuse", error: "unmet_authentication_requirements" };
  if (
    verdict.kind === "step-up" &&
    !more.reachable.some((level) => acrLevels.indexOf(level) >= acrLevels.indexOf(verdict.least))
  )
    return { kind: "refuse", error: "unmet_authentication_requirements" };
  if (verdict.kind !== "met") return isSilent ? { kind: "refuse", error: "login_required" } : { kind: "login" };
  if (more.hasConsent && !prompts.includes("consent")) return { kind: "allow" };
  return isSilent ? { kind: "refuse", error: "consent_required" } : { kind: "consent" };
}

/** The levels a user's credentials can prove. */
export function reachableLevels(user: Pick<StoredUser, "password" | "totp" | "passkeys">): readonly Acr[] {
  return [
    ...(user.password === null ? [] : (["urn:sallyport:acr:password"] as const)),
    ...(user.password === null || user.totp === null ? [] : (["urn:sallyport:acr:mfa"] as const)),
    ...(user.passkeys.length === 0 ? [] : (["urn:sallyport:acr:phishing-resistant"] as const)),
  ];
}

async function advance(parts: PeopleParts, visit: Visit, asked: Asked): Promise<void> {
  const { tenant, environment, store } = parts;
  const { session, request, res } = visit;
  const { pending } = asked;
  const user = session === null ? null : await store.run("readUser", { tenant, environment, user: session.user });
  const hasConsent =
    user !== null &&
    (await store.run("hasConsent", { tenant, environment, user: user.id, client: pending.client, ...askOf(pending) }));
  const reachable = user === null ? [] : reachableLevels(user);
  const next = decideNext(asked, { session, hasConsent, reachable, now: parts.clock.now() });
  if (next.kind === "login") {
    const location = `${new URL(parts.issuer).pathname}/login?flow=${pending.id}`;
    return sendRedirect(res, location, request.cookies);
  }
  if (next.kind === "refuse")
    return finish(parts, visit, (desk, cookie) => desk.refuse(pending.id, cookie, next.error));
  // decideNext never gets here without a session, and a session has a user.
  if (session === null || user === null) return sendPage(res, flowOver);
  if (next.kind === "allow") return allow(parts, visit, { pending, session });
  sendPage(
    res,
    consentPage({
      frame: frameOf(parts, request, { flow: pending.id, pending }),
      step: parts.values.seal(
        { purpose: "consent", browser: request.binding },
        { flow: pending.id, sid: session.sid },
        consentLifetimeMs,
      ),
      action: "/consent",
      client: pending.client,
      user: user.name,
      providers: pending.providers,
      scopes: pending.scopes,
      cookies: request.cookies,
    }),
  );
}

export function askOf({ providers, scopes }: Pick<PendingAuthorization, "providers" | "scopes">) {
  return { providers: providers.toSorted(), scopes: scopes === null ? null : scopes.toSorted() };
}

/** The form of the consent page: signed for this browser, this request and this session, and good once. */
async function decideConsent(parts: PeopleParts, visit: Posted): Promise<void> {
  const { tenant, environment, store, values } = parts;
  const { session, request, form, res } = visit;
  const flow = flowOf(form);
  const step = values.open({ purpose: "consent", browser: request.binding }, form.get("step") ?? "");
  const pending = await pendingOf(parts, visit, flow);
  const agreed = step?.payload as { readonly flow?: unknown; readonly sid?: unknown } | undefined; // as: sealed above from this shape
  // The session ended while its person was reading: who they are is asked again, for the same request.
  if (pending !== null && session === null) return advance(parts, visit, { pending, isFresh: false, counts: false });
  if (step === null || pending === null || session === null || agreed?.flow !== flow || agreed.sid !== session.sid)
    return sendPage(res, flowOver);
  if (!(await store.run("spendOnce", { tenant, environment, digest: step.id, until: step.until })))
    return sendPage(res, flowOver);
  if (form.get("answer") !== "allow")
    return finish(parts, visit, (desk, cookie) => desk.refuse(pending.id, cookie, "access_denied"));
  await store.run("giveConsent", {
    tenant,
    environment,
    user: session.user,
    client: pending.client,
    ...askOf(pending),
  });
  await allow(parts, visit, { pending, session });
}

async function allow(
  parts: PeopleParts,
  visit: Visit,
  { pending, session }: { readonly pending: PendingAuthorization; readonly session: SessionFacts },
): Promise<void> {
  const { tenant, environment, store } = parts;
  const { user, sid, acr, amr, authTime, device } = session;
  // Before the code: a client that is not noted here would not be told when the session ends.
  if (!(await store.run("noteSessionClient", { tenant, environment, sid, client: pending.client })))
    return refuseOrAsk(parts, visit, pending.id);
  const subject = { id: user, session: sid, acr, amr, authTime: Math.floor(authTime / 1_000), device };
  const login = { subject, scopes: pending.scopes, consented: true };
  const finished = await parts.desk?.allow(pending.id, visit.req.headers.cookie, login);
  if (finished == null) return refuseOrAsk(parts, visit, pending.id);
  sendRedirect(visit.res, finished.location, visit.request.cookies);
}

/** Nothing was allowed: because the session is over meanwhile, which a log-in mends, or because the request is. */
async function refuseOrAsk(parts: PeopleParts, visit: Visit, flow: string): Promise<void> {
  const pending = await pendingOf(parts, visit, flow);
  const session = await sessionOf(parts, visit.request);
  if (pending === null || session !== null) return sendPage(visit.res, { ...flowOver, cookies: visit.request.cookies });
  await advance(parts, { ...visit, session }, { pending, isFresh: false, counts: false });
}

async function finish(
  parts: PeopleParts,
  visit: Visit,
  end: (desk: AuthorizationDesk, cookie: string | undefined) => Promise<{ readonly location: string } | null>,
): Promise<void> {
  const finished = parts.desk === null ? null : await end(parts.desk, visit.req.headers.cookie);
  if (finished === null) return sendPage(visit.res, { ...flowOver, cookies: visit.request.cookies });
  sendRedirect(visit.res, finished.location, visit.request.cookies);
}
