// Promises a named bound for everything a connection can ask for before it is known who it is. Trusts nothing.
// Each has a sentence in docs/gateway.md (listen).
import type { DoorLimits } from "../admit/door.ts";
import { shareTimes } from "../admit/source-share.ts";
import type { GatewayOptions, ListenBounds } from "../ports.ts";

export const defaultListenBounds: ListenBounds = {
  /** Request line and fields together, with all line ends. */
  headerBytesMax: 16 * 1024,
  headersMax: 100,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 60_000,
  connectionsMax: 10_000,
  requestsPerSocketMax: 100_000,
  sourceShare: { times: 1, lengths: null },
};

export const defaultDoorLimits: DoorLimits = {
  /** Half of all: whoever comes through one address translator is one source. */
  connectionsPerPrefixMax: 5_000,
  handshakesMax: 2_000,
  handshakesPerPrefixMax: 1_000,
  handshakesPerPrefixWindowMax: 10_000,
  windowMs: 10_000,
  prefixesMax: 16_384,
  prefixLengths: null,
};

/** Of one thread's listeners; what a source may hold follows from what it may hold of the node. */
export function listenBoundsOf({
  bounds,
  door,
  worker,
}: Pick<GatewayOptions, "bounds" | "door" | "worker">): ListenBounds {
  const merged = { ...defaultListenBounds, ...bounds };
  const { connectionsPerPrefixMax, prefixLengths } = { ...defaultDoorLimits, ...door };
  const times = shareTimes(connectionsPerPrefixMax, merged.connectionsMax * (worker?.of ?? 1));
  return { ...merged, sourceShare: bounds?.sourceShare ?? { times, lengths: prefixLengths } };
}
