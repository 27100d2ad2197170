// Promises one provider outside, spoken to as OpenID Connect says: code, PKCE, state, nonce, the issuer of the answer, every claim and the signature of the
// ID token. Trusts openid-client for that, over our own fetch; who the answer is about here is decided elsewhere. It is the only file that imports it.
// OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9207, docs/identity/outside-login.md, docs/decisions/0023-openid-client.md.
import { webcrypto } from "node:crypto";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { outsideAlgorithms } from "@sallyport/protocol/token/outside-jwk.ts";
import { type OutsideLogout, readOutsideLogout } from "@sallyport/protocol/token/outside-logout.ts";
import { parseOutsideToken } from "@sallyport/protocol/token/outside-token.ts";
import type * as openid from "openid-client";
import type { ProviderConfig } from "../../../registry/config/estate.ts";
import type { OutsideNet } from "../../dial-once.ts";
import { type ProviderFetch, providerTimeoutMs } from "./guarded-fetch.ts";
import { createProviderKeys } from "./provider-keys.ts";

/** Loaded with the first log-in through a provider, not with every start. */
const loadOpenid = (): Promise<typeof openid> => import("openid-client");

/** How long discovered metadata is believed, and how long a provider that failed is left alone. */
const believedMs = 600_000;
const restMs = 10_000;
/** OpenID Connect Core §2: asked for, so that `auth_time` must be there; how old it may be is ours to judge. */
const anyAgeSeconds = 30 * 86_400;
const clockSkewMs = 60_000;
const sessionNameMax = 512;

export type ProviderFaultCode =
  /** Its metadata, token endpoint or keys cannot be had. */
  | "provider-unreachable"
  /** It names another issuer than the configured one, or leads elsewhere than to https. */
  | "provider-metadata"
  /** It, or somebody in its name, answered with an error, another state or another issuer. */
  | "provider-answer"
  /** Its token endpoint refused, or its ID token is not good. */
  | "provider-token"
  /** The log-in there is older than what was asked for. */
  | "provider-stale"
  /** What came as a logout token is none of this provider's for us, now. */
  | "provider-logout";

/** `code` is for the record; nothing of what the provider sent is kept. */
export class ProviderFault extends Error {
  readonly code: ProviderFaultCode;
  constructor(code: ProviderFaultCode) {
    super(code);
    this.code = code;
  }
}

export interface Secrets {
  readonly state: string;
  readonly nonce: string;
  /** 43 characters and more (RFC 7636 §4.1). */
  readonly verifier: string;
}

export interface OutsideIdentity {
  /** Never reassigned within the issuer (OpenID Connect Core §5.7): the one claim that says who it is. */
  readonly subject: string;
  /** Milliseconds since the epoch, when they proved who they are there. */
  readonly authTime: number;
  /** `sid` of their session there; null: it is not named. */
  readonly session: string | null;
}

export interface ProviderClient {
  readonly config: ProviderConfig;
  /** Origin a form that begins a log-in leads to; null while the provider cannot be reached. */
  target(): Promise<string | null>;
  /** Where the browser is sent. `again`: they have to prove there who they are, now. */
  begin(ask: Secrets & { readonly redirectUri: string; readonly again: boolean }): Promise<string>;
  /** `answer`: our redirect URI with the query it came back with. `startedAt` of a log-in that had to be a new one; null: any is good. */
  finish(answer: URL, expected: Secrets & { readonly startedAt: number | null }): Promise<OutsideIdentity>;
  /** What a logout token of this provider says; rejects with a fault for any other text. That it counts once is the caller's. */
  logout(text: string): Promise<OutsideLogout>;
}

export interface ProviderPorts {
  readonly send: ProviderFetch;
  readonly net: OutsideNet;
  /** Signs our assertions there (RFC 7523): made here, sealed, its public half published. */
  readonly key: () => Promise<{ readonly kid: string; readonly pkcs8: Uint8Array }>;
  readonly clock: Clock;
}

interface Believed {
  readonly at: number;
  readonly configuration: Promise<openid.Configuration>;
}

