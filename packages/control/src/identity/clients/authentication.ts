// Promises that each client proves itself in the one way its file declares, and that having any other way's proof gets nobody anything.
// Trusts provider.ts for the form of a request. Methods: RFC 7591 §2, RFC 8705 §2; docs/identity/client-authentication.md.
import type { TLSSocket } from "node:tls";
import type { TrustBundle } from "@sallyport/kernel/x509/peer-policy.ts";
import type { Directory, IdentityClient } from "../directory.ts";
import { privateKeyJwt } from "../private-key-jwt.ts";
import type { ClientAuthentication } from "../seams.ts";
import { claimedKeys } from "./claimed-keys.ts";
import type { PublishedKeys } from "./published-keys.ts";
import { findSecret } from "./secret.ts";
import { judgeTlsClient, peerOf } from "./tls-client.ts";

export interface AuthenticationPorts {
  readonly clock: { now(): number };
  readonly directory: () => Directory;
  /** Bundles of the environment by name. */
  readonly bundles: () => ReadonlyMap<string, TrustBundle>;
  /** Told of every use of a secret; must not throw and need not be quick to write. */
  readonly secretUsed: (client: string, id: string) => void;
  /** Absent: no client publishes its keys. */
  readonly published?: Pick<PublishedKeys, "isEmpty" | "find">;
}

/** The most a secret may be long: one that we made has 48 characters. */
const secretLengthMax = 128;

export function createClientAuthentication(ports: AuthenticationPorts): ClientAuthentication {
  const { clock, directory, bundles } = ports;
  return {
    methods: ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "client_secret_basic", "none"],
    metadataOf,
    expect: async (req) => {
      const { published } = ports;
      if (published === undefined || published.isEmpty) return;
      for (const { client, kid } of await claimedKeys(req)) await published.find(client, kid);
    },
    isSecret: (id, text) => {
      const client = directory().clients.get(id);
      if (client === undefined || text.length > secretLengthMax) return false;
      const found = findSecret(client, text, clock.now());
      if (found !== null) ports.secretUsed(id, found.id);
      return found !== null;
    },
    judgeConnection: (id: string, socket: TLSSocket) => {
      const authentication = directory().clients.get(id)?.authentication;
      const verdict = judgeTlsClient({ authentication, peer: peerOf(socket), bundles: bundles(), now: clock.now() });
      return verdict.kind === "accept" ? null : verdict.code;
    },
  };
}

function metadataOf(client: IdentityClient, now: number): Readonly<Record<string, unknown>> | null {
  const way = client.authentication;
  if (way === undefined) return privateKeyJwt.metadataOf(client, now);
  if (way.method === "client_secret_basic") return { token_endpoint_auth_method: way.method };
  // Both are judged by judgeConnection alone; oidc-provider is told one method that asks for it, and compares nothing itself.
  return { token_endpoint_auth_method: "tls_client_auth", tls_client_auth_san_uri: "urn:sallyport:judged-by-control" };
}
