// Promises one defined refusal for every way a message can fail to be HTTP. Trusts llhttp's error codes.
// Specified in docs/gateway.md (listen); statuses by RFC 9110 §15, RFC 6585 §5.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

const byCode: Readonly<Record<string, Deny["code"]>> = {
  HPE_HEADER_OVERFLOW: "header-too-large",
  ERR_HTTP_REQUEST_TIMEOUT: "request-timeout",
  HPE_INVALID_METHOD: "bad-request-line",
  HPE_INVALID_URL: "bad-request-line",
  HPE_INVALID_CONSTANT: "bad-request-line",
  HPE_INVALID_VERSION: "bad-version",
  HPE_PAUSED_H2_UPGRADE: "bad-version",
  HPE_INVALID_HEADER_TOKEN: "bad-header",
  HPE_LF_EXPECTED: "bad-header",
  HPE_CR_EXPECTED: "bad-header",
};

/** Codes that mean the peer went away: there is nobody to answer and nothing crossed. */
const gone: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "HPE_INVALID_EOF_STATE",
  "ECONNABORTED",
]);

/** The refusal for a parser or socket error; null when the peer is simply gone. Anything unknown is `bad-framing`. */
export function refusalOf(error: Error): Deny | null {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (gone.has(code)) return null;
  return deny("receive", byCode[code] ?? "bad-framing", { parser: code || error.name });
}
