// Promises who a client is by the certificate of its TLS connection: a chain into the declared bundle and the one declared name, or exactly a declared certificate.
// Trusts OpenSSL for the path and the handshake, PeerPolicy for the rest; never a header field. RFC 8705 §2; docs/identity/client-authentication.md.
import type { TLSSocket } from "node:tls";
import { judgePeer, type PeerReading, readPeer, type TrustBundle } from "@sallyport/kernel/x509/peer-policy.ts";
import type { ClientAuthentication } from "../../registry/config/estate.ts";

export type TlsClientCode =
  | "certificate-missing"
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-unknown"
  | "certificate-expired"
  | "certificate-revoked"
  | "revocation-unknown"
  | "client-authentication-method";

export type TlsClientVerdict = { readonly kind: "accept" } | { readonly kind: "refuse"; readonly code: TlsClientCode };

export interface TlsClientQuestion {
  readonly authentication: ClientAuthentication | undefined;
  readonly peer: PeerReading;
  /** Bundles of the client's environment, and of no other. */
  readonly bundles: ReadonlyMap<string, TrustBundle>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const refuse = (code: TlsClientCode): TlsClientVerdict => ({ kind: "refuse", code });

/** Is whoever holds this connection the client? Pure. */
export function judgeTlsClient({ authentication, peer, bundles, now }: TlsClientQuestion): TlsClientVerdict {
  if (peer.kind === "none") return refuse("certificate-missing");
  if (peer.kind === "refused") return refuse("certificate-malformed");
  if (authentication?.method === "self_signed_tls_client_auth") {
    const [leaf] = peer.peer.chain;
    if (leaf === undefined || !authentication.x5t.includes(peer.peer.x5t)) return refuse("certificate-unknown");
    // RFC 8705 §2.2 leaves the dates to us: a certificate whose holder let it end is not one to believe.
    return now < leaf.notBeforeMs || now > leaf.notAfterMs ? refuse("certificate-expired") : { kind: "accept" };
  }
  if (authentication?.method !== "tls_client_auth") return refuse("client-authentication-method");
  const { identity } = authentication;
  const trust = bundles.get(identity.trust);
  if (trust === undefined) return refuse("certificate-untrusted");
  const verdict = judgePeer({ peer: peer.peer, identity, trust, nowMs: now });
  return verdict.kind === "allow" ? { kind: "accept" } : refuse(verdict.code);
}

/** The peer of a connection, read once however many requests it carries. */
export function peerOf(socket: TLSSocket): PeerReading {
  const known = peers.get(socket);
  if (known !== undefined) return known;
  const read = readPeer(socket);
  peers.set(socket, read);
  return read;
}

const peers = new WeakMap<TLSSocket, PeerReading>();
