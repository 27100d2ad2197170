// The glossary has every word that files, records, findings and denials use without explaining it, and each word leads to the page that explains it.
// The words are taken from where they are made: pages of concepts, types of the configuration, of records, of rules and the path of a crossing.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { editorSchemas, referenceRows } from "../../packages/control/src/registry/config/reference.ts";
import { logRules } from "../../packages/control/src/watch/log-rules.ts";
import { rules } from "../../packages/control/src/watch/rules.ts";
import { unreadableRecords } from "../../packages/control/src/watch/unreadable-records.ts";
import { pipelineTable } from "../../packages/gateway/src/pipeline.ts";
import { leafMembers } from "../../packages/protocol/src/audit/leaf-form.ts";

const docs = join(import.meta.dirname, "../../docs");

interface Entry {
  readonly section: string;
  readonly terms: readonly string[];
  /** Where the last cell leads, from docs/. */
  readonly page: string | undefined;
}

const entries = readFileSync(join(docs, "glossary.md"), "utf8")
  .split(/^(?:#+) /m)
  .slice(1)
  .flatMap((text) => entriesOf(text.split("\n")));

function entriesOf([section = "", ...lines]: readonly string[]): readonly Entry[] {
  const rows = lines.filter((line) => line.startsWith("| ")).slice(1);
  return rows.map((row): Entry => {
    const [term = "", ...cells] = row.slice(2, -2).split(" | ");
    const marked = [...term.matchAll(/\*\*(.+?)\*\*|`(.+?)`/g)].map(([, word, code]) =>
      (word ?? code ?? "").toLowerCase(),
    );
    return {
      section,
      terms: marked.length > 0 ? marked : term.split(", "),
      page: /^\[[^\]]+\]\(([^)#]+)(?:#[^)]+)?\)$/.exec(cells.at(-1) ?? "")?.[1],
    };
  });
}

const termsOf = (section: string) => entries.filter((entry) => entry.section === section).flatMap(({ terms }) => terms);

test("each entry leads to a page that is there and speaks of it", () => {
  assert.ok(entries.length > 150, `${entries.length} entries seen`);
  for (const { terms, page } of entries) {
    assert.ok(
      page !== undefined && existsSync(join(docs, page)),
      `${terms.join(", ")}: the last cell is no link to a page`,
    );
    const text = readFileSync(join(docs, page), "utf8").toLowerCase();
    const speaks = terms.some((term) => term.split(/[ -]/).every((word) => text.includes(word.toLowerCase())));
    assert.ok(speaks, `${page} says nothing of ${terms.join(", ")}`);
  }
});

/** Those of ours: a term of two specifications has two meanings. */
const sections = ["Glossary", "Keys of configuration files", "Records", "Findings", "Stages"];

test("no word stands twice in one section", () => {
  for (const section of sections) {
    const terms = termsOf(section);
    assert.deepEqual(terms, [...new Set(terms)], section);
  }
});

test("each concept and each kind of file is a word", () => {
  const concepts = readdirSync(join(docs, "concepts"))
    .filter((name) => name.endsWith(".md") && name !== "README.md")
    .flatMap((name) => {
      const second = /^# \w+ and (\w+)$/m.exec(readFileSync(join(docs, "concepts", name), "utf8"))?.[1];
      return [name.slice(0, -3).replace("-", " "), ...(second === undefined ? [] : [second])];
    });
  const words = new Set(termsOf("Glossary"));
  assert.deepEqual(
    [...concepts, ...editorSchemas().map(({ kind }) => kind)].filter((word) => !words.has(word)),
    [],
  );
});

test("the keys are those at the top of configuration files, and all of them", () => {
  const keys = referenceRows().flatMap(({ key }) => (/^\w+$/.test(key) ? [key.toLowerCase()] : []));
  assert.deepEqual(termsOf("Keys of configuration files").toSorted(), [...new Set(keys)].toSorted());
});

test("records, findings and stages are those of the program, and all of them", () => {
  assert.deepEqual(termsOf("Records").toSorted(), Object.keys(leafMembers).toSorted());
  assert.deepEqual(
    termsOf("Findings").toSorted(),
    [...rules, ...Object.values(logRules), unreadableRecords].map(({ id }) => id).toSorted(),
  );
  assert.deepEqual(termsOf("Stages"), [...new Set(pipelineTable.map(({ stage }) => stage))]);
});
