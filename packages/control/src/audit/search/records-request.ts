// Promises what an operator may ask of the records, every bound in one place, and cursors that belong to one search. Pure. Trusts nothing it is given.
// Specified in docs/audit-search.md and docs/admin-api.md.
import { hash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { z } from "zod";
import { AdminFault } from "../../admin/actions.ts";
import { namedFields } from "./names.ts";
import { searchFields } from "./record-terms.ts";
import type { Places, Position } from "./search-question.ts";

const timeMax = 8.64e15;
/** Of one field: any of them. */
const valuesOfField = 16;

/** Printable ASCII, as long as the longest token: nothing else can be in a leaf, or be looked up. */
const value = z.string().regex(/^[\x20-\x7e]{1,8192}$/, "a value is 1 to 8,192 printable ASCII characters");
const where = z.partialRecord(z.enum(searchFields), z.array(value).min(1).max(valuesOfField)).default({});

/** Of a thousand origins, compressed. */
const tailCursorCharactersMax = 65_536;

export const recordsRequest = z.strictObject({
  where,
  /** Milliseconds since the epoch, from inclusive, to exclusive. */
  from: z.int().min(0).max(timeMax).default(0),
  to: z.int().min(0).max(timeMax).default(timeMax),
  limit: z.int().min(1).max(1_000).default(100),
  cursor: z.string().max(1_024).optional(),
});
export type RecordsRequest = z.output<typeof recordsRequest>;
export type Where = RecordsRequest["where"];

export const followRequest = z.strictObject({ where, cursor: z.string().max(tailCursorCharactersMax).optional() });
export type FollowRequest = z.output<typeof followRequest>;

/** What is put on record of a search: names as they were asked for, a token by its digest. */
export function wordsOf(asked: Where): string {
  const words = Object.entries(asked).map(([field, values]) => {
    const said = field === "token" ? values.map((token) => `sha256:${hash("sha256", token, "hex")}`) : values;
    return `${field}=${said.join(",")}`;
  });
  return words.join(" ").slice(0, 2_000);
}

const digestOf = (value: unknown): string => hash("sha256", JSON.stringify(value), "base64url").slice(0, 22);
const entriesOf = (asked: Where) => Object.entries(asked).sort();
const fingerprint = ({ where: asked, from, to }: RecordsRequest): string => digestOf([entriesOf(asked), from, to]);

/** A position opens nothing, so it is not signed; it names its search, because in another one it would skip records. */
export function printCursor(request: RecordsRequest, { at, origin, index }: Position): string {
  return Buffer.from(JSON.stringify([fingerprint(request), at, origin, index])).toString("base64url");
}

const cursorForm = z.tuple([
  z.string().length(22),
  z.int().min(-timeMax).max(timeMax),
  z.string().max(512),
  z.int().min(0),
]);

/** Throws AdminFault `bad-request`. */
export function parseCursor(request: RecordsRequest): Position | null {
  if (request.cursor === undefined) return null;
  let said: unknown;
  try {
    said = JSON.parse(Buffer.from(request.cursor, "base64url").toString("utf8"));
  } catch {
    said = null;
  }
  const parsed = cursorForm.safeParse(said);
  if (!parsed.success) throw new AdminFault("bad-request", "cursor: this is none that a search gave", "leave it out");
  const [of, at, origin, index] = parsed.data;
  if (of !== fingerprint(request))
    throw new AdminFault("bad-request", "cursor: it is of another search", "repeat the filters and times it came with");
  return { at, origin, index };
}

/** Where a tail goes on: for every origin the record that comes next, so that it holds over a restart and a rebuild of the index. */
export function printTailCursor(asked: Where, places: Places): string {
  const said = JSON.stringify([digestOf(["tail", entriesOf(asked)]), Object.entries(places)]);
  return deflateRawSync(said).toString("base64url");
}

/** A cursor unpacks to at most so much: it is somebody's word. */
const tailCursorBytesMax = 1_048_576;
const placeForm = z.tuple([z.string().min(1).max(512), z.int().min(0)]);
const tailCursorForm = z.tuple([z.string().length(22), z.array(placeForm).max(10_000)]);

/** Null: from now on. Throws AdminFault `bad-request`. */
export function parseTailCursor({ where: asked, cursor }: FollowRequest): Places | null {
  if (cursor === undefined) return null;
  let said: unknown;
  try {
    const packed = Buffer.from(cursor, "base64url");
    said = JSON.parse(inflateRawSync(packed, { maxOutputLength: tailCursorBytesMax }).toString("utf8"));
  } catch {
    said = null;
  }
  const parsed = tailCursorForm.safeParse(said);
  if (!parsed.success) throw new AdminFault("bad-request", "cursor: this is none that a tail gave", "leave it out");
  const [of, places] = parsed.data;
  if (of !== digestOf(["tail", entriesOf(asked)]))
    throw new AdminFault("bad-request", "cursor: it is of another tail", "repeat the filters it came with");
  return Object.fromEntries(places);
}

export const isNamed = (field: string): boolean => (namedFields as ReadonlySet<string>).has(field);
