// Promises how an operation says that it is a WebSocket, and what bounds it. Trusts nothing. What it does: docs/websocket.md, RFC 6455.
import type { WebSocketRule } from "@sallyport/protocol/snapshot/objects.ts";
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { duration, originUrl, size } from "./words.ts";

const protocolForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const kibi = 1_024;
/** Octets of one side; a number of KiB, so that a day of events fits. */
const totalKiBMax = 64 * kibi * kibi;

export const webSocket = () =>
  z
    .strictObject({
      origins: z
        .array(originUrl())
        .max(itemsMax)
        .prefault([])
        .describe(
          "Origins of the pages that may open it from a browser, for example `https://shop.example`; none by default: then a request with an `Origin` is refused.",
        ),
      protocols: z
        .array(z.string().regex(protocolForm))
        .max(itemsMax)
        .prefault([])
        .describe("Subprotocols that caller and provider may agree on; others are not offered to the provider."),
      message: size().prefault("1MiB").describe("Most bytes of one message, either way; at most `16MiB`."),
      total: z
        .int()
        .min(1)
        .max(totalKiBMax)
        .prefault(kibi * kibi)
        .describe("Most KiB that either side may send in all; 1 GiB by default, at most 64 GiB."),
      idle: duration({ minMs: 1_000, maxMs: 3_600_000, says: "`1s` to `1h`" })
        .prefault("60s")
        .describe("How long neither side may send anything, a ping included; `1s` to `1h`."),
    })
    .describe("The operation is a WebSocket, with these bounds; `{}` for all defaults.");

export type WebSocketSource = z.output<ReturnType<typeof webSocket>>;

export function webSocketOf(source: WebSocketSource | undefined): { readonly webSocket?: WebSocketRule } {
  if (source === undefined) return {};
  const { origins, protocols, message, total, idle } = source;
  return {
    webSocket: {
      origins: [...new Set(origins)].sort(),
      protocols: [...new Set(protocols)],
      messageBytesMax: message,
      bytesMax: total * kibi,
      idleMs: idle,
    },
  };
}
