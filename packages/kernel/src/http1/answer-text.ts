// Promises that what leaves as status line and fields is one head: no name or value can hold a line end, whoever made it.
// Trusts nothing: a bad field is a bug of the caller, or of a provider's judge, and throws. Specified in RFC 9112 §4 and §5, RFC 9110 §5.5 and §15.

/** Phrases are for people who read a trace; nobody may decide by them (RFC 9112 §4), so an unusual status has none. */
const phrases: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

const statusMin = 200;
const statusMax = 999;
const notToken = /[^!#$%&'*+.^_`|~0-9A-Za-z-]/;
// Also what lies above 0xff: cut to one octet it could become a line end.
const notValue = /[^\t\x20-\x7e\x80-\xff]/;

/** `HTTP/1.1 200 OK` with its line end. Throws RangeError for what is no final status. */
export function statusLine(status: number): string {
  if (status === 200) return "HTTP/1.1 200 OK\r\n";
  if (!Number.isInteger(status) || status < statusMin || status > statusMax)
    throw new RangeError(`${status} is no status of a final answer`);
  return `HTTP/1.1 ${status} ${phrases[status] ?? ""}\r\n`;
}

/** Names found to be tokens; when they are too many, remembering begins anew. */
const rememberedMax = 1_024;
const rememberedLengthMax = 64;
let tokens = new Set<string>();

function isToken(name: string): boolean {
  if (tokens.has(name)) return true;
  if (name === "" || notToken.test(name)) return false;
  if (name.length > rememberedLengthMax) return true;
  if (tokens.size >= rememberedMax) tokens = new Set();
  tokens.add(name);
  return true;
}

/** One field line. Throws TypeError for a name or value that is none, without quoting it. */
export function fieldLine(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError("an answer's field name is no token");
  if (notValue.test(value)) throw new TypeError(`the answer's field ${name} holds what no field value may`);
  return `${name}: ${value}\r\n`;
}

/** Of an answer's fields those that are not for a provider to say: its connection and its framing. */
const ours: ReadonlySet<string> = new Set(["connection", "content-length", "transfer-encoding"]);

/** Field lines of an answer, judged and printed once for as many answers as have them: only this class prints them. */
export class AnswerLines {
  readonly #text: string;
  readonly #fields: readonly string[];
  /** A Date field is among them. */
  readonly hasDate: boolean;

  /** Names (in lower case) and values, alternating. Throws TypeError as fieldLine does, and for a field that frames or ends the connection. */
  constructor(headers: readonly string[]) {
    let text = "";
    let hasDate = false;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? "";
      if (ours.has(name)) throw new TypeError(`${name} is not among the lines that answers have in common`);
      if (name === "date") hasDate = true;
      text += fieldLine(name, headers[i + 1] ?? "");
    }
    this.#text = text;
    this.#fields = headers;
    this.hasDate = hasDate;
  }

  /** The names and values they were made of; for answers that are no lines. Throws TypeError for anything that was not made here. */
  static fieldsOf(lines: AnswerLines): readonly string[] {
    return lines.#fields;
  }

  /** Throws TypeError for anything that was not made here. */
  static textOf(lines: AnswerLines): string {
    return lines.#text;
  }
}

/** RFC 9110 §15.2.1. */
export const continueText = "HTTP/1.1 100 Continue\r\n\r\n";

let dateSecond = -1;
let dateText = "";

/** A Date field line (RFC 9110 §6.6.1); made once a second. `nowMs` is the time since the epoch. */
export function dateLine(nowMs: number): string {
  const second = Math.floor(nowMs / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(second * 1_000).toUTCString()}\r\n`;
  }
  return dateText;
}
