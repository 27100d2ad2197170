import assert from "node:assert/strict";
import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import * as fc from "fast-check";
import type { Deny } from "../verdict.ts";
import {
  type AccessTokenRules,
  acceptAccessToken,
  readAccessToken,
  signAccessToken,
  type TokenRevocations,
  type TokenUse,
  type VerifiedAccessToken,
  verifyAccessToken,
} from "./access-token.ts";
import { encodeBase64url } from "./base64url.ts";
import type { AccessTokenClaims } from "./claims.ts";
import type { TokenSigner, VerifyKey } from "./crypto.ts";
import { signDpopProof } from "./dpop.ts";
import { signHopKey, signHopToken } from "./hop-token.ts";
import { signCompactJws } from "./jws.ts";

const crypto = createTokenCrypto();
const now = Date.UTC(2026, 10, 22, 12);
const seconds = now / 1000;
const issuer = "https://id.example/main/production";
const audience = `${issuer}/systems/billing`;
const signer = generateSigner("ES256").signer;
const edSigner = generateSigner("EdDSA").signer;
const stranger = generateSigner("ES256").signer;
const jkt = stranger.kid;
const x5t = edSigner.kid;

function ringOf(...signers: readonly TokenSigner[]): AccessTokenRules["keys"] {
  const ring = new Map<string, VerifyKey>();
  for (const one of signers) {
    const key = crypto.importKey(one.jwk);
    assert.ok(key);
    ring.set(key.kid, key);
  }
  return { find: (kid) => ring.get(kid) };
}

const rules: AccessTokenRules = { issuer, keys: ringOf(signer, edSigner), lifetimeSecondsMax: 300 };
const noRevocations: TokenRevocations = { isRevoked: () => false };
const bearer: TokenUse = { audience, now, scheme: "Bearer", revocations: noRevocations };
const dpop: TokenUse = { ...bearer, scheme: "DPoP", jkt };

const claims: AccessTokenClaims = {
  iss: issuer,
  sub: "orders",
  aud: audience,
  exp: seconds + 300,
  iat: seconds,
  jti: "01JD8M6Q",
  client_id: "orders",
  scope: "billing:invoice.create billing:invoice.read",
};

const header = { alg: "ES256", typ: "at+jwt", kid: signer.kid };
const part = (value: unknown) =>
  encodeBase64url(new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)));

/** A token over exactly this payload text, signed with the real key. */
function signedText(payload: string, head: unknown = header): string {
  const input = `${part(head)}.${part(payload)}`;
  return `${input}.${encodeBase64url(signer.sign(new TextEncoder().encode(input)))}`;
}

const token = (change: Readonly<Record<string, unknown>> = {}) =>
  signCompactJws(header, { ...claims, ...change }, signer);

function answer(text: string, use: TokenUse = bearer): string {
  const result = verifyAccessToken(text, rules, use);
  return result.kind === "deny" ? result.code : result.proof.kind;
}

function verified(result: VerifiedAccessToken | Deny): VerifiedAccessToken {
  assert.ok(result.kind === "verified", JSON.stringify(result));
  return result;
}

test("a good token is verified with its claims, scopes and end", () => {
  const result = verified(verifyAccessToken(signAccessToken(claims, signer), rules, bearer));
  assert.deepEqual(result.claims, claims);
  assert.deepEqual(result.scopes, ["billing:invoice.create", "billing:invoice.read"]);
  assert.equal(result.expiresAtMs, now + 300_000);
  assert.equal(result.kid, signer.kid);
  assert.deepEqual(result.proof, { kind: "bearer" });
});

test("a good token of an Ed25519 key of the ring is verified too", () => {
  assert.equal(answer(signAccessToken(claims, edSigner)), "bearer");
});

test("a token without a scope says so, instead of carrying an empty list", () => {
  assert.equal(verified(verifyAccessToken(token({ scope: undefined }), rules, bearer)).scopes, null);
});

