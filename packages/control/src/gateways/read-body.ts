// Promises a request's body within its bound, or what is wrong with it; a body that never comes holds nothing but its connection.
// Trusts the server's requestTimeout to end what is sent too slowly. Bounds: docs/formats/join.md.
import type { IncomingMessage } from "node:http";

export type Body =
  | { readonly kind: "whole"; readonly bytes: Buffer }
  | { readonly kind: "too-large" }
  /** The client went away. */
  | { readonly kind: "gone" };

/** Reads at most `bytesMax` bytes. Never rejects: a stranger who hangs up is nothing to log. */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<Body> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) return Promise.resolve({ kind: "too-large" });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      request.removeAllListeners("data");
      request.pause();
      chunks.length = 0;
      resolve({ kind: "too-large" });
    });
    request.once("end", () => resolve({ kind: "whole", bytes: Buffer.concat(chunks) }));
    request.once("error", () => resolve({ kind: "gone" }));
    request.once("close", () => resolve({ kind: "gone" }));
  });
}

/** The text of a body, or null when it is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
