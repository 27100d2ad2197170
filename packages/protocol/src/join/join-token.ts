// Promises that a join token says all a gateway needs to know and trust before its first word with control; parse and print are inverse.
// Trusts whoever handed the token over. Specified in docs/formats/join.md.

export interface JoinToken {
  readonly v: 1;
  /** Origin of the channel listener. */
  readonly url: string;
  /** SHA-256 of the listener's SubjectPublicKeyInfo, base64. */
  readonly pin: string;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  /** Ed25519 public key (raw, base64url) of this group's snapshots. */
  readonly snapshotKey: { readonly kid: string; readonly x: string };
  /** 32 bytes, base64url. */
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

const prefix = "spj1_";
const textCharactersMax = 4096;
const word = /^[a-z][a-z0-9-]{0,62}$/;
const base64url43 = /^[A-Za-z0-9_-]{43}$/;
const members: Readonly<Record<Exclude<keyof JoinToken, "v" | "snapshotKey" | "expiresAt">, RegExp>> = {
  url: /^https:\/\/[A-Za-z0-9.\-[\]:]{1,255}$/,
  pin: /^[A-Za-z0-9+/]{43}=$/,
  tenant: word,
  environment: word,
  region: word,
  group: word,
  secret: base64url43,
};

/** The text an operator hands to a gateway. */
export function printJoinToken(token: JoinToken): string {
  const { v, url, pin, tenant, environment, region, group, snapshotKey, secret, expiresAt } = token;
  const { kid, x } = snapshotKey;
  const json = JSON.stringify({
    v,
    url,
    pin,
    tenant,
    environment,
    region,
    group,
    snapshotKey: { kid, x },
    secret,
    expiresAt,
  });
  return prefix + btoa(json).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The token, or null when the text is not exactly what `printJoinToken` prints. Expiry is for control to judge. */
export function parseJoinToken(text: string): JoinToken | null {
  if (!text.startsWith(prefix) || text.length > textCharactersMax) return null;
  try {
    const json = atob(text.slice(prefix.length).replaceAll("-", "+").replaceAll("_", "/"));
    const value: unknown = JSON.parse(json);
    return isJoinToken(value) && printJoinToken(value) === text ? value : null;
  } catch {
    return null;
  }
}

function isJoinToken(value: unknown): value is JoinToken {
  if (typeof value !== "object" || value === null) return false;
  const record: Readonly<Record<string, unknown>> = { ...value };
  for (const [name, shape] of Object.entries(members)) {
    const member = record[name];
    if (typeof member !== "string" || !shape.test(member)) return false;
  }
  const { v, url, snapshotKey: key, expiresAt } = record;
  if (typeof key !== "object" || key === null || !("kid" in key) || !("x" in key)) return false;
  const isKey =
    typeof key.kid === "string" && base64url43.test(key.kid) && typeof key.x === "string" && base64url43.test(key.x);
  return v === 1 && isKey && Number.isSafeInteger(expiresAt) && Number(expiresAt) >= 0 && isOrigin(String(url));
}

/** A sane host and a port in range: what `members` lets through may still be no URL. */
function isOrigin(text: string): boolean {
  const authority =
    /^https:\/\/(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::(\d{1,5}))?$/.exec(text);
  return authority !== null && !text.includes("..") && Number(authority[2] ?? 443) <= 65_535;
}
