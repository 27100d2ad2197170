// Promises that a proven log-in becomes a session under a fresh cookie, that what a cookie says is looked up each time, and that an end reaches gateways.
// Trusts login.ts for the proof. Specified in docs/identity/sessions.md; cookies: pages/browser-request.ts.
import type { Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type Authentication, authenticationOf, type Method } from "./acr.ts";
import { digestOf, makeSecret, makeSessionId } from "./one-time-secrets.ts";
import type { OutsideProof } from "./outside/outside-sessions.ts";
import { type BrowserRequest, type CookieNames, rebind, setCookie } from "./pages/browser-request.ts";
import type { SessionFacts } from "./session-commands.ts";
import type { PeopleCommands } from "./store.ts";

export interface SessionLimits {
  /** Milliseconds without use after which a session ends. */
  readonly idleMs: number;
  /** Milliseconds after its log-in at which it ends in any case. */
  readonly absoluteMs: number;
}

export const sessionLimits: SessionLimits = { idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
/** How long a browser counts as known after a log-in with two factors. */
const deviceLifetimeMs = 180 * 86_400_000;

export interface SessionPorts {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  readonly cookies: CookieNames;
  readonly limits: SessionLimits;
  readonly random: Random;
  /** Pushes revocations that were written; the end of a session is one. */
  readonly revoked: () => Promise<void>;
}

export type Proof =
  /** Here, just now. */
  | { readonly user: string; readonly methods: readonly Method[] }
  /** Elsewhere; `authTime`: when, in milliseconds since the epoch, which may be a while ago. */
  | {
      readonly user: string;
      readonly authentication: Authentication;
      readonly authTime: number;
      readonly outside: OutsideProof;
    };

export interface StartedSession {
  readonly session: SessionFacts;
  /** The session is worth what was proven. False: it was worth more and stays so, with the time of that. */
  readonly counts: boolean;
  /** The browser as it will be: with the new cookies to be set. */
  readonly request: BrowserRequest;
}

/** The session a request is in, if it is alive; being used moves its idle end. */
export async function sessionOf(
  ports: SessionPorts,
  { sessionDigest: digest }: BrowserRequest,
): Promise<SessionFacts | null> {
  if (digest === null) return null;
  const { tenant, environment, store, limits } = ports;
  const session = await store.run("readSession", { tenant, environment, digest });
  if (session !== null) await store.run("touchSession", { tenant, environment, digest, idleMs: limits.idleMs });
  return session;
}

/**
 * The session after a log-in, under a cookie nobody had before. In a living session of the same user it is a further proof and keeps its `sid`;
 * anything else ends the session this browser had. null: the user was disabled meanwhile.
 */
export async function proveSession(
  ports: SessionPorts,
  request: BrowserRequest,
  proof: Proof,
): Promise<StartedSession | null> {
  const { tenant, environment, store, limits, random, cookies } = ports;
  const authentication = "methods" in proof ? authenticationOf(proof.methods) : proof.authentication;
  if (authentication === null) return null;
  const { authTime, outside } = "methods" in proof ? { authTime: null, outside: null } : proof;
  const { user } = proof;
  const cookie = makeSecret(random);
  const to = digestOf("session", cookie);
  const set = setCookie(cookies.session, cookie, null);
  const from = request.sessionDigest;
  if (from !== null) {
    const raised = await store.run("raiseSession", {
      tenant,
      environment,
      from,
      to,
      user,
      ...authentication,
      authTime,
      outside,
      idleMs: limits.idleMs,
    });
    if (raised !== null) {
      const counts = raised.acr === authentication.acr && raised.authTime <= (authTime ?? raised.authTime);
      return { session: raised, counts, request: rebind(request, { sessionDigest: to, cookies: [set] }) };
    }
  }
  const device = await deviceOf(ports, request, user);
  const session = await store.run("startSession", {
    tenant,
    environment,
    sid: makeSessionId(random),
    digest: to,
    user,
    ...authentication,
    authTime,
    outside,
    device: device.seen,
    browser: request.browser,
    ...limits,
    replaces: from,
    remember: device.remember,
  });
  if (from !== null) await ports.revoked();
  if (session === null) return null;
  return { session, counts: true, request: rebind(request, { sessionDigest: to, cookies: [set, ...device.cookies] }) };
}

/** A browser becomes known by its first log-in: for the throttle, whose buckets it leaves, and as a signal to policies. */
async function deviceOf(ports: SessionPorts, request: BrowserRequest, user: string) {
  const { tenant, environment, store, random, cookies } = ports;
  const isKnown =
    request.deviceDigest !== null &&
    (await store.run("isKnownDevice", { tenant, environment, user, digest: request.deviceDigest }));
  const seen = isKnown ? ("known" as const) : ("new" as const);
  const device = request.device ?? makeSecret(random);
  return {
    seen,
    remember: { digest: digestOf("device", device), lifetimeMs: deviceLifetimeMs },
    cookies: [setCookie(cookies.device, device, Math.floor(deviceLifetimeMs / 1_000))],
  };
}

/** Ends one session of a user (or, without one, anybody's, for an operator). False: there is none. */
export async function endSession(
  ports: SessionPorts,
  end: { readonly sid: string; readonly user?: string; readonly actor: string; readonly why: string },
): Promise<boolean> {
  const { tenant, environment, store } = ports;
  const isEnded = await store.run("endSession", { tenant, environment, ...end });
  if (isEnded) await ports.revoked();
  return isEnded;
}
