// Promises at most the bound of bytes in memory, and one ending: whole, too large, aborted, or malformed framing. Trusts kernel/http1.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { tooLarge } from "./content.ts";

export function readBody(exchange: Exchange, bytesMax: number): Promise<{ readonly bytes: Uint8Array } | Deny> {
  const { incoming, response } = exchange;
  if (exchange.framingDeny !== null) return Promise.resolve(exchange.framingDeny);
  if (response.writableEnded || incoming.destroyed) return Promise.resolve(deny("inspect", "client-aborted"));
  exchange.continueWanted?.();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (result: { readonly bytes: Uint8Array } | Deny): void => {
      incoming.leave();
      exchange.bytesIn = bytes;
      exchange.onFramingError = null;
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else {
        if (modeOf(exchange) !== "enforce") {
          // It may go on all the same: nothing of it may be lost.
          incoming.pause();
          exchange.bodyBegun = [...chunks, chunk];
        }
        end(tooLarge(bytesMax));
      }
    };
    const onEnd = (): void => {
      const [only] = chunks;
      end({ bytes: chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, bytes) });
    };
    exchange.onFramingError = (verdict) => end(verdict);
    incoming.take({ data: onData, end: onEnd, gone: () => end(deny("inspect", "client-aborted")) });
  });
}
