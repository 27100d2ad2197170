// Promises that a listener which answers proxies answers no one else: its peer has a declared address and, where one is declared, shows the declared
// certificate. Trusts the address of the connection, OpenSSL's path and kernel/x509's judgement of it. Specified in docs/authorizer.md.
import { TLSSocket } from "node:tls";
import { noProxies, plainAddress, type TrustedProxies, trustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { judgePeer, type PeerReading, readPeer, type TrustBundle } from "@sallyport/kernel/x509/peer-policy.ts";
import type { AuthorizerObject, CertificateIdentity, EstateObject } from "@sallyport/protocol/snapshot/objects.ts";
import { compared, type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** Who may ask on one listener, and how it tells the request it asks about. */
export interface Authorizer {
  readonly proxy: AuthorizerObject["proxy"];
  /** Null: only the certificate says who a proxy is. */
  readonly networks: TrustedProxies | null;
  readonly certificate: { readonly identity: CertificateIdentity; readonly trust: TrustBundle | null } | null;
}

/** Compiles what a snapshot says of a listener; null: it serves callers. What cannot be compiled trusts nobody. */
export function compileAuthorizer(
  listener: EstateObject["listeners"][string] | undefined,
  bundles: ReadonlyMap<string, TrustBundle>,
): Authorizer | null {
  const { authorizer, trustedProxies: named = [] } = listener ?? {};
  if (authorizer === undefined) return null;
  const { proxy, certificate } = authorizer;
  return {
    proxy,
    // A service proves itself to `identify`, wherever it stands.
    networks: named.length === 0 && (certificate !== undefined || proxy === "services") ? null : networksOf(named),
    certificate:
      certificate === undefined ? null : { identity: certificate, trust: bundles.get(certificate.trust) ?? null },
  };
}

/** Of a listener's `trustedProxies`. */
export function networksOf(named: readonly string[]): TrustedProxies {
  try {
    return trustedProxies(named, "x-forwarded-for");
  } catch {
    // Control lets no such list through; should one come all the same, it holds nobody.
    return noProxies;
  }
}

/** Certificates are read once for each connection. */
const readings = new WeakMap<object, PeerReading>();

/** May the other side of this connection ask here? */
export function judgeAsker(
  authorizer: Authorizer,
  on: { readonly socket: object; readonly address: string; nowMs: number },
): Deny | null {
  const { socket, address, nowMs } = on;
  if (authorizer.networks?.isTrusted(plainAddress(address) ?? "") === false)
    return deny("receive", "proxy-not-trusted", {
      why: "the address is none of this listener's proxies",
      ...compared("one of the listener's authorizer.trustedProxies", address),
    });
  if (authorizer.certificate === null) return null;
  const reading =
    readings.get(socket) ?? (socket instanceof TLSSocket ? readPeer(socket) : ({ kind: "none" } as const));
  readings.set(socket, reading);
  return decideCertificate(authorizer.certificate, reading, nowMs);
}

/** Is it the certificate that the listener's proxy shows? Pure. */
export function decideCertificate(
  { identity, trust }: NonNullable<Authorizer["certificate"]>,
  reading: PeerReading,
  nowMs: number,
): Deny | null {
  const no = (why: string): Deny => deny("receive", "proxy-not-trusted", { why });
  if (trust === null) return no("the trust bundle of the proxy's certificate is not in the snapshot");
  if (reading.kind === "none") return no("the proxy shows no certificate");
  if (reading.kind === "refused") return no(reading.reason);
  const verdict = judgePeer({ peer: reading.peer, identity, trust, nowMs });
  return verdict.kind === "allow" ? null : no(verdict.reason);
}
