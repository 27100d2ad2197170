// Promises the cryptographic core of seal/v1: committing AES-256-GCM, and a key that no nonce meets twice.
// Trusts node:crypto. Specified in docs/formats/seal.md, Keys.
import { createCipheriv, createDecipheriv, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Envelope } from "@sallyport/protocol/seal/envelope.ts";
import { commitmentBytes, parseEnvelope, sealedBytesMax, tagBytes } from "@sallyport/protocol/seal/envelope.ts";
import { SealFault } from "./seal-fault.ts";

export const keyBytes = 32;
const cipher = "aes-256-gcm";
const label = new TextEncoder().encode("sallyport/seal/v1");
export const nonceBytes = 12;
// A key of suite 1 seals exactly one plaintext, so that a constant nonce is never repeated under it.
export const singleUseNonce: Uint8Array = new Uint8Array(nonceBytes);

export interface AeadInput {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
}

/** AES-256-GCM, 96-bit nonce, 128-bit tag. */
export function aeadSeal(input: AeadInput, plaintext: Uint8Array): { ciphertext: Uint8Array; tag: Uint8Array } {
  const encrypt = createCipheriv(cipher, input.key, input.nonce, { authTagLength: tagBytes });
  encrypt.setAAD(input.aad);
  // GCM is a stream: update gives every byte, final only ends the tag.
  const ciphertext = encrypt.update(plaintext);
  encrypt.final();
  return { ciphertext, tag: encrypt.getAuthTag() };
}

/** The plaintext, or null when the tag does not fit. A tag of any other length than 16 is null too: short tags are forgeable. */
export function aeadOpen(input: AeadInput, ciphertext: Uint8Array, tag: Uint8Array): Uint8Array | null {
  if (tag.length !== tagBytes) return null;
  const decrypt = createDecipheriv(cipher, input.key, input.nonce, { authTagLength: tagBytes });
  decrypt.setAAD(input.aad);
  decrypt.setAuthTag(tag);
  const plaintext = decrypt.update(ciphertext);
  try {
    decrypt.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return null;
  }
}

export interface EnvelopeKey {
  readonly key: Uint8Array;
  readonly commitment: Uint8Array;
}

/** key ‖ commit of one envelope. `bound` is everything `info` holds after the label. */
export function deriveEnvelopeKey(material: Uint8Array, salt: Uint8Array, bound: Uint8Array): EnvelopeKey {
  const info = new Uint8Array(label.length + bound.length);
  info.set(label);
  info.set(bound, label.length);
  const both = new Uint8Array(hkdfSync("sha512", material, salt, info, keyBytes + commitmentBytes));
  return { key: both.subarray(0, keyBytes), commitment: both.subarray(keyBytes) };
}

/** Seals one plaintext under a fresh derived key. Throws TypeError beyond 16 MiB. The derived key is wiped before it returns. */
export function sealUnder(
  derived: EnvelopeKey,
  aad: Uint8Array,
  plaintext: Uint8Array,
): { ciphertext: Uint8Array; tag: Uint8Array } {
  if (plaintext.length > sealedBytesMax) throw new TypeError(`at most ${sealedBytesMax} bytes can be sealed at once`);
  const sealed = aeadSeal({ key: derived.key, nonce: singleUseNonce, aad }, plaintext);
  derived.key.fill(0);
  return sealed;
}

/** Checks the commitment first and in constant time, then decrypts. Faults: `envelope-refused`, the same for both checks. */
export function openUnder(
  derived: EnvelopeKey,
  on: { readonly nonce: Uint8Array; readonly aad: Uint8Array },
  envelope: Envelope,
): Uint8Array {
  const committed = timingSafeEqual(derived.commitment, envelope.commitment);
  const plaintext = committed ? aeadOpen({ key: derived.key, ...on }, envelope.ciphertext, envelope.tag) : null;
  derived.key.fill(0);
  if (plaintext !== null) return plaintext;
  throw new SealFault(
    "envelope-refused",
    "the envelope does not open: it was changed, or belongs to another tenant, purpose or place than the one it was opened for",
  );
}

/** Reads an envelope or throws the fault `envelope-malformed`. */
export function readEnvelope(bytes: Uint8Array): Envelope {
  const parsed = parseEnvelope(bytes);
  if (!parsed.ok) throw new SealFault("envelope-malformed", `not a sealed envelope: ${parsed.problem}`);
  return parsed.envelope;
}
