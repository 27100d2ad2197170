// Promises OTLP/JSON of ended crossings: hexadecimal ids, nanoseconds as text, only declared names as values. Pure.
// Trusts its caller for ids of the right length. Specified by OTLP 1.x (JSON encoding) and the HTTP semantic conventions.
import type { GatewayIdentity } from "../ports.ts";
import type { StageTime } from "./stage-times.ts";

export interface TracedCrossing {
  readonly traceId: string;
  /** Span of a known caller. */
  readonly parentId: string | null;
  /** Span named to the provider; null where nothing was forwarded. */
  readonly forwardId: string | null;
  readonly startedAtMs: number;
  /** Monotonic milliseconds, as those of the stages. */
  readonly startedMs: number;
  readonly endedMs: number;
  readonly stages: readonly StageTime[];
  readonly id: string;
  readonly method: string | null;
  readonly operation: string | null;
  readonly route: string | null;
  readonly integration: string | null;
  readonly code: string | null;
  readonly outcome: string;
  readonly status: number;
}

const kind = { internal: 1, server: 2, client: 3 } as const;
const errorStatus = 2;

type Value = string | number | null;

function attributes(values: Readonly<Record<string, Value>>): object[] {
  return Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => ({
      key,
      value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
    }));
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly object[];
  readonly status?: { readonly code: number; readonly message?: string };
}

/** The body of `POST /v1/traces`. */
export function printBatch(
  crossings: readonly TracedCrossing[],
  on: { readonly identity: GatewayIdentity; readonly version: string; spanId(): string },
): string {
  const { tenant, environment, region, node } = on.identity;
  return JSON.stringify({
    resourceSpans: [
      {
        resource: {
          attributes: attributes({
            "service.name": "sallyport-gateway",
            "service.version": on.version,
            "service.instance.id": node,
            "deployment.environment.name": environment,
            "sallyport.tenant": tenant,
            "sallyport.region": region,
          }),
        },
        scopeSpans: [
          { scope: { name: "sallyport.gateway" }, spans: crossings.flatMap((one) => spansOf(one, on.spanId)) },
        ],
      },
    ],
  });
}

function spansOf(crossing: TracedCrossing, newSpanId: () => string): readonly Span[] {
  const { traceId, parentId, startedAtMs, startedMs } = crossing;
  const spanId = newSpanId();
  // Whole microseconds: a double holds no nanoseconds of this century.
  const nano = (monotonicMs: number): string => `${Math.round((startedAtMs + (monotonicMs - startedMs)) * 1000)}000`;
  const whole: Span = {
    traceId,
    spanId,
    ...(parentId === null ? {} : { parentSpanId: parentId }),
    name: crossing.operation ?? "crossing",
    kind: kind.server,
    startTimeUnixNano: nano(startedMs),
    endTimeUnixNano: nano(crossing.endedMs),
    attributes: attributes({
      "http.request.method": crossing.method,
      "http.route": crossing.route,
      "http.response.status_code": crossing.status === 0 ? null : crossing.status,
      "sallyport.crossing": crossing.id,
      "sallyport.operation": crossing.operation,
      "sallyport.integration": crossing.integration,
      "sallyport.outcome": crossing.outcome,
      "error.type": crossing.code,
    }),
    ...(crossing.outcome === "system-error" ? { status: { code: errorStatus } } : {}),
  };
  const stages = crossing.stages.map(
    ({ name, startMs, endMs }): Span => ({
      traceId,
      spanId: name === "forward" ? (crossing.forwardId ?? newSpanId()) : newSpanId(),
      parentSpanId: spanId,
      name,
      kind: name === "forward" ? kind.client : kind.internal,
      startTimeUnixNano: nano(startMs),
      endTimeUnixNano: nano(endMs),
      attributes: [],
    }),
  );
  return [whole, ...stages];
}
