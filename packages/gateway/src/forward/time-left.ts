// Promises the time a request has, in one field both ways: a caller's can only shorten what the operation has, and the provider is told what is left.
// Trusts nothing a caller sent. Specified in docs/resilience.md "Time".
import type { CanonicalHeaders } from "@sallyport/protocol/canonical/request.ts";

/** Whole milliseconds. */
export const timeLeftField = "request-timeout-ms";

/** What a caller gives its request, in milliseconds; infinite where it says nothing, or nothing with one meaning. */
export function timeGiven(headers: CanonicalHeaders): number {
  const values = headers[timeLeftField];
  if (values === undefined) return Number.POSITIVE_INFINITY;
  const [only = ""] = values;
  return values.length === 1 && /^[1-9][0-9]{0,8}$/.test(only) ? Number(only) : Number.POSITIVE_INFINITY;
}

/** As it is sent to the provider. */
export function timeLeft(ms: number): string {
  return String(Math.max(1, Math.floor(ms)));
}
