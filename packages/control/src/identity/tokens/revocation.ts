// Promises that a client can give back a token of its own, access or refresh, and that gateways refuse what it ends within a second; nobody
// else's token is touched. Trusts judge-token.ts, and provider.ts to have proven the client. RFC 7009; docs/identity/revocation.md.
import type { Store } from "@sallyport/kernel/store/port.ts";
import { clockSkewMsMax } from "@sallyport/protocol/token/access-token.ts";
import { digestOf } from "../oauth/sealed-objects.ts";
import type { OAuthCommands } from "../oauth/store.ts";
import { type ClientEndpoint, type EndpointAnswer, refuseGrant } from "../seams.ts";
import { type JudgePorts, judgeToken } from "./judge-token.ts";
import type { TokensCommands } from "./store.ts";

export interface RevocationPorts extends JudgePorts {
  readonly store: Pick<Store<TokensCommands & OAuthCommands>, "run">;
  /** Tells gateways of what was appended; must not throw. */
  readonly revoked: () => Promise<void>;
}

/** RFC 7009 §2.2: also a token that is not ours, or no longer alive, is answered with 200: there is nothing left to revoke. */
const done: EndpointAnswer = { kind: "answer", status: 200, body: {} };

const notOwn = () => refuseGrant("invalid_grant", "revoke-not-own", "the token was not issued to this client");

/** RFC 7009 §2.1: a refresh token, used or not, ends its grant, and with it every token that descends from it. */
async function endRefresh(token: string, client: string, ports: RevocationPorts): Promise<EndpointAnswer> {
  const { tenant, environment, store } = ports;
  const row = await store.run("readOAuthObject", { tenant, environment, kind: "refresh", digest: digestOf(token) });
  if (row === null) return done;
  if (row.client !== client) return notOwn();
  if (row.grant === null) return done;
  const end = { tenant, environment, grant: row.grant, actor: `client:${client}`, why: "client-revoked" };
  if (await store.run("endOAuthGrant", end)) await ports.revoked();
  return done;
}

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
      if (state.kind === "foreign") return endRefresh(token, request.clientId, ports);
      const { claims, outside, revoked } = state;
      if (claims.client_id !== request.clientId) return notOwn();
      if (outside === "token-expired" || revoked !== null) return done;
      const until = claims.exp * 1000 + clockSkewMsMax;
      await store.run("revokeOwnToken", { tenant, environment, client: request.clientId, jti: claims.jti, until });
      await ports.revoked();
      return done;
    },
  };
}
