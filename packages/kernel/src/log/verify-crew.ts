// Promises the chunks of a verification judged by as many threads as there are cores, four at most, and the same answers with none of them:
// whoever comes first claims a chunk, and the caller judges what nobody has judged. A thread that dies or hangs costs time, never an answer.
// Trusts verify-worker.ts to run the same code. Nothing here is stored, so it has no format.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Disk } from "./disk.ts";
import { ChunkJudge } from "./verify-chunk.ts";
import {
  chunkState,
  columnBytes,
  planBytes,
  planChunks,
  printPlan,
  type SegmentJob,
  SegmentWork,
} from "./verify-columns.ts";

export const threadsMax = 4;
/** A thread costs some 60 ms to start: shorter segments are judged without. */
const sharedBytesMin = 8_388_608;

export interface CrewOptions {
  /** Threads in all, the caller's among them, 1 to 4; default: the machine's cores, at most 4. */
  readonly threads?: number;
  /** Segments of fewer bytes are judged by the caller alone; default 8 MiB. */
  readonly sharedBytesMin?: number;
  /** A claimed chunk is waited for so long before the threads are given up; default 10,000. */
  readonly patienceMs?: number;
  /** Leaves of a chunk, about; default 4,096. 0: every leaf is gone through by itself, as those of an unclean chunk are. */
  readonly chunkLeaves?: number;
  /** The module each thread runs. */
  readonly entry?: URL;
}

/** Memory of one segment, used again for later ones. */
interface Slot {
  bytes: ArrayBufferLike;
  columns: ArrayBufferLike;
}

export class Crew {
  readonly #judge: ChunkJudge;
  readonly #options: CrewOptions;
  readonly #helpers: number;
  #workers: Worker[] = [];
  #isShared = false;
  #isLost = false;
  #turn = 0;
  /** The segment being judged and the one after it. */
  #slots: [Slot, Slot] = [newSlot(), newSlot()];

  /** `isLocal`: the files are this machine's, so other threads can read them too. */
  constructor(disk: Disk, isLocal: boolean, options: CrewOptions) {
    this.#judge = new ChunkJudge(disk);
    this.#options = options;
    const threads = Math.min(threadsMax, options.threads ?? availableParallelism());
    this.#helpers = isLocal ? Math.max(0, threads - 1) : 0;
  }

  /** Memory for the bytes of the next segment, at least so many. What was given the time before the last is used again. */
  memory(length: number): Buffer {
    this.#turn += 1;
    const slot = this.#slot();
    this.#isShared = !this.#isLost && this.#helpers > 0 && length >= (this.#options.sharedBytesMin ?? sharedBytesMin);
    slot.bytes = this.#fitting(slot.bytes, length);
    return Buffer.from(slot.bytes);
  }

  /** Lays out the chunks of the segment whose bytes lie in the memory given last, and offers them to the threads. */
  open(given: Pick<SegmentJob, "directory" | "first" | "published"> & { readonly bytes: Buffer }): SegmentWork {
    const chunks = planChunks(given.bytes, this.#options.chunkLeaves);
    const leaves = chunks.reduce((sum, { count }) => sum + count, 0);
    const slot = this.#slot();
    slot.columns = this.#fitting(slot.columns, columnBytes(given.first, leaves));
    const plan = this.#isShared
      ? new SharedArrayBuffer(planBytes(chunks.length))
      : new ArrayBuffer(planBytes(chunks.length));
    printPlan(chunks, new Int32Array(plan));
    const job: SegmentJob = { ...given, leaves, columns: slot.columns, plan };
    const work = new SegmentWork(job);
    // Both may hold what an earlier segment left.
    work.groups.fill(0);
    if (this.#isShared && chunks.length > 1) this.#offer(job);
    return work;
  }

  /**
   * Is the chunk clean? Judges it where it is free, and while another thread has it, others: of the same segment, then of the one that `ahead` opens.
   */
  isClean(work: SegmentWork, i: number, ahead: () => SegmentWork | null): boolean {
    for (;;) {
      const state = work.state(i);
      if (state === chunkState.clean || state === chunkState.unclean) return state === chunkState.clean;
      if (state === chunkState.free && work.claim(i)) this.#judgeClaimed(work, i);
      else if (this.#isLost) this.#judgeClaimed(work, i);
      else if (!this.#judgeOther(work, i) && !this.#judgeOther(ahead(), 0)) this.#wait(work, i);
    }
  }

  /** Nothing more is asked of this segment: when it returns, no thread writes to its memory. */
  close(work: SegmentWork): void {
    for (let i = work.claimNext(0); i >= 0; i = work.claimNext(i + 1)) work.publish(i, false);
    for (let i = 0; i < work.chunks; i++)
      if (work.state(i) === chunkState.claimed && !this.#isLost) this.#wait(work, i);
  }

  #judgeOther(work: SegmentWork | null, from: number): boolean {
    const other = work?.claimNext(from) ?? -1;
    if (work === null || other < 0) return false;
    this.#judgeClaimed(work, other);
    return true;
  }

  #judgeClaimed(work: SegmentWork, i: number): void {
    work.publish(i, this.#judge.judge(work, work.chunk(i)));
  }

  /** Threads that do not answer in time are given up, with the memory they may still write to: what they write there is what we write. */
  #wait(work: SegmentWork, i: number): void {
    work.wait(i, this.#options.patienceMs ?? 10_000);
    if (work.state(i) !== chunkState.claimed) return;
    this.end();
    this.#slots = [newSlot(), newSlot()];
  }

  #slot(): Slot {
    return this.#slots[this.#turn % 2 === 0 ? 0 : 1];
  }

  #fitting(memory: ArrayBufferLike, length: number): ArrayBufferLike {
    const isFit = memory.byteLength >= length && memory instanceof SharedArrayBuffer === this.#isShared;
    if (isFit) return memory;
    return this.#isShared ? new SharedArrayBuffer(length) : new ArrayBuffer(length);
  }

  #offer(job: SegmentJob): void {
    if (this.#workers.length === 0) this.#workers = this.#start();
    for (const worker of this.#workers) worker.postMessage(job);
  }

  #start(): Worker[] {
    const name = import.meta.url.endsWith(".ts") ? "./verify-worker.ts" : "./verify-worker.js";
    const entry = this.#options.entry ?? new URL(name, import.meta.url);
    try {
      return Array.from({ length: this.#helpers }, () => {
        const worker = new Worker(entry, { name: "sallyport-verify" });
        worker.unref();
        // What it had claimed is waited for and then judged here.
        worker.on("error", () => {});
        return worker;
      });
    } catch {
      // Where no thread may be started, one judges all.
      this.#isLost = true;
      return [];
    }
  }

  /** Lets the threads end. What is asked for afterwards is judged by the caller. */
  end(): void {
    this.#isLost = true;
    for (const worker of this.#workers) worker.postMessage(null);
    this.#workers = [];
  }
}

const newSlot = (): Slot => ({ bytes: new ArrayBuffer(0), columns: new ArrayBuffer(0) });
