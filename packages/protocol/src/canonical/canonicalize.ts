// Promises one frozen request out of what the socket said, or a refusal: ambiguous input is never repaired.
// Trusts the listener's parser to have split fields, and nothing else. Specified in docs/formats/canonical-request.md (RFC 9112, RFC 3986).
import { type Deny, deny } from "../verdict.ts";
import { parseHeaderFields } from "./header-fields.ts";
import { connectionOptions, isConnectionOption } from "./hop-headers.ts";
import { canonicalPath, canonicalQuery } from "./path.ts";
import {
  type CanonicalHeaders,
  type CanonicalLimits,
  type CanonicalRequest,
  canonicalLimits,
  type RawRequest,
  type UpgradeAsk,
} from "./request.ts";

type ReceiveCode =
  | "bad-framing"
  | "bad-request-line"
  | "bad-header"
  | "ambiguous-path"
  | "bad-host"
  | "bad-version"
  | "upgrade-not-supported"
  | "method-not-supported"
  | "uri-too-long";

const no = (code: ReceiveCode, why: string): Deny => deny("receive", code, { why });

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const methodToken = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const outsideVisibleAscii = /[^\x21-\x7e]/;

/** Codes: bad-version, method-not-supported, bad-request-line, uri-too-long, ambiguous-path, and those of the header section. */
export function canonicalize(
  raw: RawRequest,
  limits: CanonicalLimits = canonicalLimits,
  readSection: ReadSection = readHeaderSection,
): CanonicalRequest | Deny {
  if (raw.httpVersion !== "1.1" && raw.httpVersion !== "2")
    return no("bad-version", "only HTTP/1.1 and HTTP/2 are served here");
  if (!isMethod(raw.method))
    return methodToken.test(raw.method)
      ? no("method-not-supported", "the method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
      : no("bad-request-line", "the method is not a token");
  const target = splitTarget(raw.target, limits);
  if (target.kind === "deny") return target;
  const path = canonicalPath(target.path, limits.segmentsMax);
  if ("kind" in path) return no("ambiguous-path", path.why);
  const query = canonicalQuery(target.query, limits.queryParametersMax);
  if (query.kind === "ambiguous") return no("bad-request-line", query.why);
  const origin = raw.listener.url.endsWith("/") ? raw.listener.url.slice(0, -1) : raw.listener.url;
  const section = readSection(raw.rawHeaders, origin.startsWith("https:") ? 443 : 80, limits);
  if (section.kind === "deny") return section;
  const { hasContent } = raw;
  // RFC 9113 §8.1.1: the end of the stream frames; a length that says otherwise is a second message for whoever believes it.
  if (hasContent === false && (section.contentLength ?? 0) > 0)
    return no("bad-framing", "Content-Length says more than the stream has");
  // A request with content, or of another method, that is read as a request by one and as the start of a tunnel by another: how tunnels are smuggled.
  if (section.upgrade !== null && (raw.method !== "GET" || section.contentLength !== null || section.chunked))
    return no("upgrade-not-supported", "a WebSocket is asked for with GET and without any content");
  return Object.freeze({
    kind: "request",
    method: raw.method,
    host: section.host,
    port: section.port,
    path: path.path,
    segments: Object.freeze(path.segments),
    query: target.query,
    queryParameters: query.parameters,
    headers: section.headers,
    contentType: section.contentType,
    contentLength: section.contentLength,
    chunked: hasContent === undefined ? section.chunked : hasContent && section.contentLength === null,
    upgrade: section.upgrade,
    clientUrl: origin + path.path,
  });
}

/** What the header section of a request says, whatever its first line says. */
export interface HeaderSection
  extends Pick<
    CanonicalRequest,
    "host" | "port" | "headers" | "contentType" | "contentLength" | "chunked" | "upgrade"
  > {
  readonly kind: "section";
}

export type ReadSection = (
  rawHeaders: readonly string[],
  portDefault: number,
  limits: CanonicalLimits,
) => HeaderSection | Deny;

/** Reads a header section. `portDefault` is that of the listener's scheme. Pure. */
export const readHeaderSection: ReadSection = (rawHeaders, portDefault, limits) => {
  const fields = parseHeaderFields(rawHeaders, limits);
  if (fields.kind === "deny") return fields;
  const { headers } = fields;
  const host = parseHost(headers["host"]?.[0], portDefault);
  if (host.kind === "deny") return host;
  const framing = parseFraming(headers);
  if (framing.kind === "deny") return framing;
  const upgrade = readUpgrade(headers);
  if (upgrade?.kind === "deny") return upgrade;
  const wrong = checkConnection(headers);
  if (wrong !== null) return wrong;
  const contentType = parseContentType(headers["content-type"]?.[0]);
  if (contentType === undefined) return no("bad-header", "Content-Type is not one media type");
  const { contentLength, chunked } = framing;
  const asked = upgrade === null ? null : upgrade.ask;
  return {
    ...{ kind: "section", host: host.name, port: host.port, headers },
    ...{ contentType, contentLength, chunked, upgrade: asked },
  };
};

/**
 * Reads header sections, but one whose list is the very list of the section before only once: `readHeaderSection` is pure. Keeps nothing of a list
 * that is not frozen: that it is, is how its maker says that it is small and comes again (kernel/http1/kept-section.ts).
 */
export function sectionReader(): ReadSection {
  let kept: {
    readonly rawHeaders: readonly string[];
    readonly portDefault: number;
    readonly limits: CanonicalLimits;
  } | null = null;
  let read: HeaderSection | Deny | null = null;
  return (rawHeaders, portDefault, limits) => {
    if (read !== null && kept?.rawHeaders === rawHeaders && kept.portDefault === portDefault && kept.limits === limits)
      return read;
    const fresh = readHeaderSection(rawHeaders, portDefault, limits);
    const isKept = Object.isFrozen(rawHeaders);
    kept = isKept ? { rawHeaders, portDefault, limits } : null;
    read = isKept ? fresh : null;
    return fresh;
  };
}

function isMethod(method: string): method is CanonicalRequest["method"] {
  return methods.has(method);
}

interface Target {
  readonly kind: "target";
  readonly path: string;
  readonly query: string;
}

/** Origin-form alone (RFC 9112 §3.2.1): a target with an authority of its own could contradict Host. */
function splitTarget(target: string, limits: CanonicalLimits): Target | Deny {
  if (target.length > limits.targetBytesMax)
    return no("uri-too-long", `the request target exceeds ${limits.targetBytesMax} bytes`);
  if (!target.startsWith("/"))
    return no(
      "bad-request-line",
      "only the origin-form of a request target is served: a path that begins with a slash",
    );
  if (outsideVisibleAscii.test(target))
    return no("bad-request-line", "the request target holds a space, a control character or a byte above 0x7e");
  if (target.includes("#")) return no("bad-request-line", "the request target holds a fragment");
  const question = target.indexOf("?");
  if (question === -1) return { kind: "target", path: target, query: "" };
  return { kind: "target", path: target.slice(0, question), query: target.slice(question + 1) };
}

const hostAndPort = /^([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/;

interface Host {
  readonly kind: "host";
  readonly name: string;
  readonly port: number;
}

/** The last good Host and what it was read as: callers of one listener nearly all send the same. */
let lastHost = { value: "", portDefault: 0, host: { kind: "host", name: "", port: 0 } as Host };

function parseHost(value: string | undefined, portDefault: number): Host | Deny {
  if (value === undefined || value === "") return no("bad-host", "Host is missing or empty");
  if (value === lastHost.value && portDefault === lastHost.portDefault) return lastHost.host;
  const parts = hostAndPort.exec(value.toLowerCase());
  const name = parts?.[1];
  if (name === undefined) return no("bad-host", "Host is not a name or address with an optional port");
  const port = parts?.[2] === undefined ? portDefault : Number(parts[2]);
  if (port < 1 || port > 65_535) return no("bad-host", "the port of Host is not from 1 to 65535");
  const host: Host = { kind: "host", name, port };
  lastHost = { value, portDefault, host };
  return host;
}

interface Framing {
  readonly kind: "framing";
  readonly contentLength: number | null;
  readonly chunked: boolean;
}

// No sign, no leading zero (one reader's octal), and few enough digits to stay exact.
const contentLengthDigits = /^(?:0|[1-9][0-9]{0,14})$/;

function parseFraming(headers: CanonicalHeaders): Framing | Deny {
  const length = headers["content-length"]?.[0];
  const coding = headers["transfer-encoding"]?.[0];
  // RFC 9112 §6.1: both together is how requests are smuggled; we refuse, we do not repair.
  if (length !== undefined && coding !== undefined)
    return no("bad-framing", "both Transfer-Encoding and Content-Length");
  if (coding !== undefined && coding !== "chunked")
    return no("bad-framing", "Transfer-Encoding is not exactly chunked");
  if (length !== undefined && !contentLengthDigits.test(length))
    return no("bad-framing", "Content-Length is not a plain number");
  return {
    kind: "framing",
    contentLength: length === undefined ? null : Number(length),
    chunked: coding !== undefined,
  };
}

const optionToken = /^[a-z0-9-]+$/;

function checkConnection(headers: CanonicalHeaders): Deny | null {
  const options = connectionOptions(headers["connection"]);
  for (const option of options) {
    if (!optionToken.test(option)) return no("bad-header", "Connection holds something that is not a field name");
    // A caller that could have any other field removed at this hop would show the policy another request than the provider.
    if (!isConnectionOption(option))
      return no(
        "bad-header",
        "Connection names a field that is not hop-by-hop: only close and the standard ones may be named",
      );
  }
  const expect = headers["expect"]?.[0];
  if (expect !== undefined && expect.toLowerCase() !== "100-continue")
    return no("bad-header", "Expect is not 100-continue");
  return null;
}

const webSocketKey = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const protocolToken = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const protocolsMax = 32;

/** Null: nothing asks for another protocol. Only the whole handshake of RFC 6455 §4.1 counts as asking for a WebSocket; everything else of the kind is refused. */
function readUpgrade(headers: CanonicalHeaders): Deny | { readonly kind: "ask"; readonly ask: UpgradeAsk } | null {
  const hasOption = connectionOptions(headers["connection"]).has("upgrade");
  const { upgrade } = headers;
  if (headers["http2-settings"] !== undefined) return no("upgrade-not-supported", "HTTP2-Settings");
  if (upgrade === undefined && !hasOption) return null;
  if (upgrade?.length !== 1 || upgrade[0]?.toLowerCase() !== "websocket" || !hasOption)
    return no("upgrade-not-supported", "Upgrade and Connection: upgrade do not together ask for websocket");
  const [key, ...keys] = headers["sec-websocket-key"] ?? [];
  if (key === undefined || keys.length > 0 || !webSocketKey.test(key))
    return no("upgrade-not-supported", "Sec-WebSocket-Key is not one key of 16 octets");
  const versions = headers["sec-websocket-version"];
  if (versions?.length !== 1 || versions[0] !== "13")
    return no("upgrade-not-supported", "Sec-WebSocket-Version is not 13");
  if (headers["expect"] !== undefined) return no("upgrade-not-supported", "a WebSocket is asked for without Expect");
  const protocols = (headers["sec-websocket-protocol"] ?? [])
    .flatMap((value) => value.split(","))
    .map((one) => one.trim());
  if (protocols.length > protocolsMax || new Set(protocols).size !== protocols.length)
    return no("upgrade-not-supported", "Sec-WebSocket-Protocol names too many, or one twice");
  if (!protocols.every((one) => protocolToken.test(one)))
    return no("upgrade-not-supported", "Sec-WebSocket-Protocol holds what is no token");
  return { kind: "ask", ask: Object.freeze({ key, protocols: Object.freeze(protocols) }) };
}

const mediaType = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}\/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}) *(?:;.*)?$/;

/** null when absent, undefined when malformed. */
function parseContentType(value: string | undefined): string | null | undefined {
  if (value === undefined) return null;
  return mediaType.exec(value)?.[1]?.toLowerCase();
}
