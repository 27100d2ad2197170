import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { splitCheckpoints } from "@sallyport/protocol/audit/checkpoint.ts";
import { runAgainst } from "../program.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-checkpoints-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("what control keeps is written as audit verify --older reads it, and never over a file", async () => {
  const notes = ["a\n1\nAA==\n\n\u2014 a AAAA\n", "b\n2\nAA==\n\n\u2014 b AAAA\n"];
  const kept = notes.map((note) => ({ origin: note.slice(0, 1), node: "gw-1", note, at: 0 }));
  const out = join(folder, "kept");
  const argv = ["audit", "checkpoints", "--out", out];
  assert.equal((await runAgainst({ "GET /v1/checkpoints": kept }, argv)).exit, 0);
  assert.deepEqual(splitCheckpoints(readFileSync(out, "utf8")), notes);
  assert.notEqual((await runAgainst({ "GET /v1/checkpoints": [] }, argv)).exit, 0);
});
