// Promises that every checkpoint of a log is taken to its witnesses off the append path, each at its own pace, that their lines are kept with it, and
// that a witness which saw another history is heard. Trusts the log's own directory and the witnesses' keys. Specified by C2SP tlog-witness (client).
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import {
  addSignatureLines,
  cosignatureLines,
  verifyCosignatures,
  type WitnessKey,
} from "@sallyport/protocol/audit/cosignature.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { parseTreeSize, printSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import { noteCrypto } from "../log/log-crypto.ts";
import type { Random } from "../ports.ts";
import type { LogFinding, LogFindingCode } from "./finding.ts";
import type { OwnLog, PublishedTree } from "./own-log.ts";

/** A witness as its client sees it. */
export interface AskedWitness {
  /** Tells it from the others, in messages too. */
  readonly name: string;
  /** Null: not known yet; it is asked when it is. */
  key(): Promise<WitnessKey | null>;
  /** One `add-checkpoint` request; rejects when there was no answer. Bounded in time and size. */
  submit(body: string): Promise<{ readonly status: number; readonly body: string }>;
  /** The checkpoint it cosigned last; null when it has none or says none. */
  kept(origin: string): Promise<string | null>;
}

export interface CosigningOptions {
  readonly log: OwnLog;
  /** Asked anew each round. */
  readonly witnesses: () => readonly AskedWitness[];
  /** Milliseconds, monotonic. */
  readonly monotonic: () => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: Random;
  readonly found: (finding: LogFinding) => Promise<void>;
  /** What could not be done, for operators; said once until the witness answers again. */
  readonly fault: (witness: string, why: string) => void;
}

export interface WitnessStanding {
  readonly name: string;
  /** Origin -> leaves of the newest checkpoint of it that the witness cosigned. */
  readonly cosigned: ReadonlyMap<string, number>;
  /** Why the last try failed; null when it did not. */
  readonly fault: string | null;
}

/** Witnesses asked in one round; a note has room for more lines, and a round for no more waiting. */
export const witnessesMax = 16;
const backoffMs = { first: 5_000, max: 300_000 };
/** A log that does not grow is cosigned again so often, so that its newest cosignature stays young. */
const freshMs = 3_600_000;

/** A cosignature dated further from now is not of now: an old one shown again, or of a clock that nobody can rely on. */
export const clocksApartMsMax = 86_400_000;

interface Asking {
  readonly cosigned: Map<string, number>;
  busy: boolean;
  failures: number;
  /** Not asked before; monotonic milliseconds. */
  dueMs: number;
  /** When it cosigned last. */
  freshMs: number;
  fault: string | null;
}

export class Cosigning {
  readonly #options: CosigningOptions;
  readonly #askings = new Map<string, Asking>();
  /** Origin -> the tree's checkpoint with the lines so far. */
  readonly #gathered = new Map<string, { readonly tree: PublishedTree; note: string }>();
  readonly #told = new Set<string>();

  constructor(options: CosigningOptions) {
    this.#options = options;
  }

