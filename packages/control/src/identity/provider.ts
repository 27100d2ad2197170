// Promises the form endpoints of one issuer, with the grants, endpoints and client authentication it is handed, and nothing else oidc-provider could do.
// Trusts oidc-provider for request parsing and client authentication only; tokens, proofs, replay, targets and texts are ours. docs/identity.md, RFC 6749, RFC 7523.
// This is the only file that imports oidc-provider.
import { createPublicKey, type KeyObject, randomBytes, type webcrypto } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { grantWordOf } from "@sallyport/protocol/token/grant-type.ts";
import { ExternalSigningKey, errors, interactionPolicy, Provider, type ProviderContext } from "oidc-provider";
import {
  type AuthorizationParts,
  authorizationConfiguration,
  authorizationFeatures,
  authorizationMetadata,
  authorizationRoutes,
  giveBrowserSecret,
} from "./authorization-shell.ts";
import { assertionBytesMax, clockSkewSeconds, decideAssertion } from "./decide-assertion.ts";
import type { Directory } from "./directory.ts";
import { endpointGrantType, readEndpointForm, readForm, wasFormRead } from "./endpoint-form.ts";
import { grantRequestOf, openRequest } from "./grant-request.ts";
import { MachineRequests } from "./machine-request.ts";
import { assertionAlgorithms } from "./metadata.ts";
import { hasOneSpelling } from "./one-spelling.ts";
import { requestOf } from "./provider-request.ts";
import { PendingAssertion, replayKey } from "./replay.ts";
import type {
  ClientAuthentication,
  ClientEndpoint,
  GrantAnswer,
  GrantHandler,
  GrantRefusal,
  OpenGrant,
} from "./seams.ts";
import { pendingAssertion, settle } from "./settle.ts";
import { callerConnection, certificateOf } from "./source-address.ts";
import { answerOfRefusal, refusalCode } from "./token-answer.ts";
import type { GrantPorts } from "./token-grant.ts";

export interface IssuerParts {
  /** `<identity url>/<tenant>/<environment>`, without a trailing slash. */
  readonly issuer: string;
  /** Public JWK of the active key; oidc-provider wants to know one, but never gets a private half. */
  readonly publicKey: Readonly<Record<string, string>> & { readonly kid: string; readonly alg: string };
  /** The directory this provider is built for; grants are read from the live one. */
  readonly directory: Directory;
  readonly ports: GrantPorts;
  readonly authentication: ClientAuthentication;
  readonly grants: readonly GrantHandler[];
  readonly endpoints: readonly ClientEndpoint[];
  /** Absent: no user can be asked for anything. */
  readonly authorization?: AuthorizationParts;
  readonly openGrants: readonly OpenGrant[];
  /** Told about failures of our own (store, log); never about refused requests. */
  readonly onFault: (fault: unknown) => void;
}

export type TokenHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

interface ProviderRefusal {
  readonly message: string;
  readonly error_description?: string;
  readonly error_detail?: string;
}

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
const noPeople = { responseTypes: [], scopes: [], ttl: {} };

/** Builds the handler for `POST <issuer>/token` and for each endpoint, by `req.url`; takes under a millisecond, so a change of keys or clients builds a new one. */
export function buildIssuer(parts: IssuerParts): TokenHandler {
  const { issuer, authorization } = parts;
  const shell = { errors, policy: interactionPolicy };
  const people =
    authorization === undefined ? noPeople : authorizationConfiguration({ ...parts, authorization }, shell);
  const provider = new Provider(issuer, {
    ...people,
    adapter: authorization === undefined ? NoStorage : (model: string) => authorization.adapter(model),
    clients: clientMetadata(parts),
    jwks: { keys: [new PublicHalf(parts.publicKey)] },
    routes: authorizationRoutes,
    claims: { openid: [] },
    clientAuthMethods: [...parts.authentication.methods],
    clientDefaults: {
      grant_types: ["client_credentials"],
      response_types: [],
      id_token_signed_response_alg: parts.publicKey.alg,
    },
    enabledJWA: {
      clientAuthSigningAlgValues: [...assertionAlgorithms],
      requestObjectSigningAlgValues: [...assertionAlgorithms],
    },
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
      ...(authorization === undefined ? {} : authorizationFeatures(parts, shell)),
      externalSigningSupport: { enabled: true, ack: "experimental-01" },
      mTLS: tlsClients(parts),
    },
    renderError: (context: ProviderContext, out: unknown) => {
      context.body = out;
    },
  });
  provider.Client.prototype.compareClientSecret = function compare(text) {
    return parts.authentication.isSecret?.(this.clientId, text) ?? false;
  };
  for (const grant of parts.grants) registerGrant(provider, grant, parts);
  for (const endpoint of parts.endpoints) registerEndpoint(provider, endpoint, parts);
  listen(provider, parts);
  const machines = new MachineRequests({ ...parts, clock: parts.ports.clock });
  const enterMachine = (context: ProviderContext) => giveMachine(context, machines, parts);
  provider.use((context, next) => settle(context, () => enter(context, next, { ...parts, enterMachine }), parts));
  return provider.callback();
}

