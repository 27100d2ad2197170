// Promises a word for every reason why a connection, or what it sent, never became a request: the label of a metric. Trusts nothing.
// Listed in docs/metrics.md.
import type { DoorRefusal } from "../admit/door.ts";
import type { ProxyRefusal } from "./proxied-connection.ts";

export type RefusedConnection = "tls" | "connections" | "requests-per-socket" | "http2" | DoorRefusal | ProxyRefusal;
