// Promises the token endpoint of one issuer: private_key_jwt, client_credentials and nothing else that oidc-provider could do.
// Trusts oidc-provider for request parsing and client authentication only; tokens, proofs, replay, targets and texts are ours. docs/identity.md, RFC 6749, RFC 7523.
// This is the only file that imports oidc-provider.
import { createPublicKey, type KeyObject, type webcrypto } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { algorithmOf, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import { parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { ExternalSigningKey, errors, Provider, type ProviderContext } from "oidc-provider";
import { assertionBytesMax, clockSkewSeconds, decideAssertion } from "./decide-assertion.ts";
import { type ClientKey, type Directory, keysInForce } from "./directory.ts";
import type { RefusedFacts } from "./issuance-record.ts";
import { assertionAlgorithms } from "./metadata.ts";
import { replayKey } from "./replay.ts";
import { answerOf, type PublicAnswer, refusalCode } from "./token-answer.ts";
import { type GrantPorts, type GrantRequest, grantClientCredentials } from "./token-grant.ts";

export interface IssuerParts {
  /** `<identity url>/<tenant>/<environment>`, without a trailing slash. */
  readonly issuer: string;
  /** Public JWK of the active key; oidc-provider wants to know one, but never gets a private half. */
  readonly publicKey: Readonly<Record<string, string>> & { readonly kid: string; readonly alg: string };
  /** The directory this provider is built for; grants are read from the live one. */
  readonly directory: Directory;
  readonly ports: GrantPorts;
  /** Told about failures of our own (store, log); never about refused requests. */
  readonly onFault: (fault: unknown) => void;
}

export type TokenHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** The public half only: nothing inside oidc-provider can sign. */
class PublicHalf extends ExternalSigningKey {
  readonly #key: KeyObject;
  constructor(jwk: IssuerParts["publicKey"]) {
    super();
    // JsonWebKey names the same members; ours is narrowed to strings.
    this.#key = createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: "jwk" });
    this.kid = jwk.kid;
    this.alg = jwk.alg;
  }
  override keyObject(): KeyObject {
    return this.#key;
  }
  override async sign(): Promise<Uint8Array> {
    throw new Error("only mint signs");
  }
}

/** oidc-provider asks its store only for ids of assertions here, and those were already claimed by an insert of our own. */
class NoStorage {
  async find(): Promise<undefined> {}
  async upsert(): Promise<void> {}
}

const off = { enabled: false };

/** Builds the handler for `POST <issuer>/token`; takes under a millisecond, so a change of keys or clients builds a new one. */
export function buildIssuer(parts: IssuerParts): TokenHandler {
  const { issuer, ports } = parts;
  const provider = new Provider(issuer, {
    adapter: NoStorage,
    clients: clientMetadata(parts.directory, ports.clock.now()),
    jwks: { keys: [new PublicHalf(parts.publicKey)] },
    scopes: [],
    claims: { openid: [] },
    responseTypes: [],
    clientAuthMethods: ["private_key_jwt"],
    clientDefaults: {
      grant_types: ["client_credentials"],
      response_types: [],
      id_token_signed_response_alg: parts.publicKey.alg,
    },
    enabledJWA: { clientAuthSigningAlgValues: [...assertionAlgorithms] },
    clockTolerance: clockSkewSeconds,
    assertJwtClientAuthClaimsAndHeader: (
      context: ProviderContext,
      claims: Record<string, unknown>,
      header: Record<string, unknown>,
    ) => acceptAssertion(context, claims, header, parts),
    features: {
      ...Object.fromEntries(
        [
          "devInteractions",
          "userinfo",
          "rpInitiatedLogout",
          "dPoP",
          "resourceIndicators",
          "pushedAuthorizationRequests",
          "claimsParameter",
        ].map((name) => [name, off]),
      ),
      externalSigningSupport: { enabled: true, ack: "experimental-01" },
    },
    renderError: (context: ProviderContext, out: unknown) => {
      context.body = out;
    },
    ttl: {},
  });
  provider.registerGrantType(
    "client_credentials",
    (context) => answerGrant(context, parts),
    ["scope", "resource"],
    ["resource"],
  );
  provider.on("error", parts.onFault);
  provider.on("server_error", (_context: ProviderContext, fault: unknown) => parts.onFault(fault));
  provider.on("grant.error", (context: ProviderContext, refusal: { error_detail?: string; message: string }) => {
    context.state["refusal"] ??= refusalCode(refusal.message, refusal.error_detail);
  });
  provider.use((context, next) => settle(context, next, parts));
  return provider.callback();
}

/** Client metadata for oidc-provider. A client without a usable key is left out: it could not authenticate anyway. */
function clientMetadata(directory: Directory, now: number): readonly Record<string, unknown>[] {
  const metadata: Record<string, unknown>[] = [];
  for (const client of directory.clients.values()) {
    const keys = keysInForce(client, now).flatMap(usableKey);
    if (keys.length === 0) continue;
    metadata.push({
      client_id: client.id,
      token_endpoint_auth_method: "private_key_jwt",
      redirect_uris: [],
      jwks: { keys },
    });
  }
  return metadata;
}

/** The bare public members with the algorithm pinned by the key, or nothing: one bad key may not take its neighbours along. */
function usableKey(key: ClientKey): readonly Record<string, unknown>[] {
  const jwk = parsePublicJwk(key.jwk);
  if (jwk === null) return [];
  // A key registered without a name goes by its RFC 7638 thumbprint, which is what most libraries send as kid.
  const kid = typeof key.jwk["kid"] === "string" ? key.jwk["kid"] : thumbprint(jwk, { sha256 });
  return [{ ...jwk, kid, alg: algorithmOf(jwk), use: "sig" }];
}

/** Called by oidc-provider after it verified the signature: our stricter rules, then the one insert that decides about replay. */
async function acceptAssertion(
  context: ProviderContext,
  claims: Record<string, unknown>,
  header: Record<string, unknown>,
  parts: IssuerParts,
): Promise<void> {
  const client = context.oidc.client?.clientId ?? "";
  const refuse = (code: string): never => {
    context.state["refusal"] = code;
    throw new errors.InvalidClientAuth(code);
  };
  const raw = context.oidc.params?.["client_assertion"];
  if (typeof raw !== "string" || !hasOneSpelling(raw)) return refuse("assertion-spelling");
  const verdict = decideAssertion({ claims, header, issuer: parts.issuer, client, now: parts.ports.clock.now() });
  if (verdict.kind === "refuse") return refuse(verdict.code);
  const key = replayKey(parts.issuer, client, verdict.jti);
  const first = await parts.ports.replay.claimAssertion("assertion", key, verdict);
  if (!first) return refuse("assertion-replayed");
  context.state["authenticated"] = client;
}

/** oidc-provider's parser accepts padding, white space and names that occur twice; a copy that reads differently is refused here. */
function hasOneSpelling(assertion: string): boolean {
  const parsed = parseCompactJws(assertion, { bytesMax: assertionBytesMax, keyMember: "kid" });
  return parsed.kind === "jws" && parseJsonObject(parsed.payload) !== null;
}

async function answerGrant(context: ProviderContext, parts: IssuerParts): Promise<void> {
  const answer = await grantClientCredentials(grantRequest(context, parts.issuer), parts.ports);
  context.set("DPoP-Nonce", parts.ports.nonces.issue());
  if (answer.kind === "token") {
    context.body = answer.body;
    return;
  }
  context.state["refusal"] = answer.code;
  throw new errors.CustomOIDCProviderError(answer.error, answer.description);
}

function grantRequest(context: ProviderContext, issuer: string): GrantRequest {
  const parameters = context.oidc.params ?? {};
  const resource = parameters["resource"];
  const scope = parameters["scope"];
  const { rawHeaders, socket } = context.req;
  return {
    issuer,
    clientId: context.oidc.client?.clientId ?? "",
    resources: resource === undefined ? [] : typeof resource === "string" ? [resource] : resource,
    scope: typeof scope === "string" ? scope : undefined,
    proofs: rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === "dpop"),
    certificate: socket instanceof TLSSocket ? (socket.getPeerX509Certificate()?.raw ?? null) : null,
  };
}

/** Runs around everything: records a refusal before it is answered and replaces the answer by one of ours. */
async function settle(context: ProviderContext, next: () => Promise<void>, parts: IssuerParts): Promise<void> {
  await next();
  // No browser may use this endpoint, so nothing invites one.
  for (const name of ["Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"]) context.remove(name);
  if (context.status === 200) return;
  const authenticated = context.state["authenticated"];
  const code = context.state["refusal"];
  const facts: RefusedFacts = {
    client: typeof authenticated === "string" ? authenticated : null,
    code: typeof code === "string" ? code : "request-malformed",
    address: context.req.socket.remoteAddress ?? "",
  };
  let answer: PublicAnswer = answerOf(context.status, context.body);
  try {
    await parts.ports.record.refused(facts);
  } catch (fault) {
    parts.onFault(fault);
    answer = answerOf(503, null);
  }
  context.status = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) context.set(name, value);
  context.body = answer.body;
}
