// Promises a caller that knows neither tokens nor this project: it signs each request as RFC 9421 says, with node:crypto and nothing else.
// Trusts the gateway's certificate. What has to be signed: docs/identity/message-signatures.md.
import { type KeyObject, sign } from "node:crypto";
import { call, type Reply } from "./call.ts";

export interface CourierKey {
  readonly id: string;
  /** Ed25519. */
  readonly privateKey: KeyObject;
}

export interface Courier {
  /** Signs for this path and sends. `sentTo`: what a meddler on the way makes of it. */
  send(path: string, sentTo?: string): Promise<Reply>;
  /** The last request once more, to the octet. */
  repeat(): Promise<Reply>;
}

export function openCourier(gateway: string, key: CourierKey, ca: string): Courier {
  let nonce = "";
  let last: { readonly path: string; readonly headers: Readonly<Record<string, string>> } | null = null;
  const ask = async (path: string, headers: Readonly<Record<string, string>>) => {
    last = { path, headers };
    return call(gateway + path, { headers, tls: { ca } });
  };
  /** Every refusal of a stranger names one. */
  const learnNonce = async () => {
    const { headers } = await call(`${gateway}/`, { tls: { ca } });
    nonce = /nonce="([^"]+)"/.exec(String(headers["accept-signature"]))?.[1] ?? "";
  };
  return {
    send: async (path, sentTo = path) => {
      if (nonce === "") await learnNonce();
      const created = Math.floor(Date.now() / 1_000);
      const parameters = `("@method" "@target-uri");created=${created};nonce="${nonce}";keyid="${key.id}"`;
      const base = `"@method": GET\n"@target-uri": ${gateway}${path}\n"@signature-params": ${parameters}`;
      const signature = sign(null, Buffer.from(base), key.privateKey).toString("base64");
      return ask(sentTo, { "signature-input": `courier=${parameters}`, signature: `courier=:${signature}:` });
    },
    repeat: async () => ask(last?.path ?? "/", last?.headers ?? {}),
  };
}
