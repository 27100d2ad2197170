// Promises the page for a sign-in request that cannot be answered to its client: it repeats nothing of the request, runs no script and is framed by
// nobody. Trusts nothing. Rules: RFC 6749 §4.1.2.1 (an invalid redirect URI is never followed).

import { hash } from "node:crypto";

export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const style = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}";

const styleHash = hash("sha256", style, "base64");

/** 400: the request is at fault; 503: we are. */
export function errorPage(status: 400 | 503): Page {
  const [title, text] =
    status === 400
      ? [
          "This sign-in cannot go on",
          "The application sent a request that is not in order. Go back to it and start again; if that does not help, tell whoever runs it.",
        ]
      : ["Signing in is not possible right now", "Try again in a moment."];
  return {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    },
    body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${style}</style></head><body><h1>${title}</h1><p>${text}</p></body></html>\n`,
  };
}
