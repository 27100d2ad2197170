// Promises the members of the metadata document that introspection and revocation add. Trusts the issuer and the algorithms it is given. RFC 8414 §2, RFC 9701 §7.
import { assertionAlgorithms } from "../metadata.ts";

const methods = ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "client_secret_basic"] as const;

export function tokenMetadata(issuer: string, signing: readonly string[]): Readonly<Record<string, unknown>> {
  return {
    introspection_endpoint: `${issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: methods,
    introspection_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    introspection_signing_alg_values_supported: signing,
    revocation_endpoint: `${issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
  };
}
