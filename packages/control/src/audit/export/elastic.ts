// Promises batches for the bulk API of Elasticsearch and OpenSearch, whose ids make a second delivery harmless, and what each item's answer means.
// Pure. Trusts no answer. Specified by the bulk API reference and docs/export.md "Elastic".
import { hash } from "node:crypto";
import type { EncodedRecord } from "./encode.ts";
import { answerObject, type HttpAnswer, type HttpReceiver, judgeRefusal, retryAfterMs } from "./http-exchange.ts";
import { type Delivery, quoted, type Rejected, SinkFault } from "./sink.ts";

export interface ElasticOptions {
  readonly basePath: string;
  /** Data stream or index. */
  readonly index: string;
  /** The whole value of `Authorization`: `ApiKey …` or `Basic …`; null: none. */
  readonly authorization: string | null;
  readonly gzip: boolean;
}

const idBytesMax = 512;

export function elasticReceiver({ basePath, index, authorization, gzip }: ElasticOptions): HttpReceiver {
  return {
    gzip,
    request: (batch) => ({
      path: `${basePath}/_bulk`,
      headers: {
        "content-type": "application/x-ndjson",
        ...(authorization === null ? {} : { authorization }),
      },
      body: batch
        .map(
          ({ record, json }) => `${JSON.stringify({ create: { _index: index, _id: documentId(record) } })}\n${json}\n`,
        )
        .join(""),
    }),
    judge: judgeBulk,
  };
}

/** `<origin>:<index>`; a longer one than Elastic takes is named by its hash. */
export function documentId({ origin, index }: { readonly origin: string; readonly index: number }): string {
  const id = `${origin}:${index}`;
  return id.length <= idBytesMax ? id : hash("sha256", id, "hex");
}

/** `create` of a document that is there is 409: this very record came before. */
const alreadyThere = 409;

function judgeBulk(answer: HttpAnswer, batch: readonly EncodedRecord[], nowMs: number): Delivery {
  if (answer.status < 200 || answer.status > 299) return judgeRefusal(answer, nowMs);
  const { items } = answerObject(answer);
  if (!Array.isArray(items) || items.length !== batch.length)
    throw new SinkFault(
      `the bulk answer tells of ${Array.isArray(items) ? items.length : "no"} items, and ${batch.length} were sent`,
    );
  const rejected: Rejected[] = [];
  for (const [at, item] of items.entries()) {
    const { status, reason, id } = readItem(item);
    const record = batch[at]?.record;
    if (record === undefined || id !== documentId(record))
      throw new SinkFault("the bulk answer tells of other documents than were sent");
    if ((status >= 200 && status < 300) || status === alreadyThere) continue;
    // What was taken stays taken: sent again it is 409.
    if (status === 429 || status >= 500 || status === 401 || status === 403 || status === 404)
      throw new SinkFault(
        `an item of the batch was answered ${status}: ${reason}`,
        retryAfterMs(answer.headers, nowMs),
      );
    rejected.push({ at, reason: `${status} ${reason}` });
  }
  return { kind: "taken", rejected };
}

function readItem(item: unknown): { readonly status: number; readonly reason: string; readonly id: unknown } {
  const said: unknown = typeof item === "object" && item !== null ? Object.values(item)[0] : null;
  if (typeof said !== "object" || said === null) throw new SinkFault("an item of the bulk answer is not an object");
  const { status, error, _id: id } = said as { status?: unknown; error?: unknown; _id?: unknown };
  if (typeof status !== "number") throw new SinkFault("an item of the bulk answer has no status");
  const reason = typeof error === "object" && error !== null ? quoted(JSON.stringify(error)) : "";
  return { status, reason, id };
}
