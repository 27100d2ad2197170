// Promises the shape of the API keys that gateways take: digests alone, each with its one system, the integrations it opens and its end.
// Trusts nothing: it is data. Specified in docs/formats/snapshot.md and docs/identity/api-keys.md.

export interface ApiKeyObject {
  /** Ten hexadecimal digits; names it to operators. */
  readonly id: string;
  /** SHA-256 of the key's ASCII text, base64url. */
  readonly digest: string;
  readonly system: string;
  /** Ids; what else the system is granted, the key does not open. */
  readonly integrations: readonly string[];
  /** Milliseconds since the epoch. */
  readonly notAfterMs: number;
}

/** The blob `apikeys`. */
export interface ApiKeysObject {
  /** Fields (lower case) that a key may come in besides Authorization. */
  readonly headers: readonly string[];
  /** In ascending order of id. */
  readonly keys: readonly ApiKeyObject[];
}
