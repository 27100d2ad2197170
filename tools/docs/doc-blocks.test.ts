import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Reader, readBlocks } from "./doc-blocks.ts";

const directory = mkdtempSync(join(tmpdir(), "sallyport-page-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const reader = () => new Reader({ directory, env: { PATH: process.env["PATH"] ?? "" }, timeoutMs: 60_000 });
const block = (text: string) => readBlocks(text)[0] ?? assert.fail("no block");

test("a page's blocks are files by their first line and commands by the comment above; others are left alone", () => {
  const page = [
    "```yaml\n# systems/a.yaml\nsystem: a\n```",
    "```\nonly shown\n```",
    "```sh\nnot run\n```",
    "<!-- run, exit 1, prints no .*way -->\n```sh\nfalse\n```",
    "<!-- run in background, prints up -->\n```sh\nserve\n```",
  ].join("\n\n");
  assert.deepEqual(
    readBlocks(page).map(({ kind, path, exit, prints }) => [kind, path, exit, prints?.source ?? null]),
    [
      ["file", "systems/a.yaml", 0, null],
      ["command", "", 1, "no .*way"],
      ["background", "", 0, "up"],
    ],
  );
});

test("a directive that is none, or stands before no block, is an error with its line", () => {
  assert.throws(() => readBlocks("<!-- run and hope -->\n```sh\ntrue\n```"), /line 1: not a directive/);
  assert.throws(() => readBlocks("<!-- run -->\ntext"), /line 2: the directive above belongs to no block/);
});

test("a file is written where the page says, and never outside the reader's folder", async () => {
  await reader().follow(block("```yaml\n# systems/a.yaml\nsystem: a\n```"));
  assert.equal(readFileSync(join(directory, "systems/a.yaml"), "utf8"), "# systems/a.yaml\nsystem: a\n");
  await assert.rejects(reader().follow(block("```yaml\n# ../a.yaml\nsystem: a\n```")), /leaves the folder/);
});

test("a command with another exit code, or without what it should print, fails with its line and what it printed", async () => {
  await assert.rejects(
    reader().follow(block("\n<!-- run -->\n```sh\necho seen; exit 3\n```")),
    /line 3: exit 3, the page says 0[\s\S]*seen/,
  );
  await assert.rejects(
    reader().follow(block("<!-- run, prints yes -->\n```sh\necho no\n```")),
    /did not print \/yes\//,
  );
  await reader().follow(block("<!-- run, exit 1, prints yes -->\n```sh\necho yes; exit 1\n```"));
});

test("a background command holds the page up until it has printed its line, and ends with the reader", async () => {
  const one = reader();
  await one.follow(block("<!-- run in background, prints ready -->\n```sh\necho ready; exec sleep 600\n```"));
  await one.close();
  await assert.rejects(
    reader().follow(block("<!-- run in background, prints ready -->\n```sh\necho bye\n```")),
    /should stay up/,
  );
});
