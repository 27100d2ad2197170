// Patterns with which one body could stop a gateway, and what remains possible.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { choicesMax, patternTextMax, refusePattern } from "./linear-pattern.ts";

for (const pattern of [
  "^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
  "^(a+)+$",
  "^(a|a)*$",
  "^(a|ab)*c$",
  "^(?:a?){30}a{30}$",
  "^a?a?a?a?a?a?a?a?a?a?a{10}$",
  "^.*.*x$",
  "a*b.*c",
  "^(a)\\1*$",
  "^(?=a+)a*$",
  "^(|a)*$",
  "^(a|b|ab)(a|b|ab)(a|b|ab)(a|b|ab)(a|b|ab)(a|b|ab)(a|b|ab)$",
  "^(?:a{100}){100}$",
  "^(?:\\p{L}|a)+$",
  "(",
])
  test(`backtracking: ${pattern} is refused`, () => assert.notEqual(refusePattern(pattern), null));

for (const pattern of [
  "^ord-[0-9]{1,12}$",
  "^[A-Z]{2}\\d{2}[A-Z0-9]{11,30}$",
  "^(?:EUR|USD|ESP)$",
  "^[^@\\s]+$",
  "^[a-z][a-z0-9-]*$",
  "^(?:\\d{1,3}\\.){3}\\d{1,3}$",
  "^\\d{4}-\\d{2}-\\d{2}$",
  "^(?:ab|cd)*$",
  "^[a-z]+@[a-z]+\\.[a-z]+$",
  "foo",
])
  test(`everyday pattern: ${pattern} is accepted`, () => assert.equal(refusePattern(pattern), null));

const piece = fc.letrec<{ row: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("a", "b", "[ab]", "[^a]", ".", "\\w", "ab"),
    fc.tuple(tie("row"), tie("row")).map(([left, right]) => `(?:${left}|${right})`),
    tie("row").map((row) => `(${row})`),
  ),
  row: fc
    .array(fc.tuple(tie("atom"), fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{1,3}", "*?")), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) => parts.map(([atom, sign]) => (atom === "ab" ? `(?:ab)${sign}` : `${atom}${sign}`)).join("")),
})).row;

test("any accepted pattern is done with hostile texts at once", () => {
  let accepted = 0;
  fc.assert(
    fc.property(piece, fc.boolean(), (row, isStarted) => {
      const pattern = `${isStarted ? "^" : ""}(?:${row})$`;
      if (refusePattern(pattern) !== null) return;
      accepted++;
      const expression = new RegExp(pattern, "u");
      for (const text of ["a", "b", "ab", "aab"]) {
        const before = process.cpuUsage();
        expression.test(`${text.repeat(patternTextMax).slice(0, patternTextMax - 1)}!`);
        // Time of the processor, orders above what choicesMax allows; a backtracking pattern needs years.
        assert.ok(process.cpuUsage(before).user < 500_000, pattern);
      }
    }),
    { seed: 20261122, numRuns: 3_000 },
  );
  assert.ok(accepted > 300 && choicesMax > 0);
});

test("any text as a pattern ends in a word, and what is accepted compiles", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab()[]{}*+?|^$\\-.12,:=!<>kpu"), maxLength: 16 }), (pattern) => {
      if (refusePattern(pattern) === null) new RegExp(pattern, "u");
    }),
    { seed: 20261122, numRuns: 3_000 },
  );
});
