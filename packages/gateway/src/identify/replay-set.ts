// Promises that of any number of threads burning one proof id exactly one succeeds, and that a full table refuses instead of forgetting.
// Trusts the nonce step it is told: a proof is only burnt under the step its nonce names. Specified in DESIGN §12; RFC 9449 §11.1.
import { hash } from "node:crypto";

export type Burn = "fresh" | "replayed" | "full";

export interface ReplaySet {
  /** Marks (key thumbprint, jti) as used within a nonce step: insert-only, compare-and-set. `full` also where the key has burnt its share. */
  burn(step: number, jkt: string, jti: string): Burn;
}

/** Steps that may be live at once are two; the third table is the one being cleared for the next. */
const tables = 3;
/** Slots looked at before the table counts as full. */
const probesMax = 128;
const headerWords = 4;
/** Counters of what each key has burnt in a step; a key's place is keyed and changes with the step, so nobody can choose to share one. */
const shareWords = 1024;
/** One key may fill this part of a step's table, so that it alone cannot shut the others out. */
const sharePerKey = 1 / 2;
/** Places of keys remembered, so that a key costs one hash per step and not one per proof; full, remembering begins anew. */
const placesMax = 4_096;
/** Spins while another thread clears a table (well under a millisecond of work). */
const spinsMax = 1_000_000;

export const replaySetSlots = 1 << 19;
/** Of signatures, which are rarer. */
export const signatureReplaySlots = 1 << 17;

/** Memory for a set of `slots` (a power of two) ids per nonce step, to be shared by all threads of the node. */
export function allocateReplaySet(slots: number): SharedArrayBuffer {
  if (!Number.isInteger(Math.log2(slots))) throw new RangeError("slots must be a power of two");
  return new SharedArrayBuffer(8 * tables * (headerWords + shareWords + slots));
}

/** Opens the shared table; all openers must hold the same `key` (32 random bytes per node and epoch). */
export function openReplaySet(memory: SharedArrayBuffer, key: Uint8Array): ReplaySet {
  const words = new BigInt64Array(memory);
  const span = words.length / tables;
  const first = headerWords + shareWords;
  const slots = span - first;
  const shareMax = BigInt(Math.ceil(slots * sharePerKey));
  const digest = keyed(key);
  const places = new Map<string, number>();
  const placeOf = (step: number, jkt: string): number => {
    const name = `${step}\n${jkt}`;
    const known = places.get(name);
    if (known !== undefined) return known;
    if (places.size >= placesMax) places.clear();
    const place = shareOf(digest, step, jkt);
    places.set(name, place);
    return place;
  };
  return {
    burn(step, jkt, jti) {
      const base = (step % tables) * span;
      if (!claimTable(words, base, { step: BigInt(step), span })) return "full";
      const mac = digest(`${step}\n${jkt}\n${jti}`);
      // Zero means empty, so the one hash that is zero is moved to one.
      const mark = mac.readBigInt64LE(0) || 1n;
      const start = mac.readUInt32LE(8) % slots;
      const share = base + headerWords + placeOf(step, jkt);
      const isOver = Atomics.load(words, share) >= shareMax;
      for (let probe = 0; probe < probesMax; probe++) {
        const index = base + first + ((start + probe) % slots);
        const seen = isOver ? Atomics.load(words, index) : Atomics.compareExchange(words, index, 0n, mark);
        if (seen === mark) return "replayed";
        if (seen !== 0n) continue;
        if (isOver) return "full";
        Atomics.add(words, share, 1n);
        return "fresh";
      }
      return "full";
    },
  };
}

type Digest = (text: string) => Buffer;

/**
 * SHA-256 behind a secret, as hexadecimal digits its whole first block (64 octets for 32). Nobody without the key can say where an id falls; what
 * a bare hash behind a secret lacks against HMAC, that its output can be extended, needs an output, and none ever leaves this process.
 */
function keyed(key: Uint8Array): Digest {
  const secret = Buffer.from(key).toString("hex");
  return (text) => hash("sha256", secret + text, "buffer");
}

function shareOf(digest: Digest, step: number, jkt: string): number {
  return digest(`share\n${step}\n${jkt}`).readUInt32LE(0) % shareWords;
}

const clearing = -1n;

/** Makes the table at `base` belong to `step`, clearing what an earlier step left. False when it belongs to a later one or never came free. */
function claimTable(words: BigInt64Array, base: number, table: { step: bigint; span: number }): boolean {
  for (let spin = 0; spin < spinsMax; spin++) {
    const owner = Atomics.load(words, base);
    if (owner === table.step) return true;
    if (owner > table.step) return false;
    if (owner === clearing) continue;
    if (Atomics.compareExchange(words, base, owner, clearing) === owner) {
      words.fill(0n, base + headerWords, base + table.span);
      Atomics.store(words, base, table.step);
      return true;
    }
  }
  return false;
}