  /**
   * Takes the newest checkpoint to every witness that is due; resolves when each has answered or failed, with the leaves of that checkpoint,
   * or with null when it was taken to nobody. Never rejects.
   */
  async round(): Promise<number | null> {
    const now = this.#options.monotonic();
    const due = this.#options
      .witnesses()
      .slice(0, witnessesMax)
      .filter((witness) => isDue(this.#asking(witness), now));
    if (due.length === 0) return null;
    try {
      const trees = await this.#options.log.trees();
      for (const tree of trees) this.#begin(tree);
      await Promise.all(due.map((witness) => this.#take(witness, trees)));
      return trees.at(-1)?.size ?? null;
    } catch (error) {
      this.#options.fault("", messageOf(error));
      return null;
    }
  }

  standings(): readonly WitnessStanding[] {
    return [...this.#askings].map(([name, { cosigned, fault }]) => ({ name, cosigned, fault }));
  }

  /** A witness that is not asked any more; under its name may come another. */
  forget(name: string): void {
    this.#askings.delete(name);
  }

  #asking({ name }: AskedWitness): Asking {
    let asking = this.#askings.get(name);
    if (asking === undefined) {
      asking = {
        cosigned: new Map(),
        busy: false,
        failures: 0,
        dueMs: 0,
        freshMs: Number.NEGATIVE_INFINITY,
        fault: null,
      };
      this.#askings.set(name, asking);
    }
    return asking;
  }

  #begin(tree: PublishedTree): void {
    const gathered = this.#gathered.get(tree.origin);
    if (gathered !== undefined && gathered.tree.size === tree.size && tree.note.startsWith(gathered.tree.note)) return;
    this.#gathered.set(tree.origin, { tree, note: tree.note });
  }

  async #take(witness: AskedWitness, trees: readonly PublishedTree[]): Promise<void> {
    const asking = this.#asking(witness);
    const { monotonic, fault } = this.#options;
    asking.busy = true;
    try {
      const key = await witness.key();
      if (key === null) return;
      const isStale = monotonic() - asking.freshMs >= freshMs;
      for (const tree of trees) {
        const isNewest = tree === trees.at(-1);
        const known = asking.cosigned.get(tree.origin) ?? this.#cosignedBefore(tree, key);
        if (known >= tree.size && !(isNewest && isStale)) continue;
        await this.#ask({ witness, key, asking, tree, known });
      }
      asking.failures = 0;
      asking.fault = null;
    } catch (error) {
      const why = messageOf(error);
      if (asking.fault !== why) fault(witness.name, why);
      asking.fault = why;
      asking.dueMs = monotonic() + this.#pauseMs(asking.failures);
      asking.failures += 1;
    } finally {
      asking.busy = false;
    }
  }

  #pauseMs(failures: number): number {
    const [high = 0, low = 0] = this.#options.random.bytes(2);
    const ceiling = Math.min(backoffMs.max, backoffMs.first * 2 ** Math.min(failures, 10));
    return (ceiling * (high * 256 + low + 1)) / 65_536;
  }

  /** What the witness cosigned in an earlier run, by the checkpoints kept beside the log. */
  #cosignedBefore(tree: PublishedTree, key: WitnessKey): number {
    let size = 0;
    for (const note of this.#options.log.cosigned(tree.folder)) {
      const verdict = verifyCosignatures(noteCrypto, note, [key]);
      const checkpoint =
        verdict.kind === "ok" && verdict.cosigned.length > 0 ? parseCheckpointBody(verdict.body) : null;
      if (checkpoint?.origin === tree.origin) size = Math.max(size, checkpoint.size);
    }
    return size;
  }

