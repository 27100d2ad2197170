// Promises the way from a link an operator gave to the first credential and a session: the link is looked at by anybody who holds it, and used up by the
// one form that sets a credential. Trusts the store's compare-and-set. Specified in docs/identity/people.md "Users".
import type { IssuerRoute } from "../../seams.ts";
import type { Method } from "../acr.ts";
import type { NewPasskey } from "../credential-commands.ts";
import { allows } from "../login.ts";
import { digestOf, secretForm } from "../one-time-secrets.ts";
import { enrolPage } from "../pages/account-pages.ts";
import type { Form } from "../pages/browser-request.ts";
import { messagePage, type Page, sendPage } from "../pages/page.ts";
import { challengeOf, parseRegistration, registrationOptions, verifyNewPasskey } from "../passkeys.ts";
import { weaknessOf } from "../password.ts";
import { proveSession } from "../sessions.ts";
import type { StoredUser } from "../user-commands.ts";
import { continueFlow } from "./flow-routes.ts";
import { frameOf, getRoute, type PeopleParts, type Posted, postRoute, type Visit } from "./visit.ts";

const challengeLifetimeMs = 120_000;
export const noPasswords = "Passwords are not used here: make a passkey.";

export const linkOver: Page = messagePage(
  "This link does not work",
  "It was used, is too old, or a newer one was made. Ask whoever gave it to you for a new one.",
  404,
);

export function enrolRoutes(parts: PeopleParts): readonly IssuerRoute[] {
  return [
    getRoute(parts, "/enrol", async (visit) => {
      const held = await holderOf(parts, visit.query);
      if (held === null) return refuseLink(parts, visit);
      await showEnrol(parts, visit, { ...held, error: null });
    }),
    postRoute(parts, "/enrol/password", async (visit) => {
      const held = await holderOf(parts, visit.form);
      if (held === null) return refuseLink(parts, visit);
      if (!allows(parts, "password")) return showEnrol(parts, visit, { ...held, error: noPasswords });
      const password = visit.form.get("password") ?? "";
      const weakness = weaknessOf(password, held.user.name);
      if (weakness !== null) return showEnrol(parts, visit, { ...held, error: weakness });
      const hash = await parts.passwords.hash(password, visit.request.source);
      if (hash === null) return showEnrol(parts, visit, { ...held, error: "Too many at once. Try again in a moment." });
      const { tenant, environment, store } = parts;
      const user = held.user.id;
      const right = { kind: "link", digest: digestOf("enrolment", held.link) } as const;
      const isSet = await store.run("setPassword", {
        tenant,
        environment,
        user,
        password: hash,
        right,
        actor: `user:${user}`,
      });
      if (!isSet) return refuseLink(parts, visit);
      await begin(parts, visit, { user, methods: ["password"] });
    }),
    postRoute(parts, "/enrol/passkey", async (visit) => {
      const held = await holderOf(parts, visit.form);
      if (held === null) return refuseLink(parts, visit);
      const passkey = await newPasskeyOf(parts, visit);
      if (passkey === null)
        return showEnrol(parts, visit, { ...held, error: "That passkey was not accepted. Try again." });
      const { tenant, environment, store } = parts;
      const user = held.user.id;
      const right = { kind: "link", digest: digestOf("enrolment", held.link) } as const;
      const added = await store.run("addPasskey", { tenant, environment, user, passkey, right, actor: `user:${user}` });
      if (added.kind === "no-right") return refuseLink(parts, visit);
      if (added.kind !== "added") return showEnrol(parts, visit, { ...held, error: "That passkey is in use already." });
      await begin(parts, visit, { user, methods: [passkey.synced ? "passkey-synced" : "passkey-bound"] });
    }),
  ];
}

/** Whose link it is, while it is good. */
export async function holderOf(
  parts: PeopleParts,
  fields: Form,
): Promise<{ readonly link: string; readonly user: StoredUser } | null> {
  const link = fields.get("link") ?? "";
  if (!secretForm.test(link)) return null;
  const { tenant, environment, store } = parts;
  const user = await store.run("readEnrolment", { tenant, environment, digest: digestOf("enrolment", link) });
  return user === null ? null : { link, user };
}

export async function refuseLink(parts: PeopleParts, { res, request }: Visit): Promise<void> {
  await parts.record.refused({ client: null, code: "enrolment-link", address: request.address });
  sendPage(res, linkOver);
}

/** The link is good, but the estate names no way that could be set up with it. */
const noWay: Page = messagePage(
  "There is no way to sign in here yet",
  "Your link is good, but none of the ways to sign in that are set here can be used. Tell whoever gave it to you, and open it again afterwards.",
  503,
);

async function showEnrol(
  parts: PeopleParts,
  visit: Visit,
  shown: { readonly link: string; readonly user: StoredUser; readonly error: string | null },
): Promise<void> {
  const { link, user, error } = shown;
  const passkey = creationOptions(parts, visit, user);
  const password = allows(parts, "password");
  const outside = parts.outside.list();
  if (passkey === null && !password && outside.length === 0) return sendPage(visit.res, noWay);
  sendPage(
    visit.res,
    enrolPage({
      frame: { ...frameOf(parts, visit.request, { flow: null }), formTargets: await parts.outside.targets() },
      name: user.name,
      link,
      passkey,
      password,
      outside,
      error,
      cookies: visit.request.cookies,
      ...(error === null ? {} : { status: 400 }),
    }),
  );
}

async function begin(
  parts: PeopleParts,
  visit: Posted,
  proof: { readonly user: string; readonly methods: readonly Method[] },
): Promise<void> {
  const started = await proveSession(parts, visit.request, proof);
  if (started === null) return sendPage(visit.res, linkOver);
  await continueFlow(parts, { ...visit, ...started }, null);
}

/** JSON of the options to make a passkey for a user; null where there are none. */
export function creationOptions(parts: PeopleParts, { request }: Visit, user: StoredUser): string | null {
  if (parts.passkeys === null || !allows(parts, "passkey")) return null;
  const challenge = parts.values.challenge({ purpose: "registration", browser: request.binding }, challengeLifetimeMs);
  return JSON.stringify(
    registrationOptions(parts.passkeys, { user: user.id, name: user.name, challenge, known: user.passkeys }),
  );
}

/** The passkey of a form, its challenge used up; null: not acceptable, which is recorded. */
export async function newPasskeyOf(parts: PeopleParts, { form, request }: Posted): Promise<NewPasskey | null> {
  const { tenant, environment, store, values, passkeys } = parts;
  const refuse = async () => {
    await parts.record.refused({ client: null, code: "passkey-refused", address: request.address });
    return null;
  };
  const response = parseRegistration(form.get("response") ?? "");
  if (response === null || passkeys === null || !allows(parts, "passkey")) return refuse();
  const challenge = challengeOf(response);
  const opened = values.openChallenge({ purpose: "registration", browser: request.binding }, challenge);
  if (
    opened === null ||
    !(await store.run("spendOnce", { tenant, environment, digest: opened.id, until: opened.until }))
  )
    return refuse();
  const verdict = await verifyNewPasskey(passkeys, challenge, response);
  return verdict.kind === "passkey" ? verdict.passkey : refuse();
}
