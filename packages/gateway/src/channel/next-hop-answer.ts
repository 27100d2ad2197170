// Promises that what control answers about a token for a provider is one of the three answers or none at all: a damaged one must not pass for a refusal.
// Trusts the channel to be control's. Specified in docs/formats/join.md.
import { type NextHopAnswer, nextHopTokenBytesMax } from "@sallyport/protocol/channel/next-hop.ts";

/** As it stands in `Authorization` (RFC 6750 §2.1). */
const tokenText = /^[A-Za-z0-9._~+/-]+=*$/;
const codeText = /^[a-z][a-z0-9-]{0,63}$/;
const idText = /^[\x21-\x7e]{1,128}$/;

/** Throws for anything else. */
export function parseNextHopAnswer(body: Uint8Array): NextHopAnswer {
  const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  const { kind, token, scheme, expiresAt, id, code } = (
    typeof value === "object" && value !== null ? value : {}
  ) as Readonly<Record<string, unknown>>;
  if ((kind === "refused" || kind === "unavailable") && typeof code === "string" && codeText.test(code))
    return { kind, code };
  const isToken = typeof token === "string" && token.length <= nextHopTokenBytesMax && tokenText.test(token);
  const isNamed = typeof id === "string" && idText.test(id) && Number.isSafeInteger(expiresAt);
  if (kind === "token" && isToken && isNamed && (scheme === "DPoP" || scheme === "Bearer"))
    return { kind, token, scheme, expiresAt: Number(expiresAt), id };
  throw new Error("the answer is none of docs/formats/join.md");
}
