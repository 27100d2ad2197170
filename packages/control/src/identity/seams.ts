// Promises the seams of an issuer: what a grant, an endpoint of authenticated clients, a way to authenticate and a route look like, so that each
// capability brings its own file and provider.ts stays the only one that knows oidc-provider. Trusts nothing. Specified in docs/identity.md "Parts".
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { Directory, IdentityClient } from "./directory.ts";
import type { MintDecision } from "./mint.ts";
import type { PendingAssertion } from "./replay.ts";

/** What a handler learns of one form sent by a client that has proven who it is. */
export interface GrantRequest {
  readonly issuer: string;
  readonly clientId: string;
  /** Every value of the `resource` parameter. */
  readonly resources: readonly string[];
  readonly scope: string | undefined;
  /** The handler's own parameters that came once, by name; never those of client authentication. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Where the request was sent: `htu` of a proof must equal it. */
  readonly url: string;
  /** Every DPoP field value of the request. */
  readonly proofs: readonly string[];
  /** DER of the TLS client certificate. */
  readonly certificate: Uint8Array | null;
  /** The Accept field, where there is one. */
  readonly accept?: string;
  /** Source address; for records only as the pseudonym of its prefix. */
  readonly address: string;
  /** What authenticated the client, where its id is to be claimed together with the proof's. */
  readonly assertion?: PendingAssertion;
}

/** Error codes of RFC 6749 §5.2 and of what builds on it (RFC 7009, 8628, 8693, 8707, 9449). */
export type TokenError =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "invalid_target"
  | "invalid_scope"
  | "unauthorized_client"
  | "unsupported_token_type"
  | "authorization_pending"
  | "slow_down"
  | "expired_token"
  | "access_denied"
  | "invalid_dpop_proof"
  | "use_dpop_nonce"
  | "temporarily_unavailable";

/** A token that everything but the policies allowed. */
export interface RefusedToken {
  readonly decision: MintDecision;
  readonly grantType: GrantWord;
  readonly policies: readonly string[];
  /** The rest is for operators only: what was asked, of whom, and what the policies said. */
  readonly errors: readonly string[];
  readonly places: readonly string[];
  readonly action: string;
  readonly provider: string;
  readonly context: Readonly<Record<string, unknown>>;
}

export interface GrantRefusal {
  readonly kind: "error";
  readonly error: TokenError;
  /** Public: says what to fix, repeats nothing of the request. */
  readonly description: string;
  /** For the record, never sent: lower case words with hyphens. */
  readonly code: string;
  /** Of an open grant: whom it found, for the record. */
  readonly client?: string;
  /** Nothing was refused, the answer is only not there yet (RFC 8628 §3.5): no record is made of it. */
  readonly isWaiting?: true;
  /** Of a token that the policies refused, for the record. */
  readonly about?: RefusedToken;
}

export type GrantAnswer =
  | { readonly kind: "token"; readonly body: Readonly<Record<string, string | number>> }
  | GrantRefusal;

export const refuseGrant = (error: TokenError, code: string, description: string): GrantRefusal => ({
  kind: "error",
  error,
  code,
  description,
});

/**
 * A grant that proves who asks by what it brings, so that no client authentication goes before it (RFC 7521 §4.1). Its refusals name the client once
 * it is known; `clientId` of its request is empty, and a request that authenticates a client besides is refused before it is asked.
 */
export interface OpenGrant {
  readonly grantType: string;
  /** Parameters it reads beside `grant_type`, `scope` and `resource`. */
  readonly parameters: readonly string[];
  /** Whether anybody could use it now; else it is not there. */
  isServed(): boolean;
  handle(request: GrantRequest): Promise<GrantAnswer>;
}

/** One grant type of the token endpoint; a type that oidc-provider has built in is replaced. */
export interface GrantHandler {
  readonly grantType: string;
  /** Parameters it reads beside `grant_type`, `scope` and `resource`; every other one is ignored (RFC 6749 §3.2). */
  readonly parameters: readonly string[];
  /** Rejects only when store or log fail: then the answer is 503 and nothing was given away. */
  handle(request: GrantRequest): Promise<GrantAnswer>;
}

/** What an endpoint answers: printed as JSON, or as it is where it is text with a `contentType`. */
export type EndpointAnswer =
  | {
      readonly kind: "answer";
      readonly status: 200 | 201;
      readonly body: Readonly<Record<string, unknown>> | string;
      readonly contentType?: string;
    }
  | GrantRefusal;

/** A form endpoint below the issuer for clients that authenticate as at the token endpoint: introspection, revocation, device authorization. */
export interface ClientEndpoint {
  /** `/introspect`, `/device_authorization`: lower case letters and `_`. */
  readonly path: string;
  readonly parameters: readonly string[];
  handle(request: GrantRequest): Promise<EndpointAnswer>;
}

/** How clients prove themselves at every endpoint of an issuer. */
export interface ClientAuthentication {
  /** Names of RFC 7591 `token_endpoint_auth_method` that any client may use. */
  readonly methods: readonly string[];
  /**
   * The client's one method and what it needs, as RFC 7591 metadata (`token_endpoint_auth_method`, `jwks`, …); null: it cannot authenticate now.
   * Part of the directory's version: what changes here must change `Directory.version`.
   */
  metadataOf(client: IdentityClient, now: number): Readonly<Record<string, unknown>> | null;
  /** Called before a request is looked at: resolves once the directory has what can be had of the keys it says it is signed with. Never rejects. */
  expect?(req: IncomingMessage): Promise<void>;
  /** Is this the secret of that client? Asked for `client_secret_basic`; absent: no client has one. */
  isSecret?(client: string, text: string): boolean;
  /** Null: who holds this connection is that client; else the code for the record. Asked for `tls_client_auth`; absent: nobody is. */
  judgeConnection?(client: string, socket: TLSSocket): string | null;
}

/** A route that is not a form of an authenticated client: a page, a redirect, a document. */
export interface IssuerRoute {
  readonly method: "GET" | "POST";
  /** Below the issuer; compared byte by byte. Ending in `/` it takes one more segment of [A-Za-z0-9_-]{1,128}. */
  readonly path: string;
  /** Whether a query is accepted; without it a request with one is 404. */
  readonly query: boolean;
  /** `below` is the last segment of a path that ends in `/`, else "". Bounds for headers, time and connections are the listener's. */
  serve(req: IncomingMessage, res: ServerResponse, below: string): Promise<void>;
}

/** The directory in force, read at every request. */
export type DirectoryNow = () => Directory;
