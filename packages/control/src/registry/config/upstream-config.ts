// Promises the shape of where a system is served, as its file says it. Trusts nothing: it is data. Specified in docs/configuration.md.
import type { EndpointObject, ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";

/** Where a system is served, and what is done when that fails. */
export interface UpstreamConfig {
  /** The first of `endpoints`, where there are any. */
  readonly url: string;
  readonly allowPrivate: boolean;
  readonly trust?: string;
  /** PEM chain that gateways show it, the leaf first. */
  readonly certificate?: string;
  /** Absent: `url` is the only place. */
  readonly endpoints?: readonly EndpointObject[];
  /** Absent: the defaults. */
  readonly resilience?: ResilienceObject;
  /** Requests to it are signed by gateways. */
  readonly signed?: true;
  /** It is called with an access token of its own. */
  readonly nextHop?: NextHopConfig;
}

export interface NextHopConfig {
  readonly actor: "gateway" | "caller";
  /** The hop token does not go on beside it. */
  readonly withoutIdentity?: true;
  /** Absent: tokens are bound to the gateway's key. */
  readonly bearer?: { readonly reason: string; readonly untilMs: number };
  /** Absent: tokens are this environment's own. */
  readonly outside?: OutsideEndpoint;
}

/** The token endpoint of a provider's own authorization server. */
export interface OutsideEndpoint {
  readonly uri: string;
  readonly allowPrivate: boolean;
  /** Bundle by name; absent: the public roots. */
  readonly trust?: string;
  readonly grant: "token-exchange" | "client-credentials";
  readonly client: string;
  readonly audience: string;
  readonly resource?: string;
  readonly scope: readonly string[];
}
