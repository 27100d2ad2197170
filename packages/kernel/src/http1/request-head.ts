// Promises that what leaves is one request and no more: a line and fields that hold no line end, framed by us alone. A bad one is a bug of the
// caller and throws. Trusts nobody's earlier check. Specified by RFC 9112 §3 and §6, RFC 9110 §5.

export interface RequestHeadParts {
  readonly method: string;
  /** Origin-form: begins with `/`, visible ASCII, the query with it. */
  readonly path: string;
  /** `host` or `host:port` of the origin. */
  readonly host: string;
  /** Fields that were judged and printed before; they come first. */
  readonly lines?: readonly HeadLines[];
  /** Names and values, alternating; none that frames the message or belongs to the connection. */
  readonly headers: readonly string[];
  /** Bytes of content; null: none is sent; `chunked`: nobody knows yet. */
  readonly content: number | null | "chunked";
  /** It asks for a WebSocket (RFC 6455 §4.1); only a GET without content. */
  readonly webSocket?: WebSocketAsk;
}

export interface WebSocketAsk {
  /** Base64 of 16 octets nobody can foresee. */
  readonly key: string;
  /** Subprotocols that are offered, in order; tokens. */
  readonly protocols: readonly string[];
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const target = /^\/[\x21\x22\x24-\x7e]*$/;
const value = /^[\t\x20-\x7e]*$/;
/** Of this hop and ours to say, or (Expect, Upgrade) asking for an exchange that we do not hold. */
const ours: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "expect",
]);
/** Methods for which no content is said to be none (RFC 9110 §8.6): some servers wait for it otherwise. */
const expectsContent: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** Names and methods found good; when they are too many, remembering begins anew. */
const rememberedMax = 1024;
const rememberedLengthMax = 64;
let goodNames = new Set<string>();

function assertName(name: string): void {
  if (goodNames.has(name)) return;
  if (!token.test(name)) throw new TypeError("a header name holds what no name may");
  if (ours.has(name.toLowerCase())) throw new TypeError(`${name.toLowerCase()} is set by the pool alone`);
  if (name.length > rememberedLengthMax) return;
  if (goodNames.size >= rememberedMax) goodNames = new Set();
  goodNames.add(name);
}

/** Field lines of a request: only this class prints them, so whoever has one has lines that hold no line end and do not frame. */
export class HeadLines {
  readonly #text: string;

  /** Names and values, alternating. Throws TypeError as requestHead does. */
  constructor(headers: readonly string[]) {
    this.#text = printFields(headers);
  }

  /** Throws TypeError for anything that was not made here. */
  static textOf(lines: HeadLines): string {
    return lines.#text;
  }
}

function printFields(headers: readonly string[]): string {
  if (headers.length % 2 !== 0) throw new TypeError("a header name without a value");
  let lines = "";
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const text = headers[i + 1] ?? "";
    assertName(name);
    if (!value.test(text)) throw new TypeError(`the value of ${name} holds a control character or a byte above 0x7e`);
    lines += `${name}: ${text}\r\n`;
  }
  return lines;
}

const webSocketKey = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

function printAsk({ method, content }: RequestHeadParts, { key, protocols }: WebSocketAsk): string {
  if (method !== "GET" || content !== null) throw new TypeError("only a GET without content asks for a WebSocket");
  if (!webSocketKey.test(key) || !protocols.every((one) => token.test(one)))
    throw new TypeError("a WebSocket is asked for with a key of 16 octets and tokens");
  const offered = protocols.length === 0 ? "" : `sec-websocket-protocol: ${protocols.join(", ")}\r\n`;
  return `connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n${offered}`;
}

/** The head as latin1 text. Throws TypeError for anything that could be read as more than one request. */
export function requestHead(parts: RequestHeadParts): string {
  const { method, path, host, lines = [], headers, content, webSocket } = parts;
  if (method === "CONNECT" || !token.test(method)) throw new TypeError("this method is not sent to a provider");
  if (!target.test(path)) throw new TypeError("a path begins with / and holds visible ASCII without #");
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const one of lines) head += HeadLines.textOf(one);
  head += printFields(headers);
  if (webSocket !== undefined) return `${head}${printAsk(parts, webSocket)}\r\n`;
  if (content === "chunked") return `${head}transfer-encoding: chunked\r\n\r\n`;
  if (content === null && !expectsContent.has(method)) return `${head}\r\n`;
  return `${head}content-length: ${content ?? 0}\r\n\r\n`;
}
