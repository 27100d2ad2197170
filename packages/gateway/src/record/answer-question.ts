// Promises control the leaves and the sealed reference of one crossing this node recorded; opens nothing. Trusts the log.
// Specified in docs/formats/join.md (Questions).
import type { FoundRecord, LogHandle } from "@sallyport/kernel/log/port.ts";
import { isOfPayload, payloadsLast } from "@sallyport/protocol/audit/payload.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";

/** Rejects when the log cannot be read. */
export async function answerQuestion(
  log: LogHandle,
  question: Extract<DownMessage, { t: "question"; ask: "crossing" }>,
): Promise<UpMessage> {
  const textOf = ({ leaf }: FoundRecord) => Buffer.from(leaf).toString("latin1");
  const found = payloadsLast(await log.find(question.crossing), textOf);
  const decided = found.filter((record) => !isOfPayload(textOf(record)));
  const reference = decided.find((record) => record.reference !== null)?.reference ?? null;
  return {
    t: "answer",
    id: question.id,
    found: found.length > 0,
    leaves: found.map(textOf),
    reference: reference === null ? null : Buffer.from(reference).toString("base64url"),
  };
}
