// Promises the log-in of a person, step by step, from a page to a session, and then on to what they came for. What failed is recorded, never said.
// Trusts login.ts and sessions.ts. Specified in docs/identity/people.md "Pages".
import type { IssuerRoute } from "../../seams.ts";
import { type Demand, decideDemand } from "../acr.ts";
import { allows, type LoginOutcome, loginWithCode, loginWithPasskey, loginWithPassword } from "../login.ts";
import type { BrowserRequest } from "../pages/browser-request.ts";
import { codePage, loginPage, loginRefused } from "../pages/login-pages.ts";
import { sendPage, sendRedirect } from "../pages/page.ts";
import { assertionOptions } from "../passkeys.ts";
import { proveSession } from "../sessions.ts";
import { continueFlow, flowOver, pendingOf } from "./flow-routes.ts";
import {
  flowOf,
  frameOf,
  getRoute,
  isDeviceFlow,
  type PeopleParts,
  type Posted,
  postRoute,
  type Visit,
} from "./visit.ts";

const challengeLifetimeMs = 120_000;
const stepLifetimeMs = 300_000;

export function loginRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    getRoute(parts, "/login", async (visit) => {
      const flow = flowOf(visit.query);
      // Who is signed in and came for the account has nothing to do here; an authorization request decides itself what it needs.
      if (visit.session !== null && flow === null && visit.query.get("again") !== "1")
        return sendRedirect(visit.res, `${new URL(parts.issuer).pathname}/account`);
      await showLogin(parts, visit, { flow, error: null });
    }),
    postRoute(parts, "/login", async (visit) => {
      const name = visit.form.get("name") ?? "";
      const outcome = await loginWithPassword(parts, visit.request, {
        name,
        password: visit.form.get("password") ?? "",
      });
      await settle(parts, visit, { outcome, name: name.slice(0, 128) });
    }),
    postRoute(parts, "/login/code", async (visit) => {
      const step = parts.values.open({ purpose: "step", browser: visit.request.binding }, visit.form.get("step") ?? "");
      const user = userOf(step?.payload);
      if (user === null)
        return showLogin(parts, visit, {
          flow: flowOf(visit.form),
          error: "That took too long. Start again.",
          status: 400,
        });
      const outcome = await loginWithCode(parts, { user, code: visit.form.get("code") ?? "" });
      if (outcome.kind === "proven") return settle(parts, visit, { outcome, name: "" });
      await recordRefusal(parts, visit.request, outcome);
      await showCode(parts, visit, { user, outcome });
    }),
    postRoute(parts, "/login/passkey", async (visit) => {
      const response = visit.form.get("response") ?? "";
      const outcome = await loginWithPasskey(parts, visit.request, response);
      await settle(parts, visit, { outcome, name: "" });
    }),
  ];
}

function userOf(payload: unknown): string | null {
  const { user } = typeof payload === "object" && payload !== null ? (payload as { user?: unknown }) : {};
  return typeof user === "string" ? user : null;
}

async function recordRefusal(parts: PeopleParts, { address }: BrowserRequest, outcome: LoginOutcome): Promise<void> {
  if (outcome.kind === "refused") {
    const { code, user } = outcome;
    await parts.record.refused({ client: null, code, address, ...(user === undefined ? {} : { user }) });
  }
  if (outcome.kind === "wait") await parts.record.refused({ client: null, code: "login-throttled", address });
}

const waitText = (retryAfterMs: number) =>
  `Too many attempts. Try again in ${retryAfterMs > 90_000 ? `${Math.ceil(retryAfterMs / 60_000)} minutes` : `${Math.ceil(retryAfterMs / 1_000)} seconds`}.`;

