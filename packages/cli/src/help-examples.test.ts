import { strict as assert } from "node:assert";
import { test } from "node:test";
import { commandOf, helpExamples } from "./help-examples.ts";
import { createProgram } from "./main.ts";

/** Help as it is printed, examples included. */
async function helpOf(words: string): Promise<string> {
  const command = commandOf(await createProgram(), words.split(" "));
  let out = "";
  command?.configureOutput({ writeOut: (text) => (out += text) }).outputHelp();
  return out.replaceAll(/\s+/g, " ");
}

test("an example names its command, with options it has and all that it requires", async () => {
  const program = await createProgram();
  for (const [words, examples] of Object.entries(helpExamples))
    for (const example of examples) {
      const command = commandOf(program, words.split(" "));
      assert.ok(example.includes(words), example);
      const given = [...example.matchAll(/(?<= )--[a-z-]+/g)].map(([flag]) => flag);
      const known = command?.options.map(({ long }) => long) ?? [];
      assert.deepEqual(
        given.filter((flag) => !known.includes(flag)),
        [],
        example,
      );
      const required = command?.options.filter(({ mandatory }) => mandatory).map(({ long }) => long) ?? [];
      assert.deepEqual(
        required.filter((flag) => !given.includes(flag ?? "")),
        [],
        example,
      );
    }
});

test("help says which options a command cannot do without, and shows how it is typed", async () => {
  const help = await helpOf("key kill");
  assert.match(help, /--reason <text> why; it is recorded \(required\)/);
  assert.doesNotMatch(help, /which environment \(required\)/);
  assert.match(help, /Examples: sallyport key kill \S{43} --reason "found in a log"/);
});