for (const alg of [
  "none",
  "None",
  "NONE",
  "nOnE",
  "",
  "HS256",
  "RS256",
  "es256",
  "ES256K",
  "ES384",
  "Ed25519",
  "PS256",
]) {
  test(`alg ${alg || "(empty)"} is refused whatever the signature is`, () => {
    const input = `${part({ ...header, alg })}.${part(claims)}`;
    const real = encodeBase64url(signer.sign(new TextEncoder().encode(input)));
    assert.equal(answer(`${input}.${real}`), "token-algorithm");
    assert.equal(answer(`${input}.AAAA`), "token-algorithm");
    assert.equal(answer(`${input}.`), "token-malformed");
    assert.equal(answer(input), "token-malformed");
  });
}

test("HS256 over the public key as the secret is refused (algorithm confusion)", () => {
  const { jwk } = signer;
  for (const secret of [JSON.stringify(jwk), jwk.x, Buffer.from(jwk.x, "base64url")]) {
    const input = `${part({ ...header, alg: "HS256" })}.${part(claims)}`;
    assert.equal(
      answer(`${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`),
      "token-algorithm",
    );
  }
});

test("RS256 with a key of the attacker's is refused, also under the kid of a real key", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const input = `${part({ ...header, alg: "RS256" })}.${part(claims)}`;
  assert.equal(
    answer(`${input}.${createSign("sha256").update(input).sign(privateKey, "base64url")}`),
    "token-algorithm",
  );
});

test("ES256 and EdDSA are not taken for each other: the key decides", () => {
  assert.equal(answer(signCompactJws({ ...header, kid: edSigner.kid }, { ...claims }, signer)), "token-algorithm");
  assert.equal(answer(signCompactJws({ ...header, alg: "EdDSA" }, { ...claims }, edSigner)), "token-algorithm");
});

test("a DER-encoded ECDSA signature is refused: there is one form", () => {
  const der = createSign("sha256");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const input = `${part(header)}.${part(claims)}`;
  assert.equal(answer(`${input}.${der.update(input).sign(privateKey, "base64url")}`), "token-signature");
});

const injectedKids = [
  "../../../../dev/null",
  "' OR 1=1 --",
  "__proto__",
  "constructor",
  "https://evil.example/jwks",
  "\u0000",
  signer.kid.toLowerCase(),
  `${signer.kid} `,
  "",
];
for (const kid of injectedKids) {
  test(`kid injection finds no key and fetches nothing: ${JSON.stringify(kid)}`, () => {
    assert.equal(answer(signCompactJws({ ...header, kid }, { ...claims }, signer)), "token-key-unknown");
  });
}

test("a token of a key that is not in the ring is refused", () =>
  assert.equal(answer(signAccessToken(claims, stranger)), "token-key-unknown"));

test("a stranger's signature under the kid of a real key is refused", () => {
  assert.equal(answer(signCompactJws(header, { ...claims }, stranger)), "token-signature");
});

for (const extra of ["crit", "jku", "jwk", "x5u", "x5c", "x5t", "b64", "zip", "cty", "iss"]) {
  test(`a header with ${extra} is refused, though correctly signed (RFC 8725 §3.10)`, () => {
    const value = { crit: ["b64"], jwk: stranger.jwk, b64: false, x5c: ["MIIB"] }[extra] ?? "https://evil.example/keys";
    assert.equal(answer(signCompactJws({ ...header, [extra]: value }, { ...claims }, signer)), "token-malformed");
  });
}

test("a header member of the wrong type is refused", () => {
  for (const head of [{ ...header, kid: 1 }, { ...header, alg: ["ES256"] }, { ...header, typ: null }, []]) {
    assert.equal(answer(signedText(JSON.stringify(claims), head)), "token-malformed");
  }
});

const text = JSON.stringify(claims);
const duplicates: readonly (readonly [string, string])[] = [
  ["a repeated claim", text.replace("{", `{"sub":"admin",`)],
  ["a repeated claim whose second name is escaped", text.replace("{", `{"\\u0073ub":"admin",`)],
  ["a repeated name inside cnf", text.replace("}", `,"cnf":{"jkt":"${jkt}","jkt":"${x5t}"}}`)],
  ["the name __proto__", text.replace("{", `{"__proto__":{"sub":"admin"},`)],
  ["nesting without end", text.replace("}", `,"x":${"[".repeat(50)}${"]".repeat(50)}}`)],
  ["trailing text", `${text} {}`],
  ["an array", `[${text}]`],
  ["a byte order mark", `\ufeff${text}`],
  ["null", "null"],
];
for (const [name, payload] of duplicates) {
  test(`a payload with ${name} is refused, though correctly signed`, () =>
    assert.equal(answer(signedText(payload)), "token-malformed"));
}

