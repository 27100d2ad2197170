// Every link between our own pages leads somewhere.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const root = dirname(dirname(import.meta.dirname));
const pages = globSync(["*.md", "docs/**/*.md", "packages/*/README.md", "examples/**/*.md", "bench/*.md"], {
  cwd: root,
  exclude: (path) => path.includes("node_modules"),
});

/** The anchor GitHub gives a heading. */
function anchorsOf(page: string): ReadonlySet<string> {
  return new Set(
    [...page.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{Letter}\p{Number}\s_-]/gu, "")
        .trim()
        .replace(/\s/g, "-"),
    ),
  );
}

test("every relative link of a page leads to a file that is there, and to a heading it has", () => {
  assert.ok(pages.length > 100, `${pages.length} pages seen`);
  const broken: string[] = [];
  for (const page of pages) {
    const text = readFileSync(join(root, page), "utf8").replace(/```[\s\S]*?```/g, "");
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? join(root, page) : join(root, dirname(page), path);
      if (!existsSync(target)) broken.push(`${page}: ${link} leads to nothing (${relative(root, target)})`);
      else if (anchor !== undefined && target.endsWith(".md") && !anchorsOf(readFileSync(target, "utf8")).has(anchor))
        broken.push(`${page}: ${link}: no such heading`);
    }
  }
  assert.deepEqual(broken, []);
});
