// Promises batches for Splunk's HTTP Event Collector and what its answers mean. Pure. Trusts no answer.
// Specified by Splunk's HEC reference and docs/export.md "Splunk".
import type { EncodedRecord } from "./encode.ts";
import { answerObject, type HttpAnswer, type HttpReceiver, judgeRefusal } from "./http-exchange.ts";
import { type Delivery, quoted, SinkFault } from "./sink.ts";

export interface SplunkOptions {
  /** Path before `/services/collector`; mostly empty. */
  readonly basePath: string;
  readonly token: string;
  readonly index: string | null;
  readonly sourceType: string;
  /** A UUID, the same for the life of the sink: acknowledgements are counted in it. */
  readonly channel: string | null;
  readonly gzip: boolean;
}

export const eventPath = "/services/collector/event";
export const ackPath = "/services/collector/ack";
/** HEC codes of a busy or stopping server. */
const busy = new Set([9, 18, 19, 20, 23, 26, 27]);

export function splunkReceiver(options: SplunkOptions): HttpReceiver {
  return {
    gzip: options.gzip,
    request: (batch) => ({
      path: `${options.basePath}${eventPath}`,
      headers: splunkHeaders(options),
      body: batch.map((one) => splunkEvent(one, options)).join("\n"),
    }),
    judge: judgeSplunk,
  };
}

export function splunkHeaders({
  token,
  channel,
}: Pick<SplunkOptions, "token" | "channel">): Readonly<Record<string, string>> {
  return {
    authorization: `Splunk ${token}`,
    "content-type": "application/json",
    ...(channel === null ? {} : { "x-splunk-request-channel": channel }),
  };
}

function splunkEvent({ record, json }: EncodedRecord, { index, sourceType }: SplunkOptions): string {
  const { leaf, origin, leafHash } = record;
  const head = {
    time: (leaf.at / 1_000).toFixed(3),
    host: leaf.node,
    source: origin,
    sourcetype: sourceType,
    ...(index === null ? {} : { index }),
    fields: { sallyport_index: String(record.index), sallyport_leaf: leafHash, environment: leaf.environment },
  };
  // The event is JSON already: parsing it to print it again would cost as much as encoding it.
  return `${JSON.stringify(head).slice(0, -1)},"event":${json}}`;
}

function judgeSplunk(answer: HttpAnswer, batch: readonly EncodedRecord[], nowMs: number): Delivery {
  const ok = answer.status >= 200 && answer.status < 300;
  if (!ok && !(answer.status === 400 || answer.status === 503)) return judgeRefusal(answer, nowMs);
  const { code, text, "invalid-event-number": invalid } = answerObject(answer);
  const words = `${answer.status} code ${String(code)} ${quoted(String(text ?? ""))}`;
  if (ok && code === 0) return { kind: "taken", rejected: [] };
  if (ok || typeof code !== "number") throw new SinkFault(`Splunk answered ${words}: that is no success`);
  if (busy.has(code) || answer.status === 503) return judgeRefusal({ ...answer, status: 503 }, nowMs);
  // 10, 11: a channel that is missing or wrong is not about any event.
  if (code === 10 || code === 11 || code === 7)
    throw new SinkFault(`Splunk answered ${words}: check index and channel of the sink`);
  // Which event it was is said for some codes, but whether those before it were indexed is not: halves find it without guessing.
  return {
    kind: "refused",
    reason: `${words}${typeof invalid === "number" && batch.length > 1 ? ` (event ${invalid})` : ""}`,
  };
}

/** The number to ask for, where the token acknowledges. Throws SinkFault. */
export function ackIdOf(answer: HttpAnswer): number {
  const { ackId } = answerObject(answer);
  if (typeof ackId === "number" && Number.isSafeInteger(ackId) && ackId >= 0) return ackId;
  throw new SinkFault(
    "Splunk gave no ackId: this token does not acknowledge. Enable it on the token, or set ack: false",
  );
}

/** Has the index acknowledged? */
export function isAcknowledged(answer: HttpAnswer, ackId: number): boolean {
  if (answer.status !== 200)
    throw new SinkFault(`Splunk answered ${answer.status} to the question for acknowledgements`);
  const { acks } = answerObject(answer);
  return (
    typeof acks === "object" && acks !== null && (acks as Readonly<Record<string, unknown>>)[String(ackId)] === true
  );
}
