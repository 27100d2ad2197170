// Promises what a client may ask when it sends a user here to sign out: who asks, and where to go back to, which is a place that client registered.
// Trusts the ring for the hint and the directory for the client. Pure. Specified in OpenID Connect RP-Initiated Logout 1.0, docs/identity/logout.md.
import type { TokenKeys } from "@sallyport/protocol/token/crypto.ts";
import { readIdTokenHint } from "@sallyport/protocol/token/id-token.ts";
import type { IdentityClient } from "../directory.ts";

const stateLengthMax = 512;

export interface LogoutAsk {
  /** null: nobody says who asks. */
  readonly client: string | null;
  /** Registered, byte by byte (a public client's loopback address: any port); null: nowhere. */
  readonly returnsTo: string | null;
  readonly state: string | null;
  /** `sid` of the hint; null: there was none. */
  readonly session: string | null;
}

export type LogoutRefusal = "logout-malformed" | "logout-hint" | "logout-client" | "logout-redirect";

export type LogoutVerdict =
  | { readonly kind: "ask"; readonly ask: LogoutAsk }
  /** `says`: for the person; repeats nothing of the request. */
  | { readonly kind: "refused"; readonly code: LogoutRefusal; readonly says: string };

export interface LogoutRules {
  readonly issuer: string;
  /** Every key whose ID tokens may still be about. */
  readonly keys: TokenKeys;
  readonly clients: ReadonlyMap<string, Pick<IdentityClient, "isPublic" | "postLogoutRedirectUris">>;
}

const refused = (code: LogoutRefusal, says: string): LogoutVerdict => ({ kind: "refused", code, says });

/** `fields`: each parameter once. Parameters of others (`logout_hint`, `ui_locales`) are not read. */
export function decideLogout(fields: ReadonlyMap<string, string>, rules: LogoutRules): LogoutVerdict {
  const state = fields.get("state") ?? null;
  if (state !== null && state.length > stateLengthMax)
    return refused(
      "logout-malformed",
      `What the application wants to be told again (state) is longer than ${stateLengthMax} characters.`,
    );
  const shown = fields.get("id_token_hint");
  const read = shown === undefined ? { kind: "unknown" as const } : readIdTokenHint(shown, rules);
  if (read.kind === "refused")
    return refused("logout-hint", "The application showed an ID token that is not one of ours.");
  const hint = read.kind === "ours" ? read : null;
  const named = fields.get("client_id");
  if (named !== undefined && hint !== null && hint.client !== named)
    return refused("logout-client", "The application showed an ID token that was made for another one.");
  const client = named ?? hint?.client ?? null;
  const registered = client === null ? undefined : rules.clients.get(client);
  if (named !== undefined && registered === undefined)
    return refused("logout-client", "No application of this name is known here.");
  const uri = fields.get("post_logout_redirect_uri") ?? null;
  if (uri !== null && (registered === undefined || !isPostLogoutUri(uri, registered)))
    return refused("logout-redirect", "The application asked to send you to a place it has not registered.");
  const session = hint?.session ?? null;
  return { kind: "ask", ask: { client: registered === undefined ? null : client, returnsTo: uri, state, session } };
}

/** As redirect URIs are compared: RFC 9700 §2.1, and RFC 8252 §7.3 for the loopback addresses of apps on the user's machine. */
export function isPostLogoutUri(
  uri: string,
  { isPublic, postLogoutRedirectUris = [] }: LogoutRules["clients"] extends ReadonlyMap<string, infer C> ? C : never,
): boolean {
  if (postLogoutRedirectUris.includes(uri)) return true;
  if (!isPublic) return false;
  const [, host, port, rest] = /^http:\/\/(127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})(\/[\x21-\x7e]*)$/.exec(uri) ?? [];
  return host !== undefined && Number(port) <= 65_535 && postLogoutRedirectUris.includes(`http://${host}${rest}`);
}

/** Where the browser goes afterwards, `state` behind the registered URI. */
export function logoutAnswerAt(uri: string, state: string | null): string {
  if (state === null) return uri;
  return `${uri}${uri.includes("?") ? "&" : "?"}${new URLSearchParams({ state })}`;
}
