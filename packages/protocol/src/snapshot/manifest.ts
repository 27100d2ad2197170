// Promises that a snapshot is exactly what control signed, for this group, newer than any accepted before, and not expired.
// Trusts the snapshot key fixed at joining. Specified in docs/formats/snapshot.md.
import { decodeBase64url, encodeBase64url } from "../token/base64url.ts";
import type { TokenCrypto, TokenSigner, VerifyKey } from "../token/crypto.ts";
import { isJsonObject, type JsonObject, utf8 } from "../token/json.ts";

export interface SnapshotManifest {
  readonly v: 1;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  /** Raised by a restore; (epoch, version) only goes up. */
  readonly epoch: number;
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly minKeySeq: number;
  readonly minRevocationSeq: number;
  /** Object name -> sha-256 (hex) of the blob. Keys in ascending code unit order. */
  readonly objects: Readonly<Record<string, string>>;
}

/** As it travels and lies on disk: the exact manifest bytes (base64url), the key's id and its Ed25519 signature over `sallyport-snapshot/v1\n` + bytes. */
export interface SignedManifest {
  readonly manifest: string;
  readonly kid: string;
  readonly sig: string;
}

export const snapshotManifestBytesMax = 16 * 1024 * 1024;
export const snapshotObjectsMax = 100_000;
/** How far ahead of our clock a snapshot may have been issued. */
export const snapshotAheadMsMax = 60_000;

const signatureContext = utf8("sallyport-snapshot/v1\n");
const ascii = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A manifest that cannot be printed is a bug in whoever compiled it; it is never signed. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
  readonly code = "manifest-malformed";
}

/** Canonical bytes: fixed key order, objects in ascending code unit order. Throws ManifestError when a value breaks the format. */
export function encodeManifest(manifest: SnapshotManifest): Uint8Array {
  const { v, tenant, environment, region, group, epoch, version, issuedAt, expiresAt, minKeySeq, minRevocationSeq } =
    manifest;
  const wrong = findFault({ ...manifest });
  if (wrong !== null) throw new ManifestError(`The snapshot manifest cannot be printed: ${wrong}.`);
  const head = {
    v,
    tenant,
    environment,
    region,
    group,
    epoch,
    version,
    issuedAt,
    expiresAt,
    minKeySeq,
    minRevocationSeq,
  };
  // Names and ids hold nothing that JSON escapes (findFault), so they are printed as they stand.
  const names = Object.keys(manifest.objects).sort();
  const objects = names.map((name) => `"${name}":"${manifest.objects[name]}"`).join(",");
  return utf8(`${JSON.stringify(head).slice(0, -1)},"objects":{${objects}}}`);
}

/** Signs the canonical bytes with the group's snapshot key. Throws ManifestError as encodeManifest does. */
export function signManifest(manifest: SnapshotManifest, signer: TokenSigner): SignedManifest {
  if (signer.alg !== "EdDSA") throw new ManifestError("A snapshot is signed with an Ed25519 key.");
  const bytes = encodeManifest(manifest);
  return { manifest: encodeBase64url(bytes), kid: signer.kid, sig: encodeBase64url(signer.sign(signedBytes(bytes))) };
}

export type SnapshotRefusal =
  | "altered"
  | "foreign-key"
  | "foreign-group"
  | "older"
  | "expired"
  | "not-yet-valid"
  | "malformed"
  | "needs-keys";

export interface RefusedSnapshot {
  readonly kind: "refused";
  readonly refusal: SnapshotRefusal;
  /** For operators. */
  readonly why: string;
}

export interface OpenedManifest {
  readonly kind: "opened";
  readonly manifest: SnapshotManifest;
  readonly bytes: Uint8Array;
}

const refuse = (refusal: SnapshotRefusal, why: string): RefusedSnapshot => ({ kind: "refused", refusal, why });

/** Key, signature and form; says nothing about group, age or clock. Refusals: foreign-key, altered, malformed. */
export function openManifest(signed: SignedManifest, key: VerifyKey): OpenedManifest | RefusedSnapshot {
  if (key.alg !== "EdDSA" || signed.kid !== key.kid)
    return refuse("foreign-key", "signed with another key than the one fixed at joining");
  if (signed.manifest.length > Math.ceil((snapshotManifestBytesMax * 4) / 3))
    return refuse("malformed", "the manifest is too large");
  const bytes = decodeBase64url(signed.manifest);
  const signature = decodeBase64url(signed.sig);
  if (bytes === null || signature?.length !== 64)
    return refuse("malformed", "manifest or signature is not canonical base64url");
  if (!key.verify(signedBytes(bytes), signature)) return refuse("altered", "the signature does not fit the bytes");
  const manifest = parseManifest(bytes);
  return manifest === null
    ? refuse("malformed", "the signed bytes are not a manifest of version 1")
    : { kind: "opened", manifest, bytes };
}

export interface SnapshotGroup {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
}

export interface LastAccepted {
  readonly epoch: number;
  readonly version: number;
  /** manifestDigest of what was accepted: with it, two different snapshots of one version are told apart. */
  readonly digest?: string;
}

export interface SnapshotOffer {
  readonly signed: SignedManifest;
  /** The key fixed at joining. */
  readonly snapshotKey: VerifyKey;
  /** Who this gateway is, fixed at joining. */
  readonly group: SnapshotGroup;
  /** The highest ever accepted, kept across restarts; null only before the first. */
  readonly lastAccepted: LastAccepted | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What the gateway holds of the two sequenced streams. */
  readonly keySeq: number;
  readonly revocationSeq: number;
  readonly crypto: Pick<TokenCrypto, "sha256">;
}

