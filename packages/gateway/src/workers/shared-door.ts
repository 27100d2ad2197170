// Promises the bounds of admit/door.ts over all threads of a node: connections and handshakes of a source are counted together, whichever thread the
// kernel gave them to. Trusts the shared table. Specified in docs/gateway.md (listen) and docs/workers.md.
import { type DoorKeeping, type DoorLimits, type DoorRefusal, decideEntry, type Entered } from "../admit/door.ts";
import { type Source, sourceKey } from "../admit/source-prefix.ts";
import type { SharedRow, SharedTable } from "./shared-table.ts";

/** Numbers of a source's row. */
const [open, handshakes, windowStart, begun, lastUsed] = [0, 1, 2, 3, 4];
export const doorWidth = 5;

export class SharedDoor implements DoorKeeping {
  readonly #limits: DoorLimits;
  readonly #monotonic: () => number;
  readonly #table: SharedTable;
  /** One word: handshakes under way over all threads. */
  readonly #handshakes: Int32Array;

  constructor(
    limits: DoorLimits,
    monotonic: () => number,
    shared: { readonly table: SharedTable; readonly handshakes: SharedArrayBuffer },
  ) {
    this.#limits = limits;
    this.#monotonic = monotonic;
    this.#table = shared.table;
    this.#handshakes = new Int32Array(shared.handshakes);
  }

  enter(source: Source, isTls: boolean): Entered | DoorRefusal {
    const key = sourceKey(source, this.#limits.prefixLengths);
    const inAll = isTls ? Atomics.add(this.#handshakes, 0, 1) : 0;
    const answer = this.#table.change(key, rankOf, (row) => this.#begin(row, isTls, inAll)) ?? "sources";
    if (answer === "entered") return this.#entered(key, isTls);
    if (isTls) Atomics.sub(this.#handshakes, 0, 1);
    return answer;
  }

  #begin({ words, at }: SharedRow, isTls: boolean, inAll: number): DoorRefusal | "entered" {
    const nowMs = this.#monotonic();
    words[at + lastUsed] = nowMs;
    if (nowMs - (words[at + windowStart] ?? 0) >= this.#limits.windowMs) {
      words[at + windowStart] = nowMs;
      words[at + begun] = 0;
    }
    const state = {
      open: words[at + open] ?? 0,
      handshakes: words[at + handshakes] ?? 0,
      windowStartMs: words[at + windowStart] ?? 0,
      begun: words[at + begun] ?? 0,
    };
    const refusal = decideEntry(state, { handshakes: inAll, isTls, limits: this.#limits });
    if (refusal !== null) return refusal;
    words[at + open] = state.open + 1;
    if (isTls) {
      words[at + handshakes] = state.handshakes + 1;
      words[at + begun] = state.begun + 1;
    }
    return "entered";
  }

  #entered(key: string, isTls: boolean): Entered {
    let [isShaking, isOpen] = [isTls, true];
    const less = (word: number): void => {
      this.#table.known(key, ({ words, at }) => {
        words[at + word] = Math.max(0, (words[at + word] ?? 0) - 1);
      });
    };
    const secured = (): void => {
      if (!isShaking) return;
      isShaking = false;
      Atomics.sub(this.#handshakes, 0, 1);
      less(handshakes);
    };
    return {
      secured,
      left: () => {
        secured();
        if (isOpen) less(open);
        isOpen = false;
      },
    };
  }
}

/** One with something open is never forgotten, else the longest idle. */
const rankOf = ({ words, at }: SharedRow): number =>
  (words[at + open] ?? 0) > 0 ? Number.POSITIVE_INFINITY : (words[at + lastUsed] ?? 0);
