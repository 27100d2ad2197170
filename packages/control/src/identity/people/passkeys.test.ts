import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ceremony, TestAuthenticator } from "./authenticator.test-support.ts";
import {
  challengeOf,
  parseAssertion,
  parseRegistration,
  passkeyPlace,
  verifyNewPasskey,
  verifyPasskey,
} from "./passkeys.ts";
import { random, standingClock } from "./people.test-support.ts";
import { type Binding, createSignedValues } from "./signed-values.ts";
import type { StoredPasskey } from "./user-commands.ts";

const issuer = "https://id.acme.example/main/production";
const place = passkeyPlace(issuer);
assert.ok(place);
const clock = standingClock();
const secret = random.bytes(32);
const values = createSignedValues({ secret, issuer, clock, random });
const browser = (name: string, purpose: Binding["purpose"] = "assertion"): Binding => ({ purpose, browser: name });
const ceremony = (over: Partial<Ceremony> = {}): Ceremony => ({ challenge: "Y2hhbGxlbmdl", ...place, ...over });

async function registered(over: Partial<Ceremony> = {}) {
  const device = new TestAuthenticator("usr_anna");
  const response = parseRegistration(device.register(ceremony(over)));
  assert.ok(response);
  const outcome = await verifyNewPasskey(place ?? assert.fail(), "Y2hhbGxlbmdl", response);
  return { device, outcome };
}

async function loginWith(
  over: Partial<Ceremony> = {},
  more: { response?: object; passkey?: Partial<StoredPasskey> } = {},
) {
  const { device, outcome } = await registered();
  assert.ok(outcome.kind === "passkey");
  const passkey: StoredPasskey = { ...outcome.passkey, user: "usr_anna", createdAt: 0, usedAt: null, ...more.passkey };
  const response = parseAssertion(device.login(ceremony(over), { ...more.response }));
  assert.ok(response);
  const verdict = await verifyPasskey(place ?? assert.fail(), "Y2hhbGxlbmdl", { response, passkey });
  return verdict.kind === "refused" ? verdict.code : verdict.kind;
}

test("a passkey made here logs in here; one that may be copied between devices is known as such", async () => {
  assert.equal(await loginWith(), "verified");
  const bound = (await registered()).outcome;
  const synced = (await registered({ synced: true })).outcome;
  assert.deepEqual(
    [bound.kind === "passkey" && bound.passkey.synced, synced.kind === "passkey" && synced.passkey.synced],
    [false, true],
  );
});

test("passkey of another origin: neither made nor accepted, not even for a sub-domain, another port or plain HTTP", async () => {
  const origins = [
    "https://evil.example",
    "https://id.acme.example.evil.example",
    "https://a.id.acme.example",
    "https://id.acme.example:8443",
    "http://id.acme.example",
    "https://id.acme.example/",
  ];
  for (const origin of origins) {
    assert.equal((await registered({ origin })).outcome.kind, "refused", origin);
    assert.equal(await loginWith({ origin }), "passkey-invalid", origin);
  }
  assert.equal(await loginWith({ rpId: "acme.example" }), "passkey-invalid", "the relying party is exact");
  assert.equal((await registered({ rpId: "acme.example" })).outcome.kind, "refused");
});

test("a passkey in a frame of another origin is refused, whether or not the browser names the top one", async () => {
  for (const clientData of [{ crossOrigin: true }, { crossOrigin: "true" }, { topOrigin: "https://evil.example" }]) {
    assert.equal(await loginWith({ clientData }), "passkey-frame");
    const { outcome } = await registered({ clientData });
    assert.deepEqual(outcome, { kind: "refused", code: "passkey-frame" });
  }
});

test("a passkey whose user was not verified, or not there, is refused", async () => {
  for (const flags of [{ userVerified: false }, { userPresent: false }]) {
    assert.equal(await loginWith(flags), "passkey-invalid");
    assert.equal((await registered(flags)).outcome.kind, "refused");
  }
});

