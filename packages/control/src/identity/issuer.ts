// Promises one issuer whose provider is always the one for the keys and clients in force: a change swaps a pointer, requests in flight end on the old one.
// Trusts the ring and the directory it reads at each request. Why not reload in place: research on oidc-provider, docs/identity.md "Hot swap".
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LegacyRingKey, RingKey } from "@sallyport/protocol/channel/messages.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { AuthorizationParts } from "./authorization-shell.ts";
import { allowOrigin, corsFields, isOriginOf, originsOf } from "./browser-origins.ts";
import { claimedClient } from "./clients/claimed-keys.ts";
import { ClientThrottle } from "./clients/throttle.ts";
import { nextKeyChange } from "./directory.ts";
import type { ServedIssuer } from "./identity-listener.ts";
import { type MetadataParts, metadataOf } from "./metadata.ts";
import { privateKeyJwt } from "./private-key-jwt.ts";
import type { TokenHandler } from "./provider.ts";
import type { ClientAuthentication, ClientEndpoint, GrantHandler, IssuerRoute, OpenGrant } from "./seams.ts";
import { addressOf } from "./source-address.ts";
import { answerOf, notForBrowsers, type PublicAnswer, throttled } from "./token-answer.ts";
import { clientCredentials, type GrantPorts } from "./token-grant.ts";

/** What an issuer sees of its key ring: always the newest state this process knows. */
export interface RingView {
  readonly seq: number;
  /** next, active and retiring keys. */
  readonly keys: readonly RingKey[];
  /** null while no key may sign. */
  readonly signer: TokenSigner | null;
  /** Keys for audiences that know only RSA, and what signs for each algorithm now; absent: none. */
  readonly legacy?: {
    readonly keys: readonly LegacyRingKey[];
    readonly signers: ReadonlyMap<LegacyAlgorithm, AccessTokenSigner>;
  };
}

export interface IssuerOptions {
  readonly tenant: string;
  readonly environment: string;
  /** Client-facing origin of the identity listener, without a trailing slash. */
  readonly identityUrl: string;
  readonly ring: () => RingView;
  readonly ports: Omit<GrantPorts, "signer" | "legacySigner">;
  readonly documents?: Readonly<Record<string, () => unknown>>;
  /** Default: private_key_jwt. */
  readonly authentication?: ClientAuthentication;
  /** Beside client_credentials. */
  readonly grants?: readonly ((ports: GrantPorts) => GrantHandler)[];
  readonly endpoints?: readonly ((ports: GrantPorts) => ClientEndpoint)[];
  /** Grants without client authentication. */
  readonly openGrants?: readonly ((ports: GrantPorts) => OpenGrant)[];
  readonly routes?: readonly IssuerRoute[];
  /** Absent: there is no authorization endpoint. */
  readonly authorization?: AuthorizationParts;
  /** Members that the capabilities add to the metadata document (RFC 8414 §2). */
  readonly metadata?: () => Readonly<Record<string, unknown>>;
  /** Roots (PEM) that chains of client certificates may end in. */
  readonly roots?: () => readonly string[];
  readonly onFault: (fault: unknown) => void;
}

/** After the creation of an issuer: a start is over by then, or nearly, and what it leaves in memory is not given back yet (cli/src/roles/settle-memory.ts). */
const providerLoadMs = 1_000;

/** oidc-provider and what it brings are a sixth of all modules of a control plane: loaded when the first form comes, or soon after the start. */
function loadProvider(): Promise<typeof import("./provider.ts")> {
  return import("./provider.ts");
}

function loadProviderSoon(): void {
  // What fails here fails again, and is told of, when it is asked for.
  setTimeout(() => loadProvider().catch(() => {}), providerLoadMs).unref();
}

/** `<identity url>/<tenant>/<environment>`. */
export function issuerUrl(identityUrl: string, tenant: string, environment: string): string {
  return `${identityUrl}/${tenant}/${environment}`;
}

