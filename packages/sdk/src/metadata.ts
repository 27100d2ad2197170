// Promises the token endpoint of the very issuer that was named. Trusts the issuer's TLS identity. Specified by RFC 8414 §3.
import { SallyportFault } from "./fault.ts";
import { type Fetch, fetchJson, type JsonAnswer } from "./http.ts";
import { isPlainToOthers } from "./plain-http.ts";

export interface TokenEndpoint {
  readonly url: URL;
  /** Of the answer that named it: they tell the server's time. */
  readonly headers: Headers;
}

/** RFC 8414 §3.1: the well-known part stands between host and path. Throws SallyportFault metadata-unusable. */
export async function discoverTokenEndpoint(fetch: Fetch, issuer: string): Promise<TokenEndpoint> {
  if (!URL.canParse(issuer))
    throw new SallyportFault("metadata-unusable", { public: "The issuer is not a URL.", internal: "not a URL" });
  const { origin, pathname, protocol } = new URL(issuer);
  const url = `${origin}/.well-known/oauth-authorization-server${pathname === "/" ? "" : pathname}`;
  const unusable = (internal: string, cause?: unknown): SallyportFault =>
    new SallyportFault("metadata-unusable", {
      public: `The issuer's metadata at ${url} cannot be used: ${internal}.`,
      internal,
      cause,
    });
  let answer: JsonAnswer;
  try {
    answer = await fetchJson(fetch, url, { headers: { accept: "application/json" } });
  } catch (cause) {
    throw unusable("no answer", cause);
  }
  if (answer.status !== 200 || answer.body === null) throw unusable(`status ${answer.status}, or no JSON object`);
  // RFC 8414 §3.3: metadata that names another issuer is a mix-up and must not be used.
  if (answer.body.issuer !== issuer) throw unusable("it names another issuer");
  const endpoint = answer.body.token_endpoint;
  if (typeof endpoint !== "string" || !URL.canParse(endpoint)) throw unusable("token_endpoint is not a URL");
  const parsed = new URL(endpoint);
  if (parsed.protocol !== protocol) throw unusable("token_endpoint has another scheme than the issuer");
  if (isPlainToOthers(parsed.href) && !isPlainToOthers(issuer))
    throw unusable("token_endpoint is http: to another host");
  return { url: parsed, headers: answer.headers };
}
