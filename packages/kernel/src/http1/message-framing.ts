// Promises one answer to where a request ends and whether another may follow it on its connection, or a refusal where two answers are possible.
// Trusts field-lines.ts for names and values. Specified in RFC 9112 §6 and §9.3, RFC 9110 §8.6 and §10.1.1.

export type FramingFault =
  /** Not one plain decimal number: a sign, a list, a leading zero, white space inside, more than 15 digits, or said twice. */
  | "content-length"
  /** Anything but one field `chunked`, in lower case. */
  | "transfer-encoding"
  /** Both: how requests are smuggled (RFC 9112 §6.1). */
  | "both-framings"
  /** Transfer-Encoding in HTTP/1.0, which has none (§6.1). */
  | "framing-of-1.0";

export interface RequestFraming {
  /** Octets of content to come; -1 when it is chunked. */
  readonly contentLength: number;
  /** No other request may follow: HTTP/1.0, or `Connection: close`. */
  readonly closes: boolean;
  readonly expectsContinue: boolean;
}

/** Few enough digits to stay exact. */
const lengthDigitsMax = 15;
const zero = 0x30;
const nine = 0x39;
export const chunkedLength = -1;
const unset = -2;

/** What the fields (names and values alternating) say of the message as a whole. Pure. */
export function framingOf(raw: readonly string[], minorVersion: 0 | 1): RequestFraming | FramingFault {
  let contentLength = unset;
  let coded = false;
  let closes = minorVersion === 0;
  let expectsContinue = false;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    // Only names of these lengths need to be compared.
    switch (name.length) {
      case 6:
        if (isName(name, "expect")) expectsContinue ||= minorVersion === 1 && value.toLowerCase() === "100-continue";
        break;
      case 10:
        if (isName(name, "connection")) closes ||= saysClose(value);
        break;
      case 14:
        if (isName(name, "content-length")) {
          if (contentLength !== unset) return "content-length";
          contentLength = plainNumber(value);
          if (contentLength === unset) return "content-length";
        }
        break;
      case 17:
        if (isName(name, "transfer-encoding")) {
          if (coded || value !== "chunked") return "transfer-encoding";
          coded = true;
        }
        break;
      default:
    }
  }
  if (coded && contentLength !== unset) return "both-framings";
  if (coded && minorVersion === 0) return "framing-of-1.0";
  return {
    contentLength: coded ? chunkedLength : contentLength === unset ? 0 : contentLength,
    closes,
    expectsContinue,
  };
}

/** The name of a field that says how long a message is: in a trailer it could only contradict (RFC 9110 §6.5.1). */
export function framesMessage(name: string): boolean {
  return isName(name, "content-length") || isName(name, "transfer-encoding");
}

function isName(name: string, lowerCase: string): boolean {
  return name === lowerCase || (name.length === lowerCase.length && name.toLowerCase() === lowerCase);
}

/** `unset` for anything but `0` or digits that begin with none. */
function plainNumber(value: string): number {
  if (value.length === 0 || value.length > lengthDigitsMax) return unset;
  if (value.charCodeAt(0) === zero && value.length > 1) return unset;
  let number = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i);
    if (digit < zero || digit > nine) return unset;
    number = number * 10 + (digit - zero);
  }
  return number;
}

/** A list whose members are compared without case (RFC 9110 §7.6.1). */
function saysClose(value: string): boolean {
  if (value === "keep-alive") return false;
  if (value === "close") return true;
  return value.split(",").some((option) => option.trim().toLowerCase() === "close");
}
