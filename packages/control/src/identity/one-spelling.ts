// Promises that a JWS which others parsed reads one way only. oidc-provider's parser accepts padding, white space and names that occur twice.
// Trusts nothing. Format: docs/formats/token.md §1.
import { parseJsonText } from "@sallyport/protocol/token/json.ts";
import { parseCompactJws } from "@sallyport/protocol/token/jws.ts";

/** Whether the text is the one spelling of one compact JWS of at most `bytesMax` with a JSON object inside. */
export function hasOneSpelling(jws: string, bytesMax: number): boolean {
  const parsed = parseCompactJws(jws, { bytesMax, keyMember: "kid" });
  return parsed.kind === "jws" && parseJsonText(parsed.payload) !== null;
}

/** Which key a JWS names and who it says it is from, before anything about it was verified: good for looking a key up and for nothing else. */
export function claimedSigner(
  jws: string,
  bytesMax: number,
): { readonly kid: string; readonly issuer: string | null } | null {
  const parsed = parseCompactJws(jws, { bytesMax, keyMember: "kid" });
  if (parsed.kind !== "jws") return null;
  const { kid } = parsed.header;
  const issuer = parseJsonText(parsed.payload)?.["iss"];
  return typeof kid === "string" ? { kid, issuer: typeof issuer === "string" ? issuer : null } : null;
}
