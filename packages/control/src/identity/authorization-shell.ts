// Promises oidc-provider's configuration for authorization requests: code only, PKCE S256 always, pushed requests, signed requests by value, every
// resource named, and every request handed to the pages. Trusts oidc-provider for the syntax alone. It gets oidc-provider's own parts from provider.ts,
// the only importer. Specified in RFC 7636, 9101, 9126, 9207, 8707, docs/identity/authorization-code.md.
import { strict as assert } from "node:assert";
import type { ErrorClasses, PolicyClasses, ProviderContext } from "oidc-provider";
import { assertionBytesMax } from "./decide-assertion.ts";
import type { Directory, IdentityClient } from "./directory.ts";
import { decideAuthorization } from "./oauth/decide-authorization.ts";
import { decideRequestObject } from "./oauth/decide-request-object.ts";
import { interactionCookie } from "./oauth/desk.ts";
import { isBrowserSecret, type ModelAdapter } from "./oauth/model-adapter.ts";
import { hasOneSpelling } from "./one-spelling.ts";
import { requestOf } from "./provider-request.ts";
import { addressOf } from "./source-address.ts";
import { burnProof, checkPossession, type GrantPorts } from "./token-grant.ts";

export interface AuthorizationParts {
  /** oidc-provider's adapter by model name. */
  readonly adapter: (model: string) => ModelAdapter;
  /** Counts a request that would be kept; false: too many of this client came from this network. */
  readonly mayAsk: (client: string, address: string) => boolean;
}

interface ShellParts {
  readonly issuer: string;
  readonly ports: GrantPorts;
  readonly directory: Directory;
}

interface Shell {
  readonly errors: ErrorClasses;
  readonly policy: PolicyClasses;
}

const interactionLifetimeSeconds = 600;
const nonceLengthMax = 512;
const thumbprintForm = /^[A-Za-z0-9_-]{43}$/;

export const authorizationRoutes = {
  authorization: "/authorize",
  pushed_authorization_request: "/par",
  token: "/token",
};

/**
 * oidc-provider gives the browser two cookies with the id that stands in the page's address. It gets one, with the request's secret: nobody resumes a
 * request at oidc-provider here.
 */
export function giveBrowserSecret({ res, state }: ProviderContext): void {
  const made = state["browserSecret"] as { readonly uid: string; readonly cid: string } | undefined;
  if (made === undefined) return;
  const own = `${interactionCookie}=${made.uid};`;
  const field = [res.getHeader("Set-Cookie") ?? []]
    .flat()
    .map(String)
    .find((one) => one.startsWith(own));
  assert.ok(field !== undefined && isBrowserSecret(made.cid), "a request under way has its cookie and its secret");
  res.setHeader("Set-Cookie", [field.replace(own, `${interactionCookie}=${made.cid};`)]);
}

/** What to spread into the configuration; features stand apart because they are merged. */
export function authorizationConfiguration(
  parts: ShellParts & { readonly authorization: Pick<AuthorizationParts, "mayAsk"> },
  shell: Shell,
) {
  return {
    responseTypes: ["code"],
    pkce: { required: () => true },
    scopes: ["openid", "offline_access"],
    acrValues: [],
    extraParams: {
      // Called for every authorization and every pushed request once everything else about it was found to be in order.
      dpop_jkt: async (context: ProviderContext) => {
        await judgeRequest(context, parts, shell.errors);
        if (context.oidc.route === "authorization") countRequest(context, parts.authorization, shell.errors);
      },
    },
    interactions: {
      policy: everythingIsAsked(shell.policy),
      url: (context: ProviderContext, { uid, cid }: { uid: string; cid: string }) => {
        context.state["browserSecret"] = { uid, cid };
        return `${parts.issuer}/interaction/${uid}`;
      },
    },
    cookies: {
      names: {
        session: "__Secure-sallyport-none",
        interaction: interactionCookie,
        resume: "__Secure-sallyport-resume",
      },
      short: { httpOnly: true, sameSite: "lax", secure: true },
      long: { httpOnly: true, sameSite: "lax", secure: true },
    },
    ttl: { Interaction: interactionLifetimeSeconds, Session: 1, Grant: 1, IdToken: 1 },
  };
}

export function authorizationFeatures(parts: ShellParts, shell: Shell) {
  return {
    pushedAuthorizationRequests: { enabled: true },
    requestObjects: {
      enabled: true,
      assertJwtClaimsAndHeader: async (
        context: ProviderContext,
        claims: Record<string, unknown>,
        header: Record<string, unknown>,
      ) => judgeRequestObject({ context, claims, header }, parts, shell.errors),
    },
    resourceIndicators: {
      enabled: true,
      // What may be named is judged above, where client and scope are known too; here the parameter is only let through.
      defaultResource: async () => undefined,
      getResourceServerInfo: async (_context: ProviderContext, resource: string) => ({ scope: "", audience: resource }),
    },
  };
}

/** What oidc-provider has to know of a client beside how it authenticates. */
export function authorizationMetadata(client: IdentityClient): Readonly<Record<string, unknown>> {
  const hasCode = client.grantTypes.includes("authorization_code");
  return {
    redirect_uris: [...client.redirectUris],
    response_types: hasCode ? ["code"] : [],
    // RFC 8252 §7.3: only an app on the user's machine may be answered at any port of its loopback address.
    application_type:
      client.isPublic && !client.redirectUris.every((uri) => uri.startsWith("https://")) ? "native" : "web",
    require_pushed_authorization_requests: hasCode && !client.isPublic,
    require_signed_request_object: client.signsRequests === true,
  };
}

