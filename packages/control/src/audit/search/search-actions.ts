// Promises an operator's searches over the records: names in, names out, each hit with where it lies and its leaf hash, so that it can be proven.
// Trusts api.ts, which has proven the operator and put the search on record. Specified in docs/audit-search.md.
import { hash } from "node:crypto";
import { AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { declaredNames, nameTable, pseudonymsOf, scopeOf } from "./names.ts";
import type { Oddity, SearchField } from "./record-terms.ts";
import { isNamed, parseCursor, printCursor, type RecordsRequest, type Where } from "./records-request.ts";
import type { SearchAnswer, SearchQuestion } from "./search-fold.ts";
import type { Filter, Hit } from "./search-question.ts";
import { type Unheld, unheldNodes } from "./unheld.ts";
import { type UnknownName, unknownNames } from "./unknown-names.ts";

/** One record that was found. */
export interface RecordHit {
  readonly origin: string;
  readonly index: number;
  /** RFC 6962 leaf hash, hex. */
  readonly leafHash: string;
  readonly at: number;
  readonly node: string;
  readonly environment: string;
  readonly odd: Oddity | null;
  /** The leaf's text as it was hashed. */
  readonly leaf: string;
  /** The intent of an effect, beside what ends it. */
  readonly intent: string | null;
}

export interface RecordsPage {
  readonly hits: readonly RecordHit[];
  /** Pseudonym to name, of those in the hits that are known. */
  readonly names: Readonly<Record<string, string>>;
  readonly next: string | null;
  /** Everything newer that matches was seen, back to here. */
  readonly searchedTo: number;
  /** The search stopped at its bound before the page was full; `next` goes on. */
  readonly bounded: boolean;
  /** Records that are in the log and not in the index yet. */
  readonly behind: number;
  /** Nodes whose newest records are not here, so that they are not in the answer either. */
  readonly unheld: readonly Unheld[];
  /** Names that were asked for and that nothing declared bears now. */
  readonly unknown: readonly UnknownName[];
}

const eventForm = /^(?:[a-z][a-z0-9-]{0,126}-)?([0-7][0-9A-HJKMNP-TV-Z]{25})$/;
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** A node's clock may have gone back by so much between the id and the leaf. */
const clockSlackMs = 3_600_000;

export async function searchRecords(parts: ControlParts, request: RecordsRequest): Promise<RecordsPage> {
  const after = parseCursor(request);
  const { to, limit } = request;
  const from = Math.max(request.from, earliestOf(request.where.id ?? []));
  const said = new Map<string, string>();
  const filters = await filtersOf(parts, { where: request.where, from, to }, said);
  const answer = await ask(parts, { ask: "search", search: { from, to, filters, after, limit } });
  if (answer.kind !== "page") throw unanswered(answer);
  const { hits, next, searchedTo, bounded } = answer.page;
  return {
    hits: hits.map(printHit),
    names: await namesOf(parts, hits, said),
    next: next === null ? null : printCursor(request, next),
    ...{ searchedTo, bounded, behind: await behind(parts), unheld: await unheldNodes(parts) },
    unknown: unknownNames(request.where, await declaredNames(parts, request.where.environment ?? null)),
  };
}

/** An id says when it was made: nothing older can carry it. */
function earliestOf(ids: readonly string[]): number {
  const times = ids.map((id) => {
    const ulid = eventForm.exec(id)?.[1];
    if (ulid === undefined)
      throw new AdminFault("bad-request", `${id.slice(0, 80)} is not the id of a crossing or an event`);
    let ms = 0;
    for (const character of ulid.slice(0, 10)) ms = ms * 32 + crockford.indexOf(character);
    return ms;
  });
  return times.length === 0 ? 0 : Math.max(0, Math.min(...times) - clockSlackMs);
}

/** Names become pseudonyms here; `said` keeps which, so that answers show what was asked. */
export async function filtersOf(
  parts: ControlParts,
  { where, from, to }: { readonly where: Where; readonly from: number; readonly to: number },
  said: Map<string, string>,
): Promise<readonly Filter[]> {
  const scope = scopeOf(parts, { from, to, environments: where.environment ?? null });
  const filters: Filter[] = [];
  for (const [name, values] of Object.entries(where)) {
    // The request's form admits these fields only.
    const field = name as SearchField;
    if (!isNamed(field)) {
      filters.push({ field, values });
      continue;
    }
    const found: string[] = [];
    for (const value of values) {
      const pseudonyms = await pseudonymsOf(parts, { field, value, scope });
      found.push(...pseudonyms);
      // A token is a secret: it is not said back.
      if (field === "address") for (const pseudonym of pseudonyms) if (pseudonym !== value) said.set(pseudonym, value);
    }
    filters.push({ field, values: found });
  }
  return filters;
}

export function printHit({ origin, index, at, node, environment, odd, leaf, intent }: Hit): RecordHit {
  const leafHash = hash("sha256", Buffer.concat([Buffer.from([0]), Buffer.from(leaf, "latin1")]), "hex");
  return { origin, index, leafHash, at, node, environment, odd, leaf, intent };
}

const pseudonyms = /"((\d{4})[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{22})"/g;

export async function namesOf(
  parts: ControlParts,
  hits: readonly Hit[],
  said: ReadonlyMap<string, string>,
): Promise<Readonly<Record<string, string>>> {
  const tables = new Map<string, ReadonlyMap<string, string>>();
  const names: Record<string, string> = {};
  for (const { environment, leaf, intent } of hits)
    for (const [, pseudonym = "", year = ""] of `${leaf}${intent ?? ""}`.matchAll(pseudonyms)) {
      const key = `${environment} ${year}`;
      let table = tables.get(key);
      if (table === undefined) {
        table = await nameTable(parts, environment, year);
        tables.set(key, table);
      }
      const name = table.get(pseudonym) ?? said.get(pseudonym);
      if (name !== undefined) names[pseudonym] = name;
    }
  return names;
}

export async function ask({ follower }: ControlParts, question: SearchQuestion): Promise<SearchAnswer> {
  try {
    // The fold answers its questions in this form (search-fold.ts).
    return (await follower.ask("search", question)) as SearchAnswer;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "unknown";
    throw new AdminFault(
      "unavailable",
      `the records cannot be searched: ${why}`,
      "sallyport status says how far the index is",
    );
  }
}

export async function behind({ follower }: ControlParts): Promise<number> {
  const { folds } = await follower.standing();
  return folds.find(({ id }) => id === "search")?.behind ?? 0;
}

export function unanswered(answer: SearchAnswer): AdminFault {
  if (answer.kind === "too-wide") return new AdminFault("bad-request", answer.message, "shorten it with from and to");
  return new AdminFault(
    "unavailable",
    "the search index was damaged and is being made again from the log",
    "ask again; sallyport status says how far it is",
  );
}
