// Promises that an answer of before is released as a crossing of its own: what its payload rule asks for is kept, its record is durable before it leaves, and it
// says whose repeat it is. Trusts the idempotency stage for the answer. Specified in docs/idempotency.md "Replays".
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { keepAnswer, keepRequest } from "../payloads/keep.ts";
import type { Ended } from "./recorder.ts";
import { finished, outcomeOf, ownHeaders, unrecorded } from "./settle.ts";

/** Names the crossing whose answer this is. */
export const replayField = "sallyport-replay-of";

export async function settleReplay(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { claim, operation } = exchange;
  const replay = claim?.replay ?? null;
  if (replay === null || operation === null) return deny("record", "internal");
  if (exchange.aborted) return deny("record", "client-aborted");
  const { status, body, lines } = replay.answer;
  exchange.bytesOut = body?.length ?? 0;
  const ended: Ended = {
    outcome: outcomeOf(operation, status),
    status,
    upstreamStatus: 0,
    upstreamMs: 0,
    deny: null,
  };
  try {
    const refusal = (await keepRequest(exchange, gate)) ?? (await keepAnswer(exchange, gate, body));
    if (refusal !== null) return refusal;
    await gate.recorder.crossing(exchange, ended);
  } catch (cause) {
    return unrecorded(cause);
  }
  exchange.ended = true;
  finished(exchange, ended, gate);
  const length = body === null ? null : body.length;
  const own = [replayField, replay.crossing, ...ownHeaders(exchange, gate, length)];
  exchange.response.writeHead(status, own, lines);
  exchange.response.end(body ?? undefined);
  return null;
}
