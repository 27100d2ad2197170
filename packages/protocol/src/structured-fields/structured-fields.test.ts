// Structured fields against the published test cases of the HTTP working group: what is valid reads as they say and prints back, the rest has no reading.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseDictionary, parseItem, parseList } from "./parse.ts";
import { printDictionary, printList, printMember } from "./print.ts";
import type { BareItem, Dictionary, Item, Member, Parameters } from "./values.ts";

const vectors = process.env.SALLYPORT_VECTORS ?? join(import.meta.dirname, "../../../../../shared/vectors");
const folder = join(vectors, "structured-fields");
const skip = existsSync(folder) ? false : `no vectors at ${folder} (set SALLYPORT_VECTORS)`;

type Bare = string | number | boolean | { readonly __type: string; readonly value: string | number };
type Pairs = readonly (readonly [string, Bare])[];
interface Vector {
  readonly name: string;
  readonly raw?: readonly string[];
  readonly header_type: "item" | "list" | "dictionary";
  readonly expected?: unknown;
  readonly must_fail?: boolean;
  readonly can_fail?: boolean;
  readonly canonical?: readonly string[];
}

function vectorsIn(directory: string): readonly (Vector & { readonly file: string })[] {
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"));
  // The suite's own schema is the type; a mismatch shows as a failing count below.
  return files.flatMap((file) =>
    (JSON.parse(readFileSync(join(directory, file), "utf8")) as Vector[]).map((one) => ({ ...one, file })),
  );
}

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function fromBase32(text: string): Uint8Array {
  const bits = [...text.replace(/=+$/, "")].map((one) => base32.indexOf(one).toString(2).padStart(5, "0")).join("");
  return Uint8Array.from({ length: Math.floor(bits.length / 8) }, (_, i) =>
    Number.parseInt(bits.slice(i * 8, i * 8 + 8), 2),
  );
}

function toBase32(bytes: Uint8Array): string {
  const bits = [...bytes].map((one) => one.toString(2).padStart(8, "0")).join("");
  const text = (bits.match(/.{1,5}/g) ?? []).map((five) => base32[Number.parseInt(five.padEnd(5, "0"), 2)]).join("");
  return text.padEnd(Math.ceil(text.length / 8) * 8, "=");
}

/** A value as the suite writes it, and back. */
function shown({ type, value }: BareItem): Bare {
  if (type === "binary") return { __type: "binary", value: toBase32(value) };
  if (type === "token" || type === "date") return { __type: type, value };
  return type === "display" ? { __type: "displaystring", value } : value;
}
const shownParameters = (parameters: Parameters): Pairs => [...parameters].map(([key, value]) => [key, shown(value)]);
function shownMember(member: Member): unknown {
  const inside = member.kind === "item" ? shown(member.value) : member.items.map(shownMember);
  return [inside, shownParameters(member.parameters)];
}

function bare(written: Bare, printed?: string): BareItem {
  if (typeof written === "boolean") return { type: "boolean", value: written };
  if (typeof written === "string") return { type: "string", value: written };
  if (typeof written === "number")
    return {
      type: Number.isInteger(written) && printed?.includes(".") !== true ? "integer" : "decimal",
      value: written,
    };
  const { __type: type, value } = written;
  if (type === "binary") return { type, value: fromBase32(String(value)) };
  if (type === "date") return { type, value: Number(value) };
  return { type: type === "token" ? "token" : "display", value: String(value) };
}
const parameters = (pairs: Pairs): Parameters => new Map(pairs.map(([key, value]) => [key, bare(value)]));
function member(written: unknown, printed?: string): Member {
  // The suite's form: [bare item or inner list, parameters].
  const [inside, pairs] = written as [Bare | unknown[], Pairs];
  if (!Array.isArray(inside)) return { kind: "item", value: bare(inside, printed), parameters: parameters(pairs) };
  const items = inside.map((one) => member(one)).filter((one): one is Item => one.kind === "item");
  return { kind: "inner-list", items, parameters: parameters(pairs) };
}

function read({ header_type: kind, raw = [] }: Vector): { shown: unknown; printed: string | null } | null {
  if (kind === "item") {
    const item = parseItem(raw);
    return item === null ? null : { shown: shownMember(item.value), printed: printMember(item.value) };
  }
  if (kind === "list") {
    const list = parseList(raw);
    return list === null ? null : { shown: list.value.map(shownMember), printed: printList(list.value) };
  }
  const found = parseDictionary(raw);
  if (found === null) return null;
  const entries = [...found.value].map(([key, one]) => [key, shownMember(one)]);
  return { shown: entries, printed: printDictionary(found.value) };
}

test("every case of the suite reads as it says, prints back as it says, or has no reading", { skip }, () => {
  const cases = vectorsIn(folder);
  for (const one of cases) {
    const name = `${one.file}: ${one.name}`;
    const found = read(one);
    if (one.must_fail === true) assert.equal(found, null, name);
    else if (found !== null || one.can_fail !== true) {
      assert.ok(found !== null, name);
      assert.deepEqual(found.shown, one.expected, name);
      assert.equal(found.printed, (one.canonical ?? one.raw ?? []).join(", "), name);
    }
  }
  assert.equal(cases.length, 1591);
});

test("every case of printing prints as the suite says, or is refused", { skip }, () => {
  const cases = vectorsIn(join(folder, "serialisation-tests"));
  for (const one of cases) {
    const name = `${one.file}: ${one.name}`;
    // As above.
    const expected = one.expected as readonly unknown[];
    const dictionary = (): Dictionary =>
      new Map(expected.map((entry) => entry as [string, unknown]).map(([key, value]) => [key, member(value)]));
    const printed =
      one.header_type === "item"
        ? printMember(member(one.expected, one.canonical?.[0]))
        : one.header_type === "list"
          ? printList(expected.map((entry) => member(entry)))
          : printDictionary(dictionary());
    assert.equal(printed, one.must_fail === true ? null : (one.canonical ?? []).join(", "), name);
  }
  assert.equal(cases.length, 544);
});

test("attack: a key that comes twice is told, in a dictionary and in parameters, whoever wins", () => {
  assert.equal(parseDictionary("a=1, b=2")?.repeats, false);
  for (const text of ["a=1, a=2", "a;x;x", "a=(1;x=1;x=2)", "a=();x;x"])
    assert.equal(parseDictionary(text)?.repeats, true, text);
  assert.equal(parseItem("1;a;a")?.repeats, true);
});

test("attack: a huge field is read, or refused, in time that grows with its length alone", () => {
  const spaces = " ".repeat(200_000);
  assert.equal(parseItem(`${spaces}x${spaces}y`), null);
  assert.equal(parseDictionary(`a=(${"(".repeat(100_000)}`), null);
  assert.equal(parseList(`${"a,".repeat(100_000)}`), null);
  assert.equal(parseItem(`"${"\\".repeat(99_999)}`), null);
  assert.equal(parseList("a,".repeat(100_000).slice(0, -1))?.value.length, 100_000);
});
