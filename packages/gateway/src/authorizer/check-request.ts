// Promises the one request that Envoy asks about in a CheckRequest of its gRPC form, or that it did not tell one: what is said twice must be the same, and
// what could be two fields joined into one is neither. Trusts Envoy for what it saw. Pure. Specified by Envoy's envoy/service/auth/v3 (numbers of fields),
// docs/authorizer.md (Envoy over gRPC).
import { plainAddress } from "@sallyport/kernel/trusted-proxies.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { allOf, type Fields, messageOf, oneOf, readFields, textOf, WireFault } from "./protobuf.ts";
import { type ToldRequest, toldRequest } from "./told-request.ts";

/** Of one question, without its prefix. What it may tell of a request is bounded by canonicalize; the rest is skipped. */
export const checkBytesMax = 64 * 1024;

export interface Check {
  readonly told: ToldRequest | Deny;
  /** Names and values alternating, as they were told. */
  readonly rawHeaders: readonly string[];
  /** Of the client, as Envoy saw it; null: it said none. */
  readonly address: string | null;
}

const numbers = {
  check: { attributes: 1 },
  attributes: { source: 1, request: 4 },
  peer: { address: 1 },
  address: { socket: 1 },
  socket: { address: 2 },
  request: { http: 2 },
  http: {
    ...{ method: 2, headers: 3, path: 4, host: 5, scheme: 6, query: 7, fragment: 8 },
    ...{ body: 11, rawBody: 12, headerMap: 13 },
  },
  entry: { key: 1, value: 2 },
  headerMap: { headers: 1 },
  header: { key: 1, value: 2, rawValue: 3 },
} as const;

const no = (why: string): Deny => deny("receive", "proxy-request", { why });

/** Reads the content of a call: one message, uncompressed. `scheme`: of the listener's url. */
export function readCheck(content: Uint8Array, scheme: string): Check | Deny {
  const message = messageIn(content);
  if (!(message instanceof Uint8Array)) return message;
  try {
    const attributes = messageOf(readFields(message), numbers.check.attributes);
    const http = messageOf(messageOf(attributes, numbers.attributes.request), numbers.request.http);
    const address = addressIn(attributes);
    if (address !== null && plainAddress(address) === null) return no("the source of the question is no address");
    const headers = readHeaders(http);
    if ("kind" in headers) return headers;
    return { told: readHttp(http, headers, scheme), rawHeaders: headers.list, address };
  } catch (error) {
    if (error instanceof WireFault) return no(`the question is no CheckRequest: ${error.message}`);
    throw error;
  }
}

const prefixBytes = 5;

/** The Length-Prefixed-Message of the gRPC protocol over HTTP/2. */
function messageIn(content: Uint8Array): Uint8Array | Deny {
  const [flag, a = 0, b = 0, c = 0, d = 0] = content;
  if (content.length < prefixBytes || flag === undefined) return no("the question has no message");
  if (flag !== 0) return no("the message of the question is compressed");
  if (content.length !== prefixBytes + a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d)
    return no("the question is not exactly one message");
  return content.subarray(prefixBytes);
}

function addressIn(attributes: Fields): string | null {
  const peer = messageOf(attributes, numbers.attributes.source);
  const socket = messageOf(messageOf(peer, numbers.peer.address), numbers.address.socket);
  return textOf(socket, numbers.socket.address) || null;
}

function readHttp(http: Fields, headers: Headers, scheme: string): ToldRequest | Deny {
  const part = (number: number): string => textOf(http, number);
  const of = numbers.http;
  if (part(of.query) !== "" || part(of.fragment) !== "") return no("the query and the fragment belong to the path");
  if (part(of.body) !== "" || (oneOf(http, of.rawBody)?.length ?? 0) > 0)
    return no("the question has content: leave with_request_body out");
  const parts = { method: part(of.method), target: part(of.path), host: part(of.host), scheme: part(of.scheme) };
  for (const [name, value] of Object.entries(parts)) if (value === "") return no(`the question tells no ${name}`);
  const passed = judgeHeaders(headers, parts);
  return "kind" in passed ? passed : toldRequest(parts, scheme, passed);
}

interface Headers {
  /** Names and values alternating. */
  readonly list: readonly string[];
  /** Fields of one name have been joined with commas. */
  readonly isJoined: boolean;
}

function readHeaders(http: Fields): Headers | Deny {
  const entries = allOf(http, numbers.http.headers).map(readFields);
  const map = oneOf(http, numbers.http.headerMap);
  if (map === null) {
    const list = entries.flatMap((entry) => [textOf(entry, numbers.entry.key), textOf(entry, numbers.entry.value)]);
    if (new Set(list.filter((_, i) => i % 2 === 0)).size !== entries.length)
      return no("a name is there twice in the map of header fields");
    return { list, isJoined: true };
  }
  if (entries.length > 0) return no("the header fields are told in two ways");
  const list: string[] = [];
  for (const header of allOf(readFields(map), numbers.headerMap.headers).map(readFields)) {
    const raw = oneOf(header, numbers.header.rawValue);
    const value = textOf(header, numbers.header.value);
    if (value !== "" && raw !== null && raw.length > 0) return no("the value of a header field is told in two ways");
    // As any field comes from a socket: canonicalize says which octets it may have.
    list.push(textOf(header, numbers.header.key), raw === null ? value : Buffer.from(raw).toString("latin1"));
  }
  return { list, isJoined: false };
}

/** Fields in which a comma is no sign that two were joined: lists by their own grammar, dates, and text that nobody decides by. */
const mayHoldCommas: ReadonlySet<string> = new Set([
  ...["accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "pragma", "te", "via"],
  ...["date", "if-match", "if-none-match", "if-modified-since", "if-range", "if-unmodified-since", "range"],
  ...["cookie", "prefer", "priority", "referer", "tracestate", "baggage", "user-agent", "x-forwarded-for"],
  ...["sec-ch-ua", "sec-ch-ua-full-version-list", "access-control-request-headers"],
]);

interface Parts {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly scheme: string;
}

/** The fields that are the client's own: those that stand for the request line say the same as the parts, or the question is none. */
function judgeHeaders({ list, isJoined }: Headers, parts: Parts): readonly string[] | Deny {
  const said: ReadonlyMap<string, string> = new Map([
    [":method", parts.method],
    [":path", parts.target],
    [":authority", parts.host],
    [":scheme", parts.scheme],
    ["host", parts.host],
  ]);
  const passed: string[] = [];
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i] ?? "";
    const value = list[i + 1] ?? "";
    if (name !== name.toLowerCase()) return no("a header field name in upper case");
    const same = said.get(name);
    if (same !== undefined) {
      if (value !== same) return no(`${name} says something else than the question does`);
      continue;
    }
    if (name.startsWith(":")) return no("a pseudo-header field that no request has");
    if (isJoined && value.includes(",") && !mayHoldCommas.has(name))
      return deny("receive", "duplicate-header", {
        why: `the value of ${name.slice(0, 64)} may be two fields that Envoy joined: set encode_raw_headers`,
      });
    passed.push(name, value);
  }
  return passed;
}
