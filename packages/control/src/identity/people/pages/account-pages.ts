// Promises the pages a person has for their own account: first credential by a link, password, authenticator app, passkeys, sessions. Trusts html.ts.
// What each form does is in account-routes.ts and enrol-routes.ts; docs/identity/people.md "Pages".

import type { GivenConsent } from "../consent-commands.ts";
import { passwordLengthMin } from "../password.ts";
import type { SessionFacts } from "../session-commands.ts";
import type { StoredUser } from "../user-commands.ts";
import { type Html, html } from "./html.ts";
import { errorLine, type FormFrame, hiddenFields, passkeyForm, pick } from "./login-pages.ts";
import type { Page } from "./page.ts";

interface Framed {
  readonly frame: FormFrame;
  readonly error: string | null;
  readonly status?: number;
  readonly cookies: readonly string[];
}

const newPassword = html`<label for="password">New password</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="${passwordLengthMin}" maxlength="1024" required aria-describedby="rule">
<p class="soft" id="rule">At least ${passwordLengthMin} characters. A sentence is good.</p>`;

/** For who holds an enrolment link: the first credential. */
export function enrolPage(
  input: Framed & {
    readonly name: string;
    readonly link: string;
    readonly passkey: string | null;
    readonly password: boolean;
    /** Providers outside: id and what people call them. */
    readonly outside: readonly { readonly id: string; readonly name: string }[];
  },
): Page {
  const { frame, name, link, passkey } = input;
  const held = html`<input type="hidden" name="link" value="${link}">`;
  const outside = input.outside.map(
    (one) =>
      html`<form method="post" action="${frame.base}/enrol/outside/${one.id}">${hiddenFields(frame)}${held}<button class="plain" type="submit">Sign in with ${one.name}</button></form>`,
  );
  return {
    title: "Set up your account",
    ...pick(input),
    passkey: passkey !== null,
    body: html`<main>
<h1>Welcome, ${name}</h1>
<p>This link sets up your account once. Choose how you will sign in.</p>
${errorLine(input.error)}
${passkey !== null && passkeyForm(frame, { kind: "create", options: passkey, action: "/enrol/passkey", label: "Make a passkey" }, held)}
${
  input.password &&
  html`<form method="post" action="${frame.base}/enrol/password">
${hiddenFields(frame)}${held}<input name="username" autocomplete="username" value="${name}" hidden readonly>
${newPassword}
<button type="submit"${passkey !== null && html` class="plain"`}>Set a password</button>
</form>`
}
${outside.length > 0 && html`<hr>${outside}<p class="soft">From then on you sign in there, with the account you use now.</p>`}
</main>`,
  };
}

const when = (at: number) =>
  html`<time datetime="${new Date(at).toISOString()}">${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC</time>`;

export interface AccountPageInput extends Framed {
  readonly user: StoredUser;
  readonly session: SessionFacts;
  readonly sessions: readonly SessionFacts[];
  /** Providers outside, and whether the user is connected there. */
  readonly outside: readonly { readonly id: string; readonly name: string; readonly isConnected: boolean }[];
  readonly consents: readonly GivenConsent[];
  /** JSON of WebAuthn options; null: none here, or this session may not change credentials. */
  readonly passkey: string | null;
  /** Whether a password may be used here. */
  readonly password: boolean;
  /** What has to be done before credentials can be changed; null: nothing. */
  readonly locked: string | null;
  readonly done: string | null;
}

export function accountPage(input: AccountPageInput): Page {
  const { frame, user, locked } = input;
  return {
    title: "Your account",
    ...pick(input),
    passkey: input.passkey !== null,
    body: html`<main class="wide">
<h1>${user.name}</h1>
${input.done !== null && html`<p role="status">${input.done}</p>`}${errorLine(input.error)}
${locked === null ? credentials(input) : html`<p>${locked}</p><form method="post" action="${frame.base}/account/again">${hiddenFields(frame)}<button class="plain" type="submit">Sign in again to change how you sign in</button></form>`}
${input.consents.length > 0 && html`<h2>Applications you allowed</h2><ul class="rows">${input.consents.map((consent) => consentRow(frame, consent))}</ul>`}
<h2>Where you are signed in</h2>
<ul class="rows">${input.sessions.map((session) => sessionRow(frame, session, session.sid === input.session.sid))}</ul>
<form method="post" action="${frame.base}/account/others">${hiddenFields(frame)}<button class="plain" type="submit">End all other sessions</button></form>
<form method="post" action="${frame.base}/account/logout">${hiddenFields(frame)}<button type="submit">Sign out</button></form>
</main>`,
  };
}

function sessionRow(frame: FormFrame, session: SessionFacts, isThis: boolean): Html {
  return html`<li><span>${session.browser}${isThis && " (this one)"}<br><span class="soft">signed in ${when(session.authTime)}, last used ${when(session.seenAt)}</span></span>
${!isThis && html`<form method="post" action="${frame.base}/account/end">${hiddenFields(frame)}<input type="hidden" name="sid" value="${session.sid}"><button class="small plain" type="submit">End<span class="soft"> ${session.browser}</span></button></form>`}</li>`;
}

