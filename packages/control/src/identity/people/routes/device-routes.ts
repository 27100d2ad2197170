// Promises that a device is allowed by a signed-in person who typed its code and said so in a form of its own, never by a link. Trusts the desk for codes.
// Specified in RFC 8628 §3.3 and §5.4 (remote phishing: the page says what the device wants and for whom it is asking), docs/identity/device.md.

import { acrLevels } from "@sallyport/protocol/token/acr.ts";
import { parseUserCode, showUserCode } from "../../device/user-code.ts";
import type { DeviceDesk, PendingDevice } from "../../oauth/interaction.ts";
import type { IssuerRoute } from "../../seams.ts";
import { type DemandVerdict, decideDemand } from "../acr.ts";
import { consentPage, deviceCodePage } from "../pages/consent-page.ts";
import { messagePage, type Page, sendPage, sendRedirect } from "../pages/page.ts";
import type { SessionFacts } from "../session-commands.ts";
import type { StoredUser } from "../user-commands.ts";
import { reachableLevels } from "./flow-routes.ts";
import { showLogin } from "./login-routes.ts";
import { deviceFlow, frameOf, getRoute, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

const decideLifetimeMs = 300_000;

export function deviceRoutes(parts: PeopleParts, devices: DeviceDesk): readonly IssuerRoute[] {
  return [
    getRoute(parts, "/device", async (visit) => {
      // A code in the address only fills the field in (§3.3.1): the person still has to send it.
      const typed = visit.query.get("user_code") ?? "";
      if (visit.session === null) {
        const location = `${new URL(parts.issuer).pathname}/login?flow=${deviceFlow(typed)}`;
        return sendRedirect(visit.res, location, visit.request.cookies);
      }
      const code = parseUserCode(typed);
      showCode(parts, visit, { code: code === null ? "" : showUserCode(code), error: null });
    }),
    postRoute(parts, "/device", async (visit) => askDevice(parts, devices, visit)),
    postRoute(parts, "/device/decide", async (visit) => decideDevice(parts, devices, visit)),
  ];
}

function showCode(
  parts: PeopleParts,
  visit: Visit,
  shown: {
    readonly code: string;
    readonly error: string | null;
    readonly status?: number;
    readonly retryAfter?: number;
  },
): void {
  const frame = frameOf(parts, visit.request, { flow: "device" });
  sendPage(visit.res, deviceCodePage({ frame, cookies: visit.request.cookies, ...shown }));
}

async function askDevice(parts: PeopleParts, devices: DeviceDesk, visit: Posted): Promise<void> {
  const { session, request, form, res } = visit;
  const typed = form.get("user_code") ?? "";
  const flow = deviceFlow(typed);
  if (session === null) return showLogin(parts, visit, { flow, error: null });
  const pending = await devices.pending(typed, { user: session.user, source: request.source });
  if (pending === "slow-down" || pending === null) return refuseCode(parts, visit, pending);
  const { tenant, environment, store } = parts;
  const user = await store.run("readUser", { tenant, environment, user: session.user });
  const verdict = judge(session, pending, parts.clock.now());
  if (verdict.kind === "unknown-acr" || (verdict.kind === "step-up" && !canReach(user, verdict.least)))
    return sendPage(res, outOfReach);
  if (verdict.kind !== "met") return showLogin(parts, visit, { flow, error: null });
  sendPage(
    res,
    consentPage({
      frame: frameOf(parts, request, { flow: "device" }),
      step: parts.values.seal(
        { purpose: "consent", browser: request.binding },
        { device: pending.id, sid: session.sid },
        decideLifetimeMs,
      ),
      action: "/device/decide",
      client: pending.client,
      user: user?.name ?? "",
      providers: pending.providers,
      scopes: pending.scopes,
      device: pending.userCode,
      cookies: request.cookies,
    }),
  );
}

async function refuseCode(parts: PeopleParts, visit: Posted, why: "slow-down" | null): Promise<void> {
  const code = why === null ? "user-code" : "user-code-throttled";
  await parts.record.refused({ client: null, code, address: visit.request.address });
  if (why === null)
    return showCode(parts, visit, {
      code: "",
      error: "There is no device with this code. Check it and try again.",
      status: 400,
    });
  const error = "Too many attempts. Try again in a minute.";
  showCode(parts, visit, { code: "", error, status: 429, retryAfter: 60 });
}

/** Is this log-in enough for the device? One made since the device began is not too old for it. */
function judge(session: SessionFacts, pending: PendingDevice, now: number): DemandVerdict {
  const maxAgeSeconds = session.authTime >= pending.begunAt ? null : pending.maxAgeSeconds;
  return decideDemand(session, { acr: pending.acrValues, maxAgeSeconds }, now);
}

function canReach(user: StoredUser | null, least: (typeof acrLevels)[number]): boolean {
  return user !== null && reachableLevels(user).some((level) => acrLevels.indexOf(level) >= acrLevels.indexOf(least));
}

async function decideDevice(parts: PeopleParts, devices: DeviceDesk, visit: Posted): Promise<void> {
  const { tenant, environment, store, values } = parts;
  const { session, request, form, res } = visit;
  const step = values.open({ purpose: "consent", browser: request.binding }, form.get("step") ?? "");
  const held = step?.payload as { readonly device?: unknown; readonly sid?: unknown } | undefined; // as: sealed above from this shape
  if (step === null || session === null || typeof held?.device !== "string" || held.sid !== session.sid)
    return sendPage(res, deviceOver);
  if (!(await store.run("spendOnce", { tenant, environment, digest: step.id, until: step.until })))
    return sendPage(res, deviceOver);
  const pending = await devices.asked(held.device);
  if (pending === null) return sendPage(res, deviceOver);
  const { user, sid, acr, amr, authTime, device } = session;
  if (form.get("answer") !== "allow")
    return sendPage(res, (await devices.refuse(pending.id, user)) ? notConnected : deviceOver);
  if (judge(session, pending, parts.clock.now()).kind !== "met") return sendPage(res, deviceOver);
  // Before the grant: a client that is not noted here would not be told when the session ends.
  if (!(await store.run("noteSessionClient", { tenant, environment, sid, client: pending.client })))
    return sendPage(res, deviceOver);
  const subject = { id: user, session: sid, acr, amr, authTime: Math.floor(authTime / 1_000), device };
  // The form itself is the answer; nothing is kept that another device could go by.
  const isAllowed = await devices.allow(pending.id, { subject, scopes: pending.scopes, consented: false });
  sendPage(res, isAllowed ? connected : deviceOver);
}

const connected: Page = messagePage("Connected", "Go back to your device. You can close this page.");
const notConnected: Page = messagePage("Not connected", "The device was told that you do not allow it.");
const deviceOver: Page = messagePage(
  "This code is over",
  "It was used, or it took too long. Start again on your device.",
  400,
);
const outOfReach: Page = messagePage(
  "Not possible here",
  "This device asks for a stronger sign-in than your account has: add a passkey or an authenticator app to it, then type the code again.",
  400,
);
