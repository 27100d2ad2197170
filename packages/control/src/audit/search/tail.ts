// Promises records as they come, a line each batch, to whoever may still read them: each once, nothing in between left out, with a place to go on from.
// A reader holds up nobody: it is asked, never pushed, and given up when it does not read. Trusts the index for order. Specified in docs/audit-search.md.
import { AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { pause } from "../follow/pause.ts";
import { type FollowRequest, parseTailCursor, printTailCursor } from "./records-request.ts";
import { ask, behind, filtersOf, namesOf, printHit, type RecordHit, unanswered } from "./search-actions.ts";
import type { Followed, Hint, Places } from "./search-question.ts";

/** Of one operator, and of all. */
export const tailsOfOperatorMax = 4;
export const tailsMax = 32;
const hitsOfLine = 200;
const pollMs = 300;

export interface TailTimes {
  /** Longest silence; also how often it is looked whether the reader may still read. */
  readonly heartbeatMs: number;
  /** As long as a token lives: then the reader proves itself again. */
  readonly lifeMs: number;
  /** A line that is not taken for so long ends the tail. */
  readonly slowMs: number;
  /** The index may be out of reach for so long. */
  readonly awayMs: number;
}
export const tailTimes: TailTimes = { heartbeatMs: 5_000, lifeMs: 300_000, slowMs: 30_000, awayMs: 30_000 };

/** Who reads. */
export interface Reader {
  readonly actor: string;
  /** Whether the operator may still do what this route needs. */
  permitted(): Promise<boolean>;
}

export type TailEnd = "renew" | "slow-reader" | "not-permitted" | "stopping" | "unavailable";

/** One line of a tail. */
export type TailLine =
  | { readonly t: "begin"; readonly cursor: string }
  | {
      readonly t: "records";
      readonly hits: readonly RecordHit[];
      /** Pseudonym to name, of those in the hits that are known. */
      readonly names: Readonly<Record<string, string>>;
      readonly cursor: string;
    }
  /** Records that are in no index any more were passed over; they are in the log. */
  | { readonly t: "missing"; readonly count: number; readonly cursor: string }
  | { readonly t: "heartbeat"; readonly behind: number; readonly cursor: string }
  | { readonly t: "end"; readonly code: TailEnd; readonly fix: string; readonly cursor: string };

const fixes: Readonly<Record<TailEnd, string>> = {
  renew: "the tail is as old as a token may be: open the next one with this cursor",
  "slow-reader": "lines were not read: read faster, or narrow it; open the next one with this cursor",
  "not-permitted": "the permission to read the log was taken away",
  stopping: "control is stopping: open the next one with this cursor when it is back",
  unavailable: "the index does not answer; sallyport status says why. Open the next one with this cursor",
};

/** The tails that are open at this control node. */
export class Tails {
  readonly #open = new Map<Tail, string>();
  readonly times: TailTimes;
  #stopping = false;

  constructor(times = tailTimes) {
    this.times = times;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Throws AdminFault `too-many` or `unavailable`. */
  admit(actor: string, tail: Tail): void {
    if (this.#stopping) throw new AdminFault("unavailable", "control is stopping", "ask again when it is back");
    const own = [...this.#open.values()].filter((other) => other === actor).length;
    if (own >= tailsOfOperatorMax)
      throw new AdminFault("too-many", `${actor} follows ${own} tails already`, "end one of them, or wait a moment");
    if (this.#open.size >= tailsMax)
      throw new AdminFault("too-many", `${tailsMax} tails are open here already`, "ask again later");
    this.#open.set(tail, actor);
  }

  leave(tail: Tail): void {
    this.#open.delete(tail);
  }

  /** Each says its last line; nobody begins a new one. */
  stop(): void {
    this.#stopping = true;
    for (const tail of this.#open.keys()) tail.stop();
  }
}

export async function followRecords(
  parts: ControlParts,
  request: FollowRequest,
  reader: Reader,
): Promise<ReadableStream<Uint8Array>> {
  const after = parseTailCursor(request);
  const said = new Map<string, string>();
  const { where } = request;
  // Also of years gone by: a cursor may be old.
  const filters = await filtersOf(parts, { where, from: 0, to: parts.clock.now() }, said);
  const tail = new Tail({
    ...{ after, reader, times: parts.tails.times },
    follow: async (place, hint) => {
      const follow = { filters, after: place, hint, limit: hitsOfLine };
      const answer = await ask(parts, { ask: "follow", follow });
      if (answer.kind !== "followed") throw unanswered(answer);
      return answer.followed;
    },
    behind: () => behind(parts),
    print: async ({ hits }) => ({ hits: hits.map(printHit), names: await namesOf(parts, hits, said) }),
    cursor: (places) => printTailCursor(where, places),
    left: () => parts.tails.leave(tail),
  });
  parts.tails.admit(reader.actor, tail);
  try {
    await tail.begin();
  } catch (error) {
    parts.tails.leave(tail);
    throw error;
  }
  return tail.stream();
}

/** What a tail stands on. */
export interface TailPorts {
  readonly after: Places | null;
  readonly reader: Reader;
  readonly times: TailTimes;
  follow(after: Places | null, hint: Hint | null): Promise<Followed>;
  behind(): Promise<number>;
  print(followed: Followed): Promise<{ readonly hits: readonly RecordHit[]; readonly names: Record<string, string> }>;
  cursor(places: Places): string;
  left(): void;
}

export class Tail {
  readonly #ports: TailPorts;
  readonly #ending = new AbortController();
  #places: Places = {};
  #hint: Hint | null = null;
  #answered = performance.now();
  #stopping = false;

  constructor(ports: TailPorts) {
    this.#ports = ports;
  }

  stop(): void {
    this.#stopping = true;
    this.#ending.abort();
  }

  /** Lines are made when they are asked for; one that is not taken in time is followed by the last. */
  stream(): ReadableStream<Uint8Array> {
    const lines = this.#lines();
    let slow: NodeJS.Timeout | undefined;
    const over = () => {
      clearTimeout(slow);
      this.#ending.abort();
      this.#ports.left();
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          clearTimeout(slow);
          const step = await lines.next().catch((error: unknown) => {
            over();
            throw error;
          });
          if (step.done === true) {
            over();
            controller.close();
            return;
          }
          controller.enqueue(bytesOf(step.value));
          slow = setTimeout(() => {
            over();
            controller.enqueue(bytesOf(this.#end("slow-reader")));
            controller.close();
          }, this.#ports.times.slowMs).unref();
        },
        cancel: over,
      },
      { highWaterMark: 0 },
    );
  }

  #end(code: TailEnd): TailLine {
    return { t: "end", code, fix: fixes[code], cursor: this.#cursor() };
  }

  /** Where it begins. Rejects where the index does not answer. */
  async begin(): Promise<void> {
    const { after, follow } = this.#ports;
    this.#places = after ?? (await follow(null, null)).places;
  }

  async *#lines(): AsyncGenerator<TailLine, void, void> {
    const { times, reader } = this.#ports;
    const { signal } = this.#ending;
    const began = performance.now();
    let [checked, spoken] = [began, began];
    yield { t: "begin", cursor: this.#cursor() };
    while (!signal.aborted) {
      const now = performance.now();
      if (now - began >= times.lifeMs) return yield this.#end("renew");
      if (now - checked >= times.heartbeatMs) {
        if (!(await reader.permitted())) return yield this.#end("not-permitted");
        checked = now;
      }
      const followed = await this.#next();
      if (followed === null) return yield this.#end("unavailable");
      if (followed.lines.length > 0) spoken = performance.now();
      yield* followed.lines;
      if (performance.now() - spoken >= times.heartbeatMs) {
        spoken = performance.now();
        yield { t: "heartbeat", behind: await this.#ports.behind().catch(() => 0), cursor: this.#cursor() };
      } else if (!followed.more) await pause(pollMs, signal);
    }
    if (this.#stopping) yield this.#end("stopping");
  }

  #cursor(): string {
    return this.#ports.cursor(this.#places);
  }

  /** What came since; null: the index has been out of reach for too long. */
  async #next(): Promise<{ readonly lines: readonly TailLine[]; readonly more: boolean } | null> {
    const { times, follow, print } = this.#ports;
    let followed: Followed;
    try {
      followed = await follow(this.#places, this.#hint);
    } catch {
      return performance.now() - this.#answered < times.awayMs ? { lines: [], more: false } : null;
    }
    const { hits, missing, more, places } = followed;
    const printed = hits.length === 0 ? null : await print(followed);
    this.#answered = performance.now();
    this.#hint = followed.hint;
    const before = this.#cursor();
    this.#places = places;
    const cursor = this.#cursor();
    const gap: TailLine[] = missing === 0 ? [] : [{ t: "missing", count: missing, cursor: before }];
    return { lines: printed === null ? gap : [...gap, { t: "records", ...printed, cursor }], more };
  }
}

const bytesOf = (line: TailLine): Uint8Array => Buffer.from(`${JSON.stringify(line)}\n`);
