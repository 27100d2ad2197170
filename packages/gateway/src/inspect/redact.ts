// Promises that what a filter names is not in the bytes that come out, and that every other byte is the provider's: numbers, escapes and spaces are
// copied, never printed anew. One pass, nothing held but the pieces. Trusts inspect/json.ts to have found strict JSON: no twins, no excess depth.
// Errs on the side of taking out: a name holds in any case and through lists. Specified in docs/inspection.md "What is taken out"; RFC 8259, RFC 9535.
import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import { type Action, dropIt, keepIt, type ResponseFilter } from "./response-filter.ts";

export type Redaction =
  | { readonly kind: "kept" }
  | { readonly kind: "changed"; readonly bytes: Buffer; readonly places: number }
  /** Fields that may not leave and that nothing took out; no classes: none of the answer is declared. */
  | { readonly kind: "leak"; readonly classes: readonly DataClass[] };

/** Takes out of a strict JSON text what the filter names. Pure. */
export function redactJson(bytes: Buffer, filter: ResponseFilter): Redaction {
  const walk = new Walk(bytes, filter);
  walk.root();
  if (walk.isLeak) return { kind: "leak", classes: [...walk.leaked].sort() };
  return walk.places === 0 ? { kind: "kept" } : { kind: "changed", bytes: walk.rest(), places: walk.places };
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openObject = 0x7b;
const closeObject = 0x7d;
const openArray = 0x5b;
const closeArray = 0x5d;
const letterN = 0x6e;
/** A state is a path and the segment that comes next: segments of a path are fewer than this (json-path.ts). */
const segmentsStep = 64;
const noNode = -1;
const noStates: readonly number[] = [];

/** A value about to be walked. */
interface Place {
  readonly node: number;
  readonly states: readonly number[];
  /** A path ends here, or nothing declares it. */
  readonly dropped: boolean;
}

/** A container that is being walked: where the next thing that is dropped begins. */
interface Open {
  /** Behind the last member or item, also one that was dropped. */
  behind: number;
  kept: boolean;
}

class Walk {
  readonly leaked = new Set<DataClass>();
  isLeak = false;
  places = 0;
  readonly #bytes: Buffer;
  readonly #filter: ResponseFilter;
  readonly #pieces: Buffer[] = [];
  /** Everything before is in the pieces, or dropped. */
  #copied = 0;

  constructor(bytes: Buffer, filter: ResponseFilter) {
    this.#bytes = bytes;
    this.#filter = filter;
  }

  root(): void {
    const { paths, nodes } = this.#filter;
    const states = paths.flatMap((path, at) => (path.length === 0 ? [] : [at * segmentsStep]));
    const place: Place = { node: nodes.length === 0 ? noNode : 0, states, dropped: false };
    const at = this.#space(0);
    // Of a whole answer that may not be read nothing would be left: it is withheld as one.
    const action = this.#actionOf(place, at);
    if (action.does === "keep") this.#inside(at, place);
    else this.#withhold(action);
  }

  #withhold({ classes }: Action): void {
    this.isLeak = true;
    for (const one of classes) this.leaked.add(one);
  }

  /** The bytes without what was dropped. */
  rest(): Buffer {
    this.#pieces.push(this.#bytes.subarray(this.#copied));
    this.#copied = this.#bytes.length;
    return Buffer.concat(this.#pieces);
  }

  /** Walks a value that is kept; gives the index behind it. */
  #inside(at: number, place: Place): number {
    const isIdle =
      place.states.length === 0 &&
      !this.#filter.dropsUndeclared &&
      (this.#filter.nodes[place.node]?.hidden ?? keepIt).does === "keep";
    const first = this.#bytes[at];
    if (isIdle || (first !== openObject && first !== openArray)) return this.#skip(at);
    return first === openObject ? this.#object(at, place) : this.#array(at, place);
  }

  #object(start: number, place: Place): number {
    const open: Open = { behind: start + 1, kept: false };
    let at = this.#space(start + 1);
    while (this.#bytes[at] !== closeObject) {
      const nameEnd = this.#stringEnd(at);
      const value = this.#space(this.#space(nameEnd) + 1);
      const child = this.#member(place, this.#name(at, nameEnd));
      at = this.#next(this.#one(open, { from: at, value }, child));
    }
    return at + 1;
  }

  #array(start: number, place: Place): number {
    const open: Open = { behind: start + 1, kept: false };
    let at = this.#space(start + 1);
    for (let index = 0; this.#bytes[at] !== closeArray; index++)
      at = this.#next(this.#one(open, { from: at, value: at }, this.#item(place, index)));
    return at + 1;
  }

  /** One member or item, walked or dropped; gives the index behind it. */
  #one(open: Open, { from, value }: { readonly from: number; readonly value: number }, child: Place): number {
    const action = this.#actionOf(child, value);
    if (action.does !== "drop") {
      if (action.does === "withhold") this.#withhold(action);
      open.kept = true;
      open.behind = action.does === "keep" ? this.#inside(value, child) : this.#skip(value);
      return open.behind;
    }
    const end = this.#skip(value);
    const after = this.#space(end);
    this.places++;
    // With the comma before it where something stands before it, else with the one behind it.
    if (open.kept) this.#drop(open.behind, end);
    else this.#drop(from, this.#bytes[after] === comma ? after + 1 : end);
    open.behind = end;
    return end;
  }

  #drop(from: number, to: number): void {
    if (from > this.#copied) this.#pieces.push(this.#bytes.subarray(this.#copied, from));
    this.#copied = to;
  }

  /** Behind a member or item: where the next one begins, or the end of the container. */
  #next(end: number): number {
    const at = this.#space(end);
    return this.#bytes[at] === comma ? this.#space(at + 1) : at;
  }

  #actionOf(place: Place, at: number): Action {
    if (place.dropped) return dropIt;
    const node = this.#filter.nodes[place.node];
    if (node === undefined) return keepIt;
    const first = this.#bytes[at];
    // Where nothing stands nothing leaks, and that nothing stands there is nobody's to know.
    if (node.own.does !== "keep") return first === letterN ? dropIt : node.own;
    if (first === letterN) return keepIt;
    // Something else stands here than was declared: what the labels below would have hidden may be in it.
    if (first === openObject) return node.members === null && node.rest < 0 ? node.hidden : keepIt;
    if (first === openArray) return node.items < 0 ? node.hidden : keepIt;
    if (node.takesScalar) return keepIt;
    return this.#filter.dropsUndeclared && node.hidden.does === "keep" ? dropIt : node.hidden;
  }

  #member(place: Place, name: string): Place {
    const { nodes, dropsUndeclared } = this.#filter;
    const node = nodes[place.node];
    const at = node?.members?.get(name) ?? node?.rest ?? noNode;
    const { states, ends } = this.#advance(place.states, name);
    return { node: at, states, dropped: ends || (dropsUndeclared && at < 0) };
  }

  #item(place: Place, index: number): Place {
    const { nodes, dropsUndeclared } = this.#filter;
    const at = nodes[place.node]?.items ?? noNode;
    const { states, ends } = this.#advance(place.states, index);
    return { node: at, states, dropped: ends || (dropsUndeclared && at < 0) };
  }

  /** Where the paths stand one level deeper; `ends`: one of them ends there. */
  #advance(states: readonly number[], step: string | number): { states: readonly number[]; ends: boolean } {
    if (states.length === 0) return { states: noStates, ends: false };
    const deeper: number[] = [];
    let ends = false;
    for (const state of states) {
      const path = this.#filter.paths[Math.trunc(state / segmentsStep)] ?? [];
      const segment = path[state % segmentsStep];
      if (segment === undefined) continue;
      const { select, descendant } = segment;
      // A name also looks through lists: one field and a list of them are the same secret.
      const stays = descendant || (typeof step === "number" && typeof select === "string");
      if (stays && !deeper.includes(state)) deeper.push(state);
      if (select !== null && select !== step) continue;
      if ((state % segmentsStep) + 1 === path.length) ends = true;
      else if (!deeper.includes(state + 1)) deeper.push(state + 1);
    }
    return { states: deeper, ends };
  }

  #name(start: number, end: number): string {
    const literal = this.#bytes.toString("utf8", start + 1, end - 1);
    return foldCase(literal.includes("\\") ? String(JSON.parse(`"${literal}"`)) : literal);
  }

  #space(at: number): number {
    const bytes = this.#bytes;
    for (let i = at; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return i;
    }
    return bytes.length;
  }

  #stringEnd(start: number): number {
    const bytes = this.#bytes;
    for (let i = start + 1; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === backslash) i++;
      else if (byte === quote) return i + 1;
    }
    return bytes.length;
  }

  /** Behind the value that begins here. */
  #skip(start: number): number {
    const bytes = this.#bytes;
    let depth = 0;
    for (let i = start; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === quote) {
        i = this.#stringEnd(i) - 1;
        if (depth === 0) return i + 1;
      } else if (byte === openObject || byte === openArray) depth++;
      else if (byte === closeObject || byte === closeArray) {
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
      } else if (depth === 0 && (byte === comma || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09))
        return i;
    }
    return bytes.length;
  }
}
