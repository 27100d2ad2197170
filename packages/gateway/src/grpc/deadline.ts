// Promises the time a call has: what its caller says, and never more than its operation allows. Trusts nothing.
// Specified in the gRPC protocol over HTTP/2 (Timeout).

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
const written = /^([0-9]{1,8})([HMSmun])$/;

/** Milliseconds, at least one; null: what was said is no timeout. `said` is undefined where the caller leaves it to the operation. */
export function callTimeoutMs(said: string | undefined, operationMs: number): number | null {
  if (said === undefined) return operationMs;
  const [, digits, unit = ""] = written.exec(said) ?? [];
  const each = unitMs[unit];
  if (digits === undefined || each === undefined) return null;
  return Math.max(1, Math.min(operationMs, Math.ceil(Number(digits) * each)));
}
