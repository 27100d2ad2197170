// Promises suite 2: what is sealed to a recipient's X25519 public key opens with its private key and nowhere else, at the cost of
// one AES-GCM per record. Trusts node:crypto and the random port. Specified in docs/formats/seal.md, Recipients.
import type { KeyObject } from "node:crypto";
import { createHash, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import type { SealContext } from "@sallyport/protocol/seal/context.ts";
import { printSealContext } from "@sallyport/protocol/seal/context.ts";
import {
  commitmentBytes,
  ephemeralBytes,
  headerBytes,
  printEnvelopeHead,
  saltBytes,
  tagBytes,
} from "@sallyport/protocol/seal/envelope.ts";
import type { Clock, Random } from "../ports.ts";
import { deriveEnvelopeKey, nonceBytes, openUnder, readEnvelope } from "./aead.ts";
import { ManyUseKey } from "./many-use-key.ts";
import { SealFault } from "./seal-fault.ts";
import { Secret } from "./secret.ts";

export const ephemeralLifetimeMs = 60_000;

// DER of an X25519 key up to its 32 raw bytes (RFC 8410 §4 and §7): node imports raw keys only inside these.
const spkiPrefix = Buffer.from("302a300506032b656e032100", "hex");
const pkcs8Prefix = Buffer.from("302e020100300506032b656e04220420", "hex");
const recipientVersion = 1;
const ephemeralSaltBytes = saltBytes - nonceBytes;

function importPublic(raw: Uint8Array): KeyObject {
  if (raw.length !== ephemeralBytes) throw new SealFault("recipient-key", "an X25519 public key has 32 bytes");
  return createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: "der", type: "spki" });
}

