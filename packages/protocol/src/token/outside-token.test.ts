import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { test } from "node:test";
import { importOutsideKeys } from "@sallyport/kernel/outside-keys.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import fc from "fast-check";
import { importJWK, type JWK, jwtVerify } from "jose";
import { type OutsideAlgorithm, type OutsideJwk, readOutsideKeys } from "./outside-jwk.ts";
import { mapOutsideToken } from "./outside-mapping.ts";
import { checkOutsideTimes, type OutsideRules, parseOutsideToken, readOutsideToken } from "./outside-token.ts";

const now = 1_800_000_000;
const issuer = "https://ci.example/oidc";
const ours = "https://id.acme.example/main/production";
const utf8 = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
/** RSA keys are dear to make: one for all tests. */
const pairs = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519"),
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const keyOf = (alg: OutsideAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } =>
  pairs[alg === "PS256" ? "RS256" : alg];

function signText(alg: string, input: string, key: KeyObject): string {
  const data = Buffer.from(input);
  if (alg === "EdDSA") return sign(null, data, key).toString("base64url");
  if (alg === "ES256") return sign("sha256", data, { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
  // 6: RSA_PKCS1_PSS_PADDING.
  const pss = alg === "PS256" ? { padding: 6, saltLength: 32 } : {};
  return sign("sha256", data, { key, ...pss }).toString("base64url");
}

interface Sent {
  readonly alg?: OutsideAlgorithm;
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  readonly signAs?: string;
  readonly key?: KeyObject;
}

const goodClaims = { iss: issuer, sub: "job:7", aud: ours, iat: now, exp: now + 300, jti: "one" };

function tokenOf({ alg = "ES256", header = {}, claims = {}, signAs, key }: Sent = {}): string {
  const input = `${encode({ alg, kid: alg, typ: "JWT", ...header })}.${encode({ ...goodClaims, ...claims })}`;
  return `${input}.${signText(signAs ?? alg, input, key ?? keyOf(alg).privateKey)}`;
}

const published = (["ES256", "EdDSA", "RS256", "PS256"] as const).map((alg) => ({
  ...keyOf(alg).publicKey.export({ format: "jwk" }),
  kid: alg,
  alg,
  use: "sig",
}));
const all: readonly OutsideAlgorithm[] = ["ES256", "EdDSA", "RS256", "PS256"];
const keysOf = (jwks: unknown, algorithms = all): readonly OutsideJwk[] =>
  readOutsideKeys(utf8({ keys: jwks }), algorithms, { sha256 })?.keys ?? [];
const keys = importOutsideKeys(keysOf(published));
const rules: OutsideRules = {
  issuer,
  algorithms: all,
  kind: "assertion",
  audiences: [ours],
  companions: [],
  parties: null,
  lifetimeSecondsMax: 3_600,
};

function codeOf(token: string, over: Partial<OutsideRules> = {}, ring = keys): string {
  const parsed = parseOutsideToken(token);
  if (parsed.kind === "deny") return parsed.code;
  const read = readOutsideToken(parsed, { ...rules, ...over }, ring);
  if (read.kind === "deny") return read.code;
  return checkOutsideTimes(read, now * 1000)?.code ?? "accepted";
}

test("accepts ES256, EdDSA, RS256 and PS256 of an issuer that may sign with them, and none it may not", () => {
  for (const alg of all) {
    assert.equal(codeOf(tokenOf({ alg })), "accepted", alg);
    assert.equal(codeOf(tokenOf({ alg }), { algorithms: all.filter((one) => one !== alg) }), "token-algorithm", alg);
  }
});

test("algorithm confusion: the key chooses, whatever the header says, and HMAC over a public key is nothing", () => {
  const rsa = keyOf("RS256").privateKey;
  assert.equal(
    codeOf(tokenOf({ header: { alg: "PS256", kid: "RS256" }, signAs: "PS256", key: rsa })),
    "token-algorithm",
  );
  assert.equal(
    codeOf(tokenOf({ header: { alg: "RS256", kid: "PS256" }, signAs: "RS256", key: rsa })),
    "token-algorithm",
  );
  assert.equal(codeOf(tokenOf({ header: { alg: "ES256", kid: "EdDSA" } })), "token-algorithm");
  const input = `${encode({ alg: "HS256", kid: "RS256", typ: "JWT" })}.${encode(goodClaims)}`;
  assert.equal(codeOf(`${input}.${createHash("sha256").update(input).digest("base64url")}`), "token-algorithm");
  assert.equal(codeOf(`${encode({ alg: "none", kid: "ES256" })}.${encode(goodClaims)}.AAAA`), "token-algorithm");
});

test("a forged signature, a signature of another length, another key and an unknown kid are refused", () => {
  const good = tokenOf({ alg: "RS256" });
  const [head, payload, signature = ""] = good.split(".");
  assert.equal(
    codeOf(`${head}.${payload}.${Buffer.from(signature, "base64url").subarray(1).toString("base64url")}`),
    "token-signature",
  );
  assert.equal(codeOf(`${head}.${encode({ ...goodClaims, sub: "job:8" })}.${signature}`), "token-signature");
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  assert.equal(codeOf(tokenOf({ key: stranger })), "token-signature");
  assert.equal(codeOf(tokenOf({ header: { kid: "other" } })), "token-key-unknown");
});

test("one spelling: padding, white space, a name twice, jku, jwk, x5c, x5u and crit are refused; x5t is never read", () => {
  const good = tokenOf();
  for (const bad of [`${good}=`, ` ${good}`, `${good}\n`, good.replace(".", "..")])
    assert.equal(codeOf(bad), "token-malformed");
  for (const name of ["jku", "jwk", "x5c", "x5u", "crit", "cty", "zip", "b64"])
    assert.equal(codeOf(tokenOf({ header: { [name]: ["x"] } })), "token-malformed", name);
  assert.equal(codeOf(tokenOf({ header: { x5t: "AAAA" } })), "accepted");
  const twice = `{"iss":"${issuer}","iss":"${issuer}"}`;
  const input = `${encode({ alg: "ES256", kid: "ES256" })}.${Buffer.from(twice).toString("base64url")}`;
  assert.equal(codeOf(`${input}.${signText("ES256", input, keyOf("ES256").privateKey)}`), "token-malformed");
});

test("the issuer is compared byte by byte: no prefix, no slash, no other case", () => {
  for (const iss of [
    `${issuer}/`,
    issuer.toUpperCase(),
    `${issuer}.evil.example`,
    issuer.slice(0, -1),
    "https://ci.example/oidc%2F",
  ])
    assert.equal(codeOf(tokenOf({ claims: { iss } })), "token-issuer", iss);
});

test("audience injection: an assertion that is also for somebody else is refused, a named companion is not", () => {
  assert.equal(codeOf(tokenOf({ claims: { aud: [ours] } })), "accepted");
  assert.equal(codeOf(tokenOf({ claims: { aud: [ours, "https://evil.example"] } })), "token-audience");
  assert.equal(codeOf(tokenOf({ claims: { aud: [ours, "account"] } }), { companions: ["account"] }), "accepted");
  assert.equal(codeOf(tokenOf({ claims: { aud: "account" } }), { companions: ["account"] }), "token-audience");
  assert.equal(codeOf(tokenOf({ claims: { aud: `${ours}/token` } })), "token-audience");
  for (const aud of [undefined, [], 7, [7], ["a".repeat(600)]])
    assert.equal(codeOf(tokenOf({ claims: { aud } })), "token-claims");
});

test("aud: account says nothing by itself: only a token of a named client passes", () => {
  const over = { kind: "keycloak", audiences: ["account"], parties: ["shop"] } as const;
  const keycloak = { aud: "account", typ: "Bearer" };
  assert.equal(codeOf(tokenOf({ claims: { ...keycloak, azp: "shop" } }), over), "accepted");
  assert.equal(codeOf(tokenOf({ claims: { ...keycloak, azp: "evil" } }), over), "token-audience");
  assert.equal(codeOf(tokenOf({ claims: keycloak }), over), "token-audience");
  // Two words about one thing: whoever reads the other one would believe in another party.
  for (const [azp, client_id] of [
    ["evil", "shop"],
    ["shop", "evil"],
  ])
    assert.equal(codeOf(tokenOf({ claims: { ...keycloak, azp, client_id } }), over), "token-claims");
  assert.equal(codeOf(tokenOf({ claims: { ...keycloak, azp: "shop", client_id: "shop" } }), over), "accepted");
});

test("one kind of JWT as another: ID, refresh and logout tokens, security events and access tokens of the same issuer", () => {
  for (const typ of ["ID", "Refresh", "Offline", "Logout", undefined])
    assert.equal(codeOf(tokenOf({ claims: { typ } }), { kind: "keycloak" }), "token-type", String(typ));
  assert.equal(codeOf(tokenOf({ claims: { typ: "Bearer" } }), { kind: "keycloak" }), "accepted");
  for (const mark of [{ nonce: "n" }, { at_hash: "h" }, { c_hash: "h" }, { events: {} }, { sub_id: {} }])
    assert.equal(codeOf(tokenOf({ claims: mark })), "token-type", JSON.stringify(mark));
  for (const typ of ["at+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "jwt", "sallyport-hop+jwt"])
    assert.equal(codeOf(tokenOf({ header: { typ } })), "token-type", String(typ));
  assert.equal(codeOf(tokenOf({ header: { typ: "at+jwt" } }), { kind: "access-token" }), "accepted");
  assert.equal(codeOf(tokenOf(), { kind: "access-token" }), "token-type");
  assert.equal(codeOf(tokenOf(), { kind: "kubernetes" }), "token-type");
  assert.equal(
    codeOf(tokenOf({ header: { typ: undefined }, claims: { "kubernetes.io": {} } }), { kind: "kubernetes" }),
    "accepted",
  );
});

test("time: expired, dated ahead, longer than the rule and longer than a day", () => {
  assert.equal(codeOf(tokenOf({ claims: { iat: now - 600, exp: now - 10 } })), "token-expired");
  assert.equal(codeOf(tokenOf({ claims: { iat: now + 60, exp: now + 90 } })), "token-not-yet-valid");
  assert.equal(codeOf(tokenOf({ claims: { nbf: now + 60 } })), "token-not-yet-valid");
  assert.equal(codeOf(tokenOf({ claims: { exp: now + 3_601 } })), "token-claims");
  assert.equal(codeOf(tokenOf({ claims: { exp: now + 86_401 } }), { lifetimeSecondsMax: 1e9 }), "token-claims");
  for (const bad of [
    { exp: now },
    { exp: "1" },
    { exp: now + 0.5 },
    { exp: undefined },
    { iat: undefined },
    { sub: "" },
    { jti: "" },
  ])
    assert.equal(codeOf(tokenOf({ claims: bad })), "token-claims", JSON.stringify(bad));
});

test("a binding or a restriction on actors that we cannot keep is a refusal", () => {
  const jkt = "A".repeat(43);
  for (const cnf of [{ jkt }, { "x5t#S256": jkt }]) assert.equal(codeOf(tokenOf({ claims: { cnf } })), "accepted");
  for (const cnf of [{}, { jwk: {} }, { jkt, kid: "x" }, { jkt: "short" }, "x"])
    assert.equal(codeOf(tokenOf({ claims: { cnf } })), "token-claims");
  assert.equal(codeOf(tokenOf({ claims: { may_act: { sub: "portal" } } })), "accepted");
  for (const bad of [{}, { sub: 7 }, { sub: "p", roles: ["x"] }, { sub: "p", iss: 7 }])
    assert.equal(codeOf(tokenOf({ claims: { may_act: bad } })), "token-claims");
});

test("a key set gives only public keys for signatures, of a pinned algorithm and size, each under one name", () => {
  const rsa = keyOf("RS256").publicKey.export({ format: "jwk" });
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
  const why = (jwk: unknown, algorithms = all) =>
    readOutsideKeys(utf8({ keys: [jwk] }), algorithms, { sha256 })?.leftOut[0]?.why ?? "taken";
  assert.equal(why(rsa), "taken");
  assert.equal(why({ ...rsa, x5c: ["AAAA"], x5t: "x", key_ops: ["verify"], issuer: "https://x" }), "taken");
  assert.equal(why(weak), "members");
  assert.equal(why({ ...rsa, e: "Aw" }), "members");
  assert.equal(why({ ...rsa, n: `AA${rsa.n}` }), "members");
  assert.equal(why(keyOf("RS256").privateKey.export({ format: "jwk" })), "private");
  assert.equal(why({ kty: "oct", k: "AAAA" }), "private");
  assert.equal(why({ ...rsa, use: "enc" }), "not-for-signatures");
  assert.equal(why({ ...rsa, key_ops: ["encrypt"] }), "not-for-signatures");
  assert.equal(why({ ...rsa, alg: "RS512" }), "algorithm");
  assert.equal(why(rsa, ["ES256"]), "algorithm");
  assert.equal(why({ kty: "EC", crv: "P-384", x: rsa.n, y: rsa.n }), "members");
  // Without a word of its own a key has the first algorithm that is configured, and only that.
  assert.deepEqual(
    keysOf([rsa], ["PS256", "RS256"]).map(({ alg }) => alg),
    ["PS256"],
  );
  assert.match(keysOf([rsa])[0]?.kid ?? "", /^[A-Za-z0-9_-]{43}$/);
  const twice = [
    { ...rsa, kid: "a" },
    { ...published[0], kid: "a" },
  ];
  assert.deepEqual(keysOf(twice), []);
});

test("a key set beyond its bounds, not JSON, not an object or with two readings is none", () => {
  const none = (bytes: Uint8Array) => assert.equal(readOutsideKeys(bytes, all, { sha256 }), null);
  none(utf8({ keys: [], pad: "x".repeat(256 * 1024) }));
  none(utf8({ keys: Array.from({ length: 65 }, () => published[0]) }));
  none(utf8([]));
  none(utf8({}));
  none(Buffer.from("<html>"));
  none(Buffer.from('{"keys":[],"keys":[]}'));
});

test("mapping pins whole values: no prefix, no pattern, no other case; two rules that fit are none", () => {
  const parsed = parseOutsideToken(
    tokenOf({
      claims: { sub: "repo:acme/shop:ref:refs/heads/main", repository_id: "42", run: 7, deep: { "a/b": { uid: "u" } } },
    }),
  );
  assert.ok(parsed.kind === "unverified");
  const signed = readOutsideToken(parsed, rules, keys);
  assert.ok(signed.kind === "signed-outside");
  const to = (...pins: { subject?: string; claims?: Record<string, string> }[]) => {
    const mapped = mapOutsideToken(
      signed,
      pins.map((pin, index) => ({ claims: {}, ...pin, index })),
    );
    return mapped.kind === "mapped" ? mapped.to.index : mapped.why;
  };
  assert.equal(to({ subject: "repo:acme/shop:ref:refs/heads/main" }), 0);
  assert.equal(to({ claims: { repository_id: "42", run: "7", "/deep/a~1b/uid": "u" } }), 0);
  for (const subject of [
    "repo:acme/shop",
    "repo:acme/*",
    "REPO:acme/shop:ref:refs/heads/main",
    "repo:acme/shop:ref:refs/heads/main ",
  ])
    assert.equal(to({ subject }), "no-rule", subject);
  assert.equal(to({ claims: { repository_id: "4" } }), "no-rule");
  assert.equal(to({ claims: { "/deep/a~1b": "u" } }), "no-rule");
  assert.equal(to({ claims: { constructor: "Object" } }), "no-rule");
  assert.equal(to({}), "no-rule");
  assert.equal(to({ claims: { repository_id: "42" } }, { claims: { run: "7" } }), "two-rules");
});

test("what we accept, jose accepts too (generated tokens, seeded)", async () => {
  const judged = await Promise.all(
    published.map(async (jwk) => [jwk.kid, await importJWK(jwk as JWK, jwk.alg)] as const),
  );
  const foreign = new Map<string, (typeof judged)[number][1]>(judged);
  const mutation = fc.oneof(
    fc.constant({}),
    fc.record({
      claims: fc.record({
        exp: fc.integer({ min: now - 400, max: now + 4_000 }),
        iat: fc.integer({ min: now - 300, max: now + 30 }),
      }),
    }),
    fc.record({
      claims: fc.record({ aud: fc.oneof(fc.string(), fc.array(fc.constantFrom(ours, "account")), fc.constant(ours)) }),
    }),
    fc.record({
      header: fc.record({
        alg: fc.constantFrom<string>(...all, "HS256", "none"),
        kid: fc.constantFrom<string>(...all),
      }),
    }),
    fc.record({ header: fc.record({ typ: fc.constantFrom("JWT", "at+jwt", "x") }) }),
  );
  let both = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...all), mutation, async (alg, sent) => {
      const token = tokenOf({ alg, ...(sent as Sent) });
      if (codeOf(token) !== "accepted") return;
      both++;
      await jwtVerify(token, (header) => foreign.get(String(header.kid)) ?? Promise.reject(new Error("kid")), {
        issuer,
        audience: ours,
        algorithms: [...all],
        currentDate: new Date(now * 1000),
        clockTolerance: 5,
      });
    }),
    { seed: 7, numRuns: 200 },
  );
  assert.ok(both > 20, "the generator reaches accepted tokens");
});
