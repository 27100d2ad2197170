// Promises that a gateway is what its one-time token says, holds the keys it registers, and that a token makes one gateway.
// Trusts the registry's compare-and-set behind `ports` and the channel authority. Specified in docs/formats/join.md.
import { createPublicKey, diffieHellman, generateKeyPairSync, hash, type KeyObject, verify } from "node:crypto";
import type { NodeAddress } from "./hub.ts";

export interface JoinRequest {
  readonly v: 1;
  readonly secret: string;
  readonly spki: string;
  readonly sealKey: string;
  readonly proof: string;
}

export interface RenewRequest {
  readonly spki: string;
  readonly proof: string;
}

export interface JoinAnswer {
  readonly v: 1;
  readonly node: string;
  readonly certificate: string;
  readonly authority: string;
  readonly epoch: number;
}

export interface NodeRegistration extends NodeAddress {
  readonly region: string;
}

export interface NewNode {
  /** SHA-256 (hex) of the secret; what the store knows of a token. */
  readonly secretHash: string;
  readonly node: string;
  readonly spki: string;
  readonly sealKey: string;
}

export interface NodeCertificate {
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the DER, base64url. */
  readonly thumbprint: string;
}

export interface JoiningPorts {
  /** Uses the token and creates the node in one transaction; null when the token is unknown, used or expired. */
  useToken(node: NewNode): Promise<NodeRegistration | null>;
  /** Records the thumbprint (base64url) of a certificate just made for this node. */
  addThumbprint(node: string, thumbprint: string, notAfter: number): Promise<void>;
  /** Makes the client certificate of docs/formats/join.md. */
  certify(publicKey: KeyObject, address: NodeAddress, notAfter: number): NodeCertificate | Promise<NodeCertificate>;
  readonly authority: string;
  newNodeId(): string;
  epoch(): number;
  now(): number;
}

/** Lifetime of a node certificate: a day and an hour to renew in. */
export const nodeCertificateMs = 25 * 3600_000;

/** Joins; null when the request must be refused. */
export async function join(request: JoinRequest, ports: JoiningPorts): Promise<JoinAnswer | null> {
  const key = provenKey(request.spki, request.proof, joinProofText(request));
  if (key === null || !canSealTo(request.sealKey)) return null;
  const registration = await ports.useToken({
    secretHash: hash("sha256", request.secret, "hex"),
    node: ports.newNodeId(),
    spki: request.spki,
    sealKey: request.sealKey,
  });
  if (registration === null) return null;
  const certificate = await certifyNode(key, registration, ports);
  return { v: 1, node: registration.node, certificate, authority: ports.authority, epoch: ports.epoch() };
}

export interface ListenerCertificate {
  readonly certificate: string;
  readonly authority: string;
}

/** A server certificate for the environment's listener names; null when the key is not proven or no listener is configured. */
export async function listenerCertificate(
  address: NodeAddress,
  request: RenewRequest,
  issue: (
    publicKey: KeyObject,
    address: NodeAddress,
  ) => ListenerCertificate | null | Promise<ListenerCertificate | null>,
): Promise<ListenerCertificate | null> {
  const key = provenKey(request.spki, request.proof, listenerProofText(request));
  return key === null ? null : issue(key, address);
}

/** A fresh certificate for a fresh key of a node that is already known; null when the key is not proven. */
export async function renew(
  address: NodeAddress,
  request: RenewRequest,
  ports: JoiningPorts,
): Promise<{ readonly certificate: string } | null> {
  const key = provenKey(request.spki, request.proof, renewProofText(request));
  return key === null ? null : { certificate: await certifyNode(key, address, ports) };
}

export function joinProofText(request: Pick<JoinRequest, "secret" | "spki" | "sealKey">): string {
  return `sallyport-join/v1\n${request.secret}\n${request.spki}\n${request.sealKey}`;
}

export function renewProofText(request: Pick<RenewRequest, "spki">): string {
  return `sallyport-renew/v1\n${request.spki}`;
}

export function listenerProofText(request: Pick<RenewRequest, "spki">): string {
  return `sallyport-listener/v1\n${request.spki}`;
}

async function certifyNode(key: KeyObject, address: NodeAddress, ports: JoiningPorts): Promise<string> {
  const notAfter = ports.now() + nodeCertificateMs;
  const { certificate, thumbprint } = await ports.certify(key, address, notAfter);
  await ports.addThumbprint(address.node, thumbprint, notAfter);
  return certificate;
}

function provenKey(spki: string, proof: string, text: string): KeyObject | null {
  try {
    const der = Buffer.from(spki, "base64url");
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") return null;
    // One spelling per key, with nothing behind it: what is stored and certified is what was proven.
    if (!key.export({ format: "der", type: "spki" }).equals(der)) return null;
    const signature = Buffer.from(proof, "base64url");
    return verify("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, signature) ? key : null;
  } catch {
    return null;
  }
}

/** A point of small order has no secret with anybody: sealing to it would fail each time this node connects. */
function canSealTo(sealKey: string): boolean {
  try {
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "X25519", x: sealKey }, format: "jwk" });
    diffieHellman({ privateKey: generateKeyPairSync("x25519").privateKey, publicKey });
    return true;
  } catch {
    return false;
  }
}
