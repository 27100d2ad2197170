// Holds the quick reader of plain files against the `yaml` package: over every file of the examples, and over texts made to tell them apart.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parsePlainYaml } from "./plain-yaml.ts";
import { parseAnyYaml, type Tree } from "./yaml-tree.ts";

const examples = join(import.meta.dirname, "../../../../../examples");

/** As text, because a comparison of maps would not see the order of their keys. */
function written(tree: Tree | null): string {
  return JSON.stringify(tree, (_, value: unknown) => (value instanceof Map ? [...value] : value));
}

/** True when the quick reader had the word; it must then be the package's word. */
function assertSame(text: string): boolean {
  const plain = parsePlainYaml("systems/a.yaml", text);
  if (plain === null) return false;
  const { root, findings } = parseAnyYaml("systems/a.yaml", text);
  const shown = JSON.stringify(text);
  assert.deepEqual(findings, [], `the package refuses ${shown}`);
  assert.equal(written(plain), written(root), `read differently: ${shown}`);
  return true;
}

/** Numbers from 0 up to `below`, the same for the same seed. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const scalars = [
  ..."a|a b|POST /v1/{id}|it's|a#b|a #b|a  # b|https://x.example:8443/p|3s|64KiB|2027-06-30|83/s|../keys/a.json|é à|x!|x !y".split(
    "|",
  ),
  ..."0|7|-1|007|1.10|1e3|0x1F|0o17|1_000|.5|.inf|.nan|..|...|---|-|- a|-a|+1|12345678901234567890|10.0.0.0/8|1.|1e|0b1".split(
    "|",
  ),
  ..."true|True|yes|no|null|Null|nUll|~|*a|&a b|!t a|@a|`a|%a|? a|: a|a: b|a:b|a:|a :b|<<|=|_|/|a,b|a]b|a}b|a, b|a\\b".split(
    "|",
  ),
  ...'"a"|"a b"|\'a\'|\'it\'\'s\'|"a\\n"|""|\'\'|"a|\'a|"a" b|"a"#b|"a" # b|\'a: b\'|"# a"|\'[a\'|"é"'.split("|"),
  ..."[]|{}|[a]|[a, b]|[ a , b ]|[a,b]|[a,]|[,a]|[a b, c]|[\"a\", 'b']|[a: b]|[[a], {b: c}]|[a|[a] b|[a] # b|[a #b]|[a, - b]|[1, true]".split(
    "|",
  ),
  ...'{a: b}|{ a: b, c: d }|{a: b,c: d}|{a: b,}|{a}|{a:b}|{a: }|{a: [b, {c: "d"}]}|{"a": b}|{a: b c: d}|{a: b, a: c}|{true: a, True: b}'.split(
    "|",
  ),
  ..."{a: b}}|{a: http://x}|{a: x:y}|{a: b:}|[a:]|[:a]|{ a:  b }|{a : b}|[{a: b}, {a: c}]|{__proto__: a}|[a]: b|{a: b}: c|{1: a}|>|||>-".split(
    "|",
  ),
];
/** What most files hold, so that most texts get to their end. */
const sound =
  `a|a b|POST /v1/{id}|it's|a#b|a # b|a  # b|3s|2027-06-30|0|7|true|"a: b"|'a'|"" # b|[]|{}|[a, b]|[ a , "b" ]|{ a: b, c: 7 }|{a: [b, {c: "d"}]}`.split(
    "|",
  );
const keys =
  "a|b|c|invoice.create|a-b|_x|true|True|null|yes|1|404|a b|\"a\"|'b'|__proto__|<<|a/b|A|é|toString|a#|-a|?".split("|");
const joints = [": ", ": ", ": ", ":  ", ":", " : ", ":\t", ": # c\n", ":\n"];
const endings = [
  "\n",
  "\n",
  "\n",
  "\n",
  " \n",
  "\n\n",
  "\n# c\n",
  "\n  # c\n",
  " # c\n",
  "#c\n",
  "\r\n",
  "\n---\n",
  "\n...\n",
  "",
];

/** Mostly a sound file; now and then a line that stands wrong or a value that means something else. */
function madeText(next: (below: number) => number): string {
  const of = (choices: readonly string[]): string => choices[next(choices.length)] ?? "";
  const value = () => (next(8) === 0 ? of(scalars) : of(sound));
  const lines = (column: number, depth: number): string => {
    const isList = next(4) === 0;
    return Array.from({ length: 1 + next(4) }, (_, n) => {
      const indent = " ".repeat(Math.max(0, next(60) === 0 ? column + next(5) - 2 : column));
      const below = () => `\n${lines(column + (next(6) === 0 ? 0 : 1 + next(3)), depth + 1)}`;
      const name = next(10) === 0 ? of(keys) : `${"abcdefgh"[n]}`;
      if (isList && next(3) === 0) return `${indent}- ${name}: ${value()}\n${lines(column + 2, depth + 1)}`;
      if (isList) return `${indent}${next(9) === 0 ? "-  " : "- "}${value()}${of(endings)}`;
      if (depth < 4 && next(3) === 0) return `${indent}${name}:${next(8) === 0 ? " # c" : ""}${below()}`;
      return `${indent}${name}${next(20) === 0 ? of(joints) : ": "}${value()}${next(8) === 0 ? of(endings) : "\n"}`;
    }).join("");
  };
  const text = lines(0, 0);
  if (next(2) > 0) return text;
  const at = next(text.length + 1);
  return (
    text.slice(0, at) +
    of(["", " ", "\n", "#", ":", "-", "  ", "\t", "'", '"', "{", "]", ",", "!", "&", "\uFEFF", "\u00A0", "\u2028"]) +
    text.slice(at + next(3))
  );
}

test("plain files are read as the yaml package reads them, and the examples are plain", () => {
  const files = readdirSync(examples, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".yaml") && !name.includes("node_modules"))
    .map((name) => readFileSync(join(examples, name), "utf8"));
  const plain = files.filter(assertSame).length;
  assert.ok(plain > files.length / 2, `${plain} of ${files.length} are read quickly`);
});

test("texts that look plain and are not are read as the package reads them, or left to it", () => {
  const rounds = Number(process.env["PLAIN_YAML_ROUNDS"] ?? 4_000);
  const next = seeded(Number(process.env["PLAIN_YAML_SEED"] ?? 7));
  let plain = 0;
  for (let round = 0; round < rounds; round += 1) if (assertSame(madeText(next))) plain += 1;
  assert.ok(plain > rounds / 20, `${plain} of ${rounds} were plain: the texts no longer tell the readers apart`);
});

test("every single value means the same after a key, in a list, in a flow map and in a flow list", () => {
  for (const scalar of scalars)
    for (const text of [
      `a: ${scalar}\n`,
      `a:\n  - ${scalar}\n`,
      `a: { b: ${scalar} }\n`,
      `a: [${scalar}, c]\n`,
      `a: ${scalar}\n  b\n`,
      `a: ${scalar}`,
    ])
      assertSame(text);
});
