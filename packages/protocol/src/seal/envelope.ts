// Promises one reading of every sealed envelope: what parses prints back to the same bytes, everything else is named malformed.
// Trusts nothing: it holds no key and opens nothing. Specified in docs/formats/seal.md.

/** Plaintexts and ciphertexts are at most this long. */
export const sealedBytesMax = 16 * 1024 * 1024;
export const saltBytes = 24;
export const commitmentBytes = 32;
export const tagBytes = 16;
export const ephemeralBytes = 32;

const format = 0x01;
const fixedBytes = 1 + 1 + 8 + 4;
const suiteRing = 0x01;
const suiteRecipient = 0x02;

interface EnvelopeParts {
  /** 16 lower-case hex digits: the key ring (suite 1) or the recipient key (suite 2). */
  readonly ring: string;
  /** 1 to 2^32 - 1. */
  readonly version: number;
  readonly salt: Uint8Array;
  readonly commitment: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
}

export interface RingEnvelope extends EnvelopeParts {
  readonly suite: "ring";
}

export interface RecipientEnvelope extends EnvelopeParts {
  readonly suite: "recipient";
  /** The sender's ephemeral X25519 public key, 32 bytes. */
  readonly ephemeral: Uint8Array;
}

export type Envelope = RingEnvelope | RecipientEnvelope;

/** An envelope without what its key made of the plaintext. */
export type EnvelopeHead = Omit<RingEnvelope, "ciphertext" | "tag"> | Omit<RecipientEnvelope, "ciphertext" | "tag">;

export type ParsedEnvelope =
  | { readonly ok: true; readonly envelope: Envelope }
  | { readonly ok: false; readonly problem: string };

/** The header bytes that key derivation binds: suite, ring, version (13 bytes). Source: docs/formats/seal.md, Keys. */
export function headerBytes(suite: Envelope["suite"], ring: string, version: number): Uint8Array {
  if (!/^[0-9a-f]{16}$/.test(ring)) throw new TypeError("a ring id is 16 lower-case hex digits");
  if (!Number.isInteger(version) || version < 1 || version > 0xffffffff) {
    throw new TypeError("a key version is an integer from 1 to 4294967295");
  }
  const bytes = new Uint8Array(fixedBytes - 1);
  bytes[0] = suite === "ring" ? suiteRing : suiteRecipient;
  for (let i = 0; i < 8; i++) bytes[1 + i] = Number.parseInt(ring.slice(2 * i, 2 * i + 2), 16);
  new DataView(bytes.buffer).setUint32(9, version);
  return bytes;
}

/** Reads an envelope; the parts are views into `bytes`. Never throws. Source: docs/formats/seal.md, Envelope. */
export function parseEnvelope(bytes: Uint8Array): ParsedEnvelope {
  const no = (problem: string): ParsedEnvelope => ({ ok: false, problem });
  if (bytes.length < fixedBytes) return no("shorter than an envelope's header");
  if (bytes[0] !== format) return no("not a seal/v1 envelope");
  const suite = bytes[1];
  if (suite !== suiteRing && suite !== suiteRecipient) return no("unknown suite");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(10);
  if (version === 0 || (suite === suiteRecipient && version !== 1)) return no("impossible key version");
  const saltAt = fixedBytes + (suite === suiteRecipient ? ephemeralBytes : 0);
  const ciphertextAt = saltAt + saltBytes + commitmentBytes;
  const tagAt = bytes.length - tagBytes;
  if (tagAt < ciphertextAt) return no("cut short");
  if (tagAt - ciphertextAt > sealedBytesMax) return no("longer than an envelope may be");
  const parts = {
    ring: view.getBigUint64(2).toString(16).padStart(16, "0"),
    version,
    salt: bytes.subarray(saltAt, saltAt + saltBytes),
    commitment: bytes.subarray(saltAt + saltBytes, ciphertextAt),
    ciphertext: bytes.subarray(ciphertextAt, tagAt),
    tag: bytes.subarray(tagAt),
  };
  return suite === suiteRing
    ? { ok: true, envelope: { suite: "ring", ...parts } }
    : { ok: true, envelope: { suite: "recipient", ephemeral: bytes.subarray(fixedBytes, saltAt), ...parts } };
}

/** Everything before the ciphertext. Throws TypeError when a part has a length the format does not have (a bug of the caller). */
export function printEnvelopeHead(envelope: EnvelopeHead): Uint8Array {
  const { salt, commitment } = envelope;
  const ephemeral = envelope.suite === "recipient" ? envelope.ephemeral : new Uint8Array(0);
  if (
    salt.length !== saltBytes ||
    commitment.length !== commitmentBytes ||
    (envelope.suite === "recipient" && (ephemeral.length !== ephemeralBytes || envelope.version !== 1))
  ) {
    throw new TypeError("a part of the envelope has a length or version that seal/v1 does not have");
  }
  const saltAt = fixedBytes + ephemeral.length;
  const bytes = new Uint8Array(saltAt + saltBytes + commitmentBytes);
  bytes[0] = format;
  bytes.set(headerBytes(envelope.suite, envelope.ring, envelope.version), 1);
  bytes.set(ephemeral, fixedBytes);
  bytes.set(salt, saltAt);
  bytes.set(commitment, saltAt + saltBytes);
  return bytes;
}

/** The bytes of an envelope. Throws TypeError like printEnvelopeHead. */
export function printEnvelope(envelope: Envelope): Uint8Array {
  const { ciphertext, tag } = envelope;
  if (tag.length !== tagBytes || ciphertext.length > sealedBytesMax)
    throw new TypeError("the ciphertext or tag has a length that seal/v1 does not have");
  const head = printEnvelopeHead(envelope);
  const bytes = new Uint8Array(head.length + ciphertext.length + tagBytes);
  bytes.set(head);
  bytes.set(ciphertext, head.length);
  bytes.set(tag, head.length + ciphertext.length);
  return bytes;
}