test("a value that repeats a name's text is not taken for a repeated name", () => {
  assert.equal(answer(token({ sub: "sub", acr: '","sub":"x', amr: ["sub", "{", "}"] })), "bearer");
});

const spellings: readonly (readonly [string, (text: string) => string])[] = [
  ["padding", (one) => `${one}==`],
  ["a leading space", (one) => ` ${one}`],
  ["a trailing newline", (one) => `${one}\n`],
  ["a space inside", (one) => one.replace(".", ". ")],
  ["a fourth part", (one) => `${one}.AAAA`],
  ["standard base64", (one) => one.replace(/[-_]/g, (c) => (c === "-" ? "+" : "/")).replace(/^/, "+")],
  ["set bits that carry nothing", (one) => one.slice(0, -1) + "BRhx".charAt("AQgw".indexOf(one.slice(-1)))],
  ["a length over the bound", (one) => one + "A".repeat(8192)],
  ["a character above ASCII", (one) => `\u0161${one.slice(1)}`],
];
for (const [name, respell] of spellings) {
  test(`a second spelling of a good token is refused: ${name}`, () => {
    const good = signAccessToken(claims, signer);
    assert.notEqual(respell(good), good);
    assert.equal(answer(respell(good)), "token-malformed");
  });
}

const typed: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
  ["aud as an array of one", { aud: [audience] }, "token-claims"],
  ["aud as an array that holds it", { aud: ["x", audience] }, "token-claims"],
  ["aud missing", { aud: undefined }, "token-claims"],
  ["another system's aud", { aud: `${issuer}/systems/analytics` }, "token-audience"],
  ["aud with a trailing slash", { aud: `${audience}/` }, "token-audience"],
  ["staging's iss", { iss: "https://id.example/main/staging" }, "token-issuer"],
  ["iss with a trailing slash", { iss: `${issuer}/` }, "token-issuer"],
  ["iss missing", { iss: undefined }, "token-issuer"],
  ["iss as an array", { iss: [issuer] }, "token-issuer"],
  ["exp as a string", { exp: String(seconds + 300) }, "token-claims"],
  ["exp as a fraction", { exp: seconds + 0.5 }, "token-claims"],
  ["exp beyond all calendars", { exp: Number.MAX_SAFE_INTEGER }, "token-claims"],
  ["exp missing", { exp: undefined }, "token-claims"],
  ["exp null", { exp: null }, "token-claims"],
  ["exp negative", { exp: -1 }, "token-claims"],
  ["exp before iat", { exp: seconds - 1 }, "token-claims"],
  ["a lifetime over the ceiling", { exp: seconds + 301 }, "token-claims"],
  ["iat missing", { iat: undefined }, "token-claims"],
  ["iat as a boolean", { iat: true }, "token-claims"],
  ["nbf as a string", { nbf: "0" }, "token-claims"],
  ["jti missing", { jti: undefined }, "token-claims"],
  ["jti of 129 characters", { jti: "x".repeat(129) }, "token-claims"],
  ["jti with a newline", { jti: "a\nb" }, "token-claims"],
  ["jti as a number", { jti: 7 }, "token-claims"],
  ["client_id missing", { client_id: undefined }, "token-claims"],
  ["client_id as an object", { client_id: {} }, "token-claims"],
  ["sub empty", { sub: "" }, "token-claims"],
  ["sub with NUL", { sub: "orders\u0000admin" }, "token-claims"],
  ["sub that is half a character", { sub: "\ud800" }, "token-claims"],
  ["scope as an array", { scope: ["a"] }, "token-claims"],
  ["scope with a double space", { scope: "a  b" }, "token-claims"],
  ["scope empty", { scope: "" }, "token-claims"],
  ["257 scopes", { scope: `${"a ".repeat(256)}a` }, "token-claims"],
  ["cnf empty", { cnf: {} }, "token-claims"],
  ["cnf with a member we do not know", { cnf: { jkt, kid: "x" } }, "token-claims"],
  ["cnf.jkt that is no thumbprint", { cnf: { jkt: "x" } }, "token-claims"],
  ["cnf as an array", { cnf: [] }, "token-claims"],
  ["cnf null", { cnf: null }, "token-claims"],
  ["act with a further member", { act: { sub: "a", iss: "b" } }, "token-claims"],
  [
    "act nine deep",
    { act: Array.from({ length: 8 }).reduce<object>((act) => ({ sub: "a", act }), { sub: "a" }) },
    "token-claims",
  ],
  ["acr as a number", { acr: 1 }, "token-claims"],
  ["gid as a string", { gid: "grt_1" }, "token-claims"],
  ["an empty gid", { gid: [] }, "token-claims"],
  ["eighteen grants", { gid: Array.from({ length: 18 }, (_, at) => `grt_${at}`) }, "token-claims"],
  ["seventeen grants", { gid: Array.from({ length: 17 }, (_, at) => `grt_${at}`) }, "bearer"],
  ["one grant twice", { gid: ["grt_1", "grt_1"] }, "token-claims"],
  ["a grant id with a space", { gid: ["grt 1"] }, "token-claims"],
  ["a numeric sid", { sid: 1 }, "token-claims"],
  ["amr as a string", { amr: "pwd" }, "token-claims"],
  ["an unknown claim", { extra: { nested: [1] } }, "bearer"],
];
for (const [name, change, expected] of typed) {
  test(`${expected === "bearer" ? "accepts" : `refuses as ${expected}:`} ${name}`, () =>
    assert.equal(answer(token(change)), expected));
}

