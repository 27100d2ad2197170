// Promises an operator's requests as the CLI sends them, and remembers the last, as somebody who listens would. For tests of attacks.
import assert from "node:assert/strict";
import { request } from "node:https";
import { type AdminSend, readOperatorKey } from "./admin-client.ts";

/** `ca`: PEM roots of the admin listener; absent: those the process trusts. */
export function listening(
  operatorKey: string,
  ca?: string,
): { readonly send: AdminSend; readonly last: () => Parameters<AdminSend>[0] } {
  const key = readOperatorKey(operatorKey);
  let last: Parameters<AdminSend>[0] | undefined;
  const send: AdminSend = (asked) => {
    last = asked;
    const { method, path, headers, body } = asked;
    return new Promise((resolve, reject) => {
      const url = `${new URL(key.issuer).origin}${path}`;
      const roots = ca === undefined ? {} : { ca };
      const sent = request(url, { method, headers, ...roots, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: { "dpop-nonce": answer.headers["dpop-nonce"] as string | undefined },
            body: text,
          }),
        );
      });
      sent.on("error", reject);
      sent.end(body ?? undefined);
    });
  };
  return { send, last: () => last ?? assert.fail("something was sent") };
}
