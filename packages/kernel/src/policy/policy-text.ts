// Promises every policy of a file with its id, its place and its parsed form, or a finding that says what to fix.
// Trusts nothing: a text that cannot be read is assumed to be a forbid for everything. Specified in docs/policy.md.
import type { EntityUidJson, PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import type { AskCedar } from "./cedar.ts";

/** A place in a policy file, what is wrong there, and what to do about it. Lines and columns count from 1. */
export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly why: string;
  readonly fix: string;
}

export interface PolicyFile {
  /** Path as the user knows it, relative to the estate: `policies/billing.cedar`. */
  readonly file: string;
  readonly text: string;
}

export interface ParsedPolicy {
  readonly id: string;
  readonly file: string;
  /** Where the policy starts in its file, in characters. */
  readonly offset: number;
  readonly text: string;
  readonly json: PolicyJson;
  /** Set when the policy may not be used; a slice that it would enter is broken. */
  readonly fault?: Finding;
  /** Set when it says `@shadow`: it is judged and recorded, and decides nothing. */
  readonly shadow?: ShadowMark;
}

export interface ShadowMark {
  /** Milliseconds since the epoch; null where `@shadow` says no day. */
  readonly sinceMs: number | null;
}

export interface ParsedPolicies {
  readonly policies: readonly ParsedPolicy[];
  /** Text that could not be read as policies: nobody knows what it forbids, so every slice is broken. */
  readonly unreadable: readonly Finding[];
  /** Texts by file, for the places of later findings. */
  readonly texts: ReadonlyMap<string, string>;
}

export const policyFileTextMax = 1024 * 1024;
/** Brackets of any kind inside each other; the evaluator's own parser runs out of stack a little above 100. */
export const policyBracketsMax = 64;
/** Levels of Cedar's JSON form, two or so per operator: far from where the evaluator runs out of stack. */
export const policyDepthMax = 400;
/** What records can hold (docs/formats/leaf.md): a decision whose policy no record can name would let nothing through. */
const policyIdForm = /^[A-Za-z0-9][A-Za-z0-9._:/@#-]{0,127}$/;

/** Line and column, from 1, of a character offset. */
export function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { line, column: offset - before.lastIndexOf("\n") };
}

/** Cedar counts bytes of UTF-8; a JavaScript string counts UTF-16 units. */
export function charactersOf(text: string, byteOffset: number): number {
  return Buffer.from(text, "utf8").subarray(0, byteOffset).toString("utf8").length;
}

interface Chunk {
  readonly offset: number;
  readonly text: string;
}

/**
 * Cuts a file into policies. In Cedar's grammar `;` ends a policy and occurs nowhere else but in strings and comments.
 * We cut ourselves because Cedar's own splitter loses order and places; the caller compares the counts.
 */
export function splitPolicies(text: string): readonly Chunk[] {
  const chunks: Chunk[] = [];
  let start = -1;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === "/" && text[at + 1] === "/") {
      const end = text.indexOf("\n", at);
      at = end === -1 ? text.length : end;
      continue;
    }
    if (start === -1 && !/\s/.test(character ?? "")) start = at;
    if (character === '"') at = endOfString(text, at);
    if (character === ";" && start !== -1) {
      chunks.push({ offset: start, text: text.slice(start, at + 1) });
      start = -1;
    }
  }
  if (start !== -1) chunks.push({ offset: start, text: text.slice(start).trimEnd() });
  return chunks;
}

