// Promises one span per stage of a sampled crossing under one trace context, without a byte of payload, address or caller-chosen text, and that
// no trace ever holds a crossing up: what cannot be sent is dropped and counted. Trusts a trace context only from a caller it knows: a stranger
// neither starts, names nor joins a trace. Specified by W3C Trace Context and docs/traces.md.
import type { Random } from "@sallyport/kernel/ports.ts";
import type { Exchange } from "../exchange.ts";
import { type ReceivedTrace, readTraceparent } from "../forward/traceparent.ts";
import type { CrossingObserver, GatewayIdentity, TraceOptions } from "../ports.ts";
import type { Ended } from "../record/recorder.ts";
import { printBatch, type TracedCrossing } from "./otlp.ts";

/** Crossings that wait to be sent; more are dropped. */
export const tracedCrossingsMax = 2_048;
const batchCrossingsMax = 256;
const batchMs = 1_000;
const lastBatchMs = 2_000;
const idBytes = { trace: 16, span: 8 };

export interface Tracing extends CrossingObserver {
  /** `traceparent` for the provider; the span of `forward` is the parent it names. */
  continueFor(exchange: Exchange): string;
  /** Crossings whose spans were never taken by the collector. */
  readonly lost: number;
  /** Sends what waits, at most two seconds. */
  close(): Promise<void>;
}

export interface TracingPorts {
  readonly identity: GatewayIdentity;
  readonly random: Random;
  readonly traces: TraceOptions;
}

/** Sampling by 52 random bits of the trace id itself, so that every gateway with this ratio keeps the same traces. */
export function isSampled(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(-14, -1), 16) < ratio * 0x10_0000_0000_0000;
}

export function createTracing({ identity, random, traces }: TracingPorts): Tracing {
  const queue: TracedCrossing[] = [];
  let lost = 0;
  let sending: Promise<void> | null = null;
  let timer: NodeJS.Timeout | null = null;
  const hex = (bytes: number): string => Buffer.from(random.bytes(bytes)).toString("hex");

  const send = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.splice(0, batchCrossingsMax);
      const body = printBatch(batch, { identity, version: traces.version, spanId: () => hex(idBytes.span) });
      await traces.send(body).catch(() => {
        lost += batch.length;
      });
    }
    sending = null;
  };
  const flush = (): Promise<void> => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    sending ??= send();
    return sending;
  };

  return {
    get lost() {
      return lost;
    },
    continueFor(exchange) {
      const { traceId, sampled } = contextOf(exchange, traces.ratio, () => hex(idBytes.trace));
      return `00-${traceId}-${hex(idBytes.span)}-${sampled ? "01" : "00"}`;
    },
    crossing(exchange, ended, endedMs) {
      const traced = traceOf({ exchange, ended, endedMs }, traces.ratio, () => hex(idBytes.trace));
      if (traced === null) return;
      if (queue.length >= tracedCrossingsMax) {
        lost++;
        return;
      }
      queue.push(traced);
      if (queue.length >= batchCrossingsMax) void flush();
      else if (timer === null && sending === null) {
        timer = setTimeout(() => void flush(), batchMs);
        timer.unref();
      }
    },
    async close() {
      const patience = Promise.withResolvers<void>();
      const late = setTimeout(patience.resolve, lastBatchMs);
      await Promise.race([flush(), patience.promise]);
      clearTimeout(late);
    },
  };
}

interface Context {
  readonly traceId: string;
  readonly sampled: boolean;
  readonly received: ReceivedTrace | null;
}

/** A known caller's trace is continued with its own decision; everybody else's crossing is a trace of ours. */
function contextOf(exchange: Exchange, ratio: number, newTraceId: () => string): Context {
  const field = exchange.request?.headers["traceparent"];
  const received = exchange.principal === null || field?.length !== 1 ? null : readTraceparent(field[0]);
  if (received !== null) return { traceId: received.traceId, sampled: received.sampled, received };
  const traceId = newTraceId();
  return { traceId, sampled: isSampled(traceId, ratio), received: null };
}

interface EndedCrossing {
  readonly exchange: Exchange;
  readonly ended: Ended;
  readonly endedMs: number;
}

function traceOf(of: EndedCrossing, ratio: number, newTraceId: () => string): TracedCrossing | null {
  const { exchange, ended, endedMs } = of;
  const sent = exchange.traceparent === null ? null : readTraceparent(exchange.traceparent);
  const context = contextOf(exchange, ratio, () => sent?.traceId ?? newTraceId());
  if (!(sent?.sampled ?? context.sampled)) return null;
  return {
    traceId: context.traceId,
    parentId: context.received?.parentId ?? null,
    forwardId: sent?.parentId ?? null,
    startedAtMs: exchange.startedAtMs,
    startedMs: exchange.startedMonotonicMs,
    endedMs,
    stages: exchange.times?.stages ?? [],
    id: exchange.id,
    method: exchange.request?.method ?? null,
    operation: exchange.principal === null ? null : (exchange.operation?.fullName ?? null),
    route: exchange.principal === null ? null : (exchange.operation?.path ?? null),
    integration: exchange.grant?.integration.id ?? null,
    code: ended.deny?.code ?? null,
    outcome: ended.outcome,
    status: ended.status,
  };
}
