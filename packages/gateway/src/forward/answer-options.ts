// Promises what an answer of a provider is told of the crossing it is for, and what a provider that switched protocols leaves behind. Trusts nothing: it is
// data. Specified in docs/gateway.md "Records" and docs/websocket.md.
import type { ByteTunnel } from "@sallyport/kernel/dial/byte-tunnel.ts";
import type { WebSocketAsk } from "@sallyport/kernel/http1/request-head.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";

export interface AnswerOptions {
  readonly method: string;
  /** Up to the end of a held answer, or until it is passed on as it comes. */
  readonly timeoutMs: number;
  /** Between pieces from then on. */
  readonly idleMs: number;
  /** A call (grpc/): it is passed on from its head on, ends with trailers, and `timeoutMs` is all it has. Absent: it is none. */
  readonly isCall?: boolean;
  /** Bound of a streamed request body without a declared length. */
  readonly bodyBytesMax: number;
  /** The answer is looked into before any of it is released, so it is held whole, up to so many bytes; null: it may be passed on as it comes. */
  readonly inspectedBytesMax: number | null;
  /** One beyond that bound is passed on as it comes, unread. Absent: it is refused. */
  readonly passesLong?: boolean;
  /** Does what the provider says to pages of browsers go back? Absent: it is cut. */
  tellsPages?(): boolean;
  /** It asks for a WebSocket. */
  readonly webSocket?: WebSocketAsk | undefined;
  /** Milliseconds, monotonic. */
  now(): number;
  /** The verdict of `forward`: null when there is an answer to pass on. */
  settled(verdict: Deny | null): void;
  /** Once: nothing of it is under way at the provider any more. */
  over(): void;
}

/** A provider that speaks WebSocket now. */
export interface SwitchedAnswer {
  readonly tunnel: ByteTunnel;
  /** The subprotocol it chose; null: none. */
  readonly protocol: string | null;
}
