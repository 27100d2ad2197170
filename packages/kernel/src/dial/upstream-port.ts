// Promises the shape of one request to a provider and of its answer, without streams or emitters where a call does. Trusts nothing: it is data.
// Specified in docs/dial.md "Requests".
import type { Readable } from "node:stream";
import type { HeadLines, WebSocketAsk } from "../http1/request-head.ts";
import type { ByteTunnel } from "./byte-tunnel.ts";
import type { DialFault } from "./dial-fault.ts";

/** Content that comes while it is sent. Destroyed by the pool when nobody wants the rest; destroying it with an error ends the request. */
export interface StreamedContent {
  readonly stream: Readable;
  /** Bytes it must have, no more and no fewer; null: sent in chunks. */
  readonly length: number | null;
}

export interface UpstreamRequest {
  readonly method: string;
  /** Origin-form with the query: begins with `/`, visible ASCII, no `#`. */
  readonly path: string;
  /** Fields that were judged and printed before (kernel/http1/request-head.ts); they are sent before the others. */
  readonly lines?: readonly HeadLines[];
  /** Names and values, alternating. Host, framing and connection fields are the pool's alone. */
  readonly headers: readonly string[];
  readonly content: Uint8Array | StreamedContent | null;
  /** Asks for a WebSocket, on a connection of its own. */
  readonly webSocket?: WebSocketAsk;
}

/** Who is told of an answer. Nothing is called before `send` has returned, and nothing after onEnd, onFault or `abort`. */
export interface UpstreamHandler {
  /** Streamed content is about to be written, so many bytes of it. May abort. */
  onContentSent(bytes: number): void;
  /** The final answer began. `fields`: names as received and values, alternating, each of them valid (docs/dial.md). */
  onHead(status: number, fields: readonly string[]): void;
  /** 101 to a request that asked for it: the connection is the tunnel's now, and nothing else is called any more. */
  onUpgrade?(fields: readonly string[], tunnel: ByteTunnel): void;
  /** The bytes are the handler's own. */
  onContent(content: Buffer): void;
  /** Fields behind the content, each of them valid; before `onEnd`, of HTTP/2 alone. */
  onTrailers?(fields: readonly string[]): void;
  /** The answer is whole. */
  onEnd(): void;
  /** There is no answer, or no whole one. */
  onFault(fault: DialFault): void;
}

/** One request under way. */
export interface UpstreamCall {
  /** May a byte of it have left? While false, the provider cannot have begun. */
  readonly wasSent: boolean;
  /** Ends it, wherever it is; its connection is closed. Safe to call twice. */
  abort(): void;
  /** No more content until `resume`; what was read already still comes. */
  pause(): void;
  resume(): void;
}

export interface UpstreamCounts {
  /** Connections made or being made. */
  readonly open: number;
  readonly idle: number;
  /** Requests without a connection. */
  readonly waiting: number;
}

/** Connections to one origin. */
export interface UpstreamPool {
  /** Sends when there is a connection, and waits for one otherwise. Throws TypeError for a request that could be read as another, or as two. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  counts(): UpstreamCounts;
  /** No new requests; resolves when the running and waiting ones have ended. */
  close(): Promise<void>;
  /** Ends everything now. */
  destroy(): Promise<void>;
}
