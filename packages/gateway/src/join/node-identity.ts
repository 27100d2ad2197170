// Promises that a node's keys are made on the spot, never leave its data directory, and are readable by its user alone.
// Trusts the file system's owner bits. Specified in docs/formats/join.md.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { replacePrivateFile } from "./private-state.ts";

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

/** The identity of a node that has joined before, null when this directory never joined. Throws JoinFault `identity-unreadable`. */
export function readIdentity(dataDirectory: string): NodeIdentity | null {
  const path = identityPath(dataDirectory);
  if (!existsSync(path)) return null;
  if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0) {
    throw new JoinFault(
      "identity-unreadable",
      `${path} can be read by others than its owner. Run: chmod 600 ${path}; then have the node's keys replaced: sallyport gateway revoke <node>, and join again.`,
    );
  }
  try {
    // Written by writeIdentity below under 0600; the keys are parsed here so that a damaged file is found at start.
    const identity = JSON.parse(readFileSync(path, "utf8")) as NodeIdentity;
    if (identity.v !== 1) throw new Error("unknown version");
    createPrivateKey(identity.nodeKey);
    createPrivateKey(identity.sealKey);
    return identity;
  } catch (error) {
    throw new JoinFault(
      "identity-unreadable",
      `${path} is damaged or of another version. Restore it from a backup, or remove the data directory and join again with a new token.`,
      error,
    );
  }
}

/** Replaces the identity file in one step: a crash leaves the old one or the new one. */
export function writeIdentity(dataDirectory: string, identity: NodeIdentity): void {
  replacePrivateFile(identityPath(dataDirectory), JSON.stringify(identity));
}
