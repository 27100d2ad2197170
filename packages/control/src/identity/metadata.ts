// Promises authorization server metadata that names only what is served. Trusts the issuer it is given. Format: RFC 8414, OpenID Connect Discovery 1.0 §3.

/** Signature algorithms of a client assertion; the registered key decides which of them. */
export const assertionAlgorithms = ["ES256", "EdDSA"] as const;
/** Signature algorithms of a DPoP proof. */
export const dpopAlgorithms = ["ES256", "EdDSA"] as const;

export interface MetadataParts {
  readonly grantTypes: readonly string[];
  readonly methods: readonly string[];
  /** Algorithms of the ring's keys. */
  readonly signing: readonly string[];
  /** Members of further capabilities; they come last and win. */
  readonly more: Readonly<Record<string, unknown>>;
}

/** The metadata document of one issuer; served at both well-known forms. */
export function metadataOf(issuer: string, parts: MetadataParts): Readonly<Record<string, unknown>> {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    grant_types_supported: parts.grantTypes,
    response_types_supported: [],
    token_endpoint_auth_methods_supported: parts.methods,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    dpop_signing_alg_values_supported: dpopAlgorithms,
    tls_client_certificate_bound_access_tokens: true,
    // Required by OpenID Connect Discovery even where no ID token is ever issued.
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: parts.signing,
    service_documentation: "https://sallyport.dev/docs/identity",
    ...parts.more,
  };
}
