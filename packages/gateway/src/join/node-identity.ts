// Promises that a node's keys are made on the spot, never leave its data directory, and are readable by its user alone.
// Trusts the file system's owner bits. Specified in docs/formats/join.md.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from "node:crypto";
import { join } from "node:path";
import { readPrivateFile, replacePrivateFile } from "@sallyport/kernel/seal/key-file.ts";

/** All a node is, as it lies in `<data>/node/identity.json` (0600). Keys are PKCS#8 PEM. */
export interface NodeIdentity {
  readonly v: 1;
  readonly node: string;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  readonly url: string;
  readonly pin: string;
  readonly snapshotKey: { readonly kid: string; readonly x: string };
  readonly epoch: number;
  /** P-256 key of the mTLS certificate. */
  readonly nodeKey: string;
  /** X25519 key that secrets for this node are sealed to. */
  readonly sealKey: string;
  readonly certificate: string;
  readonly authority: string;
}

export interface NodeKeys {
  readonly nodeKey: KeyObject;
  readonly sealKey: KeyObject;
}

export class JoinFault extends Error {
  readonly code: "join-token-malformed" | "join-refused" | "join-unreachable" | "identity-unreadable";
  constructor(code: JoinFault["code"], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "JoinFault";
    this.code = code;
  }
}

export function newNodeKeys(): NodeKeys {
  return {
    nodeKey: generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey,
    sealKey: generateKeyPairSync("x25519").privateKey,
  };
}

/** SubjectPublicKeyInfo (DER, base64url) of a private key's public half. */
export function spkiText(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64url");
}

/** The raw X25519 public key, base64url. */
export function sealKeyText(key: KeyObject): string {
  const { x } = createPublicKey(key).export({ format: "jwk" });
  if (x === undefined) throw new Error("an X25519 key has an x member");
  return x;
}

/** ES256 (P1363, base64url) over a proof text of docs/formats/join.md. */
export function proveKey(key: KeyObject, text: string): string {
  return sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

export function privatePem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

export function identityPath(dataDirectory: string): string {
  return join(dataDirectory, "node", "identity.json");
}

const identityBytesMax = 64 * 1024;

/** Every member that is a text. */
const texts = [
  "node",
  "tenant",
  "environment",
  "region",
  "group",
  "url",
  "pin",
  "nodeKey",
  "sealKey",
  "certificate",
  "authority",
] as const;

/** The identity of a node that has joined before, null when this directory never joined. Throws JoinFault `identity-unreadable`. */
export function readIdentity(dataDirectory: string): NodeIdentity | null {
  const path = identityPath(dataDirectory);
  const bytes = readIdentityFile(path);
  if (bytes === null) return null;
  try {
    const identity: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isIdentity(identity)) return identity;
    throw new Error("not an identity of version 1");
  } catch (error) {
    throw new JoinFault(
      "identity-unreadable",
      `${path} is damaged or of another version. Restore it from a backup, or remove the data directory and join again with a new token.`,
      error,
    );
  }
}

function readIdentityFile(path: string): Uint8Array | null {
  try {
    return readPrivateFile(path, identityBytesMax);
  } catch (error) {
    const why = error instanceof Error ? error.message : `${path} cannot be read`;
    throw new JoinFault(
      "identity-unreadable",
      `${why}. If somebody else may have read it, have the node's keys replaced: sallyport gateway revoke <node>, and join again.`,
      error,
    );
  }
}

/** Shape, and keys that parse: a damaged file is found at start and not at the first crossing. */
function isIdentity(value: unknown): value is NodeIdentity {
  if (typeof value !== "object" || value === null) return false;
  const record: Readonly<Record<string, unknown>> = { ...value };
  const { v, epoch, snapshotKey, nodeKey, sealKey, certificate } = record;
  if (v !== 1 || !Number.isSafeInteger(epoch) || texts.some((name) => typeof record[name] !== "string")) return false;
  if (typeof snapshotKey !== "object" || snapshotKey === null) return false;
  if (!("kid" in snapshotKey && "x" in snapshotKey)) return false;
  if (typeof snapshotKey.kid !== "string" || typeof snapshotKey.x !== "string") return false;
  return (
    createPrivateKey(String(sealKey)).asymmetricKeyType === "x25519" &&
    new X509Certificate(String(certificate)).checkPrivateKey(createPrivateKey(String(nodeKey)))
  );
}

/** Replaces the identity file in one step: a crash leaves the old one or the new one. */
export function writeIdentity(dataDirectory: string, identity: NodeIdentity): void {
  replacePrivateFile(identityPath(dataDirectory), Buffer.from(JSON.stringify(identity)));
}
