// Promises the port between the protocol and the people: what is asked of a user, and what a login and a consent answered. Whoever serves the pages
// fills it and learns no code, no token and no redirect it could choose. Trusts the pages for who the user is. Specified in docs/identity.md "Parts".
import type { SubjectFacts } from "../mint.ts";

/** What an authorization request asks, as validated; nothing in it was chosen by a stranger but `loginHint` and `uiLocales`. */
export interface AuthorizationAsk {
  readonly client: string;
  /** The system the client belongs to. */
  readonly system: string;
  /** Systems the client wants to call for the user, 1 to 8. */
  readonly providers: readonly string[];
  /** Full operation names; null: everything the integrations grant, now and later. */
  readonly scopes: readonly string[] | null;
  /** An ID token is asked for. */
  readonly openid: boolean;
  /** OpenID Connect Core §3.1.2.1; `none`: answer without showing a page. */
  readonly prompts: readonly ("none" | "login" | "consent" | "select_account")[];
  /** Seconds an authentication may be old; 0 asks for a new one. */
  readonly maxAgeSeconds: number | null;
  /** RFC 9470 §4, the preferred first. */
  readonly acrValues: readonly string[];
  /** At most 512 characters, as the client sent them. */
  readonly loginHint: string | null;
  readonly uiLocales: string | null;
}

export interface PendingAuthorization extends AuthorizationAsk {
  readonly id: string;
  /** Origin the answer goes to, for the page to show and for `form-action`. */
  readonly returnsTo: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What the pages found out; all of it enters tokens. */
export interface LoginResult {
  readonly subject: SubjectFacts & { readonly authTime: number };
  /** Of the asked scopes those the user allowed; null only where null was asked. */
  readonly scopes: readonly string[] | null;
  /** It rests on a consent that is kept, and must still be when the grant is made. */
  readonly consented: boolean;
}

/** OpenID Connect Core §3.1.2.6, RFC 6749 §4.1.2.1, RFC 9470 §5 and OpenID Connect Unmet Authentication Requirements. */
export type LoginRefusal =
  | "access_denied"
  | "login_required"
  | "consent_required"
  | "interaction_required"
  | "account_selection_required"
  | "unmet_authentication_requirements"
  | "temporarily_unavailable";

/** Where the browser goes next: 303 to it, with `Cache-Control: no-store` and `Referrer-Policy: no-referrer`. */
export interface FinishedAuthorization {
  readonly location: string;
}

/**
 * The authorization endpoint's side. A browser arrives at `<issuer>/interaction/<id>` holding the cookie that binds it to the id. Every call takes
 * the request's Cookie field and answers null for an id that is unknown, over, or another browser's.
 */
export interface AuthorizationDesk {
  pending(id: string, cookie: string | undefined): Promise<PendingAuthorization | null>;
  /** Makes the grant and the code in one transaction; of any number of calls for one id, one succeeds. */
  allow(id: string, cookie: string | undefined, login: LoginResult): Promise<FinishedAuthorization | null>;
  refuse(id: string, cookie: string | undefined, error: LoginRefusal): Promise<FinishedAuthorization | null>;
}

export interface PendingDevice extends AuthorizationAsk {
  /** Names this one device, whatever its user code names later; opens nothing. */
  readonly id: string;
  /** As the device shows it. */
  readonly userCode: string;
  /** Milliseconds since the epoch. A log-in since then is not too old for it. */
  readonly begunAt: number;
  readonly expiresAt: number;
}

/** RFC 8628 §3.3: the verification page's side. A user code is good for one decision. */
export interface DeviceDesk {
  /**
   * null: no such code now. `slow-down`: too many wrong codes by this user or from the network `source`; do not look. The page asks for confirmation,
   * also when the code came in the URL.
   */
  pending(
    userCode: string,
    by: { readonly user: string; readonly source: string },
  ): Promise<PendingDevice | "slow-down" | null>;
  /** The device a page asked about, while nobody has decided. */
  asked(id: string): Promise<PendingDevice | null>;
  /** Of any number of calls of these two for one id, one is true. */
  allow(id: string, login: LoginResult): Promise<boolean>;
  refuse(id: string, user: string): Promise<boolean>;
}
