// Promises one reading of an answer's head or none: a status line and fields with no second interpretation, bounded in number and size.
// Trusts nothing a provider sends. Specified by RFC 9112 §2-6 and RFC 9110 §5; what is refused beyond them: docs/decisions/0021-own-upstream-client.md.
import { colon, cr, lf, space, tab, tokenOctets } from "./octets.ts";

/** Status line and fields of one head, with their line ends. */
export const headBytesMax = 32 * 1024;
export const fieldsMax = 128;

/** A larger head is read each time. */
export const keptHeadBytesMax = 2_048;

/** `read` did not come to the end of the head. */
export const incomplete = -1;
/** `read` found something that is not HTTP/1.1; `why` says what. */
export const malformed = -2;

/** RFC 9110 §5.5 without obs-text: bytes above 0x7e have no agreed reading, so the caller would not see what we judged. */
const isValue = tableOf(/[\t\x20-\x7e]/);
/** The reason is read by nobody and goes nowhere, so that it may be in any alphabet. */
const isReason = tableOf(/[\t\x20-\x7e\x80-\xff]/);
const contentLengthDigits = /^(?:0|[1-9][0-9]{0,14})$/;
const codingNameLength = "transfer-encoding".length;
const statusPrefix = "HTTP/1.";

/** One entry per latin1 code unit: 1 where it may stand. Codes beyond the text (NaN) find no entry. */
function tableOf(allowed: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed.test(String.fromCharCode(code)) ? 1 : 0));
}

/** Seconds after `timeout=` of the Keep-Alive field seen last: one provider says the same again and again. */
let keepAliveSeen = { value: "", seconds: null as number | null };

function keepAliveSeconds(value: string): number | null {
  if (value === keepAliveSeen.value) return keepAliveSeen.seconds;
  const digits = /(?:^|[,;\s])timeout=([0-9]{1,6})(?:$|[,;\s])/i.exec(value)?.[1];
  keepAliveSeen = { value, seconds: digits === undefined ? null : Number(digits) };
  return keepAliveSeen.seconds;
}

/** One head as it was read. Begin anew with `reset`; after `malformed` only `why` means anything. */
export class ResponseHead {
  status = 0;
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  minorVersion = 1;
  /** Names as received and values without surrounding white space, alternating; of a kept head frozen. */
  fields: string[] = [];
  contentLength: number | null = null;
  isChunked = false;
  /** Some Connection field says `close`. */
  saysClose = false;
  /** `timeout` of Keep-Alive, which is how long the provider leaves an idle connection open. */
  keepAliveS: number | null = null;
  why = "";
  /** The head that was read last, where it was whole, well-formed and small: what comes again says the same again. */
  #kept = "";

  reset(): void {
    this.#kept = "";
    this.status = 0;
    this.minorVersion = 1;
    this.fields = [];
    this.contentLength = null;
    this.isChunked = false;
    this.saysClose = false;
    this.keepAliveS = null;
    this.why = "";
  }

  /** Reads a whole head from the beginning of `text` (latin1). The index behind it, `incomplete` or `malformed`. */
  read(text: string): number {
    const kept = this.#kept;
    // Sliced and compared: `startsWith` would go character by character.
    if (kept !== "" && text.slice(0, kept.length) === kept) return kept.length;
    this.reset();
    const at = this.#readStatusLine(text);
    const end = at < 0 ? at : this.readFields(text, at);
    if (end > 0 && end <= keptHeadBytesMax) {
      this.#kept = text.slice(0, end);
      // Each answer with this head has this very list.
      Object.freeze(this.fields);
    }
    return end;
  }

