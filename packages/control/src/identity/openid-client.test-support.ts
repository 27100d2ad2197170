// Promises a fetch for independent clients that trusts one certificate and nothing else, for tests. Trusts nothing outside the test.
import type { CustomFetch } from "openid-client";
import { send } from "./issuer.test-support.ts";

export function fetchOver(ca: string): CustomFetch {
  return async (url, options) => {
    const headers = Object.fromEntries(new Headers(options.headers).entries());
    const body = options.body === undefined || options.body === null ? {} : { body: String(options.body) };
    const answer = await send(url, ca, { method: options.method ?? "GET", headers, ...body });
    const fields = Object.entries(answer.headers).flatMap(([name, value]) =>
      typeof value === "string" ? [[name, value] as [string, string]] : [],
    );
    return new Response(answer.text, { status: answer.status, headers: fields });
  };
}
