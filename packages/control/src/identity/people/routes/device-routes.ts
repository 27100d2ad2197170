// Promises that a device is allowed by a signed-in person who typed its code and said so in a form of its own, never by a link. Trusts the desk for codes.
// Specified in RFC 8628 §3.3 and §5.4 (remote phishing: the page says what the device wants and for whom it is asking).
import type { IssuerRoute } from "../../seams.ts";
import { decideDemand } from "../acr.ts";
import { consentPage, deviceCodePage } from "../pages/consent-page.ts";
import { messagePage, sendPage, sendRedirect } from "../pages/page.ts";
import { showLogin } from "./login-routes.ts";
import { frameOf, getRoute, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

const decideLifetimeMs = 300_000;
const codeForm = /^[A-Za-z0-9 -]{1,32}$/;

export function deviceRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    getRoute(parts, "/device", async (visit) => {
      if (visit.session === null)
        return sendRedirect(visit.res, `${new URL(parts.issuer).pathname}/login?flow=device`, visit.request.cookies);
      // A code in the address only fills the field in (§3.3.1): the person still has to send it.
      const code = visit.query.get("user_code") ?? "";
      showCode(parts, visit, { code: codeForm.test(code) ? code : "", error: null });
    }),
    postRoute(parts, "/device", async (visit) => askDevice(parts, visit)),
    postRoute(parts, "/device/decide", async (visit) => decideDevice(parts, visit)),
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

async function askDevice(parts: PeopleParts, visit: Posted): Promise<void> {
  const { session, request, form, res } = visit;
  if (session === null) return showLogin(parts, visit, { flow: "device", error: null });
  const code = form.get("user_code") ?? "";
  const pending =
    parts.devices === null || !codeForm.test(code) ? null : await parts.devices.pending(code, request.address);
  if (pending === "slow-down")
    return showCode(parts, visit, {
      code: "",
      error: "Too many attempts. Try again in a minute.",
      status: 429,
      retryAfter: 60,
    });
  if (pending === null) {
    await parts.record.refused({ client: null, code: "user-code", address: request.address });
    return showCode(parts, visit, {
      code: "",
      error: "There is no device with this code. Check it and try again.",
      status: 400,
    });
  }
  const verdict = decideDemand(
    session,
    { acr: pending.acrValues, maxAgeSeconds: pending.maxAgeSeconds },
    parts.clock.now(),
  );
  if (verdict.kind === "unknown-acr")
    return sendPage(
      res,
      messagePage("Not possible here", "This device asks for a sign-in that is not known here.", 400),
    );
  if (verdict.kind !== "met") return showLogin(parts, visit, { flow: "device", error: null });
  const user = await parts.store.run("readUser", {
    tenant: parts.tenant,
    environment: parts.environment,
    user: session.user,
  });
  sendPage(
    res,
    consentPage({
      frame: frameOf(parts, request, { flow: "device" }),
      step: parts.values.seal(
        { purpose: "consent", browser: request.binding },
        { device: code, sid: session.sid },
        decideLifetimeMs,
      ),
      action: "/device/decide",
      client: pending.client,
      user: user?.name ?? "",
      providers: pending.providers,
      scopes: pending.scopes,
      cookies: request.cookies,
    }),
  );
}

async function decideDevice(parts: PeopleParts, visit: Posted): Promise<void> {
  const { tenant, environment, store, values, devices } = parts;
  const { session, request, form, res } = visit;
  const step = values.open({ purpose: "consent", browser: request.binding }, form.get("step") ?? "");
  const held = step?.payload as { readonly device?: unknown; readonly sid?: unknown } | undefined; // as: sealed above from this shape
  const isOver =
    step === null ||
    session === null ||
    devices === null ||
    typeof held?.device !== "string" ||
    held.sid !== session.sid;
  if (isOver || !(await store.run("spendOnce", { tenant, environment, digest: step.id, until: step.until })))
    return sendPage(res, deviceOver);
  const code = String(held?.device);
  const pending = await devices.pending(code, request.address);
  if (pending === null || pending === "slow-down") return sendPage(res, deviceOver);
  if (form.get("answer") !== "allow") {
    await devices.refuse(code);
    return sendPage(res, messagePage("Not connected", "The device was told that you do not allow it."));
  }
  const { user, sid, acr, amr, authTime } = session;
  if (!(await store.run("noteSessionClient", { tenant, environment, sid, client: pending.client })))
    return sendPage(res, deviceOver);
  const subject = { id: user, session: sid, acr, amr, authTime: Math.floor(authTime / 1_000) };
  const isAllowed = await devices.allow(code, { subject, scopes: pending.scopes });
  sendPage(res, isAllowed ? messagePage("Connected", "Go back to your device. You can close this page.") : deviceOver);
}

const deviceOver = messagePage(
  "This code is over",
  "It was used, or it took too long. Start again on your device.",
  400,
);
