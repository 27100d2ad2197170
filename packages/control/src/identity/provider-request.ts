// Promises what a request of oidc-provider holds in the shape our handlers take, with the connection's facts and never a forwarded field's.
// Trusts oidc-provider's parsed parameters. Specified in seams.ts.
import type { ProviderContext } from "oidc-provider";
import { grantRequestOf } from "./grant-request.ts";
import type { GrantRequest } from "./seams.ts";

export interface RequestShape {
  readonly issuer: string;
  /** Names of the handler's own parameters. */
  readonly parameters: readonly string[];
  /** Where the client sent it. */
  readonly path: string;
}

export function requestOf(context: ProviderContext, { issuer, parameters: names, path }: RequestShape): GrantRequest {
  const clientId = context.oidc.client?.clientId ?? "";
  return grantRequestOf(context.req, context.oidc.params ?? {}, { issuer, names, clientId, url: `${issuer}${path}` });
}
