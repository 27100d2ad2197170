// Promises at most the bound of bytes in memory, and one ending: whole, too large, aborted, or malformed framing. Trusts kernel/http1.
import { HeldPieces } from "@sallyport/kernel/http1/held-pieces.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { tooLarge } from "./content.ts";
import { digestMismatch, fitsDigests } from "./content-digest.ts";

export type BodyReading = { readonly bytes: Uint8Array } | Deny;

/** At once where all of it came with the head, as small contents do. */
export function readBody(exchange: Exchange, bytesMax: number): BodyReading | Promise<BodyReading> {
  const { incoming, response } = exchange;
  if (exchange.framingDeny !== null) return exchange.framingDeny;
  if (response.writableEnded || incoming.destroyed) return deny("inspect", "client-aborted");
  exchange.continueWanted?.();
  const whole = incoming.takeWhole(bytesMax);
  if (whole === null) return readPieces(exchange, bytesMax);
  exchange.bytesIn = whole.length;
  return asSigned(exchange, whole);
}

function asSigned({ digests }: Exchange, bytes: Uint8Array): BodyReading {
  return digests === null || fitsDigests(bytes, digests) ? { bytes } : digestMismatch("inspect", digests);
}

function readPieces(exchange: Exchange, bytesMax: number): Promise<BodyReading> {
  const { incoming } = exchange;
  return new Promise((resolve) => {
    const pieces = new HeldPieces();
    let bytes = 0;
    const end = (result: BodyReading): void => {
      incoming.leave();
      exchange.bytesIn = bytes;
      exchange.onFramingError = null;
      resolve(result);
    };
    const onData = (piece: Buffer): void => {
      bytes += piece.length;
      if (bytes <= bytesMax) pieces.push(piece);
      else {
        if (modeOf(exchange) !== "enforce") {
          // It may go on all the same: nothing of it may be lost.
          incoming.pause();
          exchange.bodyBegun = [...pieces.takeAll(), piece];
        }
        end(tooLarge(bytesMax));
      }
    };
    const onEnd = (): void => end(asSigned(exchange, pieces.whole()));
    exchange.onFramingError = (verdict) => end(verdict);
    incoming.take({ data: onData, end: onEnd, gone: () => end(deny("inspect", "client-aborted")) });
  });
}
