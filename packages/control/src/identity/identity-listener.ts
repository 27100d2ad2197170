// Promises one HTTPS listener for all issuers of an installation: exact paths, bounded requests, no route that is not in the table below.
// Trusts the issuers registered with it. Path forms: RFC 8414 §3, OpenID Connect Discovery 1.0 §4, docs/identity.md.
import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { noProxies, plainAddress, type TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { boundSources } from "../source-places.ts";
import { preflightFields } from "./browser-origins.ts";
import { sendJson } from "./json-answer.ts";
import type { TokenHandler } from "./provider.ts";
import type { IssuerRoute } from "./seams.ts";
import { addressOf, settleSource } from "./source-address.ts";

export const headerBytesMax = 8 * 1024;
export const bodyBytesMax = 16 * 1024;
export const headerCountMax = 40;
export const connectionsMax = 1024;
export const requestTimeoutMs = 10_000;
const handshakeTimeoutMs = 10_000;
const drainTimeoutMs = 5_000;

/** What the listener needs of one issuer. */
export interface ServedIssuer {
  readonly tenant: string;
  readonly environment: string;
  readonly issuer: string;
  /** Paths below the issuer that take a form from a client: `/token` and the endpoints. */
  readonly forms: readonly string[];
  /** Serves a form; `req.url` is one of `forms`. */
  readonly form: TokenHandler;
  readonly routes: readonly IssuerRoute[];
  metadata(): unknown;
  /** Whether pages of this origin may ask for tokens, for a public client that lives there; absent: none may. */
  isOrigin?(origin: string): boolean;
  /** Records a request that is refused before it reaches the issuer; resolves as the recorder does. */
  refused(code: string, address: string): Promise<void>;
  /** Roots (PEM) of the environment's bundles. */
  roots?(): readonly string[];
  /** RFC 7517 set of the keys in the ring. */
  jwks(): unknown;
  /** Further public JSON documents by name under the issuer, for example `hop-jwks`. */
  readonly documents: Readonly<Record<string, () => unknown>>;
}

export interface IdentityListenerOptions {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
  readonly onFault: (fault: unknown) => void;
  /** Whose word about addresses counts; absent: nobody's. */
  readonly proxies?: TrustedProxies;
  /** A connection was turned away because its network, or everybody, has too many. */
  readonly connectionRefused?: () => void;
}

export interface IdentityListener {
  /** Bound address: `https://127.0.0.1:port`. */
  readonly address: AddressInfo;
  /** Replaces what is served; requests in flight end on the issuer they began with. Before the first call every path is 404. */
  setIssuers(issuers: readonly ServedIssuer[]): void;
  /** Roots (PEM) that chains of client certificates may end in, for new connections; which of them counts for whom is judged later. */
  setRoots(roots: readonly string[]): void;
  /** Replaces the served certificate for new connections. */
  setCertificate(tls: { readonly cert: string; readonly key: string }): void;
  /** Stops accepting, lets requests in flight end, within a bound. */
  close(): Promise<void>;
}

type Route = Omit<IssuerRoute, "path" | "method"> & { readonly method: IssuerRoute["method"] | "OPTIONS" };

/** The one form that a page may send from its own origin. */
const browserForm = "/token";

/** Starts listening; resolves once the port is bound, rejects when it cannot be. */
export async function listenIdentity(options: IdentityListenerOptions): Promise<IdentityListener> {
  let routes: ReadonlyMap<string, Route> = new Map();
  let roots: readonly string[] = [];
  let certificate = options.tls;
  const proxies = options.proxies ?? noProxies;
  const server = createServer(
    {
      ...contextOf(options.tls, roots),
      // The certificate is asked for and judged later: a wrong one is a recorded refusal, not a broken handshake.
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
      handshakeTimeout: handshakeTimeoutMs,
      maxHeaderSize: headerBytesMax,
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      insecureHTTPParser: false,
    },
    (req, res) => {
      settleSource(req, proxies);
      answer(routes, req, res).catch((fault: unknown) => {
        options.onFault(fault);
        if (res.headersSent) res.destroy();
        else sendJson(res, 503, { error: "temporarily_unavailable" });
      });
    },
  );
  server.maxHeadersCount = headerCountMax;
  server.maxConnections = connectionsMax;
  const isProxy = (address: string) => proxies.isTrusted(plainAddress(address) ?? "");
  boundSources(server, options.connectionRefused ?? (() => {}), isProxy);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  server.on("error", options.onFault);
  return {
    // A listening TCP server always has an address of this shape.
    address: server.address() as AddressInfo,
    setIssuers: (issuers) => {
      routes = routesOf(issuers);
    },
    setRoots: (given) => {
      const next = [...new Set(given)].sort();
      if (next.join() === roots.join()) return;
      roots = next;
      server.setSecureContext(contextOf(certificate, roots));
    },
    setCertificate: (tls) => {
      certificate = tls;
      server.setSecureContext(contextOf(certificate, roots));
    },
    close: () => closeServer(server),
  };
}

function contextOf(tls: IdentityListenerOptions["tls"], roots: readonly string[]) {
  return {
    ...tls,
    // Without a root of ours no chain verifies: the runtime's public roots say nothing about clients.
    ca: [...roots],
    minVersion: "TLSv1.2" as const,
    // A resumed session brings a certificate that was judged under other roots, without its chain: every connection shows its own.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Exact paths, nothing decoded: whatever is not here is 404. Keys are `METHOD path`; one that ends in `/` stands for one more segment. */
function routesOf(issuers: readonly ServedIssuer[]): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  for (const issuer of issuers) {
    const path = `/${issuer.tenant}/${issuer.environment}`;
    const document = (at: string, body: () => unknown): void => {
      const serve = async (_req: IncomingMessage, res: ServerResponse) =>
        sendJson(res, 200, await body(), { "Cache-Control": "public, max-age=60" });
      routes.set(`GET ${at}`, { method: "GET", query: false, serve });
    };
    document(`/.well-known/oauth-authorization-server${path}`, () => issuer.metadata());
    document(`/.well-known/openid-configuration${path}`, () => issuer.metadata());
    document(`${path}/.well-known/openid-configuration`, () => issuer.metadata());
    document(`${path}/jwks`, () => issuer.jwks());
    for (const [name, body] of Object.entries(issuer.documents)) document(`${path}/${name}`, body);
    for (const form of issuer.forms) {
      const serve = (req: IncomingMessage, res: ServerResponse) => serveForm(issuer, form, { req, res });
      routes.set(`POST ${path}${form}`, { method: "POST", query: false, serve });
      if (form === browserForm) {
        const preflight = (req: IncomingMessage, res: ServerResponse) => servePreflight(issuer, req, res);
        routes.set(`OPTIONS ${path}${form}`, { method: "OPTIONS", query: false, serve: preflight });
      }
    }
    for (const route of issuer.routes) routes.set(`${route.method} ${path}${route.path}`, route);
  }
  return routes;
}

const lastSegment = /^(.*\/)([A-Za-z0-9_-]{1,128})$/;
const methods = ["GET", "POST"] as const;

function routeOf(
  routes: ReadonlyMap<string, Route>,
  method: string,
  target: string,
): { readonly route: Route; readonly below: string } | null {
  const at = target.indexOf("?");
  const path = at < 0 ? target : target.slice(0, at);
  const split = lastSegment.exec(path);
  const exact = routes.get(`${method} ${path}`);
  const route = exact ?? (split === null ? undefined : routes.get(`${method} ${split[1]}`));
  // A prefix is no place of its own.
  if (route === undefined || (at >= 0 && !route.query) || (exact !== undefined && path.endsWith("/"))) return null;
  return { route, below: exact === undefined ? (split?.[2] ?? "") : "" };
}

const tooMany = `a request has fewer than ${headerCountMax} header fields`;

async function answer(routes: ReadonlyMap<string, Route>, req: IncomingMessage, res: ServerResponse): Promise<void> {
  // The parser stops reading fields there without a word: the last one may be missing, which is the one a proxy adds.
  if (req.rawHeaders.length / 2 >= headerCountMax)
    return sendJson(res, 431, { error: "invalid_request", error_description: tooMany }, { Connection: "close" });
  const target = req.url ?? "";
  const found = routeOf(routes, req.method ?? "", target);
  if (found !== null) return found.route.serve(req, res, found.below);
  const allowed = methods.filter((method) => routeOf(routes, method, target) !== null);
  if (allowed.length === 0) return sendJson(res, 404, { error: "not_found" });
  return sendJson(res, 405, { error: "method_not_allowed" }, { Allow: allowed.join(", ") });
}

async function serveForm(
  issuer: ServedIssuer,
  path: string,
  { req, res }: { readonly req: IncomingMessage; readonly res: ServerResponse },
): Promise<void> {
  const refusal = decideForm(req, path === browserForm && issuer.isOrigin?.(req.headers.origin ?? "") === true);
  if (refusal !== null) {
    await issuer.refused(refusal.code, addressOf(req));
    return sendJson(
      res,
      refusal.status,
      { error: "invalid_request", error_description: refusal.fix },
      { Connection: "close" },
    );
  }
  req.url = path;
  // The name the client used decides nothing: behind this line there is only the issuer's own.
  req.headers.host = new URL(issuer.issuer).host;
  await issuer.form(req, res);
}

async function servePreflight(issuer: ServedIssuer, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const fields = issuer.isOrigin?.(req.headers.origin ?? "") === true ? preflightFields(req) : null;
  if (fields === null) {
    await issuer.refused("browser", addressOf(req));
    return sendJson(res, 403, { error: "invalid_request" }, { Vary: "Origin" });
  }
  res.writeHead(204, fields);
  res.end();
}

const basicForm = /^Basic [A-Za-z0-9+/]+={0,2}$/;

interface FormRefusal {
  readonly status: number;
  readonly code: string;
  readonly fix: string;
}

/** What is wrong with the fields of a form before its body is read; null when nothing is. */
function decideForm({ headers, rawHeaders }: IncomingMessage, isFromPage: boolean): FormRefusal | null {
  const length = headers["content-length"];
  // A declared length is enforced by the parser, so this bounds the body before a byte of it is read.
  if (length === undefined || headers["transfer-encoding"] !== undefined) {
    return { status: 411, code: "length-required", fix: "send the form with a Content-Length" };
  }
  if (Number(length) > bodyBytesMax) {
    return { status: 413, code: "body-too-large", fix: `the form may have at most ${bodyBytesMax} bytes` };
  }
  if (headers.origin !== undefined && !isFromPage)
    return { status: 400, code: "browser", fix: "this endpoint is not for browsers" };
  // Exactly one field of exactly one scheme: Node keeps the first of two, and somebody else may read the other (CVE-2026-0707's class).
  const fields = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "authorization");
  if (fields.length > 1 || (headers.authorization !== undefined && !basicForm.test(headers.authorization))) {
    return {
      status: 400,
      code: "authorization-field",
      fix: "an Authorization field is for `Basic` alone, once, with one space; other clients send what their registration says",
    };
  }
  return null;
}

async function closeServer(server: Server): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}