/** What follows a step of a log-in: the next step, a session and on, or the same page with one sentence. */
async function settle(
  parts: PeopleParts,
  visit: Posted,
  { outcome, name }: { readonly outcome: LoginOutcome; readonly name: string },
): Promise<void> {
  const flow = flowOf(visit.form);
  await recordRefusal(parts, visit.request, outcome);
  if (outcome.kind === "second-factor") return showCode(parts, visit, { user: outcome.user, outcome: null });
  if (outcome.kind === "wait") {
    const retryAfter = Math.ceil(outcome.retryAfterMs / 1_000);
    return showLogin(parts, visit, { flow, name, error: waitText(outcome.retryAfterMs), status: 429, retryAfter });
  }
  if (outcome.kind === "refused") return showLogin(parts, visit, { flow, name, error: loginRefused, status: 400 });
  const started = await proveSession(parts, visit.request, outcome);
  if (started === null) return showLogin(parts, visit, { flow, name, error: loginRefused, status: 400 });
  await continueFlow(parts, { ...visit, ...started }, flow);
}

async function showCode(
  parts: PeopleParts,
  visit: Posted,
  { user, outcome }: { readonly user: string; readonly outcome: LoginOutcome | null },
): Promise<void> {
  const flow = flowOf(visit.form);
  const pending = await pendingOf(parts, visit, flow);
  const isWait = outcome?.kind === "wait";
  sendPage(
    visit.res,
    codePage({
      frame: frameOf(parts, visit.request, { flow, pending }),
      step: parts.values.seal({ purpose: "step", browser: visit.request.binding }, { user }, stepLifetimeMs),
      error: outcome === null ? null : isWait ? waitText(outcome.retryAfterMs) : loginRefused,
      cookies: visit.request.cookies,
      ...(outcome === null ? {} : { status: isWait ? 429 : 400 }),
      ...(isWait ? { retryAfter: Math.ceil(outcome.retryAfterMs / 1_000) } : {}),
    }),
  );
}

interface LoginShown {
  readonly flow: string | null;
  readonly error: string | null;
  readonly name?: string;
  readonly status?: number;
  readonly retryAfter?: number;
}

export async function showLogin(parts: PeopleParts, visit: Visit, shown: LoginShown): Promise<void> {
  const { flow, error, name = "", status, retryAfter } = shown;
  const pending = await pendingOf(parts, visit, flow);
  if (pending === null && flow !== null && !isDeviceFlow(flow)) return sendPage(visit.res, flowOver);
  const { binding, cookies } = visit.request;
  const demand: Demand | null =
    pending === null ? null : { acr: pending.acrValues, maxAgeSeconds: pending.maxAgeSeconds };
  const frame = frameOf(parts, visit.request, { flow, pending });
  sendPage(
    visit.res,
    loginPage({
      frame: { ...frame, formTargets: [...frame.formTargets, ...(await parts.outside.targets())] },
      passkey:
        parts.passkeys === null || !allows(parts, "passkey")
          ? null
          : JSON.stringify(
              assertionOptions(
                parts.passkeys,
                parts.values.challenge({ purpose: "assertion", browser: binding }, challengeLifetimeMs),
              ),
            ),
      password: allows(parts, "password"),
      client: pending?.client ?? null,
      again: visit.session === null ? null : againText(parts, visit.session, demand),
      name: name === "" ? (pending?.loginHint ?? "").slice(0, 128) : name,
      error,
      outside: parts.outside.list(),
      cookies,
      ...(status === undefined ? {} : { status }),
      ...(retryAfter === undefined ? {} : { retryAfter }),
    }),
  );
}

/** Why somebody who is signed in sees this page. */
function againText(parts: PeopleParts, session: NonNullable<Visit["session"]>, demand: Demand | null): string {
  const verdict = demand === null ? { kind: "met" } : decideDemand(session, demand, parts.clock.now());
  if (verdict.kind === "too-old" && session.acr !== "urn:sallyport:acr:password")
    return "Please sign in again, with what you signed in with before or something as strong.";
  if (verdict.kind !== "step-up") return "Please sign in again.";
  return "least" in verdict && verdict.least === "urn:sallyport:acr:phishing-resistant"
    ? "This needs a passkey."
    : "This needs a second factor: a passkey, or a password and a code.";
}