test("a copied authenticator gives itself away by its counter", async () => {
  assert.equal(await loginWith({ counter: 7 }, { passkey: { counter: 6 } }), "verified");
  assert.equal(await loginWith({ counter: 6 }, { passkey: { counter: 6 } }), "passkey-invalid");
  assert.equal(await loginWith({ counter: 0 }, { passkey: { counter: 6 } }), "passkey-invalid");
});

test("another user's passkey, another challenge, a changed signature and a creation passed off as a log-in are refused", async () => {
  assert.equal(await loginWith({}, { passkey: { user: "usr_bert" } }), "passkey-owner");
  assert.equal(
    await loginWith({}, { response: { userHandle: Buffer.from("usr_bert").toString("base64url") } }),
    "passkey-owner",
  );
  assert.equal(await loginWith({ challenge: "b3RoZXI" }), "passkey-invalid");
  assert.equal(await loginWith({}, { response: { signature: "MEUCIQ" } }), "passkey-invalid");
  assert.equal(await loginWith({ clientData: { type: "webauthn.create" } }), "passkey-invalid");
});

test("what is not of the shape of a response is none, however large or deep", () => {
  const device = new TestAuthenticator("usr_anna");
  const good = device.login(ceremony());
  assert.ok(parseAssertion(good));
  const changed = (change: (value: { id: string; response: Record<string, unknown> }) => void) => {
    const value = JSON.parse(good);
    change(value);
    return JSON.stringify(value);
  };
  const bad = [
    "",
    "null",
    "[]",
    "{",
    changed((value) => Reflect.deleteProperty(value.response, "userHandle")),
    changed((value) => Object.assign(value, { id: "a".repeat(2_000) })),
    changed((value) => Object.assign(value.response, { clientDataJSON: "a".repeat(5_000) })),
    changed((value) => Object.assign(value.response, { signature: 7 })),
    "[".repeat(100_000),
  ];
  for (const text of bad) assert.equal(parseAssertion(text), null, text.slice(0, 40));
  assert.equal(challengeOf({ ...JSON.parse(good), response: { clientDataJSON: "AAAA" } }), "");
});

test("an address is no relying party, a domain and localhost are", () => {
  assert.equal(passkeyPlace("https://127.0.0.1:8443/main/production"), null);
  assert.equal(passkeyPlace("https://[::1]:8443/main/production"), null);
  assert.deepEqual(passkeyPlace("https://localhost:8443/main/production"), {
    rpId: "localhost",
    origin: "https://localhost:8443",
  });
});

test("a challenge is good in the browser it was given to, for what it was made, at its issuer and in its time", () => {
  const challenge = values.challenge(browser("a"), 120_000);
  assert.ok(values.openChallenge(browser("a"), challenge));
  assert.equal(values.openChallenge(browser("b"), challenge), null);
  assert.equal(values.openChallenge(browser("a", "registration"), challenge), null);
  const elsewhere = createSignedValues({ secret, issuer: `${issuer}2`, clock, random });
  assert.equal(elsewhere.openChallenge(browser("a"), challenge), null);
  assert.equal(values.openChallenge(browser("a"), `${challenge.slice(0, -2)}AA`), null);
  assert.equal(values.open(browser("a"), challenge.slice(0, 20)), null);
  assert.notEqual(values.challenge(browser("a"), 120_000), challenge);
  clock.move(120_000);
  assert.equal(values.openChallenge(browser("a"), challenge), null);
});

test("a value of a page comes back as it was, or not at all", () => {
  const bound = browser("a", "step");
  const text = values.seal(bound, { user: "usr_anna", methods: ["password"] }, 60_000);
  assert.deepEqual(values.open(bound, text)?.payload, { user: "usr_anna", methods: ["password"] });
  for (let at = 0; at < text.length; at += 1) {
    const other = `${text.slice(0, at)}${text[at] === "A" ? "B" : "A"}${text.slice(at + 1)}`;
    assert.equal(values.open(bound, other), null, `character ${at}`);
  }
  for (const bad of ["", "=", `${text}=`, `${text}\n`, "A".repeat(10_000)]) assert.equal(values.open(bound, bad), null);
});
