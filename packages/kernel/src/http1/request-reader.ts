// Promises the head of one request after another out of the octets of a connection, however these were cut into reads: one reading, or the first
// fault found from the left. Nothing is repaired. Trusts its caller to show it all octets of the head so far, in one buffer.
// Specified in RFC 9112 §2.2, §3, §5 and §6; what is stricter than the RFC: docs/decisions/0020-own-http-front.md.
import { type FieldFault, FieldLines } from "./field-lines.ts";
import { KeptSection, type ReadSection } from "./kept-section.ts";
import { type FramingFault, framingOf, type RequestFraming } from "./message-framing.ts";
import { cr, lf, space, targetOctets, tokenOctets } from "./octets.ts";

export type HeadFault =
  /** No token, or not one space behind it: also leading white space and a bare LF. */
  | "method"
  /** Empty, an octet outside 0x21-0x7e, or not one space behind it. */
  | "target"
  /** Not exactly `HTTP/1.1` or `HTTP/1.0`, and CR LF. */
  | "version"
  | "head-too-large"
  | FieldFault
  | FramingFault;

export interface RequestHead {
  readonly method: string;
  /** As received. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** Names and values alternating, as received, without the white space around values. */
  readonly rawHeaders: readonly string[];
  readonly framing: RequestFraming;
}

export interface HeadBounds {
  /** Of request line and header section, with all line ends. */
  readonly headBytesMax: number;
  readonly fieldsMax: number;
}

type Phase = "start" | "start-line-feed" | "method" | "target" | "version" | "line-feed" | "fields";

const version = [..."HTTP/1."].map((character) => character.charCodeAt(0));
const zero = 0x30;

export class RequestReader {
  readonly #bounds: HeadBounds;
  readonly #fields: FieldLines;
  readonly #kept = new KeptSection();
  #phase: Phase = "start";
  /** First octet of the head, with the empty line that may stand before it. */
  #from = 0;
  #at = 0;
  #methodFrom = 0;
  #methodEnd = 0;
  #targetEnd = 0;
  #versionAt = 0;
  /** Where the header section begins. */
  #fieldsAt = 0;
  #minorVersion: 0 | 1 = 1;

  constructor(bounds: HeadBounds) {
    this.#bounds = bounds;
    this.#fields = new FieldLines(bounds);
  }

  /** A request begins at index `at`. */
  begin(at: number): void {
    this.#phase = "start";
    this.#from = at;
    this.#at = at;
  }

  /** Index of the first octet not read yet: after a head, the one behind it. */
  get at(): number {
    return this.#at;
  }

  /** More has come of it than the empty line that may stand before a request. */
  get hasBegun(): boolean {
    return this.#phase !== "start" && this.#phase !== "start-line-feed";
  }

