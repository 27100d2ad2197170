// Promises the pages of a log-in: name and password, a passkey where the browser can, a second step, other providers. They say the same whoever was
// named. Trusts html.ts. Look and fences: page.ts; docs/identity/people.md "Pages".
import { type Html, html } from "./html.ts";
import type { Page } from "./page.ts";

/** What every page with a form needs. */
export interface FormFrame {
  /** Path of the issuer: `/main/production`. */
  readonly base: string;
  /** Hidden field that proves the form to be ours. */
  readonly token: string;
  /** The authorization request this log-in is for; null: the account pages. */
  readonly flow: string | null;
  readonly formTargets: readonly string[];
}

export const loginRefused = "That did not work. Check what you typed and try again.";

export function hiddenFields(frame: FormFrame): Html {
  return html`<input type="hidden" name="form" value="${frame.token}">${frame.flow !== null && html`<input type="hidden" name="flow" value="${frame.flow}">`}`;
}

export function errorLine(error: string | null): Html | null {
  return error === null ? null : html`<p class="error" role="alert" id="error">${error}</p>`;
}

export interface PasskeyPrompt {
  readonly kind: "get" | "create";
  /** JSON of WebAuthn options. */
  readonly options: string;
  readonly action: string;
  readonly label: string;
}

/** Hidden until the script finds that this browser has passkeys. */
export function passkeyForm(frame: FormFrame, prompt: PasskeyPrompt, more: Html | null = null): Html {
  return html`<form method="post" action="${frame.base}${prompt.action}" data-passkey="${prompt.kind}" data-options="${prompt.options}" hidden>
${hiddenFields(frame)}${more}<input type="hidden" name="response" value="">
<p class="error" role="alert" data-said></p>
<button type="submit">${prompt.label}</button>
</form>`;
}

export interface LoginPageInput {
  readonly frame: FormFrame;
  /** JSON of WebAuthn options; null: no passkeys at this issuer. */
  readonly passkey: string | null;
  /** Whether a password may be used here. */
  readonly password: boolean;
  /** Client the person came from; null: the account pages. */
  readonly client: string | null;
  /** Why a person who is signed in is asked again; null: they are not. */
  readonly again: string | null;
  readonly name: string;
  readonly error: string | null;
  readonly status?: number;
  readonly retryAfter?: number;
  /** Providers outside: id and what people call them. */
  readonly outside: readonly { readonly id: string; readonly name: string }[];
  readonly cookies: readonly string[];
}

export function loginPage(input: LoginPageInput): Page {
  const { frame, client, error } = input;
  const outside = input.outside.map(
    ({ id, name }) =>
      html`<form method="post" action="${frame.base}/login/outside/${id}">${hiddenFields(frame)}<button class="plain" type="submit">Sign in with ${name}</button></form>`,
  );
  return {
    title: "Sign in",
    ...pick(input),
    passkey: input.passkey !== null,
    body: html`<main>
<h1>${client === null ? "Sign in" : `Sign in to continue to ${client}`}</h1>
${input.again !== null && html`<p>${input.again}</p>`}${errorLine(error)}
${input.password && passwordForm(input)}
${input.passkey !== null && passkeyForm(frame, { kind: "get", options: input.passkey, action: "/login/passkey", label: "Use a passkey" })}
${outside.length > 0 && html`<hr>${outside}`}
</main>`,
  };
}

function passwordForm({ frame, name, error }: LoginPageInput): Html {
  const described = error === null ? null : html` aria-describedby="error"`;
  return html`<form method="post" action="${frame.base}/login">
${hiddenFields(frame)}
<label for="name">Name</label>
<input id="name" name="name" value="${name}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="128" required${described}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" required>
<button type="submit">Sign in</button>
</form>`;
}

export interface CodePageInput {
  readonly frame: FormFrame;
  /** The password step, signed. */
  readonly step: string;
  readonly error: string | null;
  readonly status?: number;
  readonly retryAfter?: number;
  readonly cookies: readonly string[];
}

export function codePage(input: CodePageInput): Page {
  const { frame, step, error } = input;
  return {
    title: "Sign in: second step",
    ...pick(input),
    body: html`<main>
<h1>Second step</h1>
${errorLine(error)}
<form method="post" action="${frame.base}/login/code">
${hiddenFields(frame)}<input type="hidden" name="step" value="${step}">
<label for="code">Code of your authenticator app, or a recovery code</label>
<input id="code" name="code" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false" maxlength="64" required${error !== null && html` aria-describedby="error"`}>
<button type="submit">Continue</button>
</form>
<p class="soft"><a href="${frame.base}/login${frame.flow !== null && html`?flow=${frame.flow}`}">Start again</a></p>
</main>`,
  };
}

export function pick(input: {
  readonly frame: FormFrame;
  readonly status?: number;
  readonly retryAfter?: number;
  readonly cookies: readonly string[];
}): Pick<Page, "status" | "retryAfter" | "cookies" | "formTargets"> {
  return {
    formTargets: input.frame.formTargets,
    cookies: input.cookies,
    ...(input.status === undefined ? {} : { status: input.status }),
    ...(input.retryAfter === undefined ? {} : { retryAfter: input.retryAfter }),
  };
}
