// Promises that the key of a backup is in its header once per recipient or passphrase, and nowhere in clear. Trusts node:crypto and seal/v1.
// Specified in docs/formats/backup.md "Header". Argon2id: RFC 9106.
import { argon2 } from "node:crypto";
import type { Random } from "../ports.ts";
import { aeadOpen, aeadSeal, singleUseNonce } from "../seal/aead.ts";
import { createRecipientSealer, type RecipientOpener, recipientId } from "../seal/recipient.ts";
import { SealFault } from "../seal/seal-fault.ts";
import type { Secret } from "../seal/secret.ts";
import { BackupFault } from "./fault.ts";

export const slotsMax = 16;
export const passphraseBytesMin = 12;
const tagBytes = 16;
/** RFC 9106 §4, second recommended option. */
const cost = { memoryKiB: 65_536, passes: 3, lanes: 4 } as const;
/** What a header may ask of whoever opens it: a made-up one must not take the machine's memory. */
const costMax = { memoryKiB: 1_048_576, passes: 16, lanes: 16 } as const;
const passphraseAad = new TextEncoder().encode("sallyport/backup/v1/passphrase");
const context = { tenant: "sallyport", purpose: "backup-file-key" };

export type Slot =
  | { readonly kind: "recipient"; readonly id: string; readonly sealed: string }
  | {
      readonly kind: "passphrase";
      readonly salt: string;
      readonly memoryKiB: number;
      readonly passes: number;
      readonly lanes: number;
      readonly sealed: string;
    };

/** To whom a backup is made. */
export type BackupLock =
  | { readonly kind: "recipient"; readonly publicKey: Uint8Array }
  | { readonly kind: "passphrase"; readonly passphrase: Secret };

/** What opens one. */
export type BackupUnlock =
  | { readonly kind: "recipient"; readonly opener: RecipientOpener }
  | { readonly kind: "passphrase"; readonly passphrase: Secret };

function stretch(
  passphrase: Secret,
  salt: Uint8Array,
  { memoryKiB, passes, lanes }: { readonly memoryKiB: number; readonly passes: number; readonly lanes: number },
): Promise<Uint8Array> {
  return new Promise((resolve, reject) =>
    passphrase.use((message) =>
      argon2(
        "argon2id",
        { message, nonce: salt, parallelism: lanes, tagLength: 32, memory: memoryKiB, passes },
        (error, key) => (error === null ? resolve(new Uint8Array(key)) : reject(error)),
      ),
    ),
  );
}

/** Seals the file key to one lock. Faults: `backup-key` for a short passphrase, SealFault `recipient-key`. */
export async function sealSlot(lock: BackupLock, fileKey: Uint8Array, random: Random): Promise<Slot> {
  if (lock.kind === "recipient") {
    const sealer = createRecipientSealer({ recipient: lock.publicKey, random });
    const sealed = sealer.seal(context, fileKey);
    sealer.forget();
    return { kind: "recipient", id: recipientId(lock.publicKey), sealed: Buffer.from(sealed).toString("base64url") };
  }
  if (lock.passphrase.use((bytes) => bytes.length) < passphraseBytesMin)
    throw new BackupFault(
      "backup-key",
      `the passphrase is shorter than ${passphraseBytesMin} bytes: whoever gets the file may guess for ever; use a longer one, or a key pair (sallyport backup key new)`,
    );
  const salt = random.bytes(16);
  const key = await stretch(lock.passphrase, salt, cost);
  const { ciphertext, tag } = aeadSeal({ key, nonce: singleUseNonce, aad: passphraseAad }, fileKey);
  key.fill(0);
  const sealed = Buffer.concat([ciphertext, tag]).toString("base64url");
  return { kind: "passphrase", salt: Buffer.from(salt).toString("base64url"), ...cost, sealed };
}

/** The file key, from the first slot this unlock opens. Faults: `backup-key`. */
export async function openSlots(slots: readonly Slot[], unlock: BackupUnlock): Promise<Uint8Array> {
  for (const slot of slots) {
    const key = await openSlot(slot, unlock);
    if (key !== null) return key;
  }
  const made = slots.map((slot) => (slot.kind === "recipient" ? `recipient key ${slot.id}` : "a passphrase"));
  const given =
    unlock.kind === "recipient" ? `the key given is ${unlock.opener.recipient}` : "the passphrase is not it";
  throw new BackupFault("backup-key", `this backup opens with ${made.join(" or ")}; ${given}`);
}

async function openSlot(slot: Slot, unlock: BackupUnlock): Promise<Uint8Array | null> {
  const sealed = Buffer.from(slot.sealed, "base64url");
  if (slot.kind === "recipient") {
    if (unlock.kind !== "recipient" || slot.id !== unlock.opener.recipient) return null;
    try {
      return unlock.opener.open(context, sealed);
    } catch (error) {
      if (error instanceof SealFault)
        throw new BackupFault("backup-damaged", "the header was changed: its key does not open");
      throw error;
    }
  }
  if (unlock.kind !== "passphrase" || sealed.length <= tagBytes) return null;
  const { memoryKiB, passes, lanes } = slot;
  if (memoryKiB > costMax.memoryKiB || passes > costMax.passes || lanes > costMax.lanes) return null;
  const key = await stretch(unlock.passphrase, Buffer.from(slot.salt, "base64url"), slot);
  const opened = aeadOpen(
    { key, nonce: singleUseNonce, aad: passphraseAad },
    sealed.subarray(0, -tagBytes),
    sealed.subarray(-tagBytes),
  );
  key.fill(0);
  return opened;
}

/** The slots of a header, strictly; null for anything else. */
export function parseSlots(value: unknown): readonly Slot[] | null {
  if (!Array.isArray(value) || value.length === 0 || value.length > slotsMax) return null;
  const slots = value.map(parseSlot);
  return slots.every((slot) => slot !== null) ? slots : null;
}

const encoded = /^[A-Za-z0-9_-]{16,512}$/;

function parseSlot(value: unknown): Slot | null {
  if (typeof value !== "object" || value === null) return null;
  const { kind, id, sealed, salt, memoryKiB, passes, lanes, ...more } = Object.fromEntries(Object.entries(value));
  if (Object.keys(more).length > 0 || typeof sealed !== "string" || !encoded.test(sealed)) return null;
  if (kind === "recipient") {
    const whole = typeof id === "string" && /^[0-9a-f]{16}$/.test(id) && salt === undefined && memoryKiB === undefined;
    return whole && passes === undefined && lanes === undefined ? { kind, id, sealed } : null;
  }
  const counts = [memoryKiB, passes, lanes].every((count) => Number.isSafeInteger(count) && Number(count) > 0);
  if (kind !== "passphrase" || id !== undefined || typeof salt !== "string" || !encoded.test(salt) || !counts)
    return null;
  return { kind, salt, memoryKiB: Number(memoryKiB), passes: Number(passes), lanes: Number(lanes), sealed };
}
