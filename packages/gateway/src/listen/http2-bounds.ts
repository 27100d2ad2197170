// Promises a named bound for everything a caller can ask of one HTTP/2 connection, beside those that every version shares (bounds.ts) and those of
// frames (kernel/http2/frame-budget.ts). Trusts nothing. Each has a row in docs/http2.md.
import type { ServerSessionOptions } from "node:http2";
import { frameBudgets } from "@sallyport/kernel/http2/frame-budget.ts";
import { payloadBytesMax } from "@sallyport/kernel/http2/frames.ts";
import { tableBytesMax } from "@sallyport/kernel/http2/header-decoder.ts";
import type { ListenBounds } from "../ports.ts";

/** Streams of one connection at once. */
export const streamsAtOnceMax = 100;
/** Content a caller may send on a stream before it is taken. */
export const streamWindowBytes = 65_535;
/** Memory the library may hold for one connection, in megabytes. */
const sessionMegabytesMax = 16;
/** Frames that are none, and streams over the bound, before the library ends the connection. */
const invalidFramesMax = 10;
// A stream that is reset in the read that opened it is still counted there, and its end would have no code that says why: resets are counted first.
const rejectedStreamsMax = 2 * frameBudgets.reset.burst;
/** After saying that no more is to come, what was on its way is still served for so long. */
export const windDownMs = 1_000;
/** After the last word of a connection: how long and how much is still read. */
export const lastWordMs = 1_000;
export const lastWordBytesMax = 1024 * 1024;

/** What the library is told, and tells the caller. */
export function sessionOptions({ headerBytesMax }: ListenBounds): ServerSessionOptions {
  return {
    maxSessionMemory: sessionMegabytesMax,
    maxSessionInvalidFrames: invalidFramesMax,
    maxSessionRejectedStreams: rejectedStreamsMax,
    // Ours are counted first, and say why.
    streamResetBurst: 2 * frameBudgets.reset.burst,
    streamResetRate: 2 * frameBudgets.reset.perSecond,
    settings: {
      headerTableSize: tableBytesMax,
      initialWindowSize: streamWindowBytes,
      maxFrameSize: payloadBytesMax,
      maxConcurrentStreams: streamsAtOnceMax,
      maxHeaderListSize: headerBytesMax,
      enablePush: false,
      enableConnectProtocol: false,
    },
  };
}
