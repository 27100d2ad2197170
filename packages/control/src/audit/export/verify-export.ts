// Promises to say, of a copy of exported records, which are changed, which are missing, and whether it is the log that a checkpoint was signed over.
// Pure. Trusts the verifier keys and the log it is given, and nothing in the copy. Specified in docs/export.md "Verifying a copy".
import { isDeepStrictEqual } from "node:util";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { Frontier } from "@sallyport/protocol/audit/merkle.ts";
import { version as productVersion } from "../../version.ts";
import { ecsDocument } from "./ecs.ts";
import { type ExportedRecord, leafHashOf, severityOf } from "./exported-record.ts";
import { ocsfEvent, ocsfVersions } from "./ocsf.ts";
import { type CopiedEvent, readCopiedLine } from "./read-copy.ts";

/** Events of one check; a larger copy is checked in parts. */
export const copiedEventsMax = 20_000_000;
const problemsMax = 100;

export interface SignedSize {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

export interface CopyProblem {
  readonly kind: "unreadable" | "changed" | "missing" | "differs";
  /** Null: the line says of none. */
  readonly origin: string | null;
  readonly from: number | null;
  readonly to: number | null;
  readonly line: number | null;
  readonly message: string;
}

export interface CopiedOrigin {
  readonly origin: string;
  readonly events: number;
  /** Lines that were there before, word for word or not: at least once is the promise. */
  readonly duplicates: number;
  readonly first: number;
  readonly last: number;
  /** Records between events that the sink says it left out. */
  readonly leftOut: number;
  /** `whole`: all leaves up to the checkpoint are here and give its root. `part`: not all are, so the root cannot be computed. */
  readonly checkpoint: "whole" | "part" | "differs" | "none";
  /** `other`: the log that was given is another one, so this one was not held against it. */
  readonly log: "compared" | "other" | "none";
}

export interface CopyReport {
  readonly ok: boolean;
  readonly origins: readonly CopiedOrigin[];
  /** At most 100, the first by line and index. */
  readonly problems: readonly CopyProblem[];
  readonly problemCount: number;
  /** Events whose mapped fields could not be compared: another version of Sallyport made them. */
  readonly notCompared: number;
}

interface KeptEvent {
  readonly leafHash: string;
  readonly previous: number | null;
}

/** Leaf hashes of the log itself, in order, as far as it is signed, by origin. */
export type LogHashes = ReadonlyMap<string, readonly string[]>;

export class CopyVerifier {
  readonly #kept = new Map<string, Map<number, KeptEvent>>();
  readonly #duplicates = new Map<string, number>();
  readonly #problems: CopyProblem[] = [];
  #problemCount = 0;
  #events = 0;
  #line = 0;
  #notCompared = 0;

  /** One line of the copy, in whatever format. Throws RangeError beyond `copiedEventsMax`. */
  take(text: string): void {
    this.#line += 1;
    const read = readCopiedLine(text);
    if (typeof read === "string") this.#say({ kind: "unreadable", message: read });
    else for (const event of read) this.#takeEvent(event);
  }

