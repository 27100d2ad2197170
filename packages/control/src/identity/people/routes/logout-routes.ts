// Promises that a client can send its user here to sign out, that the user is asked, and that they are sent back only to where that client registered.
// A GET ends nothing. Trusts decide-logout.ts for the request. OpenID Connect RP-Initiated Logout 1.0, docs/identity/logout.md.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IssuerRoute } from "../../seams.ts";
import { addressOf } from "../../source-address.ts";
import { decideLogout, isPostLogoutUri, type LogoutAsk, type LogoutVerdict, logoutAnswerAt } from "../decide-logout.ts";
import { type Form, readForm, setCookie } from "../pages/browser-request.ts";
import { logoutDecision, logoutPage } from "../pages/consent-page.ts";
import { formTarget, messagePage, sendPage, sendRedirect } from "../pages/page.ts";
import { endSession } from "../sessions.ts";
import { signedOut } from "./account-routes.ts";
import { frameOf, getRoute, notServed, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

export const endSessionPath = "/session/end";
/** Members of the metadata document where people sign in (RP-Initiated Logout 1.0 §2.1, Back-Channel Logout 1.0 §2.1). */
export function logoutMetadata(issuer: string): Readonly<Record<string, unknown>> {
  return {
    end_session_endpoint: `${issuer}${endSessionPath}`,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
  };
}

const askLifetimeMs = 600_000;
/** Of a request on its way from the form that brought it to the page that shows it: any browser may carry it, it opens nothing. */
const onItsWay = { purpose: "logout", browser: "" } as const;

export function logoutRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    getRoute(parts, endSessionPath, async (visit) => {
      const verdict = requestOf(parts, visit);
      return verdict.kind === "refused" ? refuse(parts, visit, verdict) : ask(parts, visit, verdict.ask);
    }),
    { method: "POST", path: endSessionPath, query: false, serve: (req, res) => carry(parts, req, res) },
    postRoute(parts, logoutDecision, (visit) => decide(parts, visit)),
  ];
}

function requestOf(parts: PeopleParts, { req, query }: Visit): LogoutVerdict {
  const carried = query.get("request");
  if (carried !== undefined && query.size === 1) {
    const opened = parts.values.open(onItsWay, carried);
    // as: sealed below from this shape.
    if (opened !== null) return { kind: "ask", ask: opened.payload as LogoutAsk };
  }
  // A query that could not be read as parameters, each once, is not a request without parameters.
  if (carried !== undefined || (query.size === 0 && /\?./.test(req.url ?? "")))
    return { kind: "refused", code: "logout-malformed", says: "The application's request was not understood." };
  return judge(parts, query);
}

function judge(parts: PeopleParts, fields: Form): LogoutVerdict {
  return decideLogout(fields, { issuer: parts.issuer, keys: parts.hintKeys(), clients: parts.clients() });
}

async function refuse(
  parts: PeopleParts,
  { res, request }: Pick<Visit, "res"> & { readonly request: { readonly address: string } },
  { code, says }: Extract<LogoutVerdict, { kind: "refused" }>,
): Promise<void> {
  await parts.record.refused({ client: null, code, address: request.address });
  sendPage(res, messagePage("You are still signed in", `${says} Nothing was changed.`, 400));
}

/**
 * A form of the client's own page (§2: POST must be served too). Browsers send no cookie of ours with it, so it is judged and carried to the page by a
 * redirect, without the ID token in the address.
 */
async function carry(parts: PeopleParts, req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (parts.config() === null) return sendPage(res, { ...notServed, close: true });
  const form = await readForm(req);
  const address = addressOf(req);
  if (typeof form === "number") {
    await parts.record.refused({ client: null, code: "logout-malformed", address });
    return sendPage(res, { ...messagePage("Not understood", "This is not a form of ours.", form), close: true });
  }
  const verdict = judge(parts, form);
  if (verdict.kind === "refused") return refuse(parts, { res, request: { address } }, verdict);
  const request = parts.values.seal(onItsWay, verdict.ask, askLifetimeMs);
  sendRedirect(res, `${new URL(parts.issuer).pathname}${endSessionPath}?request=${request}`);
}

interface Step extends LogoutAsk {
  readonly sid: string;
}

async function ask(parts: PeopleParts, visit: Visit, asked: LogoutAsk): Promise<void> {
  const { tenant, environment, store, values } = parts;
  const { request } = visit;
  const held = await heldSession(parts, visit);
  if (held === null) return finish(parts, visit, asked);
  const user = await store.run("readUser", { tenant, environment, user: held.user });
  const target = asked.returnsTo === null ? null : formTarget(asked.returnsTo);
  const step: Step = { ...asked, sid: held.sid };
  sendPage(
    visit.res,
    logoutPage({
      frame: { ...frameOf(parts, request, { flow: null }), formTargets: target === null ? [] : [target] },
      client: asked.client,
      user: user?.name ?? "",
      isOther: asked.session !== null && asked.session !== held.sid,
      step: values.seal({ purpose: "logout", browser: request.binding }, step, askLifetimeMs),
      cookies: request.cookies,
    }),
  );
}

/** The session of this browser, also one that is idle: what it allowed lives on, so it can still be ended. */
async function heldSession({ tenant, environment, store }: PeopleParts, { request }: Visit) {
  if (request.sessionDigest === null) return null;
  return store.run("readHeldSession", { tenant, environment, digest: request.sessionDigest });
}

async function decide(parts: PeopleParts, visit: Posted): Promise<void> {
  const { values } = parts;
  const { request, form, res } = visit;
  const opened = values.open({ purpose: "logout", browser: request.binding }, form.get("step") ?? "");
  if (opened === null) return sendPage(res, tooLate);
  if (form.get("answer") !== "yes")
    return sendPage(res, messagePage("You are still signed in", "Nothing was changed. You can close this page."));
  const step = opened.payload as Step; // as: sealed above from this shape
  const held = await heldSession(parts, visit);
  if (held !== null && held.sid === step.sid)
    await endSession(parts, { sid: held.sid, user: held.user, actor: `user:${held.user}`, why: "logout" });
  await finish(parts, visit, step);
}

const tooLate = messagePage(
  "You are still signed in",
  "This page was open for too long. Go back to the application and sign out again.",
  400,
);

/** Signed out: back to the client, where it still registers the place, else a page. */
async function finish(parts: PeopleParts, { res }: Visit, { client, returnsTo, state }: LogoutAsk): Promise<void> {
  const cookies = [setCookie(parts.cookies.session, "", 0)];
  const registered = parts.clients().get(client ?? "");
  if (returnsTo === null || registered === undefined || !isPostLogoutUri(returnsTo, registered))
    return sendPage(res, { ...signedOut, cookies });
  sendRedirect(res, logoutAnswerAt(returnsTo, state), cookies);
}
