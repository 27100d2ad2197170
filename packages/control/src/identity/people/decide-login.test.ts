import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { acrLevels } from "@sallyport/protocol/token/acr.ts";
import fc from "fast-check";
import { authenticationOf, type Demand, decideDemand } from "./acr.ts";
import { decideThrottle, loginTakes, type ThrottleTake, throttleRules } from "./decide-throttle.ts";
import { digestOf, makeRecoveryCodes, normalizeRecoveryCode } from "./one-time-secrets.ts";

const [password, mfa, resistant] = acrLevels;

test("what a log-in is worth follows from what was shown, and a second factor alone proves nobody", () => {
  assert.equal(authenticationOf([]), null);
  assert.equal(authenticationOf(["totp"]), null);
  assert.equal(authenticationOf(["recovery-code"]), null);
  assert.deepEqual(authenticationOf(["password"]), { acr: password, amr: ["pwd"] });
  assert.deepEqual(authenticationOf(["password", "totp"]), { acr: mfa, amr: ["pwd", "otp", "mfa"] });
  assert.deepEqual(authenticationOf(["password", "recovery-code"]), { acr: mfa, amr: ["pwd", "otp", "mfa"] });
  assert.deepEqual(authenticationOf(["passkey-bound"]), { acr: resistant, amr: ["hwk", "user", "mfa"] });
  assert.deepEqual(authenticationOf(["passkey-synced"]), { acr: resistant, amr: ["swk", "user", "mfa"] });
});

const now = 1_800_000_000_000;
const login = (acr: (typeof acrLevels)[number], ageMs = 0) => ({ acr, authTime: now - ageMs });
const demand = (acr: readonly string[], maxAgeSeconds: number | null = null): Demand => ({ acr, maxAgeSeconds });

test("a level is enough for itself and for those below it, and the least of several is asked for", () => {
  for (const [have, level] of acrLevels.entries())
    for (const [want, wanted] of acrLevels.entries())
      assert.equal(
        decideDemand(login(level), demand([wanted]), now).kind === "met",
        have >= want,
        `${level} ${wanted}`,
      );
  assert.deepEqual(decideDemand(login(password), demand([resistant, mfa]), now), { kind: "step-up", least: mfa });
  assert.deepEqual(decideDemand(login(resistant), demand(["urn:other"]), now), { kind: "unknown-acr" });
  assert.equal(decideDemand(login(mfa), demand(["urn:other", mfa]), now).kind, "met");
  assert.equal(decideDemand(login(password), demand([]), now).kind, "met");
});

test("max_age counts from the log-in; zero asks for one just now, and a log-in of the future is none", () => {
  assert.equal(decideDemand(login(mfa, 59_000), demand([], 60), now).kind, "met");
  assert.equal(decideDemand(login(mfa, 60_000), demand([], 60), now).kind, "too-old");
  assert.equal(decideDemand(login(mfa, 1), demand([], 0), now).kind, "met");
  assert.equal(decideDemand(login(mfa, 2_000), demand([], 0), now).kind, "too-old");
  assert.equal(decideDemand(login(mfa, -1), demand([], 60), now).kind, "too-old");
});

/** Takes as often as it can within `ms`, and says how often that was. */
function takenWithin(takes: readonly ThrottleTake[], ms: number, stepMs: number): number {
  const stored = new Map<string, number>();
  let count = 0;
  for (let at = now; at <= now + ms; at += stepMs) {
    for (;;) {
      const verdict = decideThrottle(takes, stored, at);
      if (verdict.kind === "wait") break;
      for (const [index, { key }] of takes.entries()) stored.set(key, verdict.fullAt[index] ?? 0);
      count += 1;
    }
  }
  return count;
}

test("guessing at one account from one network is a burst and then one attempt each half minute", () => {
  const takes = loginTakes({ account: "a", source: "s", device: null });
  assert.equal(takenWithin(takes, 0, 1), throttleRules.accountFromSource.burst);
  assert.equal(takenWithin(takes, 3_600_000, 1_000), throttleRules.accountFromSource.burst + 120);
});

test("account lock-out: strangers who exhaust an account leave its owner's own browser alone", () => {
  const stored = new Map<string, number>();
  let refused = 0;
  for (let stranger = 0; stranger < 500; stranger += 1) {
    const takes = loginTakes({ account: "a", source: `s${stranger}`, device: null });
    const verdict = decideThrottle(takes, stored, now);
    if (verdict.kind === "wait") refused += 1;
    else for (const [index, { key }] of takes.entries()) stored.set(key, verdict.fullAt[index] ?? 0);
  }
  assert.equal(refused, 400, "the account is shut to browsers it was never used from");
  assert.equal(decideThrottle(loginTakes({ account: "a", source: "s0", device: "d" }), stored, now).kind, "take");
  assert.equal(decideThrottle(loginTakes({ account: "b", source: "s9", device: null }), stored, now).kind, "take");
});

test("an attempt takes from all of its buckets or from none, and a clock set back keeps nobody out for longer than a bucket", () => {
  const rule = { everyMs: 1_000, burst: 2 };
  const takes = ["x", "y"].map((key) => ({ key, rule }));
  assert.deepEqual(decideThrottle(takes, new Map([["y", now + 2_000]]), now), { kind: "wait", retryAfterMs: 1_000 });
  assert.deepEqual(decideThrottle(takes, new Map([["y", now + 9_999_999]]), now), {
    kind: "wait",
    retryAfterMs: 1_000,
  });
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 60 }), (gaps) => {
      let at = now;
      let fullAt = 0;
      let taken = 0;
      for (const gap of gaps) {
        at += gap;
        const verdict = decideThrottle([{ key: "x", rule }], new Map([["x", fullAt]]), at);
        if (verdict.kind === "wait") continue;
        taken += 1;
        fullAt = verdict.fullAt[0] ?? 0;
      }
      assert.ok(taken <= rule.burst + (at - now) / rule.everyMs);
    }),
    { seed: 7, numRuns: 300 },
  );
});

test("recovery codes have 80 bits, one spelling, and a digest that is no digest of anything else", () => {
  const codes = makeRecoveryCodes({ bytes: (length) => new Uint8Array(randomBytes(length)) });
  assert.equal(new Set(codes).size, 10);
  for (const code of codes) {
    assert.match(code, /^[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}$/);
    assert.equal(normalizeRecoveryCode(` ${code.toLowerCase().replaceAll("-", " ")} `), code);
    assert.notEqual(digestOf("recovery", code), digestOf("session", code));
  }
  for (const bad of ["", "ABCD", "ABCD-EFGH-IJKL-MN0P", "A".repeat(17), "A".repeat(1_000)])
    assert.equal(normalizeRecoveryCode(bad), null, bad);
});
