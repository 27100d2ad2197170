// Promises one answer to where a request came from, for throttles and records. Trusts the connection alone.
import type { IncomingMessage } from "node:http";

/** The address that counts; empty when the connection is gone. */
export function addressOf(req: IncomingMessage): string {
  return req.socket.remoteAddress ?? "";
}
