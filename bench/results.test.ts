// RESULTS.md leads with the worst figure: one row for each budget, sorted by how far it is from its floor, with the floors that the benches enforce.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { floors } from "./gateway/report.ts";

const page = readFileSync(join(import.meta.dirname, "RESULTS.md"), "utf8");
const [, heading = "", ...lines] = page.slice(page.indexOf("\n## ")).split("\n");
const rows = lines
  .slice(
    0,
    lines.findIndex((line) => line.startsWith("## ")),
  )
  .filter((line) => line.startsWith("| ") && !line.startsWith("| figure"))
  .map((line) => {
    const [figure = "", result = "", floor = "", share = ""] = line
      .split("|")
      .slice(1)
      .map((cell) => cell.trim());
    return { figure, result: Number.parseFloat(result), floor: Number.parseFloat(floor), share: Number(share) };
  });

test("the page begins with every budget, the worst against its floor first", () => {
  assert.equal(heading, "## Worst first");
  assert.ok(rows.length >= 14, `${rows.length} rows`);
  for (const [i, { figure, result, floor, share }] of rows.entries()) {
    assert.ok(result > 0 && floor > 0, figure);
    const isNear = (one: number) => Math.abs(one - share) <= 0.006;
    assert.ok(
      isNear(result / floor) || isNear(floor / result),
      `${figure}: ${share} is not what ${result} is of ${floor}`,
    );
    assert.ok(share >= (rows[i - 1]?.share ?? 0), `${figure} is worse than the row above it`);
  }
});

test("the floors of the gateway's ratios are those that its bench enforces, and none is left out", () => {
  for (const [name, floor] of floors) {
    const row = rows.find(({ figure }) => figure === `\`${name}\``);
    assert.deepEqual([name, row?.floor], [name, floor]);
  }
});
