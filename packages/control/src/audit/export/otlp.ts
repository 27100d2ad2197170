// Promises batches for OTLP/HTTP collectors of logs, in JSON, and what their answers mean. Pure. Trusts no answer.
// Specified by OTLP 1.x (logs data model, OTLP/HTTP) and docs/export.md "OTLP".
import { version as productVersion } from "../../version.ts";
import type { EncodedRecord } from "./encode.ts";
import { answerObject, type HttpAnswer, type HttpReceiver, judgeRefusal } from "./http-exchange.ts";
import { type Delivery, quoted } from "./sink.ts";

export interface OtlpOptions {
  /** With its path: `/v1/logs`. */
  readonly path: string;
  /** The whole value of `Authorization`; null: none. */
  readonly authorization: string | null;
  readonly gzip: boolean;
}

/** Severity numbers of the log data model: INFO, INFO2, WARN, ERROR, FATAL. */
const severityNumbers = [0, 9, 10, 13, 17, 21];
const severityTexts = ["", "INFO", "INFO2", "WARN", "ERROR", "FATAL"];

const text = (key: string, value: string) => ({ key, value: { stringValue: value } });

export function otlpReceiver({ path, authorization, gzip }: OtlpOptions): HttpReceiver {
  return {
    gzip,
    request: (batch, nowMs) => ({
      path,
      headers: { "content-type": "application/json", ...(authorization === null ? {} : { authorization }) },
      body: JSON.stringify({
        resourceLogs: [
          {
            resource: { attributes: [text("service.name", "sallyport"), text("service.version", productVersion)] },
            scopeLogs: [{ scope: { name: "sallyport.audit" }, logRecords: batch.map((one) => logRecord(one, nowMs)) }],
          },
        ],
      }),
    }),
    judge: judgeOtlp,
  };
}

function logRecord({ record, json }: EncodedRecord, nowMs: number) {
  const { leaf, origin, index, previous, leafHash, severity } = record;
  return {
    timeUnixNano: `${leaf.at}000000`,
    observedTimeUnixNano: `${nowMs}000000`,
    severityNumber: severityNumbers[severity],
    severityText: severityTexts[severity],
    body: { stringValue: json },
    attributes: [
      text("event.name", `sallyport.${leaf.t}`),
      text("sallyport.origin", origin),
      // 64-bit integers are texts in OTLP's JSON.
      { key: "sallyport.index", value: { intValue: String(index) } },
      ...(previous === null ? [] : [{ key: "sallyport.previous", value: { intValue: String(previous) } }]),
      text("sallyport.leaf_hash", leafHash),
      text("deployment.environment.name", leaf.environment),
      text("service.instance.id", leaf.node),
    ],
  };
}

function judgeOtlp(answer: HttpAnswer, batch: readonly EncodedRecord[], nowMs: number): Delivery {
  // Of the client errors only these may be tried again (OTLP/HTTP, "Retryable Response Codes"); 400 and the like are about the content.
  if (answer.status < 200 || answer.status > 299) return judgeRefusal(answer, nowMs);
  // An empty answer is an empty message: a whole success.
  const { partialSuccess } = answer.text.trim() === "" ? { partialSuccess: undefined } : answerObject(answer);
  if (typeof partialSuccess !== "object" || partialSuccess === null) return { kind: "taken", rejected: [] };
  const { rejectedLogRecords = 0, errorMessage = "" } = partialSuccess as {
    rejectedLogRecords?: unknown;
    errorMessage?: unknown;
  };
  if (Number(rejectedLogRecords) === 0) return { kind: "taken", rejected: [] };
  // Which ones is not said, and the batch must not be sent again (OTLP, "Partial Success"): all of them are written down as doubtful.
  const reason = `the collector rejected ${quoted(String(rejectedLogRecords))} of ${batch.length} without saying which: ${quoted(String(errorMessage))}`;
  return { kind: "taken", rejected: batch.map((_one, at) => ({ at, reason })) };
}
