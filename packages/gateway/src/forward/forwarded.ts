// Promises what one crossing brings to `forward`, and what is said of its attempts afterwards. Trusts nothing: it is data. Specified in docs/resilience.md.
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import type { WebSocketAsk } from "@sallyport/kernel/http1/request-head.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { Upstream } from "./upstream-pools.ts";

export interface Forwarded {
  readonly exchange: Exchange;
  readonly gate: Gate;
  readonly upstream: Upstream;
  /** `timeoutMs`: for the whole crossing from now on. */
  readonly bounds: { readonly timeoutMs: number; readonly bodyBytesMax: number };
  /** As of UpstreamAnswer. */
  readonly inspectedBytesMax: number | null;
  readonly passesLong: boolean;
  /** Asked for of the provider; null: it is no WebSocket. */
  readonly webSocket: WebSocketAsk | null;
  /** What the operation has where nobody shortens it. */
  readonly promisedMs: number;
  readonly content: UpstreamRequest["content"];
  /** What is sent to an endpoint that has so many milliseconds. */
  request(at: { readonly basePath: string; readonly origin: string }, leftMs: number): Omit<UpstreamRequest, "content">;
}

/** How an attempt ended, for operators: where there was more than one, each that was not the last; where one was hedged, each. */
export interface EndedAttempt {
  readonly endpoint: string;
  readonly ended: string;
  readonly ms: number;
  /** Sent beside another that was slow. */
  readonly hedge?: true;
}

/** What a declared answer stands in for. */
export interface ReplacedAnswer {
  /** What stands in for it, as `Sallyport-Fallback` says it. */
  readonly by: string;
  readonly instead: Deny;
  /** 0: the provider did not answer. */
  readonly upstreamStatus: number;
  readonly upstreamMs: number;
}
