import { strict as assert } from "node:assert";
import { test } from "node:test";
import { commandFiles, filesFor } from "./command-files.ts";
import { createProgram } from "./main.ts";

test("each file adds the commands of its words and no others", async () => {
  for (const file of commandFiles) {
    const { commands } = await createProgram([file]);
    assert.deepEqual(
      commands.map((command) => command.name()),
      [...file.words],
    );
  }
  const words = commandFiles.flatMap((file) => file.words);
  assert.equal(new Set(words).size, words.length);
});

test("a command line has its own file read, and every file where its first word is no command's", () => {
  const wordsOf = (...argv: string[]) => filesFor(argv).flatMap(({ words }) => words);
  assert.deepEqual(wordsOf("check", "serve"), ["check"]);
  assert.deepEqual(wordsOf("--json", "check"), ["check"]);
  assert.deepEqual(wordsOf("--operator", "serve", "check"), ["check"]);
  assert.deepEqual(wordsOf("--operator=serve", "apply", "--help"), ["plan", "apply"]);
  assert.deepEqual(wordsOf("--version"), []);
  for (const argv of [
    [],
    ["help", "check"],
    ["--help"],
    ["chek"],
    ["--json"],
    ["--operator"],
    ["-x", "check"],
    ["--", "check"],
  ])
    assert.equal(filesFor(argv), commandFiles, argv.join(" "));
});