  report({
    checkpoints,
    log,
  }: {
    readonly checkpoints: readonly SignedSize[];
    readonly log: LogHashes | null;
  }): CopyReport {
    const origins = [...this.#kept]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([origin, events]) => this.#judge(origin, events, { checkpoints, log }));
    this.#wholeOrigins(origins, checkpoints, log);
    return {
      ok: this.#problemCount === 0,
      origins,
      problems: this.#problems,
      problemCount: this.#problemCount,
      notCompared: this.#notCompared,
    };
  }

  #takeEvent(event: CopiedEvent): void {
    const { origin, index, previous, leafHash, leaf } = event;
    this.#events += 1;
    if (this.#events > copiedEventsMax)
      throw new RangeError(`a copy of more than ${copiedEventsMax} events: check it in parts`);
    const changed = this.#changeOf(event);
    if (changed !== null) this.#say({ kind: "changed", message: changed }, event);
    const events = this.#kept.get(origin) ?? new Map<number, KeptEvent>();
    this.#kept.set(origin, events);
    const before = events.get(index);
    // What the leaf says of itself counts, not what stands beside it.
    const kept = { leafHash: leaf === null ? leafHash : leafHashOf(Buffer.from(leaf, "latin1")), previous };
    if (before === undefined) events.set(index, kept);
    else {
      this.#duplicates.set(origin, (this.#duplicates.get(origin) ?? 0) + 1);
      if (before.leafHash !== kept.leafHash)
        this.#say({ kind: "changed", message: "two events of this index differ" }, event);
      // Sent again from here, it knows of nothing before it; the first told more.
      else if (before.previous === null && previous !== null) events.set(index, kept);
    }
  }

  /** Why an event is not what was sent; null: nothing shows that. */
  #changeOf(event: CopiedEvent): string | null {
    const { origin, index, previous, leafHash, leaf } = event;
    if (leaf === null) return null;
    const bytes = Buffer.from(leaf, "latin1");
    if (leafHashOf(bytes) !== leafHash) return "the leaf does not have its hash";
    if (event.fields === null) return null;
    if (event.madeBy !== productVersion) {
      this.#notCompared += 1;
      return null;
    }
    let record: ExportedRecord;
    try {
      const parsed = parseLeaf(bytes);
      record = { origin, index, previous, leafHash, leaf: parsed, text: leaf, severity: severityOf(parsed) };
    } catch {
      return "the leaf has no form of a leaf";
    }
    const expected =
      event.format === "ecs" ? ecsDocument(record) : ocsfEvent(record, { version: ocsfVersionOf(event.fields) });
    const path = firstDifference(expected, event.fields, "");
    return path === null ? null : `${path} is not what the leaf says`;
  }

  #judge(
    origin: string,
    events: ReadonlyMap<number, KeptEvent>,
    { checkpoints, log }: Parameters<CopyVerifier["report"]>[0],
  ): CopiedOrigin {
    const indexes = [...events.keys()].sort((a, b) => a - b);
    const [first = 0] = indexes;
    const last = indexes.at(-1) ?? 0;
    const held = log?.get(origin) ?? null;
    let leftOut = 0;
    for (const [at, index] of indexes.entries()) {
      const before = indexes[at - 1];
      const event = events.get(index);
      if (event === undefined) continue;
      if (held !== null && held[index] !== event.leafHash)
        this.#say({ kind: "differs", message: "the log holds another leaf here, or none" }, { origin, index });
      leftOut += this.#gap(origin, { before, index, previous: event.previous });
    }
    const signed = checkpoints.filter((one) => one.origin === origin);
    const checkpoint = this.#judgeCheckpoint(origin, events, signed);
    // A filter that left out others may have left out these.
    if (leftOut === 0) this.#end(origin, last, Math.max(held?.length ?? 0, ...signed.map(({ size }) => size)));
    return {
      origin,
      events: events.size,
      duplicates: this.#duplicates.get(origin) ?? 0,
      first,
      last,
      leftOut,
      checkpoint,
      log: log === null ? "none" : held === null ? "other" : "compared",
    };
  }

