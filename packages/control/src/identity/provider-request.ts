// Promises what a request of oidc-provider holds in the shape our handlers take, with the connection's facts and never a forwarded field's.
// Trusts oidc-provider's parsed parameters. Specified in seams.ts.
import { TLSSocket } from "node:tls";
import type { ProviderContext } from "oidc-provider";
import type { GrantRequest } from "./seams.ts";

export interface RequestShape {
  readonly issuer: string;
  /** Names of the handler's own parameters. */
  readonly parameters: readonly string[];
  /** Where the client sent it. */
  readonly path: string;
}

export function requestOf(context: ProviderContext, { issuer, parameters: names, path }: RequestShape): GrantRequest {
  const parameters = context.oidc.params ?? {};
  const { resource, scope } = parameters;
  const { rawHeaders, socket } = context.req;
  const own = names.flatMap((name) => {
    const value = parameters[name];
    return typeof value === "string" ? [[name, value] as const] : [];
  });
  return {
    issuer,
    clientId: context.oidc.client?.clientId ?? "",
    resources: resource === undefined ? [] : typeof resource === "string" ? [resource] : resource,
    scope: typeof scope === "string" ? scope : undefined,
    parameters: Object.fromEntries(own),
    url: `${issuer}${path}`,
    proofs: rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === "dpop"),
    certificate: socket instanceof TLSSocket ? (socket.getPeerX509Certificate()?.raw ?? null) : null,
    address: socket.remoteAddress ?? "",
  };
}
