import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { Actor } from "@sallyport/protocol/principal.ts";
import type { HopTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { verifyHopToken } from "@sallyport/protocol/token/hop-token.ts";
import fc from "fast-check";
import { createHopTokens, type HopTokenGround, type HopTokenWanted, sharedKey } from "./hop-tokens.ts";

const start = Date.UTC(2026, 10, 22, 12);
const issuer = "https://id.example/main/production";
const real = generateSigner("ES256").signer;

type Identity = HopTokenWanted["identity"];
const identity: Identity = {
  iss: issuer,
  aud: `${issuer}/systems/billing`,
  sub: "orders",
  op: "billing:invoice.read",
  int: "orders-to-billing",
};

/** Stands in for ES256 where a property signs thousands of times; what is signed stays readable. */
const cheap: TokenSigner = { ...real, sign: () => new Uint8Array(64) };

function bench(signer = cheap) {
  const clock = { wallMs: start, monotonicMs: 0, now: () => clock.wallMs, monotonic: () => clock.monotonicMs };
  let drawn = 0;
  const random = { bytes: (length: number) => new Uint8Array(length).fill(++drawn) };
  const tokens = createHopTokens({ clock, random });
  const ground: HopTokenGround = { snapshot: {}, signer };
  let crossings = 0;
  const read = (change: Partial<Identity> = {}, on: Partial<HopTokenGround> = {}, lifetimeMs = 60_000) =>
    tokens.tokenFor(
      { identity: { ...identity, ...change }, crossing: `n-${++crossings}`, effect: false, lifetimeMs },
      { ...ground, ...on },
    );
  const pass = (ms: number) => {
    clock.wallMs += ms;
    clock.monotonicMs += ms;
  };
  return { clock, tokens, ground, read, pass };
}

function claimsOf(token: string): HopTokenClaims {
  // What we signed ourselves a line above.
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as HopTokenClaims;
}

test("reads of one caller, subject, actor, operation, integration and audience share a token; a service's verifier takes it each time", () => {
  const { read, clock, pass } = bench(real);
  const key = createTokenCrypto().importKey(real.jwk) ?? assert.fail();
  const verify = (token: string) =>
    verifyHopToken(token, {
      issuer,
      audience: identity.aud,
      keys: { find: (kid) => (kid === key.kid ? key : undefined) },
      now: clock.wallMs,
      skewMs: 0,
    });
  const first = read();
  pass(4_999);
  const again = read();
  assert.equal(again, first);
  const verified = verify(again);
  assert.ok(verified.kind === "verified");
  assert.equal(verified.claims.sub, "orders");
});

test("a shared token's jti is an id of its own, never a crossing's; an effect's jti is its crossing", () => {
  const { read, tokens, ground } = bench();
  const { jti } = claimsOf(read());
  assert.match(jti, /^[A-Za-z0-9_-]{22}$/);
  const effect = tokens.tokenFor({ identity, crossing: "n-77", effect: true, lifetimeMs: 60_000 }, ground);
  assert.equal(claimsOf(effect).jti, "n-77");
});

test("an effect never gets a shared token and never leaves one behind, whatever was asked before and after", () => {
  const { tokens, ground } = bench();
  const ask = (effect: boolean, crossing: string) =>
    claimsOf(tokens.tokenFor({ identity, crossing, effect, lifetimeMs: 60_000 }, ground)).jti;
  const run = fc.array(fc.boolean(), { minLength: 2, maxLength: 12 });
  let n = 0;
  const property = fc.property(run, (effects) => {
    const shared = new Set<string>();
    const own: string[] = [];
    for (const effect of effects) {
      const crossing = `n-${++n}`;
      const jti = ask(effect, crossing);
      assert.equal(jti === crossing, effect);
      if (effect) own.push(jti);
      else shared.add(jti);
    }
    assert.equal(new Set(own).size, own.length);
    assert.ok(own.every((jti) => !shared.has(jti)));
  });
  fc.assert(property, { seed: 11, numRuns: 200 });
});

test("never for more than 5 s, by either clock, and never after the wall clock was set back", () => {
  const { read, pass, clock } = bench();
  const first = read();
  pass(5_000);
  const second = read();
  assert.notEqual(second, first);
  clock.wallMs += 5_000;
  const third = read();
  assert.notEqual(third, second, "only the wall clock moved");
  clock.monotonicMs += 5_000;
  const fourth = read();
  assert.notEqual(fourth, third, "only the monotonic clock moved");
  clock.wallMs -= 1;
  assert.notEqual(read(), fourth, "a token from the future of this clock");
});

test("never beyond half its life, so that a short-lived token still has time to arrive", () => {
  const { read, pass } = bench();
  const first = read({}, {}, 2_000);
  assert.equal(claimsOf(first).exp - claimsOf(first).iat, 2);
  pass(999);
  assert.equal(read({}, {}, 2_000), first);
  pass(1);
  assert.notEqual(read({}, {}, 2_000), first);
});

test("never across a snapshot or a hop key, not even back to the one before", () => {
  const { read } = bench();
  const seen = [read(), read({}, { snapshot: {} }), read(), read({}, { signer: { ...cheap } }), read()];
  assert.equal(new Set(seen.map((token) => claimsOf(token).jti)).size, seen.length);
});

const text = fc.oneof(
  fc.constantFrom("orders", "order", "s", "", "null", '"', '","', "\\", "\n", "billing:a", "a:b"),
  fc.string({ unit: "grapheme", maxLength: 5 }),
);
const actor: fc.Arbitrary<Actor> = fc.letrec<{ actor: Actor }>((tie) => ({
  actor: fc.record(
    { sub: text, act: fc.option(tie("actor"), { nil: undefined, maxDepth: 2 }) },
    { requiredKeys: ["sub"] },
  ) as fc.Arbitrary<Actor>, // absent, not undefined: the cleaning below makes it so
})).actor;
const identities: fc.Arbitrary<Identity> = fc
  .record(
    { iss: text, aud: text, sub: text, op: text, int: text, subject: text, act: actor },
    { requiredKeys: ["iss", "aud", "sub", "op", "int"] },
  )
  .map((one) => JSON.parse(JSON.stringify(one)) as Identity); // drops the undefined members of `act`

test("never across any member of the key: two crossings share a key only when everything the token says is the same", () => {
  const property = fc.property(identities, identities, (one, other) => {
    const said = ({ iss, aud, sub, op, int, subject, act }: Identity) => ({ iss, aud, sub, op, int, subject, act });
    let same = true;
    try {
      assert.deepStrictEqual(said(one), said(other));
    } catch {
      same = false;
    }
    assert.equal(sharedKey(one) === sharedKey(other), same);
  });
  fc.assert(property, { seed: 12, numRuns: 3000 });
});

test("identity mix-up attack: among many callers in any order, every token says exactly what its crossing proved", () => {
  const { tokens, ground } = bench();
  const few = (...words: string[]) => fc.constantFrom(...words);
  const who = fc.record(
    {
      iss: fc.constant(issuer),
      aud: few("a", "b"),
      sub: few("s", "t"),
      op: few("o", "p"),
      int: few("i", "j"),
      subject: few("u", "v"),
      act: few("x", "y").map((sub) => ({ sub })),
    },
    { requiredKeys: ["iss", "aud", "sub", "op", "int"] },
  );
  const property = fc.property(fc.array(who, { maxLength: 30 }), (crossings) => {
    for (const one of crossings) {
      const token = tokens.tokenFor({ identity: one, crossing: "n-1", effect: false, lifetimeMs: 60_000 }, ground);
      const { iat: _iat, exp: _exp, jti: _jti, ...said } = claimsOf(token);
      assert.deepEqual(said, JSON.parse(JSON.stringify(one)));
    }
  });
  fc.assert(property, { seed: 13, numRuns: 200 });
});
