// docs/concepts has a page for each word the rest stands on, and the list of them is whole.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

const root = dirname(dirname(import.meta.dirname));
const folder = join(root, "docs/concepts");
const index = readFileSync(join(folder, "README.md"), "utf8");
const pages = readdirSync(folder).filter((name) => name.endsWith(".md") && name !== "README.md");

/** The words that files, commands and answers use without explaining them. */
const words = [
  ...["system", "operation", "integration", "principal", "token", "crossing", "verdict", "environment", "data-class"],
  ...["snapshot", "state", "audit-log"],
];

test("each concept has its page, each page stands in the list with one line, and nothing else does", () => {
  assert.deepEqual(pages.toSorted(), words.map((word) => `${word}.md`).toSorted());
  const listed = [...index.matchAll(/^\| \[[^\]]+\]\(([a-z-]+\.md)\) \| .{15,} \|$/gm)].map(([, page = ""]) => page);
  assert.deepEqual(listed.toSorted(), pages.toSorted());
});

test("a page of a concept says what it is, shows it, and leads on", () => {
  for (const page of pages) {
    const text = readFileSync(join(folder, page), "utf8");
    assert.match(text, /^# \S/, page);
    assert.ok(text.split(/\s+/).length >= 80, `${page} says too little`);
    assert.match(text, /\]\((?!https?:)[^)]+\.md[^)]*\)/, `${page} leads nowhere`);
  }
});
