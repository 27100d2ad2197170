import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseVerifierKey } from "./note.ts";
import { parseReceipt, printReceipt, type ReceiptTrust, verifyReceipt } from "./receipt.ts";
import { noteCrypto, type ReceiptVectors, receiptVectors } from "./receipt-cases.test-support.ts";
import { parsePolicy } from "./tlog-policy.ts";

const file = new URL("../../../../vectors/receipt.json", import.meta.url);
const vectors: ReceiptVectors = JSON.parse(readFileSync(file, "utf8"));
const now = vectors.now * 1_000;
const keys = vectors.keys.map((key) => parseVerifierKey(noteCrypto.sha256, key) ?? assert.fail(key));
const parsed = parsePolicy(noteCrypto.sha256, new TextEncoder().encode(vectors.policy));
assert.ok(parsed.kind === "ok");
const byKeys: ReceiptTrust = { keys, policy: null };
const byPolicy: ReceiptTrust = { keys: [], policy: parsed.policy };

test("vectors/receipt.json holds what the cases are made of", () => assert.deepEqual(vectors, receiptVectors()));

for (const { name, receipt, crossing, usePolicy, verdict } of vectors.cases) {
  test(`${verdict.kind === "ok" ? "a receipt" : `refused as ${verdict.why}`}: ${name}`, () => {
    const found = verifyReceipt(noteCrypto, receipt, { trust: usePolicy ? byPolicy : byKeys, crossing, now });
    if (verdict.kind === "refused") {
      assert.deepEqual(found, verdict);
      return;
    }
    assert.ok(found.kind === "ok", JSON.stringify(found));
    assert.equal(found.crossing, verdict.crossing);
    assert.deepEqual(
      found.proven.map(({ index }) => index),
      verdict.indexes,
    );
    assert.equal(printReceipt(parseReceipt(receipt) ?? []), receipt, "parse, then print, and get the same bytes");
  });
}

test("no byte of a receipt can change without its being refused, but in what no log of ours signed", () => {
  const receipt = vectors.cases[1]?.receipt ?? "";
  const crossing = vectors.cases[1]?.verdict.kind === "ok" ? vectors.cases[1].verdict.crossing : null;
  for (let at = 0; at < receipt.length; at++) {
    for (const other of receipt[at] === "A" ? ["B", "\n"] : ["A", "\n"]) {
      if (receipt[at] === other) continue;
      const changed = receipt.slice(0, at) + other + receipt.slice(at + 1);
      const { kind } = verifyReceipt(noteCrypto, changed, { trust: byKeys, crossing, now });
      assert.equal(kind, "refused", `character ${at}: ${JSON.stringify(receipt.slice(at - 10, at + 10))}`);
    }
  }
});

test("the witnesses that cosigned are named, with their time, by a policy alone", () => {
  const cosigned = vectors.cases.find(({ name }) => name === "cosigned by both witnesses");
  const judged = (trust: ReceiptTrust) => {
    const verdict = verifyReceipt(noteCrypto, cosigned?.receipt ?? "", { trust, crossing: null, now });
    return verdict.kind === "ok" ? verdict.proven.map((one) => one.cosigned) : verdict;
  };
  assert.deepEqual(judged(byPolicy), [{ w1: 1_795_305_700, w2: 1_795_305_700 }]);
  assert.deepEqual(judged(byKeys), [{}]);
});

test("without a key nothing is believed", () => {
  const { receipt = "" } = vectors.cases[0] ?? {};
  const trust = { keys: [], policy: null };
  assert.deepEqual(verifyReceipt(noteCrypto, receipt, { trust, crossing: null, now }), {
    kind: "refused",
    why: "unsigned",
  });
});