test("an unknown claim is not handed on", () => {
  assert.deepEqual(
    Object.keys(verified(verifyAccessToken(token({ admin: true }), rules, bearer)).claims),
    Object.keys(claims),
  );
});

const clocks: readonly (readonly [string, Partial<TokenUse>, Readonly<Record<string, unknown>>, string])[] = [
  ["the last millisecond of exp + skew", { now: now + 304_999 }, {}, "bearer"],
  ["exp + skew", { now: now + 305_000 }, {}, "token-expired"],
  ["exp without skew", { now: now + 300_000, skewMs: 0 }, {}, "token-expired"],
  ["a skew that a rule sets beyond the most", { now: now + 360_000, skewMs: 3_600_000 }, {}, "token-expired"],
  ["a clock that is not a number", { now: Number.NaN }, {}, "token-expired"],
  ["iat 5 s ahead", { now: now - 5_000 }, {}, "bearer"],
  ["iat further ahead", { now: now - 5_001 }, {}, "token-not-yet-valid"],
  ["nbf 5 s ahead", {}, { nbf: seconds + 5 }, "bearer"],
  ["nbf further ahead", {}, { nbf: seconds + 6 }, "token-not-yet-valid"],
];
for (const [name, use, change, expected] of clocks) {
  test(`at the edge of time, ${name}: ${expected}`, () =>
    assert.equal(answer(token(change), { ...bearer, ...use }), expected));
}

const bindings: readonly (readonly [string, Readonly<Record<string, unknown>>, TokenUse, string])[] = [
  ["a bound token with its key", { cnf: { jkt } }, dpop, "dpop"],
  ["a stolen bound token with another key", { cnf: { jkt: signer.kid } }, dpop, "dpop-key-mismatch"],
  [
    "a bound token under DPoP whose proof was not verified",
    { cnf: { jkt } },
    { ...bearer, scheme: "DPoP" },
    "dpop-key-mismatch",
  ],
  ["a bound token as Bearer", { cnf: { jkt } }, bearer, "token-bound-as-bearer"],
  ["a bound token as Bearer, beside a proof", { cnf: { jkt } }, { ...bearer, jkt }, "token-bound-as-bearer"],
  ["an unbound token under DPoP", {}, dpop, "token-unbound"],
  ["a certificate-bound token under DPoP alone", { cnf: { "x5t#S256": x5t } }, { ...dpop, x5t }, "token-unbound"],
  ["a certificate-bound token on its connection", { cnf: { "x5t#S256": x5t } }, { ...bearer, x5t }, "mtls"],
  ["a certificate-bound token without a certificate", { cnf: { "x5t#S256": x5t } }, bearer, "token-bound-as-bearer"],
  [
    "a certificate-bound token on another connection",
    { cnf: { "x5t#S256": x5t } },
    { ...bearer, x5t: jkt },
    "certificate-mismatch",
  ],
  ["a doubly bound token with both", { cnf: { jkt, "x5t#S256": x5t } }, { ...dpop, x5t }, "dpop"],
  ["a doubly bound token with the key alone", { cnf: { jkt, "x5t#S256": x5t } }, dpop, "token-bound-as-bearer"],
  [
    "a doubly bound token with another certificate",
    { cnf: { jkt, "x5t#S256": x5t } },
    { ...dpop, x5t: jkt },
    "certificate-mismatch",
  ],
  ["an unbound token beside a certificate stays a bearer token", {}, { ...bearer, x5t }, "bearer"],
];
for (const [name, change, use, expected] of bindings) {
  test(`binding: ${name}: ${expected}`, () => assert.equal(answer(token(change), use), expected));
}

