// Promises that a client can give back a token of its own, and that gateways refuse it within a second; nobody else's token is touched.
// Trusts judge-token.ts, and provider.ts to have proven the client. RFC 7009; docs/identity/revocation.md.
import { clockSkewMsMax } from "@sallyport/protocol/token/access-token.ts";
import { type ClientEndpoint, type EndpointAnswer, refuseGrant } from "../seams.ts";
import { type JudgePorts, judgeToken } from "./judge-token.ts";

export interface RevocationPorts extends JudgePorts {
  /** Tells gateways of what was appended; must not throw. */
  readonly revoked: () => Promise<void>;
}

/** RFC 7009 §2.2: also a token that is not ours, or no longer alive, is answered with 200: there is nothing left to revoke. */
const done: EndpointAnswer = { kind: "answer", status: 200, body: {} };

export function revocation(ports: RevocationPorts): ClientEndpoint {
  const { tenant, environment, store } = ports;
  return {
    path: "/revoke",
    parameters: ["token", "token_type_hint"],
    handle: async (request): Promise<EndpointAnswer> => {
      const token = request.parameters["token"];
      if (token === undefined)
        return refuseGrant("invalid_request", "token-missing", "send the token to revoke as `token`, once");
      const state = await judgeToken(token, ports);
      if (state.kind === "foreign") return done;
      const { claims, outside, revoked } = state;
      if (claims.client_id !== request.clientId)
        return refuseGrant("invalid_grant", "revoke-not-own", "the token was not issued to this client");
      if (outside === "token-expired" || revoked !== null) return done;
      const until = claims.exp * 1000 + clockSkewMsMax;
      await store.run("revokeOwnToken", { tenant, environment, client: request.clientId, jti: claims.jti, until });
      await ports.revoked();
      return done;
    },
  };
}
