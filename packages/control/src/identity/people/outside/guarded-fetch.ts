// Promises the fetch that a provider outside is spoken to with: https only, every address checked before it is dialled, no redirect followed, no answer
// beyond its size or time. Trusts the dialer. Specified in docs/dial.md, docs/identity/outside-login.md.
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import { dialOnce, type OutsideNet } from "../../dial-once.ts";

export const providerTimeoutMs = 5_000;
const answerBytesMax = 256 * 1_024;

export interface ProviderRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Shaped like fetch, because that is what the library takes. Rejects with a DialFault. */
export type ProviderFetch = (net: OutsideNet, url: string, request: ProviderRequest) => Promise<Response>;

export const createProviderFetch =
  (dialer: Dialer): ProviderFetch =>
  async (net, target, { method, headers, body }) => {
    const url = new URL(target);
    if (url.protocol !== "https:" || url.username !== "" || url.password !== "")
      throw new Error("a provider is spoken to over https, and by no name in its address");
    const answer = await dialOnce(dialer, url, net, {
      method: method === "POST" ? "POST" : "GET",
      headers,
      ...(body === undefined || body === null ? {} : { body: String(body) }),
      answerBytesMax,
      timeoutMs: providerTimeoutMs,
    });
    const type = answer.headers["content-type"];
    return new Response(new Uint8Array(answer.body), {
      status: answer.status,
      headers: typeof type === "string" ? { "content-type": type } : {},
    });
  };