export function createProviderClient(config: ProviderConfig, ports: ProviderPorts): ProviderClient {
  let believed: Believed | null = null;
  let rest = { until: 0, fault: new ProviderFault("provider-unreachable") };
  const configuration = (): Promise<openid.Configuration> => {
    const now = ports.clock.now();
    if (believed !== null && now - believed.at < believedMs) return believed.configuration;
    if (now < rest.until) return Promise.reject(rest.fault);
    const fresh = { at: now, configuration: discover(config, ports) };
    believed = fresh;
    fresh.configuration.catch((fault: unknown) => {
      if (believed === fresh) believed = null;
      if (fault instanceof ProviderFault) rest = { until: ports.clock.now() + restMs, fault };
    });
    return fresh.configuration;
  };
  const keys = createProviderKeys(async (uri) => {
    const answer = await ports.send(ports.net, uri, { method: "GET", headers: { accept: "application/json" } });
    if (answer.status !== 200) throw new Error(`the key set was answered with ${answer.status}`);
    return answer.bytes();
  }, ports.clock);
  return {
    config,
    target: () => configuration().then(authorizationOrigin, () => null),
    begin: async ({ state, nonce, verifier, redirectUri, again }) => {
      const { buildAuthorizationUrl, calculatePKCECodeChallenge } = await loadOpenid();
      const parameters = {
        redirect_uri: redirectUri,
        response_type: "code",
        scope: "openid",
        state,
        nonce,
        code_challenge: await calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
        max_age: again ? "0" : String(anyAgeSeconds),
        ...(again ? { prompt: "login" } : {}),
      };
      return buildAuthorizationUrl(await configuration(), parameters).href;
    },
    finish: async (answer, expected) => identityOf(await configuration(), answer, expected),
    logout: async (text) => {
      // Before anybody is asked for keys: what names another issuer, or is no JWT, costs nothing.
      const token = parseOutsideToken(text);
      if (token.kind === "deny" || token.issuer !== config.issuer) throw new ProviderFault("provider-logout");
      const { jwks_uri: uri = "" } = (await configuration()).serverMetadata();
      const held = await keys(uri, token.kid).catch(() => null);
      if (held === null) throw new ProviderFault("provider-unreachable");
      const { issuer, client } = config;
      const rules = { issuer, client, algorithms: outsideAlgorithms, now: ports.clock.now(), skewMs: clockSkewMs };
      const said = readOutsideLogout(token, rules, held);
      if (said.kind === "deny") throw new ProviderFault("provider-logout");
      return said;
    },
  };
}

async function discover(config: ProviderConfig, ports: ProviderPorts): Promise<openid.Configuration> {
  const { customFetch, discovery, enableNonRepudiationChecks, PrivateKeyJwt } = await loadOpenid();
  const { kid, pkcs8 } = await ports.key();
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await webcrypto.subtle.importKey("pkcs8", Uint8Array.from(pkcs8), algorithm, false, ["sign"]);
  const guarded: openid.CustomFetch = (url, { method, headers, body }) =>
    ports.send(ports.net, url, { method, headers, body });
  let made: openid.Configuration;
  try {
    made = await discovery(new URL(config.issuer), config.client, undefined, PrivateKeyJwt({ key, kid }), {
      [customFetch]: guarded,
      timeout: providerTimeoutMs / 1_000,
    });
  } catch {
    throw new ProviderFault("provider-unreachable");
  }
  // Without this the signature of an ID token from the token endpoint is taken on the word of TLS (Core §3.1.3.7 no. 6).
  enableNonRepudiationChecks(made);
  const { issuer, authorization_endpoint, token_endpoint, jwks_uri } = made.serverMetadata();
  // Exactly: the library knows multi-tenant issuers that stand for many (Entra), and a subject is somebody within one.
  if (issuer !== config.issuer) throw new ProviderFault("provider-metadata");
  for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri])
    if (endpoint === undefined || URL.parse(endpoint)?.protocol !== "https:")
      throw new ProviderFault("provider-metadata");
  return made;
}

function authorizationOrigin(configuration: openid.Configuration): string {
  return new URL(configuration.serverMetadata().authorization_endpoint ?? "").origin;
}

async function identityOf(
  configuration: openid.Configuration,
  answer: URL,
  { state, nonce, verifier, startedAt }: Secrets & { readonly startedAt: number | null },
): Promise<OutsideIdentity> {
  const { authorizationCodeGrant } = await loadOpenid();
  const { issuer, authorization_response_iss_parameter_supported: saysIssuer } = configuration.serverMetadata();
  const said = answer.searchParams.get("iss");
  // A code that another provider answered with never goes to this one's token endpoint (mix-up, RFC 9207 §2.4).
  if (said === null ? saysIssuer === true : said !== issuer) throw new ProviderFault("provider-answer");
  if (answer.searchParams.get("state") !== state || !answer.searchParams.has("code"))
    throw new ProviderFault("provider-answer");
  const names = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, maxAge: anyAgeSeconds };
  let claims: openid.IDToken | undefined;
  try {
    claims = (await authorizationCodeGrant(configuration, answer, { ...names, idTokenExpected: true })).claims();
  } catch {
    throw new ProviderFault("provider-token");
  }
  if (claims === undefined || typeof claims.auth_time !== "number") throw new ProviderFault("provider-token");
  const authTime = claims.auth_time * 1_000;
  if (startedAt !== null && authTime < startedAt - clockSkewMs) throw new ProviderFault("provider-stale");
  const { sid } = claims;
  const session = typeof sid === "string" && sid !== "" && sid.length <= sessionNameMax ? sid : null;
  return { subject: claims.sub, authTime, session };
}
