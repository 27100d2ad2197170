// Promises secrets that are shown once and kept as SHA-256 only: recovery codes, enrolment links, session cookies. All have at least 80 random bits,
// so a fast digest is enough (docs/identity/people.md "What is stored"). Trusts the random port.
import { createHash } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";
import { base32 } from "./totp.ts";

export const recoveryCodeCount = 10;
const recoveryCodeBytes = 10;
const secretBytes = 32;

/** 256 bits as 43 characters of base64url. */
export function makeSecret(random: Random): string {
  return Buffer.from(random.bytes(secretBytes)).toString("base64url");
}

export const secretForm = /^[A-Za-z0-9_-]{43}$/;

/** What is stored of a secret. `kind` keeps a digest of one kind from ever being taken for one of another. */
export function digestOf(
  kind: "session" | "browser" | "enrolment" | "recovery" | "device" | "source",
  secret: string,
): string {
  return createHash("sha256").update(`sallyport-people/v1\n${kind}\n${secret}`).digest("base64url");
}

/** Ten codes of 80 bits, as `ABCD-EFGH-IJKL-MNOP`. */
export function makeRecoveryCodes(random: Random): readonly string[] {
  return Array.from({ length: recoveryCodeCount }, () => {
    const text = base32(random.bytes(recoveryCodeBytes));
    return (text.match(/.{4}/g) ?? []).join("-");
  });
}

/** One spelling of a code as people type it, or null for what cannot be one. */
export function normalizeRecoveryCode(text: string): string | null {
  if (text.length > 64) return null;
  const bare = text.toUpperCase().replace(/[\s-]/g, "");
  return /^[A-Z2-7]{16}$/.test(bare) ? (bare.match(/.{4}/g) ?? []).join("-") : null;
}

/** `usr_` and 128 random bits: the subject of every token about a user. Says nothing about the person. */
export function makeUserId(random: Random): string {
  return `usr_${Buffer.from(random.bytes(16)).toString("base64url")}`;
}

/** `ses_` and 128 random bits: `sid` of tokens and logout tokens. It opens nothing: the cookie does. */
export function makeSessionId(random: Random): string {
  return `ses_${Buffer.from(random.bytes(16)).toString("base64url")}`;
}
