// Promises everything an issuer needs to ask users and to redeem what they allowed, ready to be handed to createIssuer. Trusts its ports.
// Specified in docs/identity/authorization-code.md.
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { AuthorizationParts } from "../authorization-shell.ts";
import { authorizationRequests, ClientThrottle } from "../clients/throttle.ts";
import type { Directory } from "../directory.ts";
import type { IssuanceRecorder } from "../issuance-record.ts";
import type { GrantHandler } from "../seams.ts";
import type { GrantPorts } from "../token-grant.ts";
import { authorizationCode } from "./code-grant.ts";
import { createDesk } from "./desk.ts";
import type { AuthorizationDesk } from "./interaction.ts";
import { modelAdapter } from "./model-adapter.ts";
import type { OAuthPorts } from "./ports.ts";
import { refreshToken } from "./refresh-grant.ts";
import { SealedObjects } from "./sealed-objects.ts";

export interface OAuthOptions extends Omit<OAuthPorts, "sealed"> {
  readonly issuer: string;
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly directory: () => Directory;
  readonly record: Pick<IssuanceRecorder, "refused">;
}

export interface OAuth {
  readonly grants: readonly ((ports: GrantPorts) => GrantHandler)[];
  readonly authorization: AuthorizationParts;
  /** For whoever serves the pages at `<issuer>/interaction/<id>`. */
  readonly desk: AuthorizationDesk;
  /** Members of the metadata document. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export function createOAuth(options: OAuthOptions): OAuth {
  const { issuer, place, keyring, directory, record } = options;
  const oauth: OAuthPorts = { ...options, sealed: new SealedObjects(keyring, place) };
  const asks = new ClientThrottle(options.clock, authorizationRequests);
  return {
    grants: [authorizationCode(oauth), refreshToken(oauth)],
    authorization: {
      adapter: (model) => modelAdapter(oauth, model),
      mayAsk: (client, address) => asks.enter(client, address).kind === "go",
    },
    desk: createDesk({ oauth, issuer, directory, record }),
    metadata: {
      authorization_endpoint: `${issuer}/authorize`,
      pushed_authorization_request_endpoint: `${issuer}/par`,
      response_types_supported: ["code"],
      response_modes_supported: ["query"],
      code_challenge_methods_supported: ["S256"],
      scopes_supported: ["openid"],
      prompt_values_supported: ["none", "login", "consent", "select_account"],
      claims_supported: ["sub", "auth_time", "acr", "amr", "sid", "nonce"],
      request_parameter_supported: true,
      request_uri_parameter_supported: false,
      request_object_signing_alg_values_supported: ["ES256", "EdDSA"],
      authorization_response_iss_parameter_supported: true,
      resource_indicators_supported: true,
    },
  };
}
