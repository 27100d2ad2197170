// Promises client secrets of 256 random bits that are kept as digests only, and a comparison that says nothing by its time.
// Trusts its randomness. One SHA-256 is enough for a secret that nobody can guess; docs/identity/client-authentication.md "Secrets".
import { hash, timingSafeEqual } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";
import type { ClientSecret, IdentityClient } from "../directory.ts";

/** So that scanners of repositories and logs know one when they see it. */
export const secretPrefix = "sps1_";
const secretBytes = 32;
const idBytes = 5;

export interface MadeSecret {
  readonly id: string;
  /** Shown once, to whoever asked for it. */
  readonly secret: string;
  readonly digest: string;
}

export function makeSecret(random: Random): MadeSecret {
  const secret = `${secretPrefix}${Buffer.from(random.bytes(secretBytes)).toString("base64url")}`;
  return { id: Buffer.from(random.bytes(idBytes)).toString("hex"), secret, digest: digestOf(secret) };
}

/** What a code of enrolment begins with. */
export const codePrefix = "spe1_";

export interface MadeCode {
  /** Shown once, to the operator who asked for it. */
  readonly code: string;
  readonly digest: string;
}

/** A code by which a workload enrols its key: as hard to guess as a secret, and kept as its digest alone. */
export function makeCode(random: Random): MadeCode {
  const code = `${codePrefix}${Buffer.from(random.bytes(secretBytes)).toString("base64url")}`;
  return { code, digest: digestOf(code) };
}

export function digestOf(secret: string): string {
  return hash("sha256", secret, "base64url");
}

/** The live secret this text is, or null. Pure but for the digest: as long for a wrong secret as for a right one, whichever of the two it is. */
export function findSecret(
  client: Pick<IdentityClient, "authentication" | "secrets">,
  text: string,
  now: number,
): ClientSecret | null {
  const { authentication: way, secrets } = client;
  if (way?.method !== "client_secret_basic" || way.untilMs <= now) return null;
  const presented = Buffer.from(digestOf(text));
  let found: ClientSecret | null = null;
  for (const secret of secrets ?? []) {
    const known = Buffer.from(secret.digest);
    const same = known.length === presented.length && timingSafeEqual(known, presented);
    if (same && now < (secret.notAfterMs ?? Number.POSITIVE_INFINITY)) found = secret;
  }
  return found;
}
