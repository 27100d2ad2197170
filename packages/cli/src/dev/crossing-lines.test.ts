// What a line of `sallyport dev` says of a crossing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crossingLines, type SeenCrossing } from "./crossing-lines.ts";

const seen: SeenCrossing = {
  event: "crossing",
  id: "gw-1-01KAMZZZZZ0000000000000000",
  at: 0,
  caller: null,
  proof: null,
  operation: "billing:invoice.read",
  request: "GET /billing/v1/invoices/7",
  integration: null,
  verdict: "deny",
  letPass: false,
  code: "credentials-missing",
  stage: "identify",
  outcome: "denied",
  status: 401,
  ms: 1,
  fix: "send credentials",
};

test("a denial that was let pass is not called allowed, and comes with what enforcement would say", () => {
  const [line, ...more] = crossingLines({ ...seen, letPass: true, outcome: "success", status: 200 });
  assert.match(line ?? "", /WOULD DENY credentials-missing {2}200/);
  assert.deepEqual(more, ["    fix: send credentials", `    why: sallyport why ${seen.id}`]);
});

test("the nonce a client asks for first is no fault, and nobody is sent to mend it", () => {
  const [line, ...more] = crossingLines({ ...seen, code: "dpop-nonce" });
  assert.match(line ?? "", /DENY dpop-nonce {2,}401/);
  assert.deepEqual(more, ["    no fault: the caller was told the nonce and asks again"]);
});

test("a provider that fails is not called a denial, and what stood in for it is not called a failure", () => {
  const failed = { ...seen, stage: "forward", code: "upstream-open", found: "it was failing", outcome: "system-error" };
  const [line, ...more] = crossingLines({ ...failed, status: 503 });
  assert.match(line ?? "", /FAILED upstream-open {2,}503/);
  assert.deepEqual(more.slice(0, 2), ["    it was failing", "    fix: send credentials"]);
  assert.match(crossingLines({ ...failed, status: 200 })[0] ?? "", /FALLBACK upstream-open {2,}200/);
});
