// Promises an answer in bytes and back: status, the fields that say what its content is, and the content. What belongs to one connection, one session or one
// moment is left out. Trusts the seal around it. Format: docs/idempotency.md "What is kept of an answer".
import { AnswerLines } from "@sallyport/kernel/http1/answer-text.ts";

export interface KeptAnswer {
  readonly status: number;
  /** Names in lower case and values, alternating. */
  readonly fields: readonly string[];
  /** Null: it has none whatever its fields say, as a 204. */
  readonly body: Buffer | null;
}

/** Fields that are as true of a repeat as of the first answer. A list of what may stay: a field nobody thought of is left out. */
const keptFields: ReadonlySet<string> = new Set([
  "accept-patch",
  "allow",
  "cache-control",
  "content-digest",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-type",
  "deprecation",
  "etag",
  "last-modified",
  "link",
  "location",
  "preference-applied",
  "repr-digest",
  "sunset",
  "vary",
]);

const headBytes = 4;

/** The bytes to seal. `fields`: of the provider, as they went to the caller. */
export function printAnswer({ status, fields, body }: KeptAnswer): Buffer {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (keptFields.has(name)) kept.push(name, fields[i + 1] ?? "");
  }
  const head = Buffer.from(JSON.stringify({ v: 1, status, fields: kept, hasBody: body !== null }));
  const front = Buffer.alloc(headBytes);
  front.writeUInt32BE(head.length);
  return Buffer.concat([front, head, body ?? Buffer.alloc(0)]);
}

/** Reads what printAnswer wrote; throws where it is something else, which the seal rules out. */
export function readAnswer(bytes: Uint8Array): KeptAnswer & { readonly lines: AnswerLines } {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = all.readUInt32BE(0);
  const head: { v: number; status: number; fields: string[]; hasBody: boolean } = JSON.parse(
    all.toString("utf8", headBytes, headBytes + length),
  );
  if (head.v !== 1) throw new Error(`a kept answer of version ${head.v}`);
  const { status, fields, hasBody } = head;
  const body = hasBody ? all.subarray(headBytes + length) : null;
  return { status, fields, body, lines: new AnswerLines(fields) };
}
