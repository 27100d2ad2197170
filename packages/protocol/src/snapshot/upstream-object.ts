// Promises the shape of where a provider is served. Trusts nothing: it is data. Specified in docs/formats/snapshot.md.
import type { NextHopScheme } from "../channel/next-hop.ts";
import type { EndpointObject, ResilienceObject } from "./objects.ts";

export interface UpstreamObject {
  /** Origin, optionally with a base path without trailing slash. */
  readonly url: string;
  /** PEM roots to trust instead of the public ones. */
  readonly ca?: string;
  /** PEM chain that gateways show it, the leaf first; each holds the key itself. Absent: they show none. */
  readonly certificate?: string;
  /** The upstream may stand on a loopback or private address (an explicit word in config). */
  readonly allowPrivate: boolean;
  /** All places where it is served, `url` the first; absent: it is the only one. */
  readonly endpoints?: readonly EndpointObject[];
  readonly resilience?: ResilienceObject;
  /** Requests to it are signed with the gateway's hop key (RFC 9421); absent: they are not. */
  readonly signed?: true;
  /** It gets an access token of its own in `Authorization`; absent: it does not. */
  readonly nextHop?: NextHopObject;
}

/** What a gateway needs to know of it; who may have which token is control's to decide. */
export interface NextHopObject {
  /** The token is made from the caller's, and needs one; else it is the same for all callers. */
  readonly exchanged: boolean;
  readonly scheme: NextHopScheme;
  /** `Sallyport-Identity` does not go on beside it. */
  readonly withoutIdentity?: true;
  /** Changes with anything that control decides about these tokens by (SHA-256, hex). */
  readonly rules: string;
}
