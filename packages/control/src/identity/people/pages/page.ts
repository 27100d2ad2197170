// Promises one look and one set of fences for every page people see: a policy that allows our style sheet and our one script by digest, no frame, no
// cache, forms that go only where they are said to. Trusts html.ts. Specified in CSP Level 3, docs/identity/people.md "Pages".
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { Html, html } from "./html.ts";
import { passkeyScript } from "./passkey-script.ts";

export interface Page {
  readonly title: string;
  readonly body: Html;
  readonly status?: number;
  /** The page asks for a passkey: the one script is allowed. */
  readonly passkey?: boolean;
  /** Origins and schemes a form of this page may lead to besides ours: browsers hold redirects after a form to it too. */
  readonly formTargets?: readonly string[];
  readonly cookies?: readonly string[];
  /** Seconds. */
  readonly retryAfter?: number;
  /** The body of the request was not read: the connection ends with this answer. */
  readonly close?: boolean;
}

const style = `
:root { color-scheme: light dark; --ink: #16202b; --paper: #f6f7f9; --card: #fff; --line: #c3cad3; --accent: #0b5cad; --on-accent: #fff; --bad: #a8201a; --soft: #55606d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --paper: #12171d; --card: #1a212a; --line: #3c4855; --accent: #7ab8f5; --on-accent: #0c1620; --bad: #ff9a92; --soft: #a3afbc; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 27rem; margin: 3rem auto; padding: 1.75rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow-wrap: anywhere; }
main.wide { max-width: 42rem; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; }
label { display: block; margin: .9rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .55rem .65rem; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: .3rem; }
button { width: 100%; margin-top: 1rem; padding: .6rem 1rem; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .3rem; cursor: pointer; }
button.plain { color: var(--accent); background: transparent; }
button.small { width: auto; margin-top: 0; padding: .3rem .7rem; font-size: .9rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { color: var(--bad); font-weight: 600; }
.soft { color: var(--soft); font-size: .92rem; }
.rows { list-style: none; margin: 0; padding: 0; }
.rows li { display: flex; gap: 1rem; align-items: center; justify-content: space-between; padding: .6rem 0; border-top: 1px solid var(--line); }
.codes { columns: 2; font-family: ui-monospace, monospace; list-style: none; padding: 0; }
code { font-family: ui-monospace, monospace; }
hr { border: 0; border-top: 1px solid var(--line); margin: 1.5rem 0 .5rem; }
[hidden] { display: none; }
`;

const digest = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const styleSource = digest(style);
const scriptSource = digest(passkeyScript);

function policyOf(page: Page): string {
  return [
    "default-src 'none'",
    `style-src ${styleSource}`,
    ...(page.passkey === true ? [`script-src ${scriptSource}`] : []),
    `form-action ${["'self'", ...(page.formTargets ?? [])].join(" ")}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "require-trusted-types-for 'script'",
  ].join("; ");
}

/** An origin or a scheme as a source of the policy; null for what could break out of it. */
export function formTarget(url: string): string | null {
  if (!URL.canParse(url)) return null;
  const { protocol, origin } = new URL(url);
  if (protocol === "https:" || protocol === "http:") return origin;
  return /^[a-z][a-z0-9+.-]*:$/.test(protocol) ? protocol : null;
}

const fences: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  // Not no-referrer: a browser would then send "Origin: null" with our own forms, and Origin is what tells them from others'.
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
};

export function sendPage(res: ServerResponse, page: Page): void {
  const text = html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${page.title}</title><style>${Html.constant(style)}</style></head>
<body>${page.body}${page.passkey === true && html`<script>${Html.constant(passkeyScript)}</script>`}</body>
</html>
`.toString();
  res.writeHead(page.status ?? 200, {
    ...fences,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
    "Content-Security-Policy": policyOf(page),
    ...(page.cookies === undefined || page.cookies.length === 0 ? {} : { "Set-Cookie": [...page.cookies] }),
    ...(page.close === true ? { Connection: "close" } : {}),
    ...(page.retryAfter === undefined ? {} : { "Retry-After": page.retryAfter }),
  });
  res.end(text);
}

/** 303: what follows a form is always fetched anew (RFC 9110 §15.4.4). */
export function sendRedirect(res: ServerResponse, location: string, cookies: readonly string[] = []): void {
  res.writeHead(303, {
    ...fences,
    Location: location,
    "Content-Length": 0,
    ...(cookies.length === 0 ? {} : { "Set-Cookie": [...cookies] }),
  });
  res.end();
}

/** A page that only says something. */
export function messagePage(title: string, text: string, status = 200): Page {
  return { title, status, body: html`<main><h1>${title}</h1><p>${text}</p></main>` };
}
