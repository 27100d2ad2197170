// Promises batches as one signed JSON message each, whose id is the same when it is sent again, and what the answer means. Pure.
// Trusts no answer. Specified by Standard Webhooks 1.0 and docs/export.md "Webhook".
import { createHmac, hash } from "node:crypto";
import type { EncodedRecord } from "./encode.ts";
import { type HttpAnswer, type HttpReceiver, judgeRefusal } from "./http-exchange.ts";
import type { Delivery } from "./sink.ts";

export interface WebhookOptions {
  /** Path and query of the URL. */
  readonly path: string;
  readonly sink: string;
  /** 24 to 64 bytes (Standard Webhooks, "Signature scheme"). */
  readonly key: Uint8Array;
}

export function webhookReceiver({ path, sink, key }: WebhookOptions): HttpReceiver {
  return {
    // The signature covers the bytes that are sent; receivers read them before anything decodes them.
    gzip: false,
    request(batch, nowMs) {
      const body = `{"type":"sallyport.audit.records","timestamp":${JSON.stringify(new Date(nowMs).toISOString())},"data":{"sink":${JSON.stringify(sink)},"events":[${batch.map(({ json }) => json).join(",")}]}}`;
      return { path, headers: signedHeaders({ id: messageId(batch, sink), body, key, nowMs }), body };
    },
    judge: judgeWebhook,
  };
}

/** Equal batches have equal ids: a receiver that remembers ids takes each once. */
function messageId(batch: readonly EncodedRecord[], sink: string): string {
  const names = batch.map(({ record }) => `${record.origin}:${record.index}`).join("\n");
  return `exp_${hash("sha256", `${sink}\n${names}`, "hex").slice(0, 32)}`;
}

/** The header fields of a signed JSON message (Standard Webhooks, "Webhook headers"). */
export function signedHeaders(of: {
  readonly id: string;
  readonly body: string;
  readonly key: Uint8Array;
  readonly nowMs: number;
}): Readonly<Record<string, string>> {
  const timestamp = String(Math.trunc(of.nowMs / 1_000));
  return {
    "content-type": "application/json",
    "webhook-id": of.id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signature({ ...of, timestamp }),
  };
}

export function signature(of: {
  readonly id: string;
  readonly timestamp: string;
  readonly body: string;
  readonly key: Uint8Array;
}): string {
  const mac = createHmac("sha256", of.key).update(`${of.id}.${of.timestamp}.${of.body}`).digest("base64");
  return `v1,${mac}`;
}

function judgeWebhook(answer: HttpAnswer, _batch: readonly EncodedRecord[], nowMs: number): Delivery {
  if (answer.status >= 200 && answer.status < 300) return { kind: "taken", rejected: [] };
  return judgeRefusal(answer, nowMs);
}
