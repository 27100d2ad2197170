// Promises time-based one-time passwords of which each is good once: the step accepted last is part of the decision, and none at or before it passes.
// Trusts the clock and node:crypto. Specified in RFC 6238 and RFC 4226 §5.3; base32: RFC 4648 §6; docs/identity/people.md "One-time codes".
import { createHmac, timingSafeEqual } from "node:crypto";

export const totpStepMs = 30_000;
export const totpDigits = 6;
/** RFC 4226 §4 R6 recommends 160 bits. */
export const totpSecretBytes = 20;
/** Steps a device's clock may be off, before and after (RFC 6238 §5.2 recommends one). */
const driftSteps = 1;

export type TotpHash = "sha1" | "sha256" | "sha512";

/** The code of one time step. Authenticator apps know SHA-1 and six digits; the other forms are those of RFC 6238 Appendix B. */
export function totpOf(
  secret: Uint8Array,
  step: number,
  form: { readonly hash: TotpHash; readonly digits: number } = { hash: "sha1", digits: totpDigits },
): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac(form.hash, secret).update(counter).digest();
  const offset = mac.readUInt8(mac.length - 1) & 0x0f;
  const truncated = mac.readUInt32BE(offset) & 0x7fff_ffff;
  return String(truncated % 10 ** form.digits).padStart(form.digits, "0");
}

export interface TotpInputs {
  readonly secret: Uint8Array;
  readonly code: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Last step that was accepted; null before the first. */
  readonly lastStep: number | null;
}

/**
 * The step the code belongs to, or a refusal. The caller must store the step by compare-and-set, so that of two who
 * present one code at once only one passes.
 */
export function decideTotp(
  inputs: TotpInputs,
): { readonly kind: "accepted"; readonly step: number } | { readonly kind: "refused" } {
  const code = inputs.code.replaceAll(" ", "");
  if (!/^\d{6}$/.test(code)) return { kind: "refused" };
  const given = Buffer.from(code);
  const now = Math.floor(inputs.now / totpStepMs);
  let accepted: number | null = null;
  // All are compared, whichever fits: the answer's time says nothing of the clock's difference.
  for (let step = now - driftSteps; step <= now + driftSteps; step += 1) {
    const isSame = step >= 0 && timingSafeEqual(Buffer.from(totpOf(inputs.secret, Math.max(0, step))), given);
    if (isSame && step > (inputs.lastStep ?? -1)) accepted = step;
  }
  return accepted === null ? { kind: "refused" } : { kind: "accepted", step: accepted };
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Without padding: what people type into an authenticator app. */
export function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + alphabet[(held << (5 - bits)) & 31];
}

/** What an authenticator app reads: `otpauth://totp/<issuer>:<name>?secret=…`. */
export function otpauthUri(secret: Uint8Array, issuer: string, name: string): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(name)}`;
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=${encodeURIComponent(issuer)}&algorithm=SHA1&digits=${totpDigits}&period=${totpStepMs / 1000}`;
}