for (const [kind, value] of [
  ["jti", claims.jti],
  ["client", "orders"],
  ["kid", signer.kid],
  ["subject", claims.sub],
  ["session", "ses_1"],
  ["grant", "grt_root"],
  ["grant", "grt_exchanged"],
  // Whose token this one was exchanged for, by another.
  ["client", "portal"],
] as const) {
  test(`a token revoked by ${kind} is refused, also when its signature was cached, and others pass`, () => {
    const revocations: TokenRevocations = { isRevoked: (k, v, at) => k === kind && v === value && at <= now };
    const descent = { gid: ["grt_root", "cli_portal", "grt_exchanged"], sid: "ses_1" };
    const signed = readAccessToken(token(descent), rules);
    assert.ok(signed.kind === "signed");
    const result = acceptAccessToken(signed, { ...bearer, revocations });
    assert.equal(result.kind === "deny" ? result.code : result.kind, "token-revoked");
    assert.equal(answer(token({ ...descent, iat: seconds + 1 }), { ...bearer, revocations }), "bearer");
  });
}

test("a cached token is judged anew at every use: audience, clock, binding", () => {
  const signed = readAccessToken(token({ cnf: { jkt } }), rules);
  assert.ok(signed.kind === "signed");
  const code = (use: TokenUse) => {
    const result = acceptAccessToken(signed, use);
    return result.kind === "deny" ? result.code : result.kind;
  };
  assert.equal(code(dpop), "verified");
  assert.equal(code({ ...dpop, audience: `${issuer}/systems/analytics` }), "token-audience");
  assert.equal(code({ ...dpop, now: now + 400_000 }), "token-expired");
  assert.equal(code(bearer), "token-bound-as-bearer");
});

const hop = {
  iss: issuer,
  aud: audience,
  sub: "orders",
  iat: seconds,
  exp: seconds + 60,
  jti: "n-1",
  op: "billing:invoice.create",
  int: "orders-to-billing",
};
const foreign: readonly (readonly [string, string, string])[] = [
  [
    "an ID token",
    signCompactJws({ alg: "ES256", kid: signer.kid }, { ...claims, aud: "orders", nonce: "n" }, signer),
    "token-type",
  ],
  ["an ID token with typ JWT", signCompactJws({ ...header, typ: "JWT" }, { ...claims }, signer), "token-type"],
  ["a logout token", signCompactJws({ ...header, typ: "logout+jwt" }, { ...claims, events: {} }, signer), "token-type"],
  ["a security event token", signCompactJws({ ...header, typ: "secevent+jwt" }, { ...claims }, signer), "token-type"],
  ["a client assertion", signCompactJws({ ...header, typ: "JWT" }, { ...claims, aud: issuer }, signer), "token-type"],
  ["at+jwt in another case", signCompactJws({ ...header, typ: "AT+JWT" }, { ...claims }, signer), "token-type"],
  ["application/at+jwt", signCompactJws({ ...header, typ: "application/at+jwt" }, { ...claims }, signer), "token-type"],
  ["a hop token", signHopToken(hop, signer), "token-type"],
  [
    "a hop-key certificate",
    signHopKey({ iss: issuer, sub: "n", exp: seconds + 60, jwk: signer.jwk }, signer),
    "token-type",
  ],
  ["a DPoP proof", signDpopProof({ jti: "j", method: "GET", url: audience, iat: seconds }, signer), "token-malformed"],
  ["a token without kid", signCompactJws({ alg: "ES256", typ: "at+jwt" }, { ...claims }, signer), "token-malformed"],
];
for (const [name, given, expected] of foreign) {
  test(`cross-JWT confusion: ${name} is no access token, though a real key signed it`, () =>
    assert.equal(answer(given), expected));
}