/** One prompt that is always due, first: the pages decide, also about `prompt=none`, from the session they keep. */
function everythingIsAsked({ Prompt, Check }: PolicyClasses): readonly object[] {
  const asked = new Check(
    "people_are_asked",
    "the pages of the issuer answer every request",
    "interaction_required",
    (context: ProviderContext) => {
      const { params } = context.oidc;
      const prompts = typeof params?.["prompt"] === "string" ? params["prompt"].split(" ") : [];
      context.state["prompts"] = prompts;
      // oidc-provider would answer `none` itself, from a session it does not have.
      if (params !== undefined && prompts.includes("none")) params["prompt"] = undefined;
      return true;
    },
    (context: ProviderContext) => ({ prompts: context.state["prompts"] }),
  );
  const requestable = ["login", "consent", "select_account"].map((name) => new Prompt({ name, requestable: true }));
  return [new Prompt({ name: "people" }, asked), ...requestable];
}

async function judgeRequest(context: ProviderContext, parts: ShellParts, errors: ErrorClasses): Promise<void> {
  const params = context.oidc.params ?? {};
  const refuse = (code: string, error: Error): never => {
    context.state["refusal"] = code;
    throw error;
  };
  if (params["response_mode"] !== undefined && params["response_mode"] !== "query") {
    params["response_mode"] = undefined;
    refuse("response-mode", new errors.UnsupportedResponseMode("only response_mode=query is served"));
  }
  const nonce = params["nonce"];
  if (typeof nonce === "string" && nonce.length > nonceLengthMax)
    refuse("request-malformed", new errors.InvalidRequest(`nonce may have at most ${nonceLengthMax} characters`));
  const client = parts.ports.directory().clients.get(context.oidc.client?.clientId ?? "");
  if (client === undefined || !client.grantTypes.includes("authorization_code"))
    return refuse("grant-type-not-allowed", new errors.UnauthorizedClient("this client may not ask users"));
  if (context.oidc.route === "pushed_authorization_request") await bindPushed(context, parts, errors);
  const jkt = params["dpop_jkt"];
  if (jkt !== undefined && !(typeof jkt === "string" && thumbprintForm.test(jkt)))
    refuse("request-malformed", new errors.InvalidRequest("dpop_jkt is no thumbprint (RFC 7638)"));
  const { resource, scope } = params;
  const verdict = decideAuthorization({
    issuer: parts.issuer,
    client,
    resources: resource === undefined ? [] : typeof resource === "string" ? [resource] : resource,
    scope: typeof scope === "string" ? scope : undefined,
    grants: parts.ports.directory().grants,
    now: parts.ports.clock.now(),
  });
  if (verdict.kind === "refuse") {
    const { InvalidTarget, InvalidScope } = errors;
    refuse(verdict.code, new (verdict.error === "invalid_target" ? InvalidTarget : InvalidScope)(verdict.description));
  }
}

/** Anybody can name a public client, and show a pushed request again; each request that a page is shown for is kept for ten minutes. */
function countRequest(
  context: ProviderContext,
  { mayAsk }: Pick<AuthorizationParts, "mayAsk">,
  errors: ErrorClasses,
): void {
  if (mayAsk(context.oidc.client?.clientId ?? "", addressOf(context.req))) return;
  context.state["refusal"] = "authorization-throttled";
  throw new errors.CustomOIDCProviderError("temporarily_unavailable", "too many requests from this network; try again");
}

/** RFC 9449 §10.1: the key of a proof that came with a pushed request is the key its code is for. */
async function bindPushed(
  context: ProviderContext,
  { issuer, ports }: ShellParts,
  errors: ErrorClasses,
): Promise<void> {
  context.set("DPoP-Nonce", ports.nonces.issue());
  const request = requestOf(context, { issuer, parameters: [], path: "/par" });
  if (request.proofs.length === 0) return;
  const possession = checkPossession(request, [], ports.clock.now(), ports);
  const refusal = possession.kind === "error" ? possession : await burnProof(issuer, possession, ports);
  if (refusal !== null) {
    context.state["refusal"] = refusal.code;
    throw new errors.CustomOIDCProviderError(refusal.error, refusal.description);
  }
  if (possession.kind === "error" || possession.binding.kind !== "dpop") return;
  const params = context.oidc.params ?? {};
  const named = params["dpop_jkt"];
  if (named !== undefined && named !== possession.binding.jkt) {
    context.state["refusal"] = "dpop-key-mismatch";
    throw new errors.InvalidRequest("dpop_jkt is not the key of the proof");
  }
  params["dpop_jkt"] = possession.binding.jkt;
}

function judgeRequestObject(
  on: {
    readonly context: ProviderContext;
    readonly claims: Readonly<Record<string, unknown>>;
    readonly header: Readonly<Record<string, unknown>>;
  },
  { issuer, ports }: ShellParts,
  errors: ErrorClasses,
): void {
  const { context, claims, header } = on;
  // What was pushed without a signature comes by here again, wrapped by oidc-provider itself.
  if (header["alg"] === "none" && context.oidc.route === "authorization") return;
  const raw = context.oidc.params?.["request"];
  const client = context.oidc.client?.clientId ?? "";
  const code =
    typeof raw === "string" && hasOneSpelling(raw, assertionBytesMax)
      ? decideRequestObject({ claims, header, issuer, client, now: ports.clock.now() })
      : "request-object-spelling";
  if (code === null) return;
  context.state["refusal"] = code;
  throw new errors.InvalidRequestObject("the request object is not acceptable");
}
