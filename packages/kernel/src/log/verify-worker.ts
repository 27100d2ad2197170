// Promises a thread that judges the free chunks of every segment it is told of, until it is told to end. Trusts verify-crew.ts, which alone starts it.
// Nothing here is stored, so it has no format.
import assert from "node:assert";
import { parentPort } from "node:worker_threads";
import { realDisk } from "./real-disk.ts";
import { ChunkJudge } from "./verify-chunk.ts";
import { type SegmentJob, SegmentWork } from "./verify-columns.ts";

const port = parentPort;
assert.ok(port !== null, "verify-worker.ts is started by verify-crew.ts");
const judge = new ChunkJudge(realDisk());

port.on("message", (job: SegmentJob | null) => {
  if (job === null) {
    port.close();
    return;
  }
  const work = new SegmentWork(job);
  for (let i = work.claimNext(0); i >= 0; i = work.claimNext(i + 1)) work.publish(i, isClean(work, i));
});

/** A fault of the disk is met again, and said, where an unclean chunk is looked at leaf by leaf. */
function isClean(work: SegmentWork, i: number): boolean {
  try {
    return judge.judge(work, work.chunk(i));
  } catch {
    return false;
  }
}
