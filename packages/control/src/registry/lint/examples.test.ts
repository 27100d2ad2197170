// Every rule against the smallest estate that trips it and its nearest neighbour that does not: the examples on its page.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { filesOf } from "./example.ts";
import { lintFiles } from "./lint.test-support.ts";
import { exampleIds, explained, rulePage, withRules } from "./page.ts";
import { rules } from "./rules.ts";

const pages = join(import.meta.dirname, "../../../../../docs/lint");

for (const { id } of rules)
  test(`${id}: is found in its bad example and not in its good one`, () => {
    const { bad, good } = explained(id);
    const found = lintFiles(filesOf(bad)).filter(({ rule }) => rule === id);
    assert.ok(found.length > 0, `nothing found in\n${bad}\n${JSON.stringify(lintFiles(filesOf(bad)), null, 1)}`);
    for (const finding of found) {
      assert.ok(finding.line >= 1 && finding.column >= 1 && finding.fix.length > 5, JSON.stringify(finding));
      assert.match(finding.message, /[^.]$/, "the format ends the sentence");
    }
    const good_ = lintFiles(filesOf(good));
    assert.deepEqual(
      good_.filter(({ rule }) => rule === id),
      [],
    );
    assert.deepEqual(
      good_.filter(({ rule }) => rule === "load-error" || rule === "policy-invalid"),
      [],
      "the neighbour is served",
    );
    if (id !== "load-error" && id !== "policy-invalid")
      assert.deepEqual(
        lintFiles(filesOf(bad)).filter(({ rule }) => rule === "load-error" || rule === "policy-invalid"),
        [],
        "what is found is served, so nobody else would say it",
      );
  });

test("the table, the examples and the pages are the same set, and the pages are as generated (run write-pages.ts)", () => {
  const ids = rules.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual([...exampleIds].sort(), [...ids].sort());
  assert.deepEqual(readdirSync(pages).sort(), ["README.md", ...ids.map((id) => `${id}.md`)].sort());
  for (const id of ids) assert.equal(readFileSync(join(pages, `${id}.md`), "utf8"), rulePage(id), id);
  const index = readFileSync(join(pages, "README.md"), "utf8");
  assert.equal(withRules(index), index);
});

test("there are at least thirty rules of security, each with words of its own", () => {
  const own = rules.filter(({ check }) => check !== undefined);
  assert.ok(own.length >= 50, String(own.length));
  for (const { id, title, why, fix } of rules) {
    assert.match(id, /^[a-z]+(-[a-z]+)*$/);
    assert.match(title, /^[A-Z`].{8,90}[^.]$/, id);
    assert.match(why, /^[A-Z`].{30,}\.$/, id);
    assert.match(fix, /^[a-z].{6,}[^.]$/, id);
  }
});

test("a policy about tokens is one that applies where an integration could get such a token, and a permit for tokens changes nothing", () => {
  const rulesOf = (text: string) =>
    lintFiles(filesOf(`// policies/tokens.cedar\n@id("t")\n${text}`)).flatMap(({ rule, file }) =>
      file === "policies/tokens.cedar" ? [rule] : [],
    );
  const forbid = (scope: string) => `forbid (${scope}) when { context.binding == "none" };`;
  assert.deepEqual(rulesOf(forbid('principal in System::"orders", action == Action::"token:issue", resource')), []);
  assert.deepEqual(rulesOf(forbid('principal in System::"billing", action == Action::"token:issue", resource')), [
    "policy-never-applies",
  ]);
  assert.deepEqual(rulesOf(forbid('principal, action == Action::"token:exchange", resource')), [
    "policy-never-applies",
  ]);
  assert.deepEqual(rulesOf('permit (principal, action == Action::"token:issue", resource);'), [
    "permit-changes-nothing",
  ]);
});