function providerRow(frame: FormFrame, { id, name, isConnected }: AccountPageInput["outside"][number]): Html {
  const action = isConnected ? "/account/disconnect" : "/account/connect";
  return html`<li><span>${name}<br><span class="soft">${isConnected ? "connected" : "not connected"}</span></span>
<form method="post" action="${frame.base}${action}">${hiddenFields(frame)}<input type="hidden" name="provider" value="${id}"><button class="small plain" type="submit">${isConnected ? "Disconnect" : "Connect"}<span class="soft"> ${name}</span></button></form></li>`;
}

function consentRow(frame: FormFrame, { client, providers, at }: GivenConsent): Html {
  const what = providers.length === 0 ? "knows who you are" : `may call ${providers.join(", ")} for you`;
  return html`<li><span>${client}<br><span class="soft">${what}${at !== null && html`, allowed ${when(at)}`}</span></span>
<form method="post" action="${frame.base}/account/withdraw">${hiddenFields(frame)}<input type="hidden" name="client" value="${client}"><button class="small plain" type="submit">Take back<span class="soft"> what ${client} may do</span></button></form></li>`;
}

function credentials({ frame, user, passkey, password, outside }: AccountPageInput): Html {
  const keys = user.passkeys.map(
    (
      key,
      index,
    ) => html`<li><span>Passkey ${index + 1}<br><span class="soft">${key.synced ? "on several devices" : "on one device"}, made ${when(key.createdAt)}${key.usedAt !== null && html`, last used ${when(key.usedAt)}`}</span></span>
<form method="post" action="${frame.base}/account/passkey/remove">${hiddenFields(frame)}<input type="hidden" name="id" value="${key.id}"><button class="small plain" type="submit">Remove<span class="soft"> passkey ${index + 1}</span></button></form></li>`,
  );
  return html`<h2>Passkeys</h2>
${keys.length === 0 ? html`<p class="soft">None yet.</p>` : html`<ul class="rows">${keys}</ul>`}
${passkey !== null && passkeyForm(frame, { kind: "create", options: passkey, action: "/account/passkey", label: "Add a passkey" })}
<h2>Authenticator app</h2>
${
  user.totp === null
    ? html`<p class="soft">${user.password === null ? "It goes with a password." : "Without one, your password alone signs you in."}</p><form method="post" action="${frame.base}/account/app">${hiddenFields(frame)}<button class="plain" type="submit">Set up an authenticator app</button></form>`
    : html`<p class="soft">Set up. ${user.recoveryCodesLeft} recovery codes are left.</p>
<form method="post" action="${frame.base}/account/recovery">${hiddenFields(frame)}<button class="plain" type="submit">Make new recovery codes</button></form>
<form method="post" action="${frame.base}/account/app/remove">${hiddenFields(frame)}<button class="plain" type="submit">Remove the authenticator app</button></form>`
}
${
  password &&
  html`<h2>Password</h2>
<form method="post" action="${frame.base}/account/password">${hiddenFields(frame)}<input name="username" autocomplete="username" value="${user.name}" hidden readonly>
${newPassword}<button class="plain" type="submit">${user.password === null ? "Set a password" : "Change the password"}</button></form>`
}
${outside.length > 0 && html`<h2>Sign-in elsewhere</h2><ul class="rows">${outside.map((one) => providerRow(frame, one))}</ul>`}`;
}

/** The seed of an authenticator app and the field for its first code. */
export function appPage(input: Framed & { readonly seed: string; readonly text: string; readonly uri: string }): Page {
  const { frame } = input;
  return {
    title: "Set up an authenticator app",
    ...pick(input),
    body: html`<main>
<h1>Set up an authenticator app</h1>
${errorLine(input.error)}
<p>Add an account in your app with this key, or <a href="${input.uri}">open it in an app on this device</a>.</p>
<p><code>${(input.text.match(/.{1,4}/g) ?? []).join(" ")}</code></p>
<form method="post" action="${frame.base}/account/app/confirm">
${hiddenFields(frame)}<input type="hidden" name="seed" value="${input.seed}">
<label for="code">The code your app shows now</label>
<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" maxlength="8" required>
<button type="submit">Confirm</button>
</form>
<p class="soft"><a href="${frame.base}/account">Not now</a></p>
</main>`,
  };
}

/** Shown once: only their digests are kept. */
export function recoveryPage(input: Framed & { readonly codes: readonly string[] }): Page {
  return {
    title: "Recovery codes",
    ...pick(input),
    body: html`<main>
<h1>Your recovery codes</h1>
<p>Each signs you in once when you do not have your authenticator app. They are shown now and never again.</p>
<ul class="codes">${input.codes.map((code) => html`<li>${code}</li>`)}</ul>
<p><a href="${input.frame.base}/account">I have kept them</a></p>
</main>`,
  };
}
