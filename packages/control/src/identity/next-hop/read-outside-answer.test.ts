// What a token endpoint of somebody else may answer, in one reading (docs/identity/next-hop.md). Over a real socket: cli/src/next-hop-outside.e2e.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type OutsideAsked, readOutsideAnswer } from "./read-outside-answer.ts";

const urn = "urn:ietf:params:oauth:token-type:";
const asked: OutsideAsked = { isExchange: true, scope: ["a.read", "a.list"], subjectToken: "s.u.b" };
const good = { access_token: "t.o-k_e~n+/=", issued_token_type: `${urn}access_token`, token_type: "Bearer" };
const read = (members: object, change: Partial<OutsideAsked> = {}, contentType = "application/json;charset=UTF-8") =>
  readOutsideAnswer({ status: 200, contentType, text: JSON.stringify(members) }, { ...asked, ...change });
const codeOf = (...of: Parameters<typeof read>): string => {
  const reading = read(...of);
  return reading.kind === "token" ? "token" : reading.code;
};

test("one access token, with the life that is said, and the scope that was asked for or less", () => {
  assert.deepEqual(read({ ...good, expires_in: 60, scope: "a.read" }), {
    kind: "token",
    token: good.access_token,
    lifetimeSeconds: 60,
  });
  assert.deepEqual(read(good), { kind: "token", token: good.access_token, lifetimeSeconds: null });
  assert.equal(
    codeOf({ ...good, issued_token_type: `${urn}jwt`, token_type: "bearer", scope: "a.list a.read" }),
    "token",
  );
  assert.equal(codeOf({ ...good, refresh_token: "r", extra: {} }), "token", "what is not asked for is not looked at");
  assert.equal(codeOf({ access_token: "t", token_type: "Bearer" }, { isExchange: false, subjectToken: null }), "token");
  assert.equal(codeOf({ ...good, scope: "whatever it grants" }, { scope: [] }), "token");
});

test("attack: a wider scope, another kind, our own token, a life that is none, text that is no token", () => {
  assert.equal(codeOf({ ...good, scope: "a.read admin" }), "outside-scope");
  for (const scope of ["", "a.read  a.list", 7, ["a.read"], null])
    assert.equal(codeOf({ ...good, scope }), "outside-scope");
  for (const token_type of ["DPoP", "N_A", "mac", undefined, 1, "Bearer "])
    assert.equal(codeOf({ ...good, token_type }), "outside-token-type");
  for (const kind of ["id_token", "refresh_token", "saml2", ""])
    assert.equal(codeOf({ ...good, issued_token_type: `${urn}${kind}` }), "outside-token-type");
  assert.equal(codeOf({ ...good, access_token: "s.u.b" }), "outside-token");
  for (const access_token of ["", "a b", "a\n", "ä", "a".repeat(8_193), 1, null, undefined])
    assert.equal(codeOf({ ...good, access_token }), "outside-token");
  for (const expires_in of [0, -1, 1.5, "60", null, 1e300, true])
    assert.equal(codeOf({ ...good, expires_in }), "outside-life");
});

test("attack: HTML, no JSON object, a member twice: no token, whatever the status says", () => {
  assert.equal(codeOf(good, {}, "text/html"), "outside-answer");
  const raw = (text: string, status = 200) =>
    readOutsideAnswer({ status, contentType: "application/json", text }, asked).kind;
  for (const text of ["", "[]", "null", '"x"', "{", '{"access_token":"a","access_token":"b"}', "<html>"])
    assert.equal(raw(text), "unavailable");
  for (const status of [201, 204, 302, 400, 401, 500, 503])
    assert.equal(raw(JSON.stringify(good), status), "unavailable");
});

test("an error that asking again does not mend is a no, and only the words of RFC 6749 and 8693 become a code", () => {
  const said = (status: number, error: unknown) =>
    readOutsideAnswer({ status, contentType: "application/json", text: JSON.stringify({ error }) }, asked);
  assert.deepEqual(said(400, "invalid_grant"), { kind: "refused", code: "outside-invalid-grant" });
  assert.deepEqual(said(401, "invalid_client"), { kind: "refused", code: "outside-invalid-client" });
  for (const [status, error] of [
    [400, "temporarily_unavailable"],
    [400, "<script>"],
    [400, 7],
    [500, "invalid_grant"],
    [302, "invalid_grant"],
  ] as const)
    assert.deepEqual(said(status, error), { kind: "unavailable", code: "outside-answer" });
});

test("over generated answers: it never throws, and never gives a token beyond what was asked for", () => {
  const members = fc.record(
    {
      access_token: fc.oneof(fc.constant("t"), fc.constant("s.u.b"), fc.string(), fc.anything()),
      issued_token_type: fc.oneof(fc.constant(`${urn}access_token`), fc.string()),
      token_type: fc.oneof(fc.constant("Bearer"), fc.string()),
      expires_in: fc.oneof(fc.nat(), fc.anything()),
      scope: fc.oneof(fc.constantFrom("a.read", "a.read a.list", "b"), fc.string()),
    },
    { requiredKeys: [] },
  );
  let given = 0;
  const property = fc.property(members, (one) => {
    const reading = read(one);
    if (reading.kind !== "token") return;
    given++;
    assert.ok(reading.token !== "s.u.b" && /^[\x21-\x7e]+$/.test(reading.token));
    assert.ok(one.scope === undefined || one.scope.split(" ").every((word) => asked.scope.includes(word)));
  });
  fc.assert(property, { seed: 22, numRuns: 5_000 });
  assert.ok(given > 20, `${given} tokens`);
});
