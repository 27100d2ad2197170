// Promises what the thread that started a worker asks of it beside what every gateway answers: what it counted for the node, and a stream that it has.
// Trusts the parts. Specified in docs/workers.md.
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { ObservedAnswer, ObservedQuestion } from "../observe/observed-table.ts";
import type { Recorder } from "../record/recorder.ts";
import type { TalliedCounts, Tallies } from "../record/tallies.ts";
import type { Refresh } from "../streams/refresh.ts";

export interface AsWorker {
  readonly observed: { answer(question: ObservedQuestion): ObservedAnswer };
  readonly recorder: Pick<Recorder, "flushDenials" | "countedOnDisk">;
  readonly tallies: Pick<Tallies, "settled" | "take">;
  /** Of a stream whose caller's connection is another worker's. */
  refresh(refresh: Refresh): Deny | null;
}

/** What was counted before window `to`, once every record of it is durable. */
export async function takeTallies({ recorder, tallies }: AsWorker, to: number): Promise<TalliedCounts> {
  recorder.flushDenials(to);
  await recorder.countedOnDisk();
  return tallies.take(to);
}
