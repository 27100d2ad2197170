// Promises which access tokens may be asked about at an issuer outside: those that are none of our own forms and no JWT, so that neither a secret of ours
// nor a token somebody else signed ever leaves for a third party. Trusts nothing. Specified in docs/identity/outside-introspection.md (RFC 6750 §2.1).
import { decodeBase64url } from "./base64url.ts";
import { decodeUtf8 } from "./json.ts";

/** Shorter ones hold too little chance to be a secret, longer ones are none that anybody issues. */
export const opaqueLengthMin = 16;
export const opaqueLengthMax = 2_048;

const form = /^[A-Za-z0-9._~+/-]+=*$/;
/** Handles, API keys, clients' secrets, enrolment codes: `sp`, a letter for the kind, a version, `_`. */
const ownForm = /^sp[a-z]\d+_/;

/** Whether a token says nothing by itself and may be an outside issuer's. */
export function isOpaqueToken(token: string): boolean {
  if (token.length < opaqueLengthMin || token.length > opaqueLengthMax) return false;
  return form.test(token) && !ownForm.test(token) && !looksJose(token);
}

/**
 * JWS and JWE in compact form begin with a JSON object in base64url (RFC 7515 §7.1): its first byte is enough, because one whose rest was spoilt, by accident or
 * so that it passes for something else, holds the same secrets.
 */
function looksJose(token: string): boolean {
  const dot = token.indexOf(".");
  if (dot < 0) return false;
  if (/^e[w-z0-9+/_-]/.test(token)) return true;
  const header = decodeBase64url(token.slice(0, dot));
  const text = header === null ? null : decodeUtf8(header)?.trimStart();
  return text?.startsWith("{") === true;
}
