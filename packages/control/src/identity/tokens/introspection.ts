// Promises that a service learns of a token made for it whether it is good now, and of every other token nothing at all.
// Trusts judge-token.ts, and provider.ts to have proven the client. RFC 7662, RFC 9701; docs/identity/introspection.md.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { introspectionType, signIntrospection } from "@sallyport/protocol/token/introspection.ts";
import { type ClientEndpoint, type EndpointAnswer, type GrantRequest, refuseGrant } from "../seams.ts";
import { isActive, type JudgePorts, judgeToken, type TokenState } from "./judge-token.ts";

const introspectionMedia = `application/${introspectionType}`;

export function introspection(ports: JudgePorts & { readonly signer: () => TokenSigner | null }): ClientEndpoint {
  return {
    path: "/introspect",
    parameters: ["token", "token_type_hint"],
    handle: async (request): Promise<EndpointAnswer> => {
      const token = request.parameters["token"];
      if (token === undefined)
        return refuseGrant("invalid_request", "token-missing", "send the token to look at as `token`, once");
      const state = await judgeToken(token, ports);
      const body = isFor(request, state, ports) && isActive(state) ? described(state) : { active: false };
      if (!asksForJwt(request.accept)) return { kind: "answer", status: 200, body };
      const signer = ports.signer();
      if (signer === null)
        return refuseGrant("temporarily_unavailable", "no-active-key", "no key is in use yet; try again");
      return {
        kind: "answer",
        status: 200,
        body: signed(body, { request, ports, signer }),
        contentType: introspectionMedia,
      };
    },
  };
}

/** The audience is the system of who asks: a token that was shown to the wrong service says nothing there (RFC 7662 §4). */
function isFor(request: GrantRequest, state: TokenState, { directory, issuer }: JudgePorts): boolean {
  const caller = directory().clients.get(request.clientId);
  // A public client proves nothing, so anybody could ask in its name (RFC 7662 §2.1).
  if (caller === undefined || caller.isPublic) return false;
  return state.kind === "ours" && state.claims.aud === `${issuer}/systems/${caller.system}`;
}

/** What RFC 7662 §2.2 names, and what a service needs to judge the binding and who acts. Grants and sessions are our own bookkeeping. */
function described({ claims }: Extract<TokenState, { kind: "ours" }>): Readonly<Record<string, unknown>> {
  const { gid: _gid, sid: _sid, ...told } = claims;
  return { active: true, token_type: claims.cnf?.jkt === undefined ? "Bearer" : "DPoP", ...told };
}

function asksForJwt(accept: string | undefined): boolean {
  return (accept ?? "")
    .split(",")
    .some((range) => range.trim().split(";")[0]?.trim().toLowerCase() === introspectionMedia);
}

/** RFC 9701 §5: the answer with its issuer, whom it is for and when it was so; its `typ` keeps it from passing for a token. */
function signed(
  body: Readonly<Record<string, unknown>>,
  {
    request,
    ports,
    signer,
  }: { readonly request: GrantRequest; readonly ports: JudgePorts; readonly signer: TokenSigner },
): string {
  const iat = Math.floor(ports.clock.now() / 1000);
  const claims = { iss: ports.issuer, aud: request.clientId, iat, token_introspection: body };
  return signIntrospection(claims, signer);
}
