// Promises the shape in which an integration says which pages of browsers may call under it. Trusts nothing: it is data. Specified in docs/cors.md.

export interface CorsObject {
  /** `https://shop.example`, as browsers write an origin: compared octet by octet. */
  readonly origins: readonly string[];
  /** Request fields that a page may set besides those the gateway itself reads; lower case. */
  readonly allowHeaders: readonly string[];
  /** Response fields that a page may read besides those the gateway itself sets; lower case. */
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number;
}