test("refusals tell operators what was expected and what was sent, and repeat nothing else of the token", () => {
  const sent = token({ aud: "https://elsewhere.example", sub: "s3cret" });
  const result = verifyAccessToken(sent, rules, bearer);
  assert.ok(result.kind === "deny" && !JSON.stringify(result).includes("s3cret"));
  assert.ok(!JSON.stringify(result).includes(sent.split(".")[2] ?? "?"));
  assert.deepEqual(result.facts, {
    why: `aud is not ${audience}`,
    expected: audience,
    sent: "https://elsewhere.example",
  });
});

test("a token bound to another key, or to a certificate that did not come, is told with both thumbprints", () => {
  const [bound, used] = ["A".repeat(43), "B".repeat(43)];
  const facts = (cnf: object, use: object) => {
    const result = verifyAccessToken(token({ cnf }), rules, { ...bearer, ...use });
    return result.kind === "deny" ? [result.code, result.facts["expected"], result.facts["sent"]] : [];
  };
  assert.deepEqual(facts({ jkt: bound }, { scheme: "DPoP", jkt: used }), [
    "dpop-key-mismatch",
    `a proof by key ${bound}`,
    `a proof by key ${used}`,
  ]);
  assert.deepEqual(facts({ "x5t#S256": bound }, { x5t: used }), [
    "certificate-mismatch",
    `client certificate ${bound}`,
    `client certificate ${used}`,
  ]);
  assert.deepEqual(facts({ "x5t#S256": bound }, {}), [
    "token-bound-as-bearer",
    `client certificate ${bound}`,
    "no client certificate reached the gateway",
  ]);
});

test("any one bit flipped anywhere in a token is refused", () => {
  const good = signAccessToken(claims, signer);
  assert.equal(answer(good), "bearer");
  for (let at = 0; at < good.length; at++) {
    // Two of eight bits per character, chosen by position: every character, every bit position, no more time than needed.
    for (const bit of [at % 8, (at + 3) % 8]) {
      const flipped = good.slice(0, at) + String.fromCharCode(good.charCodeAt(at) ^ (1 << bit)) + good.slice(at + 1);
      assert.notEqual(answer(flipped), "bearer", `character ${at}, bit ${bit}`);
    }
  }
});

test("parse then print gives the same token, for any claims", () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
  const arbitrary = fc.record(
    {
      sub: fc
        .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
        .map((one) => `s${one.replace(/[\u0000-\u001f\u007f]/g, "").toWellFormed()}`),
      jti: fc.stringMatching(/^[\x21-\x7e]{1,40}$/),
      client_id: word,
      nbf: fc.integer({ min: 1, max: seconds }),
      scope: fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join(" ")),
      cnf: fc.constantFrom({ jkt }, { "x5t#S256": x5t }, { jkt, "x5t#S256": x5t }),
      act: fc.constantFrom({ sub: "a" }, { sub: "a", act: { sub: "b" } }),
      gid: fc.uniqueArray(fc.stringMatching(/^[\x21-\x7e]{1,40}$/), { minLength: 1, maxLength: 17 }),
      sid: fc.stringMatching(/^[\x21-\x7e]{1,40}$/),
      acr: word,
      amr: fc.array(word, { maxLength: 4 }),
      auth_time: fc.integer({ min: 1, max: seconds }),
    },
    { requiredKeys: ["sub", "jti", "client_id"], noNullPrototype: true },
  );
  const property = fc.property(arbitrary, (some) => {
    const printed = signAccessToken({ ...claims, ...some }, edSigner);
    const read = readAccessToken(printed, rules);
    assert.ok(read.kind === "signed", JSON.stringify(read));
    assert.deepEqual(read.claims, { ...claims, ...some });
    // Ed25519 is deterministic, so the whole text must come back.
    assert.equal(signAccessToken(read.claims, edSigner), printed);
  });
  fc.assert(property, { seed: 6, numRuns: 300 });
});
