import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bentAnswers, sameAnswer } from "./testing/bent-answers.ts";
import { readAnswer } from "./testing/read-answer.ts";

test("differential: what we take for a whole answer, Node's client takes for the same status, fields and content, and for no shorter one", async () => {
  const counts = { refused: 0, whole: 0, followed: 0 };
  await fc.assert(
    fc.asyncProperty(bentAnswers, async (answer) => {
      counts[await sameAnswer(answer)]++;
    }),
    { seed: 20261129, numRuns: 4_000 },
  );
  const { refused, whole, followed } = counts;
  assert.ok(whole + followed > 500 && refused > 1_500 && followed > 200, JSON.stringify(counts));
});

test("fuzz: however an answer is cut, the same is read", () => {
  fc.assert(
    fc.property(bentAnswers, fc.array(fc.nat({ max: 200 }), { maxLength: 12 }), ({ method, text }, at) => {
      const bytes = Buffer.from(text, "latin1");
      const whole = readAnswer([bytes], { method, eof: true });
      const borders = [0, ...at.filter((one) => one < bytes.length).sort((a, b) => a - b), bytes.length];
      const pieces = borders.slice(1).map((to, i) => bytes.subarray(borders[i], to));
      const cut = readAnswer(pieces, { method, eof: true });
      const told = ({ status, fields, content, end }: typeof whole) => ({
        status,
        fields,
        content,
        end: end !== null && "malformed" in end ? end : "whole",
      });
      assert.deepEqual(told(cut), told(whole));
    }),
    { seed: 20261129, numRuns: 3_000 },
  );
});
