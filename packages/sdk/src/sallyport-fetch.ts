// Promises a fetch that proves who calls: token and proof on every request, to one gateway and nowhere else.
// Trusts the TokenClient. Specified by RFC 9449 §7, RFC 8705 §3 and docs/formats/token.md §4.
import { isDeniedByGateway, stepUpOf } from "./denial.ts";
import { SallyportFault } from "./fault.ts";
import type { Fetch, SdkPorts } from "./http.ts";
import { type PlainHttpOptions, refusePlainHttp } from "./plain-http.ts";
import type { AccessToken, TokenClient, TokenRequest } from "./token-client.ts";

export interface SallyportFetchOptions extends TokenRequest, Pick<SdkPorts, "fetch">, PlainHttpOptions {
  readonly client: TokenClient;
  /** Origin of the gateway; credentials go there and nowhere else. */
  readonly gateway: string;
}

/** `input` is a path, or a URL or Request on the gateway's origin. Redirects are not followed: they would carry a proof to another URL. */
export type SallyportFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * A fetch bound to one provider behind one gateway. What the caller set goes through untouched, but for `Authorization` and `DPoP`. A request
 * refused for its nonce, or for its token, is sent once more for each of the two with what was missing; nothing had happened yet.
 * Throws TypeError for a gateway in clear without `allowHttp`; the fetch throws SallyportFault (wrong-origin, redirect-not-followed, body-not-replayable, and those of TokenClient.token) and whatever fetch throws.
 */
export function sallyportFetch(options: SallyportFetchOptions): SallyportFetch {
  const origin = new URL(options.gateway).origin;
  refusePlainHttp("gateway", origin, options);
  const fetch = options.fetch ?? options.client.transport;
  const { client, resource, scope } = options;
  const wanted: TokenRequest = { resource, ...(scope === undefined ? {} : { scope }) };
  return async (input, init) => {
    const sending = sendingOf(origin, input, init);
    const { signal } = sending.init;
    let token = await client.token(wanted, signal === undefined ? {} : { signal });
    if (token.scheme === "DPoP" && isOneTime(sending.init.body) && !client.proofs.hasFreshNonce(origin))
      await learnNonce(fetch, { client, origin, token, sending });
    let { response, wantsNonce } = await attempt(fetch, { client, origin, token, sending });
    if (wantsNonce) {
      await makeReplayable(sending, response);
      ({ response } = await attempt(fetch, { client, origin, token, sending }));
    }
    // A cut-off reaches back to every token issued before it: when the integration is active again only a newer one passes.
    if (response.status === 403 && isCutOff(response)) client.doubt(token);
    if (response.status !== 401 || !isDeniedByGateway(response) || isNonceChallenge(response)) return response;
    // The token is good, its user's log-in is not enough: another token of this client would be no better.
    if (stepUpOf(response) !== null) return response;
    client.forget(token);
    const next = await client.token(wanted, signal === undefined ? {} : { signal }).catch(() => null);
    signal?.throwIfAborted();
    // The gateway's refusal says more than the issuer's: the caller gets that one.
    if (next === null) return response;
    await makeReplayable(sending, response);
    token = next;
    ({ response, wantsNonce } = await attempt(fetch, { client, origin, token, sending }));
    if (response.status === 401 && !wantsNonce && isDeniedByGateway(response)) client.forget(token);
    return response;
  };
}

interface Sending {
  readonly url: URL;
  readonly init: RequestInit;
}

/** Throws before anything leaves: another origin, or a wish for redirects. */
function sendingOf(origin: string, input: string | URL | Request, init: RequestInit | undefined): Sending {
  const request = input instanceof Request ? input : null;
  const url = new URL(input instanceof Request ? input.url : input, origin);
  if (url.origin !== origin) {
    throw new SallyportFault("wrong-origin", {
      public: `This fetch sends credentials to ${origin} only.`,
      internal: `asked for ${url.origin}`,
    });
  }
  if (init?.redirect === "follow") {
    throw new SallyportFault("redirect-not-followed", {
      public: 'A proof is for one URL: use redirect "manual" or "error".',
    });
  }
  if (request === null) return { url, init: init ?? {} };
  const { method, headers, signal, body } = request;
  // What fetch demands for a streamed body; the types do not know it yet.
  const streamed = body === null ? {} : { body, duplex: "half" as const };
  return { url, init: { method, headers, signal, ...streamed, ...init } };
}

interface Attempt {
  readonly client: TokenClient;
  readonly origin: string;
  readonly token: AccessToken;
  readonly sending: Sending;
}

async function attempt(
  fetch: Fetch,
  { client, origin, token, sending: { url, init } }: Attempt,
): Promise<{ readonly response: Response; readonly wantsNonce: boolean }> {
  const method = (init.method ?? "GET").toUpperCase();
  const headers = new Headers(init.headers);
  headers.set("authorization", `${token.scheme} ${token.token}`);
  headers.delete("dpop");
  const used = client.proofs.nonceOf(origin);
  if (token.scheme === "DPoP") headers.set("dpop", await client.proofs.make({ method, url, ath: token.ath }));
  const response = await fetch(url, { ...init, method, headers, redirect: init.redirect ?? "error" });
  const fresh = client.proofs.learn(origin, ownHeaders(response), used);
  return { response, wantsNonce: fresh && isNonceChallenge(response) };
}

/** Only the gateway's own answer tells its time: a `Date` that a provider wrote would make every proof for this gateway one of another hour. */
function ownHeaders(response: Response): Headers {
  if (isDeniedByGateway(response)) return response.headers;
  const headers = new Headers(response.headers);
  headers.delete("date");
  return headers;
}

/** A stream can be sent once, so the nonce must be there before it is. A proof without one never passes: this has no effect. */
async function learnNonce(fetch: Fetch, { client, origin, token, sending: { url, init } }: Attempt): Promise<void> {
  const headers = {
    authorization: `${token.scheme} ${token.token}`,
    dpop: await client.proofs.make({ method: "HEAD", url, ath: token.ath, withoutNonce: true }),
  };
  const response = await fetch(url, { method: "HEAD", headers, redirect: "manual", signal: init.signal ?? null });
  client.proofs.learn(origin, ownHeaders(response), undefined);
  await response.body?.cancel();
}

function isNonceChallenge(response: Response): boolean {
  return (
    response.status === 401 && (response.headers.get("www-authenticate")?.includes('error="use_dpop_nonce"') ?? false)
  );
}

function isCutOff(response: Response): boolean {
  return response.headers.get("sallyport-verdict")?.endsWith("; code=not-active") ?? false;
}

/** Bytes, text, forms and blobs can be sent again; a stream has been read. */
async function makeReplayable({ init: { body } }: Sending, refused: Response): Promise<void> {
  await refused.body?.cancel();
  if (!isOneTime(body)) return;
  throw new SallyportFault("body-not-replayable", {
    public: "The gateway wants this request once more, and its body is a stream that has been read.",
  });
}

/** A stream, which has been read once it was sent. */
export function isOneTime(body: unknown): boolean {
  if (body instanceof ReadableStream) return true;
  const isPlain =
    body === null ||
    typeof body !== "object" ||
    body instanceof Blob ||
    body instanceof FormData ||
    body instanceof URLSearchParams;
  return !isPlain && Symbol.asyncIterator in body;
}