function endOfString(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

/** Parses policy files once for a whole estate; pass the result to every `compileSlice`. */
export function parsePolicyFiles(ask: AskCedar, files: readonly PolicyFile[]): ParsedPolicies {
  const policies: ParsedPolicy[] = [];
  const unreadable: Finding[] = [];
  for (const file of files) {
    const parsed = parseFile(ask, file);
    unreadable.push(...parsed.unreadable);
    policies.push(...parsed.policies);
  }
  const texts = new Map(files.map(({ file, text }) => [file, text]));
  return { policies: withDoubles(policies, texts), unreadable, texts };
}

/** The first of an id keeps it; what decides comes before what is in shadow, whatever the order of files. */
function withDoubles(policies: readonly ParsedPolicy[], texts: ReadonlyMap<string, string>): readonly ParsedPolicy[] {
  const taken = new Map<string, ParsedPolicy>();
  for (const policy of [...policies.filter(isEnforced), ...policies.filter((one) => !isEnforced(one))])
    if (!taken.has(policy.id)) taken.set(policy.id, policy);
  return policies.map((policy) => {
    const first = taken.get(policy.id);
    if (first === undefined || first === policy || policy.fault !== undefined) return policy;
    return { ...policy, fault: doubled({ file: policy.file, text: texts.get(policy.file) ?? "" }, policy, first) };
  });
}

/** Does the policy decide anything? One in shadow does not. */
export function isEnforced({ shadow }: Pick<ParsedPolicy, "shadow">): boolean {
  return shadow === undefined;
}

function parseFile(ask: AskCedar, file: PolicyFile): { policies: ParsedPolicy[]; unreadable: Finding[] } {
  if (file.text.length > policyFileTextMax) {
    return {
      policies: [],
      unreadable: [finding(file, 0, `the file is longer than ${policyFileTextMax} characters`, "split it")],
    };
  }
  if (!file.text.isWellFormed()) {
    return { policies: [], unreadable: [finding(file, 0, "the file is not valid Unicode", "save it as UTF-8")] };
  }
  const chunks = splitPolicies(file.text);
  const policies: ParsedPolicy[] = [];
  const unreadable: Finding[] = [];
  for (const [index, chunk] of chunks.entries()) {
    const result = parseChunk(ask, file, chunk);
    if ("why" in result) unreadable.push(result);
    else policies.push(named(file, chunk, { json: result, number: index + 1 }));
  }
  if (unreadable.length === 0) unreadable.push(...miscounted(ask, file, chunks.length));
  return { policies, unreadable };
}

function parseChunk(ask: AskCedar, file: PolicyFile, chunk: Chunk): PolicyJson | Finding {
  // A slot (`?principal`) makes a template, which the single-policy parser reports poorly: say it ourselves below.
  const tooDeep = () =>
    finding(file, chunk.offset, "the policy is nested too deeply", "split it into several policies");
  if (bracketsOf(chunk.text) > policyBracketsMax) return tooDeep();
  const answer = ask((cedar) => cedar.policyToJson(chunk.text));
  if (answer === undefined) return tooDeep();
  if (answer.type === "success" && depthOf(answer.json.conditions) > policyDepthMax) return tooDeep();
  if (answer.type === "success") return answer.json;
  const [error] = answer.errors;
  const [where] = error?.sourceLocations ?? [];
  const offset = chunk.offset + (where === undefined ? 0 : charactersOf(chunk.text, where.start));
  const template = /\?(principal|resource)\b/.test(chunk.text);
  const label = where?.label ?? error?.help ?? "see the Cedar policy syntax";
  return finding(
    file,
    offset,
    `this is not a Cedar policy: ${error?.message ?? "unreadable"}`,
    template ? "templates are not used here: write one policy per principal" : label,
  );
}

/** Deepest nesting of brackets outside strings and comments. */
function bracketsOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|[()[\]{}]/gs)) {
    if (token === "(" || token === "[" || token === "{") depth += 1;
    else if (token === ")" || token === "]" || token === "}") depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** Levels of nesting, level by level and without recursion; stops counting once past the bound. */
function depthOf(tree: unknown): number {
  let level: unknown[] = [tree];
  let depth = 0;
  while (level.length > 0 && depth <= policyDepthMax) {
    level = level.flatMap((node) => (typeof node === "object" && node !== null ? Object.values(node) : []));
    depth += 1;
  }
  return depth;
}

/** Our cutting must agree with Cedar's own, or a policy could hide from one of the two. */
function miscounted(ask: AskCedar, file: PolicyFile, count: number): readonly Finding[] {
  const parts = ask((cedar) => cedar.policySetTextToParts(file.text));
  if (parts?.type === "success" && parts.policies.length === count && parts.policy_templates.length === 0) return [];
  return [finding(file, 0, "the file cannot be cut into policies", "end each policy with one `;`")];
}

function named(file: PolicyFile, chunk: Chunk, parsed: { json: PolicyJson; number: number }): ParsedPolicy {
  // Cedar itself ignores @id in text input, so the id becomes the key of the map that it is given.
  const given = parsed.json.annotations?.["id"];
  const id = given ?? `${file.file}#${parsed.number}`.replace(/[^A-Za-z0-9._:/@#-]/g, "_");
  const { shadow, fault } = shadowOf(parsed.json, file, chunk);
  const place = { id, file: file.file, offset: chunk.offset, text: chunk.text, json: parsed.json };
  const policy = shadow === undefined ? place : { ...place, shadow };
  if (fault !== undefined) return { ...policy, fault };
  if (/^grant:/i.test(id)) {
    return {
      ...policy,
      fault: finding(
        file,
        chunk.offset,
        `the id ${JSON.stringify(id)} is reserved for generated permits`,
        "choose an id that does not start with `grant:`",
      ),
    };
  }
  if (!policyIdForm.test(id)) {
    return {
      ...policy,
      fault: finding(
        file,
        chunk.offset,
        `the id ${JSON.stringify(id)} is longer than 128 characters or has some that ids may not have`,
        "give it an @id of up to 128 letters, digits and . _ : / @ # -, a letter or digit first",
      ),
    };
  }
  return policy;
}

/** `@shadow("2026-11-30")`. A near miss would be enforced without a word, so it is an error. */
function shadowOf(
  { annotations = {} }: PolicyJson,
  file: PolicyFile,
  chunk: Chunk,
): { readonly shadow?: ShadowMark; readonly fault?: Finding } {
  const odd = Object.keys(annotations).find(
    (name) => name !== "shadow" && /^_?sh?a?d+o?w?(?:ed|_policy)?$/i.test(name),
  );
  if (odd !== undefined)
    return {
      fault: finding(
        file,
        chunk.offset,
        `@${odd} means nothing, so the policy would be enforced`,
        "write `@shadow`, or remove it",
      ),
    };
  if (!Object.hasOwn(annotations, "shadow")) return {};
  return { shadow: { sinceMs: dayMsOf(annotations["shadow"]) } };
}

/** Null: no day, or one that the calendar does not have. */
function dayMsOf(text: string | null | undefined): number | null {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? null : ms;
}

function doubled(file: PolicyFile, policy: ParsedPolicy, first: ParsedPolicy): Finding {
  return finding(
    file,
    policy.offset,
    `the id ${JSON.stringify(policy.id)} is already used in ${first.file}`,
    "give each policy its own @id",
  );
}

export function finding(file: PolicyFile, offset: number, why: string, fix: string): Finding {
  return { file: file.file, ...place(file.text, offset), why, fix };
}

/** Type and id of an entity, in either of the two JSON forms that Cedar prints. */
export function entityOf(entity: EntityUidJson): { readonly type: string; readonly id: string } {
  return "__entity" in entity ? entity.__entity : entity;
}
