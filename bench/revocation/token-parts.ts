// Promises what a token says of itself, read without a check: what to revoke it by. Trusts nothing about it. Format: docs/formats/token.md §1.

export const headerOf = (token: string): Readonly<Record<string, unknown>> => partOf(token, 0);
export const claimsOf = (token: string): Readonly<Record<string, unknown>> => partOf(token, 1);

function partOf(token: string, part: 0 | 1): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(Buffer.from(token.split(".")[part] ?? "", "base64url").toString("utf8"));
  if (typeof value !== "object" || value === null) throw new Error("a part of a token is an object");
  return { ...value };
}
