// What an operator reads of a request that was refused for what its caller got wrong: why, and what to do, not the address of a page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crossingWords, readReport } from "./crossing-words.ts";

function told(code: string, facts: Readonly<Record<string, string>>, leaf: Readonly<Record<string, unknown>> = {}) {
  const leaves = [JSON.stringify({ t: "crossing", verdict: "deny", code, stage: "identify", ...leaf })];
  const decision = { stage: "identify", code, facts };
  return crossingWords(readReport({ id: "gw-1-01", node: "gw-1", leaves, decision })).join("\n");
}

test("a key with a typing mistake is told from one that nobody made", () => {
  const typo = told("api-key-unknown", {
    why: "it is not spelled as a key is: its checksum does not fit",
    sent: "spk1_1_…",
  });
  assert.match(typo, /^why {8}it is not spelled/m);
  assert.match(typo, /^fix {8}the caller sends the key exactly/m);
  assert.match(
    told("api-key-unknown", { why: "it was never made here, or it was ended" }),
    /^fix {8}`sallyport api-key list`/m,
  );
  assert.match(
    told("token-malformed", { why: "an API key where an access token goes" }),
    /^fix .*Authorization: ApiKey/m,
  );
  assert.match(told("token-malformed", { why: "not three parts" }), /^fix .*token endpoint/m);
});

test("a long name does not run into what it names", () => {
  assert.match(told("schema-mismatch", {}, { integration: "orders-to-billing" }), /^integration orders-to-billing$/m);
});

test("a crossing that was let pass and then ended says what to do", () => {
  const outcome = {
    t: "outcome",
    outcome: "system-error",
    status: 503,
    totalUs: 1,
    code: "upstream-open",
    stage: "forward",
  };
  const leaves = [JSON.stringify({ t: "intent", verdict: "allow" }), JSON.stringify(outcome)];
  const words = (all: readonly string[]) =>
    crossingWords(readReport({ id: "gw-1-01", node: "gw-1", leaves: all, decision: { policies: [] } })).join("\n");
  assert.match(words(leaves), /^fix .*sallyport doctor/m);
  const well = JSON.stringify({ t: "outcome", outcome: "success", status: 200, totalUs: 1 });
  assert.doesNotMatch(words([leaves[0] ?? "", well]), /^fix/m);
});