  /** The octets of the head lie `by` further on from now, in the same or in another buffer. */
  moved(by: number): void {
    this.#from += by;
    this.#at += by;
    this.#methodFrom += by;
    this.#methodEnd += by;
    this.#targetEnd += by;
    this.#fieldsAt += by;
    if (this.#phase === "fields") this.#fields.moved(by);
  }

  /** Reads on, up to index `end` and never behind the head. null: all was read and the head goes on. After a fault: `begin` again. */
  read(octets: Buffer, end: number): RequestHead | HeadFault | null {
    // What lies behind the bound is not looked at, so that how the octets were cut cannot change which fault is found.
    const limit = this.#from + this.#bounds.headBytesMax;
    const until = Math.min(end, limit);
    if (this.#phase !== "fields") {
      const fault = this.#readLine(octets, until);
      if (fault !== null) return fault;
      const head = this.#repeated(octets, until);
      if (head !== null) return head;
    }
    if (this.#phase === "fields") {
      const read = this.#fields.read(octets, until);
      this.#at = this.#fields.at;
      if (read === "end") return this.#head(octets);
      if (read !== "more") return read;
    }
    return until === limit ? "head-too-large" : null;
  }

  /** The head, where its line has just been read and its section is the kept one. */
  #repeated(octets: Buffer, end: number): RequestHead | null {
    if (this.#phase !== "fields") return null;
    const read = this.#kept.find(octets, this.#fieldsAt, { end, minorVersion: this.#minorVersion });
    if (read === null) return null;
    this.#at = this.#fieldsAt + this.#kept.length;
    return this.#headOf(octets.toString("latin1", this.#methodFrom, this.#targetEnd), read);
  }

  #head(octets: Buffer): RequestHead | HeadFault {
    const from = this.#methodFrom;
    const text = octets.toString("latin1", from, this.#at);
    const rawHeaders = this.#fields.raw(octets, text, from);
    const framing = framingOf(rawHeaders, this.#minorVersion);
    if (typeof framing === "string") return framing;
    const read = { rawHeaders, framing };
    this.#kept.keep(octets, this.#fieldsAt, { end: this.#at, minorVersion: this.#minorVersion, read });
    return this.#headOf(text, read);
  }

  /** `text` begins with the request line. */
  #headOf(text: string, { rawHeaders, framing }: ReadSection): RequestHead {
    const methodLength = this.#methodEnd - this.#methodFrom;
    return {
      method: methodOf(text.slice(0, methodLength)),
      target: text.slice(methodLength + 1, this.#targetEnd - this.#methodFrom),
      minorVersion: this.#minorVersion,
      rawHeaders,
      framing,
    };
  }

  /** RFC 9112 §3. Goes on where it stopped; null: no fault so far. */
  #readLine(octets: Buffer, end: number): HeadFault | null {
    let at = this.#at;
    while (at < end && this.#phase !== "fields") {
      const octet = octets[at] ?? 0;
      switch (this.#phase) {
        case "start":
          // One empty line before a request is not part of it (§2.2); a second one is not HTTP.
          if (octet === cr && at === this.#from) {
            at++;
            this.#phase = "start-line-feed";
          } else {
            this.#methodFrom = at;
            this.#phase = "method";
          }
          break;
        case "start-line-feed":
          if (octet !== lf) return "method";
          at++;
          this.#phase = "start";
          break;
        case "method":
          while (at < end && tokenOctets[octets[at] ?? 0] === 1) at++;
          if (at === end) break;
          if (octets[at] !== space || at === this.#methodFrom) return "method";
          this.#methodEnd = at++;
          this.#phase = "target";
          break;
        case "target":
          while (at < end && targetOctets[octets[at] ?? 0] === 1) at++;
          if (at === end) break;
          if (octets[at] !== space || at === this.#methodEnd + 1) return "target";
          this.#targetEnd = at++;
          this.#versionAt = 0;
          this.#phase = "version";
          break;
        case "version":
          if (!this.#isVersion(octet)) return "version";
          at++;
          break;
        default:
          if (octet !== lf) return "version";
          at++;
          this.#fieldsAt = at;
          this.#fields.begin(at);
          this.#phase = "fields";
      }
    }
    this.#at = at;
    return null;
  }

  /** `HTTP/1.0` or `HTTP/1.1` (§2.3) and CR, octet by octet. */
  #isVersion(octet: number): boolean {
    const index = this.#versionAt++;
    if (index < version.length) return octet === version[index];
    if (index > version.length) {
      this.#phase = "line-feed";
      return octet === cr;
    }
    if (octet !== zero && octet !== zero + 1) return false;
    this.#minorVersion = octet === zero ? 0 : 1;
    return true;
  }
}

/** One string for all requests of a common method. */
function methodOf(text: string): string {
  switch (text) {
    case "GET":
      return "GET";
    case "POST":
      return "POST";
    case "PUT":
      return "PUT";
    case "HEAD":
      return "HEAD";
    case "PATCH":
      return "PATCH";
    case "DELETE":
      return "DELETE";
    case "OPTIONS":
      return "OPTIONS";
    default:
      return text;
  }
}