/** oidc-provider's refusals become codes of our records; its failures are faults. */
function listen(provider: Provider, parts: IssuerParts): void {
  provider.on("error", parts.onFault);
  provider.on("server_error", (_context: ProviderContext, fault: unknown) => parts.onFault(fault));
  for (const event of ["grant.error", "authorization.error", "pushed_authorization_request.error"])
    provider.on(event, (context: ProviderContext, refusal: ProviderRefusal) => {
      context.state["refusal"] ??= refusalCode(refusal.message, refusal.error_detail ?? refusal.error_description);
    });
}

/** Certificates come from the TLS layer alone; whether one is the client's is asked of the parts. */
function tlsClients({ authentication }: IssuerParts): Readonly<Record<string, unknown>> {
  return {
    enabled: true,
    tlsClientAuth: true,
    selfSignedTlsClientAuth: true,
    getCertificate: ({ req }: ProviderContext) => certificateOf(req)?.toString(),
    certificateAuthorized: (context: ProviderContext) => {
      const connection = callerConnection(context.req);
      const client = context.oidc.client?.clientId ?? "";
      const code = connection === null ? "certificate-missing" : authentication.judgeConnection?.(client, connection);
      if (code !== null) context.state["refusal"] = code ?? "client-authentication-method";
      return code === null;
    },
    certificateSubjectMatches: () => true,
  };
}

/** Never compared: `isSecret` decides. oidc-provider wants a client that authenticates by a secret to have one. */
const noSecret = randomBytes(32).toString("base64url");

/** Client metadata for oidc-provider. A client that cannot authenticate now is left out. */
function clientMetadata(parts: IssuerParts): Record<string, unknown>[] {
  const { directory, ports, authentication, endpoints, authorization } = parts;
  const served = new Set(parts.grants.map(({ grantType }) => grantType));
  const metadata: Record<string, unknown>[] = [];
  for (const client of directory.clients.values()) {
    const own = authentication.metadataOf(client, ports.clock.now());
    if (own === null) continue;
    // One name oidc-provider does not know would take the whole client along.
    const ownTypes = client.grantTypes.filter((type) => served.has(type));
    const grant_types = [...ownTypes, ...endpoints.map(endpointGrantType)];
    const secret = own["token_endpoint_auth_method"] === "client_secret_basic" ? { client_secret: noSecret } : {};
    const asking = authorization === undefined ? { redirect_uris: [] } : authorizationMetadata(client);
    metadata.push({ ...asking, ...own, ...secret, client_id: client.id, grant_types });
  }
  return metadata;
}

/** A public client has named itself and proven nothing, so it is not named in records (RFC 6749 §3.2.1). */
function provenClient(context: ProviderContext, { directory }: IssuerParts): string | undefined {
  const id = context.oidc.client?.clientId ?? "";
  return directory.clients.get(id)?.isPublic === false ? id : undefined;
}

function registerGrant(provider: Provider, grant: GrantHandler, parts: IssuerParts): void {
  const handle = async (context: ProviderContext) => {
    context.state["authenticated"] = provenClient(context, parts);
    context.state["grantType"] = grantWordOf(grant.grantType) ?? undefined;
    const request = requestOf(context, { issuer: parts.issuer, parameters: grant.parameters, path: "/token" });
    const assertion = pendingAssertion(context);
    answerGrant(context, await grant.handle(assertion === undefined ? request : { ...request, assertion }), parts);
  };
  provider.registerGrantType(grant.grantType, handle, ["scope", "resource", ...grant.parameters], ["resource"]);
}

/** An endpoint is a grant type that can only be reached by its own path, so that it shares the token endpoint's client authentication. */
function registerEndpoint(provider: Provider, endpoint: ClientEndpoint, parts: IssuerParts): void {
  const handle = async (context: ProviderContext) => {
    if (context.state["endpoint"] !== endpoint) throw new errors.UnsupportedGrantType();
    context.state["authenticated"] = provenClient(context, parts);
    const answer = await endpoint.handle(
      requestOf(context, { issuer: parts.issuer, parameters: endpoint.parameters, path: endpoint.path }),
    );
    context.set("DPoP-Nonce", parts.ports.nonces.issue());
    if (answer.kind === "error") {
      refuse(context, answer);
      return;
    }
    context.status = answer.status;
    if (answer.contentType !== undefined) context.set("Content-Type", answer.contentType);
    context.body = answer.body;
  };
  const parameters = ["scope", "resource", ...endpoint.parameters];
  provider.registerGrantType(endpointGrantType(endpoint), handle, parameters, ["resource"]);
}

