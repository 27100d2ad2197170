// Promises one spelling of an API key: prefix, a name that may be shown, 256 random bits and a checksum, so that scanners find one and a typing mistake is told
// from a guess. Trusts nothing. Specified in docs/identity/api-keys.md.
import { checkedSecret, isCheckedSecret } from "./handle.ts";

export const apiKeyPrefix = "spk1_";
const form = /^spk1_([0-9a-f]{10})_([A-Za-z0-9_-]{48})$/;
const idForm = /^[0-9a-f]{10}$/;

/** The key of this name (ten hexadecimal digits) and 32 random bytes. */
export function printApiKey(id: string, secret: Uint8Array): string {
  if (!idForm.test(id)) throw new RangeError("a key is named by ten hexadecimal digits");
  return `${apiKeyPrefix}${id}_${checkedSecret(secret)}`;
}

/** The name of a key that is spelled right; null for any other text. Says nothing about whether anybody was given it. */
export function apiKeyIdOf(text: string): string | null {
  const [, id, secret = ""] = form.exec(text) ?? [];
  return id !== undefined && isCheckedSecret(secret) ? id : null;
}

/** As operators may see what was sent: never a character of the secret. */
export function shownApiKey(text: string): string {
  const [, id] = /^spk1_([0-9a-f]{10})_/.exec(text) ?? [];
  return id === undefined ? `${text.startsWith(apiKeyPrefix) ? apiKeyPrefix : ""}…` : `${apiKeyPrefix}${id}_…`;
}

/** What revocations call a key. */
export function apiKeyTokenId(id: string): string {
  return `key_${id}`;
}