/** An issuer to register with the identity listener. */
export function createIssuer(options: IssuerOptions): ServedIssuer {
  const issuer = issuerUrl(options.identityUrl, options.tenant, options.environment);
  const ports: GrantPorts = {
    ...options.ports,
    signer: () => options.ring().signer,
    legacySigner: (algorithm) => options.ring().legacy?.signers.get(algorithm) ?? null,
  };
  const authentication = options.authentication ?? privateKeyJwt;
  const grants = [clientCredentials, ...(options.grants ?? [])].map((make) => make(ports));
  const endpoints = (options.endpoints ?? []).map((make) => make(ports));
  const openGrants = (options.openGrants ?? []).map((make) => make(ports));
  let current: { readonly version: string; readonly until: number; readonly handler: TokenHandler } | null = null;

  const handlerFor = async (now: number): Promise<TokenHandler | null> => {
    const { buildIssuer } = await loadProvider();
    const { keys, signer } = options.ring();
    const publicKey = keys.find((key) => key.kid === signer?.kid);
    if (publicKey === undefined) return null;
    const directory = ports.directory();
    const version = `${publicKey.kid} ${directory.version}`;
    if (current === null || current.version !== version || now >= current.until) {
      const handler = buildIssuer({
        issuer,
        publicKey: { ...publicKey.jwk, kid: publicKey.kid, alg: publicKey.alg },
        directory,
        ports,
        authentication,
        grants,
        endpoints,
        ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
        openGrants,
        onFault: options.onFault,
      });
      current = { version, until: nextKeyChange(directory, now), handler };
    }
    return current.handler;
  };
  loadProviderSoon();
  const serve: TokenHandler = async (req, res) => {
    await authentication.expect?.(req);
    const handler = await handlerFor(ports.clock.now());
    if (handler !== null) return handler(req, res);
    await ports.record.refused({ client: null, code: "no-active-key", address: addressOf(req) });
    return reply(req, res, answerOf(503, null));
  };
  return {
    tenant: options.tenant,
    environment: options.environment,
    issuer,
    forms: ["/token", ...(options.authorization === undefined ? [] : ["/par"]), ...endpoints.map(({ path }) => path)],
    routes: (options.authorization === undefined ? [] : [authorizeRoute(issuer, serve)]).concat(options.routes ?? []),
    form: slowed(serve, ports),
    isOrigin: (origin) => isOriginOf(ports.directory(), origin),
    roots: () => options.roots?.() ?? [],
    refused: async (code, address) => void (await ports.record.refused({ client: null, code, address })),
    jwks: () => ({ keys: publishedKeys(options.ring()) }),
    metadata: () => metadataOf(issuer, { ...servedNow(options), grantTypes: served(grants, openGrants) }),
    documents: options.documents ?? {},
  };
}

/** A form of a client, where failures to be one are slowed down before they are looked at. */
function slowed(serve: TokenHandler, ports: Pick<GrantPorts, "clock" | "directory" | "record">): TokenHandler {
  const throttle = new ClientThrottle(ports.clock);
  return async (req, res) => {
    const claimed = await claimedClient(req);
    const client = claimed === null ? undefined : ports.directory().clients.get(claimed);
    const known = client?.id ?? null;
    const { origin } = req.headers;
    if (origin !== undefined) {
      // The listener let it through for some client; it must be this one's, which proves nothing and sends nothing that proves.
      if (client === undefined || !originsOf(client).has(origin) || req.headers.authorization !== undefined) {
        await ports.record.refused({ client: null, code: "browser", address: addressOf(req) });
        return reply(req, res, notForBrowsers);
      }
      allowOrigin(req, origin);
      // What pages may read is said in settle.ts; oidc-provider would judge the origin by a list of its own.
      Reflect.deleteProperty(req.headers, "origin");
    }
    const pass = throttle.enter(known, addressOf(req));
    if (pass.kind === "wait") {
      await ports.record.refused({ client: null, code: "client-throttled", address: addressOf(req) });
      return reply(req, res, throttled(pass.retryAfterSeconds));
    }
    await serve(req, res);
    if (res.statusCode !== 401) pass.prove();
  };
}

function servedNow(options: IssuerOptions): Pick<MetadataParts, "methods" | "signing" | "more"> {
  const { methods } = options.authentication ?? privateKeyJwt;
  return { methods, signing: signingAlgorithms(options.ring()), more: options.metadata?.() ?? {} };
}

function publishedKeys({ keys, legacy }: RingView): readonly object[] {
  return [...keys, ...(legacy?.keys ?? [])].map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" }));
}

/** What keys of a ring sign with: two while it changes from one to the other, none while it has no key. */
export function signingAlgorithms({ keys }: Pick<RingView, "keys">): readonly string[] {
  return [...new Set(keys.map(({ alg }) => alg))].sort();
}

function served(grants: readonly GrantHandler[], openGrants: readonly OpenGrant[]): readonly string[] {
  return [...grants, ...openGrants.filter((grant) => grant.isServed())].map(({ grantType }) => grantType);
}

/** The authorization endpoint: the one route of oidc-provider that a browser comes to. */
function authorizeRoute(issuer: string, serve: TokenHandler): IssuerRoute {
  return {
    method: "GET",
    path: "/authorize",
    query: true,
    serve: async (req, res) => {
      const { search, host } = new URL(req.url ?? "", issuer);
      req.url = `/authorize${search}`;
      req.headers.host = host;
      // Sessions are the pages' own: oidc-provider is told of none.
      Reflect.deleteProperty(req.headers, "cookie");
      await serve(req, res);
    },
  };
}

function reply(req: IncomingMessage, res: ServerResponse, { status, headers, body }: PublicAnswer): void {
  const text = JSON.stringify(body);
  res.writeHead(status, {
    ...headers,
    ...corsFields(req),
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    Connection: "close",
  });
  res.end(text);
}