export interface AcceptedSnapshot {
  readonly kind: "accepted";
  readonly manifest: SnapshotManifest;
  /** Keep it with (epoch, version) as the next LastAccepted. */
  readonly digest: string;
}

/** May this snapshot be obeyed? Pure. The order of checks and the refusals are those of docs/formats/snapshot.md. */
export function acceptManifest(offer: SnapshotOffer): AcceptedSnapshot | RefusedSnapshot {
  const opened = openManifest(offer.signed, offer.snapshotKey);
  if (opened.kind === "refused") return opened;
  const { manifest } = opened;
  const { group, lastAccepted, now } = offer;
  for (const name of ["tenant", "environment", "region", "group"] as const) {
    if (manifest[name] !== group[name])
      return refuse("foreign-group", `its ${name} is ${manifest[name]}, ours is ${group[name]}`);
  }
  const digest = manifestDigest(opened.bytes, offer.crypto);
  if (lastAccepted !== null) {
    const age = manifest.epoch - lastAccepted.epoch || manifest.version - lastAccepted.version;
    const shown = `(${manifest.epoch}, ${manifest.version}) against (${lastAccepted.epoch}, ${lastAccepted.version})`;
    if (age < 0) return refuse("older", `(epoch, version) goes down: ${shown}`);
    if (age === 0 && (lastAccepted.digest ?? digest) !== digest)
      return refuse("altered", `another snapshot of the same (epoch, version): ${shown}`);
  }
  if (now >= manifest.expiresAt) return refuse("expired", `it expired at ${manifest.expiresAt}, now is ${now}`);
  if (manifest.issuedAt > now + snapshotAheadMsMax)
    return refuse("not-yet-valid", `it was issued at ${manifest.issuedAt}, now is ${now}`);
  if (manifest.minKeySeq > offer.keySeq || manifest.minRevocationSeq > offer.revocationSeq) {
    return refuse(
      "needs-keys",
      `it needs keys ${manifest.minKeySeq} and revocations ${manifest.minRevocationSeq}, we hold ${offer.keySeq} and ${offer.revocationSeq}`,
    );
  }
  return { kind: "accepted", manifest, digest };
}

/** sha-256 in lower-case hex: the id of a blob. */
export function blobId(bytes: Uint8Array, crypto: Pick<TokenCrypto, "sha256">): string {
  let id = "";
  for (const byte of crypto.sha256(bytes)) id += byte.toString(16).padStart(2, "0");
  return id;
}

/** Are these the bytes the manifest names? A blob that does not match is dropped and asked for again. */
export function blobMatches(id: string, bytes: Uint8Array, crypto: Pick<TokenCrypto, "sha256">): boolean {
  return blobId(bytes, crypto) === id;
}

/** sha-256 (hex) of the manifest's bytes. */
export function manifestDigest(bytes: Uint8Array, crypto: Pick<TokenCrypto, "sha256">): string {
  return blobId(bytes, crypto);
}

/** The manifest that prints to exactly these bytes, or null. */
export function parseManifest(bytes: Uint8Array): SnapshotManifest | null {
  if (bytes.length > snapshotManifestBytesMax) return null;
  try {
    const value: unknown = JSON.parse(ascii.decode(bytes));
    if (!isJsonObject(value) || findFault(value) !== null) return null;
    // findFault has just checked every member of the interface.
    const manifest = value as unknown as SnapshotManifest;
    // One spelling: a repeated key, another order or white space would print differently.
    return isEqual(encodeManifest(manifest), bytes) ? deepFreeze(manifest) : null;
  } catch {
    return null;
  }
}

function deepFreeze(manifest: SnapshotManifest): SnapshotManifest {
  Object.freeze(manifest.objects);
  return Object.freeze(manifest);
}

function signedBytes(bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(signatureContext.length + bytes.length);
  all.set(signatureContext);
  all.set(bytes, signatureContext.length);
  return all;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

const place = /^[a-z][a-z0-9-]{0,62}$/;
const objectName = /^[a-z]+(?:\/[A-Za-z0-9._:/-]{1,200})?$/;
const sha256Hex = /^[0-9a-f]{64}$/;
const members = 12;

/** What breaks the format, in words; null when nothing does. */
function findFault(value: JsonObject): string | null {
  if (value.v !== 1) return "v is not 1";
  if (Object.keys(value).length !== members) return `there are not exactly ${members} keys`;
  for (const name of ["tenant", "environment", "region", "group"]) {
    const text = value[name];
    if (typeof text !== "string" || !place.test(text)) return `${name} is not a lower-case name`;
  }
  for (const name of ["epoch", "version", "issuedAt", "expiresAt", "minKeySeq", "minRevocationSeq"]) {
    const number = value[name];
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0 || Object.is(number, -0))
      return `${name} is not a whole number`;
  }
  if (!(Number(value.expiresAt) > Number(value.issuedAt))) return "expiresAt is not after issuedAt";
  if (!isJsonObject(value.objects)) return "objects is not an object";
  const objects = Object.entries(value.objects);
  if (objects.length > snapshotObjectsMax) return `there are more than ${snapshotObjectsMax} objects`;
  for (const [name, id] of objects) {
    if (!objectName.test(name)) return "an object's name holds other characters than the format allows";
    if (typeof id !== "string" || !sha256Hex.test(id)) return `the id of ${name} is not a sha-256 in lower-case hex`;
  }
  return null;
}
