// Promises the pages on which a person decides: may a client act for them, is a device theirs, do they want to sign out. Every decision is a form of its
// own with a token, never a link. Trusts html.ts. OpenID Connect Core 1.0 §3.1.2.4, RFC 8628 §3.3, OpenID Connect RP-Initiated Logout 1.0 §2.
import { type Html, html } from "./html.ts";
import { errorLine, type FormFrame, hiddenFields, pick } from "./login-pages.ts";
import type { Page } from "./page.ts";

export interface ConsentInput {
  readonly frame: FormFrame;
  readonly cookies: readonly string[];
  /** The request, signed. */
  readonly step: string;
  /** Where the form leads; `/consent` or `/device/decide`. */
  readonly action: string;
  readonly client: string;
  readonly user: string;
  /** Systems the client wants to call for the person. */
  readonly providers: readonly string[];
  /** Operations asked for; null: all that are granted. */
  readonly scopes: readonly string[] | null;
  /** The code of the device that asks; absent: an application in this browser does. */
  readonly device?: string;
}

export function consentPage(input: ConsentInput): Page {
  const { frame, client, providers, scopes, device } = input;
  return {
    title: `Allow ${client}?`,
    ...pick(input),
    body: html`<main>
<h1>Allow ${client} to act for you?</h1>
<p class="soft">You are signed in as ${input.user}.</p>
${providers.length === 0 ? html`<p>${client} asks to know who you are.</p>` : html`<p>${client} asks to call for you:</p><ul>${providers.map((provider) => providerLine(provider, scopes))}</ul>`}
${device !== undefined && deviceWarning(client, device)}<form method="post" action="${frame.base}${input.action}">${hiddenFields(frame)}<input type="hidden" name="step" value="${input.step}">
<button type="submit" name="answer" value="allow">Allow</button>
<button class="plain" type="submit" name="answer" value="deny">Do not allow</button>
</form>
</main>`,
  };
}

function providerLine(provider: string, scopes: readonly string[] | null): Html {
  const own = (scopes ?? [])
    .filter((scope) => scope.startsWith(`${provider}:`))
    .map((scope) => scope.slice(provider.length + 1));
  if (scopes === null)
    return html`<li><strong>${provider}</strong>: everything it is granted there, now and later</li>`;
  return html`<li><strong>${provider}</strong>: ${own.length === 0 ? "nothing" : own.map((scope, index) => html`${index > 0 && ", "}<code>${scope}</code>`)}</li>`;
}

/** RFC 8628 §5.4: whoever began this gets in as the person who allows it, so the person is told how to tell a stranger from themselves. */
function deviceWarning(client: string, code: string): Html {
  return html`<p>A device that shows the code <strong><code>${code}</code></strong> will be signed in to ${client} as you.</p>
<p class="error">Did somebody send you this code, or a link with it? Then do not allow it: they would act as you. Allow it only if you started ${client} yourself and can see this code on your device now.</p>
`;
}

/** Where a person types the code their device shows. */
export function deviceCodePage(input: {
  readonly frame: FormFrame;
  readonly cookies: readonly string[];
  readonly code: string;
  readonly error: string | null;
  readonly status?: number;
  readonly retryAfter?: number;
}): Page {
  const { frame, error } = input;
  return {
    title: "Connect a device",
    ...pick(input),
    body: html`<main>
<h1>Connect a device</h1>
${errorLine(error)}
${input.code !== "" && html`<p>Compare this code with the one your device shows. Go on only if they are the same and you started it yourself.</p>`}
<form method="post" action="${frame.base}/device">${hiddenFields(frame)}
<label for="user_code">The code your device shows</label>
<input id="user_code" name="user_code" value="${input.code}" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="32" required${error !== null && html` aria-describedby="error"`}>
<button type="submit">Continue</button>
</form>
</main>`,
  };
}

export const logoutDecision = "/session/end/decide";

/** Signing out is asked, not done, when a client sends a person here: a link on a page must not sign anybody out. */
export function logoutPage(input: {
  readonly frame: FormFrame;
  readonly cookies: readonly string[];
  readonly client: string | null;
  readonly user: string;
  /** The client asked about another sign-in than this browser's. */
  readonly isOther: boolean;
  /** The request, signed. */
  readonly step: string;
}): Page {
  const { frame, client } = input;
  return {
    title: "Sign out?",
    ...pick(input),
    body: html`<main>
<h1>Sign out?</h1>
<p class="soft">You are signed in as ${input.user}.</p>
${input.isOther && html`<p>This is not the sign-in the application asked about.</p>`}
<p>${client === null ? "You will be signed out here" : `${client} asks to sign you out here`}, and applications you signed in to will be told.</p>
<form method="post" action="${frame.base}${logoutDecision}">${hiddenFields(frame)}<input type="hidden" name="step" value="${input.step}">
<button type="submit" name="answer" value="yes">Sign out</button>
<button class="plain" type="submit" name="answer" value="no">Stay signed in</button>
</form>
</main>`,
  };
}
