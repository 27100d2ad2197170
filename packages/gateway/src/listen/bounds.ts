// Promises a named bound for everything a connection can ask for before it is known who it is. Trusts nothing.
// Each has a sentence in docs/gateway.md (listen).
import type { DoorLimits } from "../admit/door.ts";
import type { ListenBounds } from "../ports.ts";

export const defaultListenBounds: ListenBounds = {
  /** Request line and fields together, with all line ends. */
  headerBytesMax: 16 * 1024,
  headersMax: 100,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 60_000,
  connectionsMax: 10_000,
  requestsPerSocketMax: 100_000,
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
