// Promises each message as one signed request whose id is the same when it is sent again, over the guarded dialer. Trusts no answer.
// Specified by Standard Webhooks 1.0 and docs/alerts.md "Webhook".
import { type HttpAnswer, judgeRefusal } from "../../audit/export/http-exchange.ts";
import { type HttpPlace, openAsker } from "../../audit/export/http-sink.ts";
import { SinkFault } from "../../audit/export/sink.ts";
import { signedHeaders } from "../../audit/export/webhook.ts";
import type { Alert } from "./alert.ts";
import { everybody, type Notifier, Refusal } from "./notifier.ts";

export interface WebhookTarget {
  /** Path and query of the URL. */
  readonly path: string;
  /** 24 to 64 bytes. */
  readonly key: Uint8Array;
}

export function webhookNotifier({ path, key }: WebhookTarget, place: HttpPlace): Notifier {
  const asker = openAsker(place);
  return {
    async tell(alert) {
      const body = bodyOf(alert, place.now());
      const headers = signedHeaders({ id: alert.id, body, key, nowMs: place.now() });
      assertTaken(await asker.ask({ path, headers, body }), place.now());
      return everybody;
    },
    close: () => asker.close(),
  };
}

function bodyOf({ id, kind, notifier, severity, total, findings }: Alert, nowMs: number): string {
  return JSON.stringify({
    type: kind === "test" ? "sallyport.alert.test" : "sallyport.finding.raised",
    timestamp: new Date(nowMs).toISOString(),
    data: { id, notifier, severity, total, findings },
  });
}

function assertTaken(answer: HttpAnswer, nowMs: number): void {
  if (answer.status >= 200 && answer.status < 300) return;
  const fault = faultOf(answer, nowMs);
  throw isForGood(answer.status) ? new Refusal(fault.message, fault.retryAfterMs) : fault;
}

/** RFC 9110 §15.5: the request is at fault, and the same one will be again; but 408 and 429 are about the moment. */
const isForGood = (status: number): boolean => status >= 400 && status < 500 && status !== 408 && status !== 429;

function faultOf(answer: HttpAnswer, nowMs: number): SinkFault {
  try {
    const delivery = judgeRefusal(answer, nowMs);
    const why = delivery.kind === "refused" ? delivery.reason : answer.status;
    return new SinkFault(`the receiver refused the message: ${why}`);
  } catch (fault) {
    if (fault instanceof SinkFault) return fault;
    throw fault;
  }
}
