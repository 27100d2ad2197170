// Promises a fetch that proves who calls: token and proof on every request, to one gateway and nowhere else.
// Trusts the TokenClient. Specified by RFC 9449 §7 and docs/formats/token.md §4.
import { SallyportFault } from "./fault.ts";
import type { Fetch, SdkPorts } from "./http.ts";
import type { AccessToken, TokenClient, TokenRequest } from "./token-client.ts";

export interface SallyportFetchOptions extends TokenRequest, Pick<SdkPorts, "fetch"> {
  readonly client: TokenClient;
  /** Origin of the gateway; credentials go there and nowhere else. */
  readonly gateway: string;
}

/** `input` is a path, or a URL on the gateway's origin. Redirects are not followed: they would carry a proof to another URL. */
export type SallyportFetch = (input: string | URL, init?: RequestInit) => Promise<Response>;

/**
 * A fetch bound to one provider behind one gateway. A request refused for its nonce is repeated once with the one the gateway named,
 * unless its body is a stream, which cannot be sent twice: then the 401 is returned.
 * Throws SallyportFault (wrong-origin, redirect-not-followed, and those of TokenClient.token) and whatever fetch throws.
 */
export function sallyportFetch(options: SallyportFetchOptions): SallyportFetch {
  const origin = new URL(options.gateway).origin;
  const fetch = options.fetch ?? globalThis.fetch;
  const request: TokenRequest = {
    resource: options.resource,
    ...(options.scope === undefined ? {} : { scope: options.scope }),
  };
  return async (input, init = {}) => {
    const url = new URL(input, origin);
    if (url.origin !== origin) {
      throw new SallyportFault("wrong-origin", {
        public: `This fetch sends credentials to ${origin} only.`,
        internal: `asked for ${url.origin}`,
      });
    }
    if (init.redirect === "follow") {
      throw new SallyportFault("redirect-not-followed", {
        public: 'A proof is for one URL: use redirect "manual" or "error".',
      });
    }
    const token = await options.client.token(request);
    const used = options.client.proofs.nonceOf(origin);
    const response = await send(fetch, { options, url, init, token });
    const fresh = options.client.proofs.learn(origin, response.headers, used);
    // A cut-off reaches back to every token issued before it: when the integration is active again only a newer one passes.
    if (response.status === 403 && isCutOff(response)) options.client.doubt(token);
    if (response.status !== 401) return response;
    const wantsNonce = response.headers.get("www-authenticate")?.includes('error="use_dpop_nonce"') ?? false;
    if (!wantsNonce) options.client.forget(token);
    if (!wantsNonce || !fresh || init.body instanceof ReadableStream) return response;
    await response.body?.cancel();
    const repeated = await send(fetch, { options, url, init, token });
    options.client.proofs.learn(origin, repeated.headers, undefined);
    return repeated;
  };
}

function isCutOff(response: Response): boolean {
  return response.headers.get("sallyport-verdict")?.endsWith("; code=not-active") ?? false;
}

interface Sending {
  readonly options: SallyportFetchOptions;
  readonly url: URL;
  readonly init: RequestInit;
  readonly token: AccessToken;
}

function send(fetch: Fetch, { options, url, init, token }: Sending): Promise<Response> {
  const method = (init.method ?? "GET").toUpperCase();
  const headers = new Headers(init.headers);
  headers.set("authorization", `DPoP ${token.token}`);
  headers.set("dpop", options.client.proofs.make({ method, url, ath: token.ath }));
  return fetch(url, { ...init, method, headers, redirect: init.redirect ?? "error" });
}
