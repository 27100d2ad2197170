// Promises attributes that another system knows, asked for by this gateway in its own name: each place once for all who wait, within its time, kept for as
// long as its rule says and keyed by everything the answer depends on. What is not a plain answer is a denial. Specified in docs/attributes.md.
import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { LookupRule } from "@sallyport/protocol/snapshot/lookup-rule.ts";
import type { AttributeSource, Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { readExactIntegers } from "../inspect/deciding-members.ts";
import { readJson } from "../inspect/json.ts";
import type { WholeReply } from "./whole-reply.ts";

export const lookupsKeptMax = 8_192;
export const lookupsUnderWayMax = 256;
export const lookupBytesMax = 64 * 1024;

/** What one look found: the answer's value; null: nothing is there; a text: why it is not known. */
export type Found = { readonly value: unknown } | null | string;

/** How records tell of one. */
export interface LookedUp {
  readonly name: string;
  /** `crm:customer.read` */
  readonly operation: string;
  readonly outcome: "found" | "missing" | "failed";
  /** It was known before. */
  readonly kept: boolean;
  readonly found: Found;
}

interface Kept {
  readonly found: Found;
  /** When it was asked for, monotonic. */
  readonly atMs: number;
}

/** How long a rule bears what was found; failures not at all. */
function keepMsOf({ keepMs, missMs }: LookupRule, found: Found): number {
  return typeof found === "string" ? 0 : found === null ? missMs : keepMs;
}

/** What is known, and who is being asked. Of all snapshots: what matters is in the key. */
export class Lookups {
  readonly #kept = new Map<string, Kept>();
  readonly #underWay = new Map<string, Promise<Found>>();

  /** `key`: everything the answer depends on. `nowMs`: monotonic. */
  async find(
    key: string,
    on: { readonly rule: LookupRule; readonly nowMs: () => number; ask(): Promise<Found> },
  ): Promise<{ readonly found: Found; readonly kept: boolean }> {
    const atMs = on.nowMs();
    const known = this.#kept.get(key);
    // By the rule of who asks now: another one's may bear what is much older.
    if (known !== undefined && atMs - known.atMs < keepMsOf(on.rule, known.found))
      return { found: known.found, kept: true };
    const asked = this.#underWay.get(key);
    if (asked !== undefined) return { found: await asked, kept: false };
    if (this.#underWay.size >= lookupsUnderWayMax)
      return { found: `more than ${lookupsUnderWayMax} are under way`, kept: false };
    const asking = on.ask().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    const found = await asking;
    this.#kept.delete(key);
    if (keepMsOf(on.rule, found) > 0) {
      // The oldest goes: entries stand in the order in which they came.
      if (this.#kept.size >= lookupsKeptMax) this.#kept.delete(this.#kept.keys().next().value ?? "");
      this.#kept.set(key, { found, atMs });
    }
    return { found, kept: false };
  }
}

/** A path of the operation with its parameters; null: a value could lead elsewhere than to its place. Pure. */
export function lookupPath(template: string, values: Readonly<Record<string, Scalar>>): string | null {
  const segments: string[] = [];
  for (const segment of template.split("/")) {
    const name = /^\{(\w+)\}$/.exec(segment)?.[1];
    const value = name === undefined ? segment : String(values[name] ?? "");
    if (
      name !== undefined &&
      (value === "" || value.length > 256 || /^\.{1,2}$|[/\\%?#;\p{Cc}]/u.test(value) || !value.isWellFormed())
    )
      return null;
    segments.push(name === undefined ? value : encodeURIComponent(value));
  }
  return segments.join("/");
}

/** What a reply says. Pure but for `check`. */
export function decideReply(reply: WholeReply | string, check: (value: unknown) => boolean): Found {
  if (typeof reply === "string") return reply;
  if (reply.status === 404 || reply.status === 410) return null;
  if (reply.status !== 200) return `status ${reply.status}`;
  const read = readJson(reply.bytes);
  if (!read.ok) return `the answer is ${read.why}`;
  if (!check(read.value)) return "the answer does not match its schema";
  return { value: read.hasPlainNumbers ? read.value : readExactIntegers(reply.bytes) };
}

/** The name of the lookup and the path in what it finds. */
export function lookupOf({ name }: AttributeSource): { readonly lookup: string; readonly path: string } {
  const at = name.indexOf(":");
  return { lookup: name.slice(0, at), path: name.slice(at + 1) };
}

/** Own members along a path; undefined also where a name stands beside a twin in another case. */
export function foundMember(found: unknown, path: string): unknown {
  let at: unknown = found;
  for (const member of path.split(".").slice(1)) {
    if (typeof at !== "object" || at === null || Array.isArray(at) || !Object.hasOwn(at, member)) return undefined;
    if (Object.keys(at).some((name) => name !== member && foldCase(name) === foldCase(member))) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[member]; // an own member of a plain object, checked above
  }
  return at;
}

/** Why policies cannot be asked; null: every look found something. */
export function refuseLookups(looked: readonly LookedUp[]): Deny | null {
  for (const { name, operation, found } of looked) {
    if (typeof found === "string")
      return deny(
        "authorize",
        "decision-unavailable",
        {
          lookup: name,
          operation,
          why: found,
          detail: `What decides about this operation could not be looked up (${name}); try again shortly`,
        },
        [`lookup:${name}`],
      );
    if (found === null)
      return deny(
        "authorize",
        "attribute-missing",
        { attribute: name, from: `lookup ${operation}`, type: "object", why: "nothing is there" },
        [`lookup:${name}`],
      );
  }
  return null;
}
