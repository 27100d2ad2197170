// Promises who a TLS client certificate is, or why it is nobody: a strict judgement on top of, never instead of, the path that
// OpenSSL verified. Trusts TLS for the proof of possession. Rules: DESIGN §12 Certificates; RFC 5280 §6.
import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { CertificateIdentity, TrustObject } from "@sallyport/protocol/snapshot/objects.ts";
import { compared, instant } from "@sallyport/protocol/verdict.ts";
import { parseAddress } from "../dial/address.ts";
import type { Certificate } from "./certificate.ts";
import { certificateThumbprint, readCertificate } from "./certificate.ts";
import { DerFault } from "./der.ts";
import { printName, readName } from "./distinguished-name.ts";
import { oid } from "./oids.ts";
import { parsePemCertificates } from "./pem.ts";
import { compileRevocation, judgeRevocation, type Revocation } from "./revocation.ts";

export const chainLengthMax = 10;
const namesShownMax = 8;

const digitalSignature = 0;
const keyCertSign = 5;
const crlSign = 6;

/** What TLS learned about the other side; `readPeer` makes it from a socket. */
export interface Peer {
  /** OpenSSL built and verified a path to one of the roots of all bundles together. */
  readonly verified: boolean;
  /** OpenSSL's reason where it did not, for example `CERT_HAS_EXPIRED`. */
  readonly verifyError: string | null;
  /** As presented: leaf first, each followed by its issuer; the root may be missing. */
  readonly chain: readonly Certificate[];
  /** RFC 8705 thumbprint of the leaf. */
  readonly x5t: string;
}

export type PeerReading =
  | { readonly kind: "peer"; readonly peer: Peer }
  /** The client sent no certificate. */
  | { readonly kind: "none" }
  | { readonly kind: "refused"; readonly code: ProblemCode; readonly reason: string };

/** The peer of an established TLS connection. Reads DER only; a certificate it cannot read strictly is refused. */
export function readPeer(socket: TLSSocket): PeerReading {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return { kind: "none" };
  const raws: Uint8Array[] = [];
  let current: X509Certificate | undefined = leaf;
  while (current !== undefined && raws.length < chainLengthMax) {
    const { raw } = current;
    if (raws.some((seen) => Buffer.compare(seen, raw) === 0)) break;
    raws.push(raw);
    current = current.issuerCertificate;
  }
  // authorizationError is a text on servers and an Error on clients; both hold OpenSSL's code.
  const error: unknown = socket.authorizationError;
  const verifyError = error
    ? error instanceof Error
      ? ((error as NodeJS.ErrnoException).code ?? error.message)
      : String(error)
    : null;
  try {
    const chain = raws.map(readCertificate);
    const verified = socket.authorized && verifyError === null;
    return { kind: "peer", peer: { verified, verifyError, chain, x5t: certificateThumbprint(leaf.raw) } };
  } catch (fault) {
    if (!(fault instanceof DerFault)) throw fault;
    return {
      kind: "refused",
      code: "certificate-untrusted",
      reason: `the certificate is not strict DER: ${fault.message}`,
    };
  }
}

/** A trust bundle, ready for judging. */
export interface TrustBundle {
  readonly name: string;
  readonly roots: readonly Certificate[];
  /** Null: nobody's certificate is ever taken back under it. */
  readonly revocation: Revocation | null;
}

/** Throws TypeError for PEM that cannot be read, DerFault for a root or a list that is not strict DER. */
export function compileTrust({ name, roots, revocation }: TrustObject): TrustBundle {
  return {
    name,
    roots: roots.flatMap(parsePemCertificates).map(readCertificate),
    revocation: revocation === undefined ? null : compileRevocation(revocation),
  };
}

export type PeerVerdict =
  /** `notAfterMs`: until when it holds, by the certificates of the path and by the lists that must be in force. */
  | { readonly kind: "allow"; readonly x5t: string; readonly notAfterMs: number }
  | ({ readonly kind: "deny" } & NonNullable<Objection>);

/** Of clients of an issuer a name may also be an address, a mailbox, or the subject as its one RFC 4514 text (distinguished-name.ts). */
export interface PeerIdentity {
  readonly trust: string;
  readonly kind: CertificateIdentity["kind"] | "ip" | "email" | "subject";
  readonly value: string;
}

