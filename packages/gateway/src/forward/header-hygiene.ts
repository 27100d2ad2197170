// Promises that an upstream's fields go back only when they are well-formed, few, end-to-end and not ours to set.
// Trusts nothing the upstream sent. Specified by RFC 9110 §5.5 and §7.6.1; names: protocol/canonical/hop-headers.ts.
import { AnswerLines } from "@sallyport/kernel/http1/answer-text.ts";
import {
  connectionOptions,
  isForPages,
  judgeName,
  keepsResponseHeader,
} from "@sallyport/protocol/canonical/hop-headers.ts";

export const responseHeadersMax = 128;
export const responseHeaderBytesMax = 32 * 1024;

export type ResponseHeaders =
  | {
      readonly ok: true;
      readonly headers: readonly string[];
      /** `headers` as they stand in an answer. */
      readonly lines: AnswerLines;
      readonly contentLength: number | null;
      readonly eventStream: boolean;
      /** It has a Content-Encoding. */
      readonly isCoded: boolean;
      /** It says something to pages of browsers, which is not among `headers` unless that was asked for. */
      readonly saysToPages: boolean;
    }
  | { readonly ok: false; readonly why: string };

const tokenName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// RFC 9110 §5.5: visible characters, space and tab; obs-text is not ours to pass on.
const fieldValue = /^[\t\x20-\x7e]*$/;
const digits = /^(?:0|[1-9][0-9]{0,14})$/;

/** What was said of the fields of heads that come again (kernel/http1/response-head.ts): their lists are frozen, and go with their connections. */
const judgedBefore = new WeakMap<readonly string[], ResponseHeaders>();

/**
 * Judges and reduces an upstream's response fields. `raw` is a flat list of names and values; names in any case. `to`: asked, where there is such a
 * word, whether what the provider says to pages of browsers goes on.
 */
export function responseHeadersDownstream(raw: readonly string[], to?: { tellsPages?(): boolean }): ResponseHeaders {
  const judged = judgeOnce(raw);
  return judged.ok && judged.saysToPages && to?.tellsPages?.() === true ? judge(raw, true) : judged;
}

function judgeOnce(raw: readonly string[]): ResponseHeaders {
  const known = judgedBefore.get(raw);
  if (known !== undefined) return known;
  const judged = judge(raw, false);
  if (Object.isFrozen(raw)) judgedBefore.set(raw, judged);
  return judged;
}

function judge(raw: readonly string[], tellsPages: boolean): ResponseHeaders {
  if (raw.length > responseHeadersMax * 2) return { ok: false, why: "too many header fields" };
  const named = namedHopByHop(raw);
  const headers: string[] = [];
  let contentLength: number | null = null;
  let eventStream = false;
  let isCoded = false;
  let saysToPages = false;
  let chunked = false;
  let bytes = 0;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const received = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    bytes += received.length + value.length;
    if (bytes > responseHeaderBytesMax) return { ok: false, why: "header section too large" };
    if (!tokenName.test(received) || !fieldValue.test(value)) return { ok: false, why: "malformed header field" };
    const { name, isIdentity } = judgeName(received);
    if (name === "content-length") {
      if (contentLength !== null || !digits.test(value)) return { ok: false, why: "ambiguous content-length" };
      contentLength = Number(value);
      continue;
    }
    if (name === "transfer-encoding") {
      // Any other coding would be framed by the end of the connection, and its bytes would pass for content that is not coded.
      if (chunked || value.toLowerCase() !== "chunked") return { ok: false, why: "transfer-encoding is not chunked" };
      chunked = true;
      continue;
    }
    if (name === "content-type" && value.toLowerCase().startsWith("text/event-stream")) eventStream = true;
    if (name === "content-encoding") isCoded = true;
    const isWordToPages = isForPages(name);
    if (isWordToPages) saysToPages = true;
    const isKept = keepsResponseHeader(name, named) || (tellsPages && isWordToPages && !named.has(name));
    if (!isIdentity && isKept) headers.push(name, value);
  }
  if (chunked && contentLength !== null) return { ok: false, why: "both transfer-encoding and content-length" };
  return { ok: true, headers, lines: new AnswerLines(headers), contentLength, eventStream, isCoded, saysToPages };
}

function namedHopByHop(raw: readonly string[]): ReadonlySet<string> {
  let values: string[] | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (name.length !== 10 || name.toLowerCase() !== "connection") continue;
    values ??= [];
    values.push(raw[i + 1] ?? "");
  }
  return connectionOptions(values);
}
