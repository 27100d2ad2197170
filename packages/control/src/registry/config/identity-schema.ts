// Promises what may be written under `identity` of a system: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types (reference.ts); what each way is worth: docs/identity/client-authentication.md.
import { z } from "zod";
import { apiKeysKeys } from "./api-keys-schema.ts";
import { itemsMax } from "./bounds.ts";
import { logoutKeys } from "./logout-schema.ts";
import { signaturesKeys } from "./signatures-schema.ts";
import { clientTokensKeys } from "./tokens-schema.ts";
import { addressName, date, distinguishedName, filePath, hostName, httpsUrl, id, prose } from "./words.ts";

const uriName = () =>
  z
    .string()
    .max(2_048)
    .regex(/^[a-z][a-z0-9+.-]*:\S+$/);

const certificate = z.strictObject({
  trust: id().describe("Name of the bundle in trust/ whose roots may end the chain."),
  uri: uriName().optional().describe("The one URI subject alternative name, for example a SPIFFE id."),
  dns: hostName().optional().describe("The one DNS subject alternative name."),
  x5t: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional()
    .describe("SHA-256 of the certificate, base64url (RFC 8705 `x5t#S256`)."),
});

export const certificateSchema = certificate;

const tls = z.strictObject({
  trust: id()
    .optional()
    .describe("Bundle in trust/ whose roots may end the chain; with exactly one of the names below."),
  uri: uriName().optional().describe("The one URI subject alternative name, for example a SPIFFE id."),
  dns: hostName().optional().describe("The one DNS subject alternative name."),
  ip: addressName().optional().describe("The one IP subject alternative name."),
  email: z
    .string()
    .max(320)
    .regex(/^[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/)
    .optional()
    .describe("The one mailbox among the subject alternative names."),
  subject: distinguishedName()
    .optional()
    .describe(
      "The whole subject (RFC 4514), for example `CN=orders,OU=Shop,O=Acme`; RFC 8705 `tls_client_auth_subject_dn`.",
    ),
  selfSigned: z
    .array(filePath())
    .min(1)
    .max(8)
    .optional()
    .describe("PEM files of the client's own certificates (RFC 8705 §2.2); exactly these are accepted, no chain."),
});

const secrets = z.strictObject({
  reason: prose().describe("Why the client cannot sign or show a certificate."),
  until: date().describe("Last day on which a secret is accepted."),
});

export const identity = z.strictObject({
  client: id()
    .optional()
    .describe(
      "OAuth client id of the system, unique in the tenant; it proves itself in one way: by `keys` unless `tls` or `secrets` says otherwise.",
    ),
  keys: z
    .array(filePath())
    .max(itemsMax)
    .prefault([])
    .describe(
      "JWKS files with its public keys (ES256 or EdDSA), for `private_key_jwt`; a private key here is an error.",
    ),
  jwksUri: httpsUrl("keys are fetched over https only")
    .optional()
    .describe("Where it publishes its public keys (ES256 or EdDSA), https; control fetches them, nobody else does."),
  jwksServer: z
    .strictObject({
      ca: id()
        .optional()
        .describe("Bundle in trust/ that the server of `jwksUri` must chain to, in place of the public roots."),
      allowPrivate: z
        .boolean()
        .prefault(false)
        .describe("`jwksUri` may lead to a private, loopback or link-local address."),
    })
    .optional()
    .describe("How the server of `jwksUri` is reached."),
  tls: tls
    .optional()
    .describe(
      "It proves itself at the token endpoint by a TLS client certificate: `uri`, `dns`, `ip`, `email`, `subject` or `selfSigned` (RFC 8705).",
    ),
  secrets: secrets
    .optional()
    .describe(
      "It proves itself by a secret that control made (`client_secret_basic`); for clients that can do nothing better.",
    ),
  public: z
    .boolean()
    .prefault(false)
    .describe(
      "A client that cannot keep a key (an app on the user's machine, a page): it authenticates with nothing, its tokens are always bound with DPoP.",
    ),
  grants: z
    .array(z.enum(["client_credentials", "authorization_code", "device_code", "refresh_token"]))
    .min(1)
    .max(8)
    .prefault(["client_credentials"])
    .describe(
      "What it may ask for: `client_credentials` for itself, `authorization_code`, `device_code` and `refresh_token` for users.",
    ),
  redirectUris: z
    .array(z.string())
    .max(16)
    .prefault([])
    .describe(
      "Where browsers are sent back to, compared byte by byte; for `http://127.0.0.1/…` and `http://[::1]/…` of a public client any port.",
    ),
  signedRequests: z
    .enum(["accepted", "required"])
    .prefault("accepted")
    .describe(
      "Whether it may ask for users without signing the request (RFC 9101): `required` refuses what it pushes as plain parameters.",
    ),
  ...logoutKeys,
  ...clientTokensKeys,
  ...signaturesKeys,
  ...apiKeysKeys,
  certificate: z
    .union([certificate, z.array(certificate).max(itemsMax)])
    .optional()
    .describe(
      "Client certificate that proves the system without a token: bundle and exactly one of `uri`, `dns`, `x5t`.",
    ),
});

export type IdentitySource = z.output<typeof identity>;
export type CertificateSource = z.output<typeof certificate>;
