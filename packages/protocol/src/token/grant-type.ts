// Promises one word for each grant type, for policies and records. Trusts nothing. Words: RFC 6749, 7523, 8628, 8693; docs/policy.md.

/** What follows the last colon of the grant type's URN, or the grant type itself. */
export const grantWords = [
  "client_credentials",
  "authorization_code",
  "refresh_token",
  "device_code",
  "jwt-bearer",
  "token-exchange",
] as const;

export type GrantWord = (typeof grantWords)[number];

/** The word of a `grant_type`; null: it is none of ours. */
export function grantWordOf(grantType: string): GrantWord | null {
  return (
    grantWords.find((word) => word === grantType || `urn:ietf:params:oauth:grant-type:${word}` === grantType) ?? null
  );
}
