// Promises the one request that every stage reads: made once by canonicalize.ts, frozen, with a single reading.
// Trusts nothing: it is data. Rules are specified in docs/formats/canonical-request.md (RFC 9110, RFC 9112, RFC 3986).

/** A request as the parser hands it over, before anyone has judged it. */
export interface RawRequest {
  readonly method: string;
  /** The request-target as received. */
  readonly target: string;
  /** `1.1`, or `2`: its pseudo-header fields have become method, target and Host (http2-fields.ts). */
  readonly httpVersion: string;
  /** Names and values alternating, as received. */
  readonly rawHeaders: readonly string[];
  /** Of HTTP/2, where no field frames: something follows its head. */
  readonly hasContent?: boolean;
  /** The origin that callers use for this listener, from configuration: nothing a request says can change it. */
  readonly listener: { readonly url: string };
}

export interface CanonicalLimits {
  readonly targetBytesMax: number;
  readonly segmentsMax: number;
  readonly queryParametersMax: number;
  readonly headerCountMax: number;
  readonly headerNameBytesMax: number;
  readonly headerValueBytesMax: number;
  /** Sum over all fields of name, value and four bytes of punctuation. */
  readonly headerBytesMax: number;
}

export const canonicalLimits: CanonicalLimits = {
  targetBytesMax: 8_192,
  segmentsMax: 64,
  queryParametersMax: 256,
  headerCountMax: 100,
  headerNameBytesMax: 128,
  headerValueBytesMax: 16_384,
  headerBytesMax: 32_768,
};

/** Lower-case name -> every value in order of arrival; no prototype, so any name may be looked up. */
export type CanonicalHeaders = Readonly<Record<string, readonly string[]>>;

export interface CanonicalPath {
  /** Starts with a slash, percent-encoded, escapes in upper case, escapes of unreserved characters decoded. Never ends in a slash but as the root. */
  readonly path: string;
  /** Decoded, none empty, in step with `path`; empty for the root. */
  readonly segments: readonly string[];
}

/** A handshake of the caller. */
export interface UpgradeAsk {
  /** Base64 of 16 octets. */
  readonly key: string;
  /** Subprotocols it would speak, in its order, each once. */
  readonly protocols: readonly string[];
}

export interface CanonicalRequest extends CanonicalPath {
  readonly kind: "request";
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";
  /** Lower case, without port. */
  readonly host: string;
  /** As in Host, else the default of the listener's scheme. */
  readonly port: number;
  /** As received, without the question mark; empty when there is none. */
  readonly query: string;
  /** Decoded as application/x-www-form-urlencoded; every value of a repeated name in order; no prototype. */
  readonly queryParameters: Readonly<Record<string, readonly string[]>>;
  /** Without the identity headers that only Sallyport may set (hop-headers.ts), except Authorization and DPoP. */
  readonly headers: CanonicalHeaders;
  /** `type/subtype` in lower case, without parameters. */
  readonly contentType: string | null;
  readonly contentLength: number | null;
  readonly chunked: boolean;
  /** The WebSocket it asks for, in the one form that is taken (RFC 6455 §4.1); null: it asks for nothing else than HTTP. */
  readonly upgrade: UpgradeAsk | null;
  /** The listener's origin and `path`: what DPoP `htu` must name. */
  readonly clientUrl: string;
}
