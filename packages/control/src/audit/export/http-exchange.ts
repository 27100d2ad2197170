// Promises what a batch is to each HTTP receiver and what its answer means: pure, so that every answer can be tried. Trusts no answer.
// Specified in docs/export.md "Receivers".
import type { EncodedRecord } from "./encode.ts";
import { type Delivery, quoted, SinkFault } from "./sink.ts";

export interface HttpRequestParts {
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

export interface HttpReceiver {
  /** Whether bodies may be compressed. */
  readonly gzip: boolean;
  request(batch: readonly EncodedRecord[], nowMs: number): HttpRequestParts;
  /** Throws SinkFault. */
  judge(answer: HttpAnswer, batch: readonly EncodedRecord[], nowMs: number): Delivery;
}

/** What a receiver may ask for at most: longer and its place would seem forgotten. */
export const retryAfterMsMax = 15 * 60_000;

/** RFC 9110 §10.2.3: seconds or a date; null where neither stands there. */
export function retryAfterMs(headers: HttpAnswer["headers"], nowMs: number): number | null {
  const field = headers["retry-after"];
  if (typeof field !== "string") return null;
  const ms = /^[0-9]{1,9}$/.test(field) ? Number(field) * 1_000 : Date.parse(field) - nowMs;
  return Number.isFinite(ms) ? Math.min(retryAfterMsMax, Math.max(0, ms)) : null;
}

/** Statuses that say: not this content. Any other refusal is about the place, the credential or the moment, and the events wait. */
const aboutContent = new Set([400, 413, 415, 422]);

/** What a status other than 2xx means for every receiver. */
export function judgeRefusal(answer: HttpAnswer, nowMs: number): Delivery {
  const { status, headers, text } = answer;
  if (aboutContent.has(status)) return { kind: "refused", reason: `${status} ${quoted(text)}` };
  if (status >= 300 && status < 400)
    throw new SinkFault(
      `the receiver answered ${status} and points elsewhere: redirects are not followed, write the final URL`,
    );
  if (status === 401 || status === 403)
    throw new SinkFault(`the receiver answered ${status}: it does not accept the credential`);
  throw new SinkFault(`the receiver answered ${status}`, retryAfterMs(headers, nowMs));
}

/** The answer's JSON object. A 2xx that is not what its protocol says proves nothing. */
export function answerObject(answer: HttpAnswer): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(answer.text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch {
    // said below
  }
  throw new SinkFault(
    `the receiver answered ${answer.status}, but not in the words of its protocol: is the URL that of the receiver itself?`,
  );
}
