// Promises what a page may know of a request: bounded forms with each name once, cookies of this issuer, a form proven to be ours. Trusts the listener's
// bounds of fields and time. Cookies: RFC 6265bis (`__Host-`); cross-site requests: Origin (RFC 6454 §7) and a keyed token, both.
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Random } from "@sallyport/kernel/ports.ts";
import { sourcePrefix } from "../../../source-places.ts";
import { addressOf } from "../../source-address.ts";
import { digestOf, makeSecret, secretForm } from "../one-time-secrets.ts";
import type { SignedValues } from "../signed-values.ts";

export const formBytesMax = 32 * 1024;
const fieldsMax = 16;

export type Form = ReadonlyMap<string, string>;

/** The fields of a form, each once, or what is wrong as an HTTP status. */
export async function readForm(req: IncomingMessage): Promise<Form | 400 | 411 | 413 | 415> {
  const { "content-type": type, "content-length": length, "transfer-encoding": coding } = req.headers;
  if (!/^application\/x-www-form-urlencoded(?:; ?charset=utf-8)?$/i.test(type ?? "")) return 415;
  // A declared length is enforced by the parser, so this bounds the body before a byte of it is read.
  if (length === undefined || coding !== undefined) return 411;
  if (Number(length) > formBytesMax) return 413;
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    return 400;
  }
  return onlyOnce(text) ?? 400;
}

/** The parameters of a query or a form; null when a name comes twice or there are too many. */
export function onlyOnce(text: string): Form | null {
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (fields.has(name) || fields.size >= fieldsMax) return null;
    fields.set(name, value);
  }
  return fields;
}

export interface CookieNames {
  readonly browser: string;
  readonly session: string;
  readonly device: string;
}

/**
 * Names of one issuer's cookies. All issuers share an origin, so the names tell them apart and the store's rows, which are of one environment, decide.
 * `__Host-`: Secure, Path=/, no Domain, so that no neighbour under the same domain can set one.
 */
export function cookieNames(tenant: string, environment: string): CookieNames {
  const name = (what: string) => `__Host-sallyport.${tenant}.${environment}.${what}`;
  return { browser: name("browser"), session: name("session"), device: name("device") };
}

/** A session cookie when `maxAgeSeconds` is null. 0 takes it away. */
export function setCookie(name: string, value: string, maxAgeSeconds: number | null): string {
  const life = maxAgeSeconds === null ? "" : `; Max-Age=${maxAgeSeconds}`;
  // Lax, not Strict: an authorization request comes from another site, and must find the session.
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax${life}`;
}

/** The value of a cookie in our form; null when it is missing, malformed or there twice. */
export function cookieOf(req: IncomingMessage, name: string): string | null {
  const found = (req.headers.cookie ?? "")
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${name}=`))
    .map((part) => part.slice(name.length + 1));
  const [value, ...others] = found;
  return value !== undefined && others.length === 0 && secretForm.test(value) ? value : null;
}

export interface BrowserRequest {
  /** Digest of the browser's cookie and of its session's, when there is one: what values of a page are bound to. */
  readonly binding: string;
  readonly browserDigest: string;
  /** SHA-256 of the session cookie; null: none was sent. */
  readonly sessionDigest: string | null;
  /** SHA-256 of the device cookie; null: none was sent. */
  readonly deviceDigest: string | null;
  readonly device: string | null;
  /** Network of the caller (/24, /56): for counting only. */
  readonly source: string;
  readonly address: string;
  /** To be set with the answer: the browser's cookie, where it had none, and those of a log-in. */
  readonly cookies: readonly string[];
  readonly browser: string;
}

export function browserRequest(req: IncomingMessage, names: CookieNames, random: Random): BrowserRequest {
  const known = cookieOf(req, names.browser);
  const browser = known ?? makeSecret(random);
  const session = cookieOf(req, names.session);
  const device = cookieOf(req, names.device);
  const address = addressOf(req);
  const browserDigest = digestOf("browser", browser);
  const sessionDigest = session === null ? null : digestOf("session", session);
  return {
    browserDigest,
    binding: bindingOf(browserDigest, sessionDigest),
    sessionDigest,
    deviceDigest: device === null ? null : digestOf("device", device),
    device,
    source: sourcePrefix(address),
    address,
    cookies: known === null ? [setCookie(names.browser, browser, null)] : [],
    browser: browserKind(req.headers["user-agent"] ?? ""),
  };
}

function bindingOf(browserDigest: string, sessionDigest: string | null): string {
  return createHash("sha256")
    .update(`${browserDigest}.${sessionDigest ?? ""}`)
    .digest("base64url");
}

/** The same browser as it will be after this answer: values of the next page are bound to the session cookie it sets. */
export function rebind(
  request: BrowserRequest,
  to: { readonly sessionDigest: string | null; readonly cookies: readonly string[] },
): BrowserRequest {
  const { sessionDigest } = to;
  const binding = bindingOf(request.browserDigest, sessionDigest);
  return { ...request, sessionDigest, binding, cookies: [...request.cookies, ...to.cookies] };
}

const formLifetimeMs = 3_600_000;

/** The hidden field that proves a form to be ours. */
export function formToken(values: SignedValues, request: BrowserRequest): string {
  return values.seal({ purpose: "form", browser: request.binding }, null, formLifetimeMs);
}

/** Is this form one of our pages', sent from one, by the browser it was given to? */
export function isOwnForm(
  req: IncomingMessage,
  form: Form,
  from: { readonly values: SignedValues; readonly request: BrowserRequest; readonly origin: string },
): boolean {
  if (req.headers.origin !== from.origin) return false;
  const site = req.headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin") return false;
  return from.values.open({ purpose: "form", browser: from.request.binding }, form.get("form") ?? "") !== null;
}

const browsers = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
] as const;
const systems = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Mac OS X", "macOS"],
  ["Windows", "Windows"],
  ["Linux", "Linux"],
] as const;

/** Something a person recognises in a list, from a fixed vocabulary: text of a request is never stored. */
export function browserKind(userAgent: string): string {
  const find = (known: readonly (readonly [string, string])[]) =>
    known.find(([mark]) => userAgent.slice(0, 512).includes(mark))?.[1];
  const [browser, system] = [find(browsers), find(systems)];
  return system === undefined ? (browser ?? "a browser") : `${browser ?? "a browser"} on ${system}`;
}
