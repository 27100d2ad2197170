import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ruleSections, testTitles, unprovenRows, unprovenRules } from "./named-tests.ts";
import { listFiles } from "./source-text.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

test("each rule of docs/rules.md names tests, and each named test exists in the named file", () => {
  const files = listFiles(root);
  assert.deepEqual(unprovenRules("docs/rules.md", files, 15), []);
  const page = files.find(({ path }) => path === "docs/rules.md");
  const named = ruleSections(page?.text ?? "").flatMap(({ tests }) => tests);
  assert.ok(named.length >= 60, `only ${named.length}`);
  assert.equal(new Set(named.map(({ file, title }) => `${file} ${title}`)).size, named.length, "each is named once");
});

test("each class of docs/gateway-attacks.md names tests, and each named test exists in the named file", () => {
  assert.deepEqual(unprovenRules("docs/gateway-attacks.md", listFiles(root), 36), []);
});

test("each class of docs/identity-attacks.md names tests, and each named test exists in the named file", () => {
  assert.deepEqual(unprovenRules("docs/identity-attacks.md", listFiles(root), 30), []);
});

const fapi = { heading: "## FAPI 2.0 Security Profile, server modules", base: "packages/control/src/identity/" };

test("each row of docs/conformance.md about FAPI names tests, and each named test exists in the named file", () => {
  assert.deepEqual(unprovenRows("docs/conformance.md", listFiles(root), fapi), []);
});

test("a row without a test, a file without a title, the beginning of a title and a file that is gone are found", () => {
  const source = { path: "base/a.test.ts", text: 'test("it holds", f); test("so, too", f);' };
  const judge = (cell: string) => {
    const text = `## Table\n| module | test |\n|---|---|\n| Module | ${cell} |\n\nNot covered:\n| Other | none |\n`;
    return unprovenRows("page.md", [source, { path: "page.md", text }], { heading: "## Table", base: "base/" }).map(
      ({ line, message }) => `${line} ${message}`,
    );
  };
  assert.deepEqual(judge('`a.test.ts`: "it holds", "so, too" (twice)'), []);
  assert.deepEqual(judge("nowhere"), ["4 the row names no test"]);
  assert.deepEqual(judge("`a.test.ts`"), ['4 base/a.test.ts has no test ""']);
  assert.deepEqual(judge('`a.test.ts`: "it holds", "so"'), ['4 base/a.test.ts has no test "so"']);
  assert.deepEqual(judge("`a.test.ts`: it holds"), ['4 base/a.test.ts has no test ""']);
  assert.deepEqual(judge('`packages/b.test.ts`: "it holds"'), ["4 there is no file packages/b.test.ts"]);
  assert.equal(unprovenRows("page.md", [source], { heading: "## Table", base: "" }).length, 1);
});

test("a renamed test, a removed file, a rule without a test and a missing rule are found", () => {
  const source = { path: "a.test.ts", text: 'test("it holds", () => {});\ntest(\n  "it \\"quotes\\"", () => {});' };
  const judge = (lines: string, rules = 1) =>
    unprovenRules("rules.md", [source, { path: "rules.md", text: `## 1. One\n${lines}\n` }], rules).length;
  assert.equal(judge('- `a.test.ts`: it holds\n- `a.test.ts`: it "quotes"'), 0);
  assert.equal(judge("- `a.test.ts`: it held"), 1);
  assert.equal(judge("- `b.test.ts`: it holds"), 1);
  assert.equal(judge("It holds, believe us."), 1);
  assert.equal(judge("- `a.test.ts`: it holds", 2), 1);
  assert.equal(unprovenRules("gone.md", [source], 1).length, 1);
});

test("titles are read in every spelling a test has, and a call to something else is none", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the text under test is itself a template
  const text = 'test("a", f); test(\'b\', f); test(`c ${x}`, f); it(\n  "d", f); contest("e", f); test.only(name);';
  // biome-ignore lint/suspicious/noTemplateCurlyInString: see above
  assert.deepEqual([...testTitles(text)], ["a", "b", "c ${x}", "d"]);
});
