// Promises that a JWS which others parsed reads one way only. oidc-provider's parser accepts padding, white space and names that occur twice.
// Trusts nothing. Format: docs/formats/token.md §1.
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { parseCompactJws } from "@sallyport/protocol/token/jws.ts";

/** Whether the text is the one spelling of one compact JWS of at most `bytesMax` with a JSON object inside. */
export function hasOneSpelling(jws: string, bytesMax: number): boolean {
  const parsed = parseCompactJws(jws, { bytesMax, keyMember: "kid" });
  return parsed.kind === "jws" && parseJsonObject(parsed.payload) !== null;
}