/** Sends a request for an endpoint the way of the token endpoint. */
async function enter(
  context: ProviderContext,
  next: () => Promise<void>,
  parts: IssuerParts & { readonly enterMachine: (context: ProviderContext) => Promise<boolean> },
): Promise<void> {
  const endpoint = parts.endpoints.find((one) => one.path === context.path);
  if (endpoint !== undefined) {
    const form = await readEndpointForm(context.req, endpoint);
    if (form === null) {
      context.status = 400;
      context.body = { error: "invalid_request" };
      return;
    }
    Object.assign(context.req, { body: form });
    context.state["endpoint"] = endpoint;
    context.path = "/token";
  } else if (context.path === "/token") {
    if (await parts.enterMachine(context)) return;
    const isOpen = wasFormRead(context.req) || parts.openGrants.some((grant) => grant.isServed());
    if (isOpen && (await enterOpenly(context, parts))) return;
  } else if (wasFormRead(context.req)) {
    // Pushed and authorization requests are no business of a grant.
    Object.assign(context.req, { body: await readForm(context.req) });
  }
  await next();
  giveBrowserSecret(context);
}

/** Answers a token request that needs no client authentication; false: it is another one, its form read and put aside for oidc-provider. */
async function enterOpenly(context: ProviderContext, parts: IssuerParts): Promise<boolean> {
  const form = await readForm(context.req);
  const grant = parts.openGrants.find(({ grantType }) => grantType === form?.["grant_type"]);
  if (form !== null && grant === undefined) {
    Object.assign(context.req, { body: form });
    return false;
  }
  const request =
    form === null || grant === undefined ? null : openRequest(context.req, form, { grant, issuer: parts.issuer });
  if (request === null || grant === undefined) {
    context.status = 400;
    context.body = { error: "invalid_request" };
    return true;
  }
  context.state["grantType"] = grantWordOf(grant.grantType) ?? undefined;
  const answer = await grant.handle(request);
  context.set("DPoP-Nonce", parts.ports.nonces.issue());
  context.set("Cache-Control", "no-store");
  if (answer.kind === "token") {
    context.status = 200;
    context.body = answer.body;
    return true;
  }
  refuse(context, answer);
  if (answer.client !== undefined) context.state["authenticated"] = answer.client;
  return true;
}

/** The machine grant of a client whose assertion holds, straight through; false: oidc-provider judges the request. */
async function giveMachine(context: ProviderContext, machines: MachineRequests, parts: IssuerParts): Promise<boolean> {
  const { req } = context;
  const form = await readForm(req);
  const grant = parts.grants.find(({ grantType }) => grantType === "client_credentials");
  const proven = form === null || grant === undefined ? null : machines.proven(req, form);
  if (form === null || grant === undefined || proven === null) return false;
  const { client, assertion } = proven;
  const known = { issuer: parts.issuer, names: grant.parameters, clientId: client.id, url: `${parts.issuer}/token` };
  Object.assign(context.state, { authenticated: client.id, grantType: "client_credentials", assertion });
  context.set("Cache-Control", "no-store");
  answerGrant(context, await grant.handle({ ...grantRequestOf(req, form, known), assertion }), parts);
  return true;
}

function answerGrant(context: ProviderContext, answer: GrantAnswer, parts: IssuerParts): void {
  context.set("DPoP-Nonce", parts.ports.nonces.issue());
  if (answer.kind === "token") {
    context.status = 200;
    context.body = answer.body;
    return;
  }
  refuse(context, answer);
  // Whoever sends an assertion again has not proven who it is.
  if (answer.error === "invalid_client") context.state["authenticated"] = undefined;
}

function refuse(context: ProviderContext, refusal: GrantRefusal): void {
  context.state["refusal"] = refusal.code;
  context.state["waiting"] = refusal.isWaiting;
  context.state["answer"] = answerOfRefusal(refusal);
  context.state["about"] = refusal.about;
  context.status = 400;
}

/**
 * The machine grant with a proof: nothing it does before it claims both ids changes anything, so that one commit serves both.
 * What it left when it refused is claimed by `settle`.
 */
function isClaimedByGrant({ req, state, oidc }: ProviderContext): boolean {
  return (
    state["endpoint"] === undefined &&
    oidc.params?.["grant_type"] === "client_credentials" &&
    req.headers["dpop"] !== undefined
  );
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
  if (typeof raw !== "string" || !hasOneSpelling(raw, assertionBytesMax)) return refuse("assertion-spelling");
  const verdict = decideAssertion({ claims, header, issuer: parts.issuer, client, now: parts.ports.clock.now() });
  if (verdict.kind === "refuse") return refuse(verdict.code);
  const claim = { key: replayKey(parts.issuer, client, verdict.jti), until: verdict.until, issuedAt: verdict.issuedAt };
  if (isClaimedByGrant(context)) context.state["assertion"] = new PendingAssertion(claim);
  else if (!(await parts.ports.replay.claimAssertion("assertion", claim.key, claim)))
    return refuse("assertion-replayed");
  context.state["authenticated"] = client;
}
