// Promises the stages of a request that refreshes a stream, behind those that every request passes: so many a second for each caller, a stream that is
// its own, the verdict a new request would get, and a record of the asking before anything is extended. Trusts refresh.ts. Specified in docs/streams.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { settleOwn } from "../record/settle.ts";
import { decideRefreshProof, noStream } from "./decide-refresh.ts";
import { ownStream, refreshAnywhere, refreshOf } from "./refresh.ts";

/** Of one calling system, over all its clients and users. */
export const refreshRate = { rate: 200, periodMs: 1_000, burst: 1_000 } as const;

export function limitRefreshes(exchange: Exchange, gate: Gate): Deny | null {
  const { principal } = exchange;
  if (principal === null) return deny("limit", "not-ready");
  const key = gate.limiter.key(`streams\n${principal.caller}`);
  const state = gate.limiter.take(key, refreshRate, gate.clock.monotonic());
  if (state === null) return deny("limit", "limit-table-full", { bound: "things counted at once" });
  if (state.allowed) return null;
  exchange.rate = { state, quota: refreshRate.burst, windowS: refreshRate.burst / refreshRate.rate };
  const rate = `${refreshRate.rate} a second, burst ${refreshRate.burst}`;
  return deny("limit", "rate-limited", { limit: rate, detail: `Refreshing streams: ${rate} for each calling system` });
}

export function findOwnStream(exchange: Exchange, gate: Gate): Deny | null {
  if (exchange.request === null) return deny("bind", "not-ready");
  // What another thread has is found when it is asked for its verdict.
  if (gate.refreshElsewhere !== null) return null;
  return ownStream(refreshOf(exchange), gate) === null ? noStream : null;
}

/** As a new request of this caller for what the stream is about would be judged, with the token that came now. */
export function authorizeRefresh(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, principal } = exchange;
  if (request === null || principal === null) return noStream;
  if (request.chunked || (request.contentLength ?? 0) > 0)
    return deny("inspect", "body-too-large", { detail: "A request that refreshes a stream has no body" });
  return decideRefreshProof(principal) ?? refreshAnywhere(refreshOf(exchange, "ask"), gate);
}

/** Once the asking is on record the stream stands on the new token. */
export function settleRefresh(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { principal, streamOf } = exchange;
  if (principal === null || streamOf === null) return Promise.resolve(deny("record", "internal"));
  const expiresIn = Math.max(0, Math.floor((principal.expiresAtMs - gate.clock.now()) / 1_000));
  const body = Buffer.from(JSON.stringify({ crossing: streamOf, expiresIn }), "utf8");
  return settleOwn(exchange, { type: "application/json", body }, gate, async () => {
    await refreshAnywhere(refreshOf(exchange), gate);
  });
}