export interface PeerQuestion {
  readonly peer: Peer;
  readonly identity: PeerIdentity;
  /** The bundle that `identity.trust` names. */
  readonly trust: TrustBundle;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

type Objection = {
  readonly code:
    | "certificate-unknown"
    | "certificate-untrusted"
    | "certificate-expired"
    | "certificate-revoked"
    | "revocation-unknown";
  /** For operators; it names no text of the certificate. */
  readonly reason: string;
  /** For operators: what was declared and what the certificate says, as far as both can be named. */
  readonly facts?: { readonly expected: string; readonly sent: string };
} | null;
const untrusted = (reason: string, facts?: { readonly expected: string; readonly sent: string }): Objection => ({
  code: "certificate-untrusted",
  reason,
  ...(facts === undefined ? {} : { facts }),
});

function objectToValidity(certificate: Certificate, nowMs: number): Objection {
  const { notBeforeMs, notAfterMs } = certificate;
  if (nowMs >= notBeforeMs && nowMs <= notAfterMs) return null;
  const reason =
    nowMs < notBeforeMs ? "a certificate of the chain is not valid yet" : "a certificate of the chain has expired";
  return { code: "certificate-expired", reason, facts: comparedTimes(certificate, nowMs) };
}

function comparedTimes({ notBeforeMs, notAfterMs }: Certificate, nowMs: number) {
  return compared(
    `a chain valid at ${instant(nowMs)}`,
    `valid from ${instant(notBeforeMs)} until ${instant(notAfterMs)}`,
  );
}

/** The names a certificate bears, for operators: `uri:spiffe://…, dns:orders.internal`. */
export function describeNames({ names }: Pick<Certificate, "names">): string {
  if (names.length === 0) return "a certificate without a subject alternative name";
  return names
    .slice(0, namesShownMax)
    .map(({ kind, value }) => (value === "" ? kind : `${kind}:${value}`))
    .join(", ");
}

/** A leaf may only be a client's leaf. OpenSSL lets several of these pass (x509-limbo). */
function objectToLeaf(leaf: Certificate): Objection {
  if (leaf.version !== 3) return untrusted("the certificate is not version 3");
  if (leaf.ca) return untrusted("the certificate is a CA's, not a workload's");
  if (leaf.keyUsage !== null && !leaf.keyUsage.has(digitalSignature)) return untrusted("the key may not sign");
  if (leaf.keyUsage?.has(keyCertSign) || leaf.keyUsage?.has(crlSign))
    return untrusted("a workload's key may not sign certificates");
  // anyExtendedKeyUsage does not count: it says nothing about clients.
  if (!leaf.extendedKeyUsage?.includes(oid.clientAuth)) {
    return untrusted(
      "the certificate is not for clients: its extended key usage lacks clientAuth. Public CAs no longer issue it; use a private CA",
    );
  }
  return null;
}

/** What was presented, completed by the first root of the bundle that signed a part of it; null where none did. */
function pathToBundle(chain: readonly Certificate[], trust: TrustBundle): readonly Certificate[] | null {
  for (let length = 1; length <= chain.length; length++) {
    const last = chain[length - 1];
    const root = last && trust.roots.find((candidate) => issuedBy(last, candidate));
    if (root !== undefined) return [...chain.slice(0, length), root];
  }
  return null;
}

function comparedChains(trust: TrustBundle, { chain, x5t }: Peer) {
  const [leaf] = chain;
  const names = leaf === undefined ? "nothing" : describeNames(leaf);
  return compared(
    `a chain into a root of the bundle ${trust.name}`,
    `${names}, x5t ${x5t}, with ${chain.length - 1} issuers`,
  );
}

/** The path into the bundle, link by link: TLS may have verified another one, into another bundle. */
function objectToPath(path: readonly Certificate[], nowMs: number): Objection {
  for (const [i, certificate] of path.entries()) {
    const objection = objectToValidity(certificate, nowMs);
    if (objection !== null) return objection;
    if (certificate.unknownCritical.length > 0) return untrusted("a critical extension of the chain is not understood");
    if (i === 0) continue;
    const child = path[i - 1];
    if (!certificate.ca || (certificate.keyUsage !== null && !certificate.keyUsage.has(keyCertSign))) {
      return untrusted("an issuer of the chain is not a CA");
    }
    if (certificate.pathLength !== null && i - 1 > certificate.pathLength) {
      return untrusted("the chain is longer than an issuer allows");
    }
    if (certificate.nameConstraints) {
      return untrusted("an issuer of the chain has name constraints, which this version does not judge");
    }
    if (child === undefined || !issuedBy(child, certificate))
      return untrusted("a signature of the chain does not verify");
  }
  return null;
}

/** OpenSSL compares names and key ids; the signature is what counts: names alone are anybody's to write. */
function issuedBy(child: Certificate, issuer: Certificate): boolean {
  try {
    const [below, above] = [new X509Certificate(child.der), new X509Certificate(issuer.der)];
    return below.checkIssued(above) && below.verify(above.publicKey);
  } catch {
    return false;
  }
}

/** Exactly one SAN of the declared kind, equal to the declared value. A second one would let one certificate be two systems. */
function objectToNames(leaf: Certificate, x5t: string, identity: PeerIdentity): Objection {
  const subject = identity.kind === "subject" ? subjectOf(leaf) : null;
  const facts = compared(
    `${identity.kind}:${identity.value}`,
    identity.kind === "x5t" ? `x5t:${x5t}` : subject === null ? describeNames(leaf) : `subject:${subject}`,
  );
  const unknown: Objection = {
    code: "certificate-unknown",
    reason: `no ${identity.kind} of the certificate is the declared one`,
    facts,
  };
  if (identity.kind === "x5t") return x5t === identity.value ? null : unknown;
  if (identity.kind === "subject") return subject === identity.value ? null : unknown;
  const names = leaf.names.filter((name) => name.kind === identity.kind).map((name) => name.value);
  if (names.length > 1)
    return {
      code: "certificate-unknown",
      reason: `the certificate has more than one ${identity.kind} name: declare its x5t instead`,
      facts,
    };
  const declared =
    identity.kind === "ip" ? Buffer.from(parseAddress(identity.value) ?? []).toString("hex") : identity.value;
  const [name] = names;
  return name !== undefined && name !== "" && fold(identity.kind, name) === fold(identity.kind, declared)
    ? null
    : unknown;
}

/** Case says nothing in a host name, also in that of a mailbox (RFC 5280 §7.2, §7.5). */
function fold(kind: PeerIdentity["kind"], value: string): string {
  if (kind === "dns") return value.toLowerCase();
  const at = value.lastIndexOf("@");
  return kind === "email" ? value.slice(0, at) + value.slice(at).toLowerCase() : value;
}

/** The subject as its one text; null where it could be read two ways. */
function subjectOf({ subject }: Certificate): string | null {
  try {
    return printName(readName(subject));
  } catch (fault) {
    if (fault instanceof DerFault) return null;
    throw fault;
  }
}

/**
 * Is this peer the declared identity? Pure. All must hold: TLS verified a path; what was presented leads, signature by signature, to a
 * root of the named bundle; all of it is valid now; the leaf is a client's and no CA; exactly one SAN, or the whole subject, is the
 * declared one (never the common name alone); where the bundle has revocation lists, none of the path is on them.
 */
export function judgePeer(question: PeerQuestion): PeerVerdict {
  const { peer, identity, trust, nowMs } = question;
  const [leaf] = peer.chain;
  const deny = (objection: NonNullable<Objection>): PeerVerdict => ({ kind: "deny", ...objection });
  if (leaf === undefined || trust.name !== identity.trust) {
    return deny({
      code: "certificate-unknown",
      reason: "there is no certificate to judge, or the bundle is not the declared one",
    });
  }
  if (peer.verifyError === "CERT_HAS_EXPIRED" || peer.verifyError === "CERT_NOT_YET_VALID") {
    return deny({
      code: "certificate-expired",
      reason: "TLS found a certificate of the chain outside its validity",
      facts: comparedTimes(leaf, nowMs),
    });
  }
  if (!peer.verified) {
    return deny({
      code: "certificate-untrusted",
      reason: `TLS did not verify the chain (${peer.verifyError ?? "no reason given"})`,
      facts: comparedChains(trust, peer),
    });
  }
  const path = pathToBundle(peer.chain, trust);
  if (path === null) {
    return deny({
      code: "certificate-untrusted",
      reason: `the chain does not end in a root of the bundle ${trust.name}`,
      facts: comparedChains(trust, peer),
    });
  }
  const objection = objectToPath(path, nowMs) ?? objectToLeaf(leaf) ?? objectToNames(leaf, peer.x5t, identity);
  if (objection !== null) return deny(objection);
  const revocation = trust.revocation === null ? null : judgeRevocation(path, trust.revocation, nowMs);
  if (revocation?.kind === "deny") return revocation;
  // A list is in force until, and without, its next update; a certificate also at its last instant.
  const listsUntilMs = (revocation?.untilMs ?? Number.POSITIVE_INFINITY) - 1;
  return {
    kind: "allow",
    x5t: peer.x5t,
    notAfterMs: Math.min(listsUntilMs, ...path.map((certificate) => certificate.notAfterMs)),
  };
}