  /** RFC 9112 §4. The one leniency: the space before an absent reason may be missing, because nothing can be mistaken for it. */
  #readStatusLine(text: string): number {
    if (!text.startsWith(statusPrefix)) {
      if (text.length < statusPrefix.length && statusPrefix.startsWith(text)) return incomplete;
      return this.#refuse("the status line does not begin with HTTP/1.1 or HTTP/1.0");
    }
    const minor = text.charCodeAt(7) - 0x30;
    if (text.length > 7 && minor !== 1 && minor !== 0)
      return this.#refuse("the status line names another version than HTTP/1.1 or HTTP/1.0");
    if (text.length > 8 && text.charCodeAt(8) !== space) return this.#refuse("the status line is malformed");
    let status = 0;
    for (let i = 9; i < 12; i++) {
      const digit = text.charCodeAt(i) - 0x30;
      if (digit >= 0 && digit <= 9) status = status * 10 + digit;
      else if (i < text.length) return this.#refuse("the status is not three digits");
    }
    if (text.length < 13) return incomplete;
    if (status < 100) return this.#refuse("the status is below 100");
    let at = 12;
    if (text.charCodeAt(at) === space)
      do at++;
      while (isReason[text.charCodeAt(at)] === 1);
    this.status = status;
    this.minorVersion = minor;
    return this.#endLine(text, at, "the status line is malformed");
  }

  /** Field lines up to and with the empty line that ends them (RFC 9112 §5). */
  readFields(text: string, from: number): number {
    let at = from;
    for (;;) {
      if (at > headBytesMax) return this.#refuse("the header section is too large");
      if (text.charCodeAt(at) === cr) return this.#endLine(text, at, "a header line is malformed");
      const nameFrom = at;
      while (tokenOctets[text.charCodeAt(at)] === 1) at++;
      if (text.charCodeAt(at) !== colon || at === nameFrom)
        return at >= text.length ? incomplete : this.#refuse(nameProblem(text.charCodeAt(at), at === nameFrom));
      const name = text.slice(nameFrom, at);
      do at++;
      while (text.charCodeAt(at) === space || text.charCodeAt(at) === tab);
      const valueFrom = at;
      while (isValue[text.charCodeAt(at)] === 1) at++;
      const valueEnd = at;
      at = this.#endLine(text, at, "a header value holds a control character or a byte above 0x7e");
      if (at < 0) return at;
      if (this.fields.length >= fieldsMax * 2) return this.#refuse("too many header fields");
      const value = trimmed(text, valueFrom, valueEnd);
      this.fields.push(name, value);
      if (!this.#readFraming(name, name.length === codingNameLength ? untabbed(text, valueFrom, valueEnd) : value))
        return malformed;
    }
  }

  /** The index behind CR LF at `at`. */
  #endLine(text: string, at: number, otherwise: string): number {
    const code = text.charCodeAt(at);
    if (code === cr) {
      if (text.charCodeAt(at + 1) === lf) return at + 2;
      return at + 1 >= text.length ? incomplete : this.#refuse("a CR without LF");
    }
    if (at >= text.length) return at > headBytesMax ? this.#refuse("the header section is too large") : incomplete;
    return this.#refuse(code === lf ? "a line ends with LF alone" : otherwise);
  }

  /** What decides where the message ends. Two answers to that question are the beginning of every desynchronisation (RFC 9112 §6.3). */
  #readFraming(name: string, value: string): boolean {
    // Only these lengths: nothing else has to be compared for most fields.
    switch (name.length) {
      case 10:
        if (name.toLowerCase() === "connection") this.saysClose ||= namesClose(value);
        else if (name.toLowerCase() === "keep-alive") this.keepAliveS = keepAliveSeconds(value);
        return true;
      case 14:
        return name.toLowerCase() !== "content-length" || this.#readLength(value);
      case codingNameLength:
        return name.toLowerCase() !== "transfer-encoding" || this.#readCoding(value);
      default:
        return true;
    }
  }

  #readLength(value: string): boolean {
    if (this.contentLength !== null) this.#refuse("content-length occurs more than once");
    else if (!contentLengthDigits.test(value)) this.#refuse("content-length is not one number");
    else if (this.isChunked) this.#refuse("both transfer-encoding and content-length");
    else this.contentLength = Number(value);
    return this.why === "";
  }

  #readCoding(value: string): boolean {
    if (this.isChunked) this.#refuse("transfer-encoding occurs more than once");
    // Any other coding would be framed by the end of the connection, and its bytes would pass for content that is not coded.
    else if (value.toLowerCase() !== "chunked") this.#refuse("transfer-encoding is not chunked");
    else if (this.contentLength !== null) this.#refuse("both transfer-encoding and content-length");
    // RFC 9112 §6.1: who speaks HTTP/1.0 does not know it, so the field was passed on by somebody who did not read it.
    else if (this.minorVersion === 0) this.#refuse("transfer-encoding in an HTTP/1.0 answer");
    else this.isChunked = true;
    return this.why === "";
  }

  #refuse(why: string): typeof malformed {
    this.why = why;
    return malformed;
  }
}

function nameProblem(code: number, isEmpty: boolean): string {
  if (code === lf) return "a line ends with LF alone";
  if (!isEmpty) return code === space || code === tab ? "white space before a colon" : "a header name is malformed";
  // RFC 9112 §5.2: an unfolding reader and one that does not would see different fields.
  return code === space || code === tab ? "a folded header line" : "a header name is malformed";
}

function trimmed(text: string, from: number, to: number): string {
  let end = to;
  while (end > from && (text.charCodeAt(end - 1) === space || text.charCodeAt(end - 1) === tab)) end--;
  return text.slice(from, end);
}

/** Without spaces behind it, and with a tab: where one ends `chunked`, Node reads to the end of the connection, and somebody else may too. */
function untabbed(text: string, from: number, to: number): string {
  let end = to;
  while (end > from && text.charCodeAt(end - 1) === space) end--;
  return text.slice(from, end);
}

function namesClose(value: string): boolean {
  if (value.length < 5) return false;
  const lower = value.toLowerCase();
  return lower === "close" || lower.split(",").some((option) => option.trim() === "close");
}
