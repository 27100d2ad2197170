// Promises what every route of people begins with: whose browser this is, which session it is in, and for a form that it is one of ours; everything else
// is answered here and recorded. Trusts pages/browser-request.ts. Specified in docs/identity/people.md "Pages".
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TokenKeys } from "@sallyport/protocol/token/crypto.ts";
import type { PeopleConfig } from "../../../registry/config/estate.ts";
import { parseUserCode, showUserCode } from "../../device/user-code.ts";
import type { Directory } from "../../directory.ts";
import type { IssuanceRecorder } from "../../issuance-record.ts";
import type { AuthorizationDesk, PendingAuthorization } from "../../oauth/interaction.ts";
import type { IssuerRoute } from "../../seams.ts";
import type { LoginPorts } from "../login.ts";
import type { Providers } from "../outside/providers.ts";
import {
  type BrowserRequest,
  browserRequest,
  type Form,
  formToken,
  isOwnForm,
  onlyOnce,
  readForm,
} from "../pages/browser-request.ts";
import type { FormFrame } from "../pages/login-pages.ts";
import { formTarget, messagePage, type Page, sendPage } from "../pages/page.ts";
import type { SessionFacts } from "../session-commands.ts";
import { type SessionPorts, sessionOf } from "../sessions.ts";

export interface PeopleParts extends LoginPorts, SessionPorts {
  /** `<identity url>/<tenant>/<environment>` */
  readonly issuer: string;
  readonly record: Pick<IssuanceRecorder, "refused">;
  readonly config: () => PeopleConfig | null;
  /** The authorization endpoint's side; null: only the account pages. */
  readonly desk: AuthorizationDesk | null;
  readonly outside: Providers;
  /** Clients by id, as the registry sees them now. */
  readonly clients: () => Directory["clients"];
  /** Keys that ID tokens of this issuer may be signed with. */
  readonly hintKeys: () => TokenKeys;
}

export interface Visit {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly request: BrowserRequest;
  readonly session: SessionFacts | null;
  readonly query: Form;
}

export interface Posted extends Visit {
  readonly form: Form;
}

/** Id of an authorization request, or the word for the device page with the code it was opened with. */
const flowForm = /^(?:device|[A-Za-z0-9_-]{16,128})$/;
const deviceMark = "device.";

export function flowOf(fields: Form): string | null {
  const flow = fields.get("flow") ?? "";
  return flowForm.test(flow) || (isDeviceFlow(flow) && deviceFlow(flow.slice(deviceMark.length)) === flow)
    ? flow
    : null;
}

/** The flow of the device page; a code that cannot be one is left out. */
export function deviceFlow(typed: string): string {
  const code = parseUserCode(typed);
  return code === null ? "device" : `${deviceMark}${code}`;
}

export function isDeviceFlow(flow: string): boolean {
  return flow === "device" || flow.startsWith(deviceMark);
}

/** Where the device page is, with the code it was opened with filled in. */
export function devicePageOf(parts: Pick<PeopleParts, "issuer">, flow: string): string {
  const code = parseUserCode(flow.slice(deviceMark.length));
  return `${new URL(parts.issuer).pathname}/device${code === null ? "" : `?user_code=${showUserCode(code)}`}`;
}

async function visitOf(parts: PeopleParts, req: IncomingMessage, res: ServerResponse): Promise<Visit> {
  const request = browserRequest(req, parts.cookies, parts.random);
  const target = req.url ?? "";
  const at = target.indexOf("?");
  const query = at < 0 ? new Map<string, string>() : onlyOnce(target.slice(at + 1));
  return { req, res, request, session: await sessionOf(parts, request), query: query ?? new Map() };
}

/** A page that is only looked at. Nothing changes by it: not a session, not a consent. */
export function getRoute(
  parts: PeopleParts,
  path: string,
  serve: (visit: Visit, below: string) => Promise<void>,
): IssuerRoute {
  return {
    method: "GET",
    path,
    query: true,
    serve: async (req, res, below) => {
      if (parts.config() === null) return sendPage(res, notServed);
      await serve(await visitOf(parts, req, res), below);
    },
  };
}

const formRefusals = {
  400: "This form was not understood.",
  411: "This form came without its length.",
  413: "This form is too large.",
  415: "This is not a form.",
} as const;

/** A form of one of our pages. Another site's, another browser's and yesterday's are answered with a page that leads back to a fresh one. */
export function postRoute(
  parts: PeopleParts,
  path: string,
  serve: (visit: Posted, below: string) => Promise<void>,
): IssuerRoute {
  return {
    method: "POST",
    path,
    query: false,
    serve: async (req, res, below) => {
      if (parts.config() === null) return sendPage(res, { ...notServed, close: true });
      const visit = await visitOf(parts, req, res);
      const form = await readForm(req);
      if (typeof form === "number") {
        await parts.record.refused({ client: null, code: "form-malformed", address: visit.request.address });
        return sendPage(res, { ...messagePage("Not understood", formRefusals[form], form), close: true });
      }
      const from = { values: parts.values, request: visit.request, origin: new URL(parts.issuer).origin };
      if (!isOwnForm(req, form, from)) {
        await parts.record.refused({ client: null, code: "form-not-ours", address: visit.request.address });
        return sendPage(res, formExpired);
      }
      await serve({ ...visit, form }, below);
    },
  };
}

/** An environment whose estate serves no people: the same for every page. */
export const notServed: Page = messagePage("Not here", "Nothing is served under this address.", 404);

const formExpired: Page = messagePage(
  "Please start again",
  "This page was open for too long, or your browser does not keep cookies. Go back to where you came from and try again.",
  403,
);

/** Frame of the next page's forms. `request`: with the cookies the browser will hold by then. */
export function frameOf(
  parts: PeopleParts,
  request: BrowserRequest,
  to: { readonly flow: string | null; readonly pending?: PendingAuthorization | null },
): FormFrame {
  const target = to.pending == null ? null : formTarget(to.pending.returnsTo);
  return {
    base: new URL(parts.issuer).pathname,
    token: formToken(parts.values, request),
    flow: to.flow,
    formTargets: target === null ? [] : [target],
  };
}
