// Promises one well-formed trace context upstream: a valid one is continued with a new parent, anything else is replaced.
// Trusts nothing of the caller but the trace id. Specified by W3C Trace Context §3.2.
import type { Random } from "@sallyport/kernel/ports.ts";

const shape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const parentBytes = 8;
const traceBytes = 16;
const zeros = /^0+$/;

/** The `traceparent` to send upstream for the one received, if any. */
export function continueTrace(received: string | undefined, random: Random): string {
  const match = received === undefined ? null : shape.exec(received);
  const [, version, trace, span, flags, rest] = match ?? [];
  const usable =
    version !== undefined &&
    trace !== undefined &&
    span !== undefined &&
    version !== "ff" &&
    !zeros.test(trace) &&
    !zeros.test(span) &&
    (version !== "00" || rest === undefined);
  const drawn = Buffer.from(random.bytes(usable ? parentBytes : parentBytes + traceBytes)).toString("hex");
  const parent = drawn.slice(0, 2 * parentBytes);
  if (!usable) return `00-${drawn.slice(2 * parentBytes)}-${parent}-00`;
  // Only the sampled bit is defined in version 00; other bits are not ours to pass on.
  const sampled = (Number.parseInt(flags ?? "00", 16) & 1) === 1 ? "01" : "00";
  return `00-${trace}-${parent}-${sampled}`;
}