  /** An origin of which no event is here at all has none that would miss the others: what was given to hold the copy against does. */
  #wholeOrigins(found: readonly CopiedOrigin[], checkpoints: readonly SignedSize[], log: LogHashes | null): void {
    const due = new Map<string, number>();
    for (const { origin, size } of [...checkpoints, ...dueOfLog(found, log)])
      if (!this.#kept.has(origin)) due.set(origin, Math.max(size, due.get(origin) ?? 0));
    for (const [origin, size] of due)
      if (size > 0)
        this.#missing(origin, {
          from: 0,
          to: size - 1,
          message: `${size} leaves were signed, and none is in this copy; if its sink was never to have them, leave this log out`,
        });
  }

  /** What was signed behind the last event is missing too: no later event is there to say so. */
  #end(origin: string, last: number, size: number): void {
    if (last + 1 >= size) return;
    const message = `${size} leaves were signed, and none behind ${last} is in this copy; if the sink was not that far yet, check a newer copy`;
    this.#missing(origin, { from: last + 1, to: size - 1, message });
  }

  /** Records between two events that the later one does not account for are missing; those that it does were left out by a filter. */
  #gap(
    origin: string,
    {
      before,
      index,
      previous,
    }: { readonly before: number | undefined; readonly index: number; readonly previous: number | null },
  ): number {
    const from = before === undefined ? 0 : before + 1;
    if (previous === null || previous === before) {
      if (previous === null && before !== undefined && from < index)
        this.#missing(origin, {
          from,
          to: index - 1,
          message: "sent again from here: what was between is not in this copy",
        });
      return previous !== null && from < index ? index - from : 0;
    }
    if (previous >= from)
      this.#missing(origin, {
        from,
        to: previous,
        message: `the event of ${index} says that ${previous} was sent before it`,
      });
    else
      this.#say(
        {
          kind: "changed",
          message: `it names ${previous} as the record before it, and ${before ?? "none"} stands there`,
        },
        { origin, index },
      );
    return Math.max(0, index - 1 - Math.max(previous, from - 1));
  }

  #judgeCheckpoint(
    origin: string,
    events: ReadonlyMap<number, KeptEvent>,
    signed: readonly SignedSize[],
  ): CopiedOrigin["checkpoint"] {
    const newest = signed.reduce<SignedSize | null>(
      (best, one) => (best === null || one.size > best.size ? one : best),
      null,
    );
    if (newest === null) return "none";
    const frontier = new Frontier(sha256);
    for (let index = 0; index < newest.size; index += 1) {
      const event = events.get(index);
      if (event === undefined) return "part";
      frontier.push(Buffer.from(event.leafHash, "hex"));
    }
    if (Buffer.from(frontier.root()).equals(newest.root)) return "whole";
    this.#say(
      { kind: "differs", message: `the ${newest.size} leaves of this copy do not give the root that was signed` },
      { origin, index: newest.size - 1 },
    );
    return "differs";
  }

  #missing(
    origin: string,
    { from, to, message }: { readonly from: number; readonly to: number; readonly message: string },
  ): void {
    this.#push({ kind: "missing", origin, from, to, line: null, message });
  }

  #say(
    what: Pick<CopyProblem, "kind" | "message">,
    at: { readonly origin: string; readonly index: number } | null = null,
  ): void {
    this.#push({
      ...what,
      origin: at?.origin ?? null,
      from: at?.index ?? null,
      to: at?.index ?? null,
      line: what.kind === "differs" ? null : this.#line,
    });
  }

  #push(problem: CopyProblem): void {
    this.#problemCount += 1;
    if (this.#problems.length < problemsMax) this.#problems.push(problem);
  }
}

/** Years of the log that the copy must have: those behind the first it has, or all where it has none. A sink may have begun late, and a filter left out a year. */
function dueOfLog(found: readonly CopiedOrigin[], log: LogHashes | null): readonly Omit<SignedSize, "root">[] {
  const years = [...(log ?? [])].map(([origin, { length }]) => ({ origin, size: length }));
  const own = found.filter(({ origin }) => years.some((year) => year.origin === origin));
  if (own.some(({ leftOut }) => leftOut > 0)) return [];
  const first = years.findIndex(({ origin }) => own.some((one) => one.origin === origin));
  return years.slice(Math.max(0, first));
}

function ocsfVersionOf(fields: Readonly<Record<string, unknown>>): (typeof ocsfVersions)[number] {
  const { version } = (fields["metadata"] ?? {}) as { readonly version?: unknown };
  return ocsfVersions.find((one) => one === version) ?? "1.5.0";
}

/** Path of the first field that is expected and is another in the copy. What a receiver or a name added is not looked at. */
function firstDifference(expected: unknown, found: unknown, path: string): string | null {
  if (typeof expected !== "object" || expected === null || Array.isArray(expected))
    return isDeepStrictEqual(expected, found) || isNamed(path, expected, found) ? null : path;
  if (typeof found !== "object" || found === null) return path;
  for (const [key, value] of Object.entries(expected)) {
    const at = path === "" ? key : `${path}.${key}`;
    const difference = firstDifference(value, (found as Readonly<Record<string, unknown>>)[key], at);
    if (difference !== null) return difference;
  }
  return null;
}

/** A sink that says names adds them to the list of related users. */
function isNamed(path: string, expected: unknown, found: unknown): boolean {
  return (
    path === "related.user" &&
    Array.isArray(expected) &&
    Array.isArray(found) &&
    expected.every((one) => found.includes(one))
  );
}