  async #ask(asked: Asked): Promise<void> {
    const { witness, tree } = asked;
    // A size beyond the log's is what its cosigned checkpoints say and its leaves do not: the witness decides.
    let old = Math.min(asked.known, tree.size);
    for (let attempt = 0; attempt < 2; attempt++) {
      const proof = this.#options.log.proof(tree, old);
      const answer = await witness.submit(printSubmission({ oldSize: old, proof, note: tree.note }));
      if (answer.status === 200) return this.#keep(asked, answer.body);
      if (answer.status === 422) return this.#examine(asked);
      const size = answer.status === 409 ? parseTreeSize(answer.body) : null;
      if (size === null) throw new Error(`it answered ${answer.status}`);
      if (size > tree.size) return this.#examine(asked);
      if (size < asked.known) await this.#forgotten(asked);
      old = size;
    }
    throw new Error("what it cosigned last changed while it was asked");
  }

  async #keep({ key, asking, tree }: Asked, lines: string): Promise<void> {
    const own = cosignatureLines(noteCrypto, { note: tree.note, lines, witness: key });
    if (own === null) throw new Error("its answer is no cosignature by its key");
    const apart = timesOf(tree.note + own, key).find((ms) => Math.abs(ms - this.#options.now()) > clocksApartMsMax);
    if (apart !== undefined)
      throw new Error(`its cosignature is dated ${dateText(apart)}: shown again, or one of the two clocks is wrong`);
    const gathered = this.#gathered.get(tree.origin);
    // A witness that answers late has cosigned a checkpoint that others may not have: it is kept on its own.
    const isNewest = gathered?.tree.size === tree.size;
    const note = addSignatureLines(isNewest ? gathered.note : tree.note, own);
    if (note === null) throw new Error(`there is no room for its line under the checkpoint of ${tree.origin}`);
    if (isNewest) gathered.note = note;
    await this.#options.log.keep(tree, note);
    asking.cosigned.set(tree.origin, tree.size);
    asking.freshMs = this.#options.monotonic();
  }

  /** The witness does not follow: what it cosigned is fetched and held against the leaves that are here. */
  async #examine(asked: Asked): Promise<never> {
    const { witness, key, tree } = asked;
    const { log } = this.#options;
    const kept = await witness.kept(tree.origin);
    const theirs = kept === null ? null : log.ownCheckpoint(tree.origin, kept);
    const cosigned = kept === null ? null : verifyCosignatures(noteCrypto, kept, [key]);
    if (kept === null || theirs === null || cosigned?.kind !== "ok" || cosigned.cosigned.length === 0)
      throw new Error("it does not follow this log, and shows no checkpoint that this log and it signed");
    const isSame = theirs.size <= tree.size && sameBytes(log.rootAt(tree, theirs.size), theirs.root);
    if (isSame) throw new Error("it does not follow this log, though it cosigned the same leaves");
    const code = theirs.size > tree.size ? "rolled-back" : theirs.size === tree.size ? "forked" : "split-view";
    return this.#found(code, asked, { kept, shown: tree.note });
  }

  /** The witness says a smaller size than it cosigned for us: it forgot, and could be shown another history. */
  async #forgotten(asked: Asked): Promise<void> {
    const { tree, key, witness } = asked;
    const kept = this.#options.log.cosigned(tree.folder).findLast((note) => {
      const verdict = verifyCosignatures(noteCrypto, note, [key]);
      const size = parseCheckpointBody(parseNote(note)?.text ?? "")?.size;
      return verdict.kind === "ok" && verdict.cosigned.length > 0 && size === asked.known;
    });
    if (kept === undefined) return;
    const shown = (await witness.kept(tree.origin)) ?? "";
    await this.#tell("witness-rolled-back", asked, { kept, shown });
  }

  async #found(code: LogFindingCode, asked: Asked, notes: Pick<LogFinding, "kept" | "shown">): Promise<never> {
    await this.#tell(code, asked, notes);
    throw new Error(`it cosigned another history of ${asked.tree.origin} (${code})`);
  }

  async #tell(
    code: LogFindingCode,
    { witness, tree }: Asked,
    notes: Pick<LogFinding, "kept" | "shown">,
  ): Promise<void> {
    const once = `${code} ${tree.origin} ${witness.name}`;
    if (this.#told.has(once)) return;
    await this.#options.found({ code, origin: tree.origin, witness: witness.name, ...notes });
    this.#told.add(once);
  }
}

interface Asked {
  readonly witness: AskedWitness;
  readonly key: WitnessKey;
  readonly asking: Asking;
  readonly tree: PublishedTree;
  /** Leaves it is known to have cosigned. */
  readonly known: number;
}

/** Of the witness's lines under a note: milliseconds since the epoch. */
function timesOf(note: string, key: WitnessKey): readonly number[] {
  const verdict = verifyCosignatures(noteCrypto, note, [key]);
  return verdict.kind === "ok" ? verdict.cosigned.map(({ time }) => time * 1_000) : [];
}

/** A witness may name any second; few of them are dates. */
const dateText = (ms: number) => (ms < 8_640_000_000_000_000 ? new Date(ms).toISOString() : "beyond any calendar");
const isDue = (asking: Asking, now: number) => !asking.busy && asking.dueMs <= now;
const messageOf = (error: unknown) => (error instanceof Error ? error.message : "unknown");
