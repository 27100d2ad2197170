// Promises suite 1: sealing under one version of a key ring, opening only under exactly that version. Trusts the key it is given.
// Specified in docs/formats/seal.md.
import { createHash } from "node:crypto";
import type { SealContext } from "@sallyport/protocol/seal/context.ts";
import { printContext, printSealContext } from "@sallyport/protocol/seal/context.ts";
import type { RingEnvelope } from "@sallyport/protocol/seal/envelope.ts";
import { headerBytes, printEnvelope, saltBytes } from "@sallyport/protocol/seal/envelope.ts";
import type { Random } from "../ports.ts";
import { deriveEnvelopeKey, openUnder, readEnvelope, sealUnder, singleUseNonce } from "./aead.ts";
import { SealFault } from "./seal-fault.ts";

/** One version of one ring. `key` has 32 bytes. */
export interface RingKeyVersion {
  /** 16 lower-case hex digits. */
  readonly ring: string;
  readonly version: number;
  readonly key: Uint8Array;
}

/** Id of the key ring of one tenant and purpose: 16 lower-case hex digits. */
export function ringId(tenant: string, purpose: string): string {
  const digest = createHash("sha256").update("sallyport/ring/v1").update(printContext({ tenant, purpose })).digest();
  return digest.subarray(0, 8).toString("hex");
}

/** Seals `plaintext` (at most 16 MiB) to its context. Throws TypeError for a context without tenant or purpose. */
export function sealToRing(
  under: RingKeyVersion,
  content: { readonly context: SealContext; readonly plaintext: Uint8Array },
  random: Random,
): Uint8Array {
  const salt = random.bytes(saltBytes);
  const derived = deriveEnvelopeKey(under.key, salt, headerBytes("ring", under.ring, under.version));
  const { commitment } = derived;
  const sealed = sealUnder(derived, printSealContext(content.context), content.plaintext);
  return printEnvelope({ suite: "ring", ring: under.ring, version: under.version, salt, commitment, ...sealed });
}

/** Reads an envelope that must be of suite 1. Faults: `envelope-malformed`. */
export function readRingEnvelope(bytes: Uint8Array): RingEnvelope {
  const envelope = readEnvelope(bytes);
  if (envelope.suite !== "ring") {
    throw new SealFault("envelope-malformed", "the envelope is sealed to a recipient, not to a key ring");
  }
  return envelope;
}

/** The plaintext. Faults: `key-unknown` (another ring or version), `envelope-refused` (changed, or another context). */
export function openFromRing(under: RingKeyVersion, context: SealContext, envelope: RingEnvelope): Uint8Array {
  if (envelope.ring !== under.ring || envelope.version !== under.version) {
    throw new SealFault(
      "key-unknown",
      `the envelope names key ${envelope.ring} version ${envelope.version}, not ${under.ring} version ${under.version}`,
    );
  }
  const bound = headerBytes("ring", envelope.ring, envelope.version);
  const derived = deriveEnvelopeKey(under.key, envelope.salt, bound);
  return openUnder(derived, { nonce: singleUseNonce, aad: printSealContext(context) }, envelope);
}