function importPrivate(raw: Uint8Array): KeyObject {
  if (raw.length !== ephemeralBytes) throw new SealFault("recipient-key", "an X25519 private key has 32 bytes");
  const der = Buffer.concat([pkcs8Prefix, raw]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  return key;
}

function publicHalf(privateKey: KeyObject): Uint8Array {
  const der = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return new Uint8Array(der.subarray(spkiPrefix.length));
}

/** X25519; refuses an all-zero result (RFC 7748 §6.1), which a low-order public key would force. */
function agree(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
  try {
    const shared = diffieHellman({ privateKey, publicKey });
    if (shared.every((byte) => byte === 0)) throw new Error("all-zero shared secret");
    return shared;
  } catch (cause) {
    throw new SealFault("recipient-key", "the X25519 public key is not usable: it has a low order", cause);
  }
}

/** `ring` of an envelope sealed to this key: 16 lower-case hex digits. */
export function recipientId(publicKey: Uint8Array): string {
  const digest = createHash("sha256").update("sallyport/recipient/v1").update(publicKey).digest();
  return digest.subarray(0, 8).toString("hex");
}

/** A new X25519 pair; both halves are raw, 32 bytes. */
export function createRecipientKeyPair(random: Random): {
  readonly publicKey: Uint8Array;
  readonly privateKey: Secret;
} {
  const raw = random.bytes(ephemeralBytes);
  const privateKey = Secret.fromBytes(raw);
  const publicKey = publicHalf(importPrivate(raw));
  raw.fill(0);
  return { publicKey, privateKey };
}

interface Ephemeral {
  /** Everything before the ciphertext, the nonce still zero: `esalt` and all else is the same while the key lives. */
  readonly head: Uint8Array;
  readonly key: ManyUseKey;
  readonly endsAt: number;
  readonly timer: NodeJS.Timeout;
}

export interface RecipientSealer {
  /** Id that envelopes name and openers look for. */
  readonly recipient: string;
  /** Seals at most 16 MiB. The envelope may lie in a shared block: copy it before handing its memory over. Throws TypeError for a context without tenant or purpose. */
  seal(context: SealContext, plaintext: Uint8Array): Uint8Array;
  /** Forgets the ephemeral key now. Sealing again makes a new one. */
  forget(): void;
}

export interface RecipientSealerOptions {
  /** Raw X25519 public key, 32 bytes. */
  readonly recipient: Uint8Array;
  readonly random: Random;
  readonly clock?: Pick<Clock, "monotonic">;
}

/**
 * Seals to one public key. The ephemeral key serves 4096 envelopes or 60 s and is then overwritten, also when nothing more is sealed.
 * Faults: `recipient-key` for a key of the wrong length or low order, at once and not at the first record.
 */
export function createRecipientSealer(options: RecipientSealerOptions): RecipientSealer {
  const recipientRaw = Uint8Array.from(options.recipient);
  const recipientKey = importPublic(recipientRaw);
  const recipient = recipientId(recipientRaw);
  const header = headerBytes("recipient", recipient, recipientVersion);
  const now = () => options.clock?.monotonic() ?? performance.now();
  let current: Ephemeral | null = null;

  const forget = () => {
    if (current === null) return;
    clearTimeout(current.timer);
    current.key.wipe();
    current = null;
  };
  const renew = (): Ephemeral => {
    forget();
    const raw = options.random.bytes(ephemeralBytes);
    const privateKey = importPrivate(raw);
    raw.fill(0);
    const publicKey = publicHalf(privateKey);
    const salt = options.random.bytes(ephemeralSaltBytes);
    const shared = agree(privateKey, recipientKey);
    const derived = deriveEnvelopeKey(shared, salt, Buffer.concat([header, publicKey, recipientRaw]));
    shared.fill(0);
    const timer = setTimeout(forget, ephemeralLifetimeMs);
    timer.unref();
    const key = new ManyUseKey(derived);
    const saltField = new Uint8Array(saltBytes);
    saltField.set(salt);
    const head = printEnvelopeHead({
      suite: "recipient",
      ring: recipient,
      version: recipientVersion,
      ephemeral: publicKey,
      salt: saltField,
      commitment: key.commitment,
    });
    current = { head, key, endsAt: now() + ephemeralLifetimeMs, timer };
    return current;
  };
  renew();
  return {
    recipient,
    forget,
    seal(context, plaintext) {
      const aad = printSealContext(context);
      const { head, key } = current?.key.usable && now() < current.endsAt ? current : renew();
      const { nonce, ciphertext, tag } = key.seal(aad, plaintext);
      const envelope = Buffer.allocUnsafe(head.length + ciphertext.length + tagBytes);
      envelope.set(head);
      envelope.set(nonce, head.length - commitmentBytes - nonceBytes);
      envelope.set(ciphertext, head.length);
      envelope.set(tag, head.length + ciphertext.length);
      return envelope;
    },
  };
}

export interface RecipientOpener {
  readonly recipient: string;
  readonly publicKey: Uint8Array;
  /** Faults: `envelope-malformed`, `key-unknown` (sealed to another key), `envelope-refused` (changed, or another context). */
  open(context: SealContext, envelope: Uint8Array): Uint8Array;
}

/** Opens what was sealed to the public half of `privateKey` (raw, 32 bytes). Faults: `recipient-key`. */
export function createRecipientOpener(privateKey: Secret): RecipientOpener {
  const key = privateKey.use(importPrivate);
  const publicKey = publicHalf(key);
  const recipient = recipientId(publicKey);
  const header = headerBytes("recipient", recipient, recipientVersion);
  return {
    recipient,
    publicKey,
    open(context, bytes) {
      const envelope = readEnvelope(bytes);
      if (envelope.suite !== "recipient") {
        throw new SealFault("envelope-malformed", "the envelope is sealed to a key ring, not to a recipient");
      }
      if (envelope.ring !== recipient) {
        throw new SealFault(
          "key-unknown",
          `the envelope is sealed to recipient key ${envelope.ring}; this is ${recipient}`,
        );
      }
      const shared = agree(key, importPublic(envelope.ephemeral));
      const bound = Buffer.concat([header, envelope.ephemeral, publicKey]);
      const derived = deriveEnvelopeKey(shared, envelope.salt.subarray(0, ephemeralSaltBytes), bound);
      shared.fill(0);
      const nonce = envelope.salt.subarray(ephemeralSaltBytes);
      return openUnder(derived, { nonce, aad: printSealContext(context) }, envelope);
    },
  };
}
