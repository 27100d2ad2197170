// Our verifier beside jose and oauth4webapi over generated tokens, seeded: sound ones and one mutation at a time. A verdict is three signs, ours first;
// the table names every one that may occur and why. Any other fails, and so does one that no longer occurs. Ours is nowhere the most lenient.
// The same table for readers: docs/formats/token.md "What we refuse and others take".
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import fc from "fast-check";
import { createLocalJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import { type AccessTokenRules, type TokenUse, verifyAccessToken } from "./access-token.ts";
import { encodeBase64url } from "./base64url.ts";
import type { TokenSigner, VerifyKey } from "./crypto.ts";
import { utf8 } from "./json.ts";

const nowMs = Date.UTC(2027, 0, 15, 9, 30);
const now = nowMs / 1_000;
const issuer = "https://id.example/main/production";
const audience = `${issuer}/systems/billing`;
const toleranceSeconds = 5;
const lifetimeSecondsMax = 600;

const crypto = createTokenCrypto();
const signers = [generateSigner("ES256").signer, generateSigner("EdDSA").signer] as const;
const jwks = { keys: signers.map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" })) };
const ring = new Map(
  signers.map(({ jwk }): [string, VerifyKey] => {
    const key = crypto.importKey(jwk);
    assert.ok(key);
    return [key.kid, key];
  }),
);
const rules: AccessTokenRules = { issuer, keys: { find: (kid) => ring.get(kid) }, lifetimeSecondsMax };
const use: TokenUse = {
  audience,
  now: nowMs,
  skewMs: toleranceSeconds * 1_000,
  scheme: "Bearer",
  revocations: { isRevoked: () => false },
};

const published = createLocalJWKSet(jwks);
const server: oauth.AuthorizationServer = { issuer, jwks_uri: `${issuer}/jwks` };

const accepts = {
  ours: async (token: string) => verifyAccessToken(token, rules, use).kind === "verified",
  jose: (token: string) =>
    jwtVerify(token, published, {
      ...{ issuer, audience, typ: "at+jwt", algorithms: ["ES256", "EdDSA"], currentDate: new Date(nowMs) },
      clockTolerance: toleranceSeconds,
      requiredClaims: ["exp", "iat", "jti", "sub", "client_id"],
    }).then(
      () => true,
      () => false,
    ),
  oauth4webapi: async (token: string) => {
    // A header cannot carry every text; what cannot be sent is not accepted.
    try {
      const request = new Request(audience, { headers: { authorization: `Bearer ${token}` } });
      await oauth.validateJwtAccessToken(server, request, audience, {
        [oauth.customFetch]: async () => Response.json(jwks),
        [oauth.clockTolerance]: toleranceSeconds,
        signingAlgorithms: ["ES256", "EdDSA"],
      });
      return true;
    } catch {
      return false;
    }
  },
};

interface Draft {
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly signer: TokenSigner;
}

type Mutation = {
  /** Changes members before they are printed and signed. */
  readonly members?: (draft: Draft) => void;
  /** Prints header and claims; default JSON without white space. */
  readonly print?: (draft: Draft) => readonly [header: string, claims: string];
  /** How a part is spelled; default canonical base64url. What it gives is what is signed. */
  readonly spell?: (text: string) => string;
  /** Changes the finished token. */
  readonly after?: (token: string, draft: Draft) => string;
};

const text = (value: unknown): string => JSON.stringify(value);
const canonical = (part: string): string => encodeBase64url(utf8(part));

function tokenOf(draft: Draft, { members, print, spell = canonical, after }: Mutation): string {
  members?.(draft);
  const [header, claims] = print?.(draft) ?? [text(draft.header), text(draft.claims)];
  const input = `${spell(header)}.${spell(claims)}`;
  const token = `${input}.${encodeBase64url(draft.signer.sign(utf8(input)))}`;
  return after?.(token, draft) ?? token;
}

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/);
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const draft: fc.Arbitrary<Draft> = fc
  .record({
    signer: fc.constantFrom(...signers),
    client: word,
    jti: id,
    age: fc.integer({ min: 0, max: 250 }),
    life: fc.integer({ min: 251, max: lifetimeSecondsMax }),
    more: fc.record(
      {
        nbf: fc.integer({ min: now - 300, max: now }),
        scope: fc
          .array(word, { minLength: 1, maxLength: 5 })
          .map((words) => words.map((one) => `billing:${one}`).join(" ")),
        act: word.map((sub) => ({ sub })),
        gid: fc.uniqueArray(id, { minLength: 1, maxLength: 9 }),
        sid: id,
        acr: word,
        amr: fc.array(word, { maxLength: 4 }),
        auth_time: fc.integer({ min: now - 80_000, max: now }),
        "https://example.com/unknown": fc.jsonValue({ maxDepth: 2 }),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ signer, client, jti, age, life, more }) => ({
    signer,
    header: { alg: signer.alg, typ: "at+jwt", kid: signer.kid },
    claims: {
      ...{ iss: issuer, sub: client, aud: audience, exp: now - age + life, iat: now - age, jti, client_id: client },
      ...more,
    },
  }));

const inHeader = (values: Record<string, unknown>): Mutation => ({
  members: ({ header }) => void Object.assign(header, values),
});
const inClaims = (values: Record<string, unknown>): Mutation => ({
  members: ({ claims }) => void Object.assign(claims, values),
});
const without = (part: "header" | "claims", name: string): Mutation => ({
  members: (one) => void Reflect.deleteProperty(one[part], name),
});
/** The claims with one more member in front or behind, as text: names may repeat. */
const rawClaims = (before: string, behind: string): Mutation => ({
  print: ({ header, claims }) => [text(header), `{${before}${text(claims).slice(1, -1)}${behind}}`],
});
const lastCharacter = (change: (code: number) => number): Mutation => ({
  after: (token) => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return token.slice(0, -1) + (alphabet[change(alphabet.indexOf(token.at(-1) ?? "A"))] ?? "A");
  },
});
const signature = (change: (bytes: Buffer) => Uint8Array): Mutation => ({
  after: (token) => {
    const at = token.lastIndexOf(".") + 1;
    return token.slice(0, at) + encodeBase64url(change(Buffer.from(token.slice(at), "base64url")));
  },
});
/** DER instead of R ‖ S. */
const der = (bytes: Buffer): Uint8Array => {
  const integer = (half: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), half]);
  const both = Buffer.concat([integer(bytes.subarray(0, 32)), integer(bytes.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, both.length]), both]);
};

const strict =
  "one token has one spelling, so that nothing that goes by its text (cache, revocation, log) can be passed by";
const typed = "a claim that is given is what the format says, or the token is refused; the others do not read it";

/** `+` accepts, `-` refuses: ours, jose, oauth4webapi. */
type Verdict = `${"+" | "-"}${"+" | "-"}${"+" | "-"}`;
interface Row {
  readonly mutations: readonly Mutation[];
  readonly may: Partial<Record<Verdict, string>>;
}
const all = "all agree";

const table: Readonly<Record<string, Row>> = {
  nothing: { mutations: [{}], may: { "+++": all } },
  "white space in the JSON": {
    mutations: [
      {
        print: ({ header, claims }) => [JSON.stringify(header, null, 2), ` ${JSON.stringify(claims, null, "\t")}\r\n`],
      },
    ],
    may: { "+++": all },
  },
  "members in another order": {
    mutations: [{ print: ({ header, claims }) => [text(reversed(header)), text(reversed(claims))] }],
    may: { "+++": all },
  },
  "alg of another key, none, symmetric, another spelling": {
    mutations: ["none", "None", "HS256", "RS256", "PS256", "ES384", "ES256K", "es256", "Ed448", "", "ES256 ", null, 256]
      .map((alg) => inHeader({ alg }))
      .concat(
        {
          members: ({ header, signer }) =>
            void Object.assign(header, { alg: signer.alg === "ES256" ? "EdDSA" : "ES256" }),
        },
        without("header", "alg"),
      ),
    may: { "---": all },
  },
  "alg Ed25519 for an Ed25519 key": {
    mutations: [inHeader({ alg: "Ed25519" })],
    may: { "---": "RFC 9864's name for EdDSA is not in our list, and was not given to the others" },
  },
  "typ of another kind of token": {
    mutations: [
      inHeader({ typ: "JWT" }),
      inHeader({ typ: "dpop+jwt" }),
      inHeader({ typ: "" }),
      inHeader({ typ: "sallyport-hop+jwt" }),
      inHeader({ typ: ["at+jwt"] }),
      without("header", "typ"),
    ],
    may: { "---": all },
  },
  "typ spelled otherwise": {
    mutations: [inHeader({ typ: "AT+JWT" }), inHeader({ typ: "application/at+jwt" })],
    may: { "-++": strict },
  },
  "kid of a key that is not there": {
    mutations: [inHeader({ kid: "unknown" }), inHeader({ kid: "" }), inHeader({ kid: `${signers[0].kid}=` })],
    may: { "---": all },
  },
  "kid of the other key": {
    mutations: [
      {
        members: ({ header, signer }) =>
          void Object.assign(header, { kid: signers.find(({ kid }) => kid !== signer.kid)?.kid }),
      },
    ],
    may: { "---": all },
  },
  "no kid": {
    mutations: [without("header", "kid")],
    may: { "-++": "our ring names every key; the others try the one key that fits the algorithm" },
  },
  "crit, b64": {
    mutations: [
      inHeader({ crit: ["exp"] }),
      inHeader({ crit: [] }),
      inHeader({ crit: ["b64"], b64: false }),
      inHeader({ crit: ["b64"], b64: true }),
      inHeader({ crit: ["x"], x: 1 }),
      inHeader({ crit: "exp" }),
    ],
    may: { "---": all, "-+-": "jose understands b64; an access token of ours never says it" },
  },
  "further members of the header": {
    mutations: [
      inHeader({ jku: "https://evil.example/jwks" }),
      inHeader({ x5u: "https://evil.example/x" }),
      inHeader({ jwk: signers[0].jwk }),
      inHeader({ x5c: ["MIIB"] }),
      inHeader({ cty: "JWT" }),
      inHeader({ zip: "DEF" }),
      inHeader({ b64: true }),
      inHeader({ "": 1 }),
    ],
    may: { "-++": "a member we never print is refused and not ignored: what nobody reads nobody can lean on" },
  },
  "exp, nbf and iat at their edges, within the tolerance": {
    mutations: [
      inClaims({ iat: now - 300, exp: now - toleranceSeconds + 1 }),
      inClaims({ iat: now - 300, exp: now + 1 }),
      inClaims({ nbf: now + toleranceSeconds }),
      inClaims({ iat: now + toleranceSeconds, nbf: now, exp: now + 300 }),
      inClaims({ nbf: now, iat: now, exp: now + lifetimeSecondsMax }),
    ],
    may: { "+++": all },
  },
  "exp and nbf at their edges, beyond the tolerance": {
    mutations: [
      inClaims({ iat: now - 300, exp: now - toleranceSeconds }),
      inClaims({ iat: now - 300, exp: now - 60 }),
      inClaims({ nbf: now + toleranceSeconds + 1 }),
      inClaims({ nbf: now + 300 }),
    ],
    may: { "---": all },
  },
  "iat in the future": {
    mutations: [
      inClaims({ iat: now + toleranceSeconds + 1, nbf: now, exp: now + 300 }),
      inClaims({ iat: now + 60, exp: now + 300 }),
    ],
    may: { "-++": "neither asks when it was issued; we do, as revocations compare it" },
  },
  "a life longer than any token has": {
    mutations: [
      inClaims({ iat: now - 1, exp: now + lifetimeSecondsMax }),
      inClaims({ iat: now - 86_400, exp: now + 60 }),
    ],
    may: { "-++": "a revocation is forgotten when the longest token has ended; a longer one would come back to life" },
  },
  "exp before iat": {
    mutations: [inClaims({ iat: now + 4, exp: now + 2 })],
    may: { "-++": "such a token was never issued" },
  },
  "times that are not whole seconds in range": {
    mutations: ["exp", "iat", "nbf"].flatMap((name) => [
      inClaims({ [name]: String(now) }),
      inClaims({ [name]: null }),
      inClaims({ [name]: [now] }),
      inClaims({ [name]: true }),
    ]),
    may: { "---": all },
  },
  "times that are fractions, negative or huge": {
    mutations: [
      inClaims({ iat: now - 0.5 }),
      inClaims({ exp: now + 200.5 }),
      inClaims({ nbf: -1 }),
      inClaims({ iat: 0 }),
      inClaims({ exp: 1e15 }),
      inClaims({ exp: Number.MAX_SAFE_INTEGER }),
    ],
    may: { "-++": typed },
  },
  "audiences that are others": {
    mutations: [
      inClaims({ aud: `${audience}/` }),
      inClaims({ aud: `${audience}2` }),
      inClaims({ aud: audience.toUpperCase() }),
      inClaims({ aud: issuer }),
      inClaims({ aud: "" }),
      inClaims({ aud: [] }),
      inClaims({ aud: ["other"] }),
      inClaims({ aud: { [audience]: 1 } }),
      inClaims({ aud: null }),
      inClaims({ aud: 7 }),
      without("claims", "aud"),
    ],
    may: { "---": all },
  },
  "our audience in a list": {
    mutations: [
      inClaims({ aud: [audience] }),
      inClaims({ aud: ["other", audience] }),
      inClaims({ aud: [audience, 7] }),
    ],
    may: { "-++": "one token is for one provider: a list is the way to one that opens two" },
  },
  "an issuer spelled otherwise": {
    mutations: [
      inClaims({ iss: `${issuer}/` }),
      inClaims({ iss: issuer.replace("https", "HTTPS") }),
      inClaims({ iss: issuer.replace("production", "staging") }),
      inClaims({ iss: [issuer] }),
      inClaims({ iss: null }),
      without("claims", "iss"),
    ],
    may: { "---": all },
  },
  "a required claim is missing": {
    mutations: ["exp", "iat", "jti", "sub", "client_id"].map((name) => without("claims", name)),
    may: { "---": all },
  },
  "a required text that is none": {
    mutations: ["jti", "sub", "client_id"].flatMap((name) => [
      inClaims({ [name]: 7 }),
      inClaims({ [name]: null }),
      inClaims({ [name]: ["a"] }),
    ]),
    may: { "-+-": typed },
  },
  "texts that are empty, long or hold control characters": {
    mutations: ["jti", "sub", "client_id"].flatMap((name) => [
      inClaims({ [name]: "" }),
      inClaims({ [name]: "a".repeat(513) }),
      inClaims({ [name]: "a\nb" }),
      inClaims({ [name]: "a\u0000b" }),
    ]),
    may: { "-++": "they become keys of tables and words of records" },
  },
  "a jti beyond printable ASCII": {
    mutations: [inClaims({ jti: "a b" }), inClaims({ jti: "jti-\u00e9" }), inClaims({ jti: "\ud83d\ude00" })],
    may: { "-++": "the id of a token is what it is revoked by" },
  },
  "Unicode in a subject": {
    mutations: [
      inClaims({ sub: "j\u00fcrgen" }),
      inClaims({ sub: "\ud83d\ude00" }),
      inClaims({ sub: "\u202eadmin" }),
      inClaims({ sub: "e\u0301" }),
    ],
    may: { "+++": all },
  },
  "a lone surrogate": {
    mutations: [
      rawClaims("", ',"sid":"\\ud800"'),
      {
        print: ({ header, claims }) => [
          text(header),
          text({ ...claims, sub: "x" }).replace('"sub":"x"', '"sub":"\\ud800"'),
        ],
      },
    ],
    may: { "-++": "it has no UTF-8, so it would be another text wherever it is written down" },
  },
  "bytes that are not UTF-8": {
    mutations: [
      {
        spell: (part) =>
          Buffer.concat([
            Buffer.from(part.slice(0, -1)),
            part.startsWith('{"alg')
              ? Buffer.from("}")
              : Buffer.from([0x2c, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]),
          ]).toString("base64url"),
      },
    ],
    may: { "--+": "oauth4webapi reads U+FFFD: two texts would have one reading" },
  },
  "a byte order mark": {
    mutations: [{ print: ({ header, claims }) => [text(header), `\ufeff${text(claims)}`] }],
    may: { "-++": "JSON begins with its first brace (RFC 8259 §8.1)" },
  },
  "a member twice": {
    mutations: [
      rawClaims(`"aud":"other",`, ""),
      rawClaims(`"exp":1,`, ""),
      rawClaims("", `,"scope":"billing:a","scope":"billing:a"`),
      rawClaims("", `,"\\u0073id":"a","sid":"a"`),
      { print: ({ header, claims }) => [`{"alg":"none",${text(header).slice(1)}`, text(claims)] },
    ],
    may: { "-++": "two readers could take one each (RFC 7519 §4 lets us refuse)" },
  },
  "a member named __proto__, and nesting without end": {
    mutations: [
      rawClaims("", `,"__proto__":{"sub":"admin"}`),
      rawClaims("", `,"x":${"[".repeat(40)}${"]".repeat(40)}`),
    ],
    may: { "-++": strict },
  },
  "not an object, not JSON": {
    mutations: ["[]", "null", "7", '"x"', "", "{", "{}x", "{'a':1}", '{"a":1,}'].map((claims) => ({
      print: ({ header }: Draft): [string, string] => [text(header), claims],
    })),
    may: { "---": all },
  },
  "base64url with padding, the other alphabet or white space": {
    mutations: [
      { spell: (part) => `${canonical(part)}${"=".repeat((4 - (canonical(part).length % 4)) % 4 || 4)}` },
      { spell: (part) => `${canonical(part).slice(0, 4)} ${canonical(part).slice(4)}` },
      { spell: (part) => `${canonical(part)}\n` },
    ],
    may: { "---": strict, "-+-": strict, "-++": strict },
  },
  "trailing bits of the signature": {
    mutations: [lastCharacter((code) => code ^ 1), lastCharacter((code) => code ^ 15)],
    may: { "-++": strict },
  },
  "a signature that is none, is cut, is DER, is another's": {
    mutations: [
      signature(() => new Uint8Array()),
      signature((bytes) => bytes.subarray(0, 63)),
      signature((bytes) => Buffer.concat([bytes, Buffer.from([0])])),
      signature(der),
      signature(() => new Uint8Array(64)),
      signature((bytes) => bytes.with(7, (bytes[7] ?? 0) ^ 4)),
      {
        after: (token, one) =>
          tokenOf({ ...one, claims: { ...one.claims, sub: "admin" } }, {}).replace(
            /[^.]+$/,
            token.slice(token.lastIndexOf(".") + 1),
          ),
      },
    ],
    may: { "---": all },
  },
  "parts too many and too few": {
    mutations: [
      { after: (token) => `${token}.` },
      { after: (token) => `.${token}` },
      { after: (token) => token.slice(0, token.lastIndexOf(".")) },
      { after: (token) => `${token}.a.b` },
      { after: () => "" },
      { after: () => ".." },
    ],
    may: { "---": all },
  },
  "longer than any token": {
    mutations: [inClaims({ "https://example.com/more": "x".repeat(8_192) })],
    may: { "-++": "at most 8,192 bytes are read" },
  },
  "bound to a key, presented as a bearer": {
    mutations: [inClaims({ cnf: { jkt: signers[0].kid } }), inClaims({ cnf: { "x5t#S256": signers[0].kid } })],
    may: { "-+-": "jose knows no bindings" },
  },
  "a binding nobody knows": {
    mutations: [
      inClaims({ cnf: {} }),
      inClaims({ cnf: { kid: "a" } }),
      inClaims({ cnf: null }),
      inClaims({ cnf: "a" }),
      inClaims({ cnf: { jkt: 7 } }),
    ],
    may: { "-+-": "jose knows no bindings", "-++": "a binding that says nothing must not pass for none" },
  },
  "an optional claim of another type": {
    mutations: [
      inClaims({ scope: ["a"] }),
      inClaims({ scope: "" }),
      inClaims({ scope: "a  b" }),
      inClaims({ act: "orders" }),
      inClaims({ act: { sub: "a", role: "admin" } }),
      inClaims({ gid: [] }),
      inClaims({ gid: "grt_1" }),
      inClaims({ gid: ["a", "a"] }),
      inClaims({ sid: 7 }),
      inClaims({ acr: null }),
      inClaims({ amr: "pwd" }),
      inClaims({ auth_time: "1" }),
    ],
    may: { "-++": typed },
  },
};

function reversed(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).reverse());
}

async function verdictOf(token: string): Promise<Verdict> {
  const [ours, jose, other] = await Promise.all([
    accepts.ours(token),
    accepts.jose(token),
    accepts.oauth4webapi(token),
  ]);
  return `${ours ? "+" : "-"}${jose ? "+" : "-"}${other ? "+" : "-"}`;
}

const runs = 12;

for (const [name, { mutations, may }] of Object.entries(table)) {
  test(`${name}: ${Object.keys(may).join(" or ")} (ours, jose, oauth4webapi)`, async () => {
    mock.timers.enable({ apis: ["Date"], now: nowMs });
    const seen = new Set<string>();
    try {
      for (const mutation of mutations)
        await fc.assert(
          fc.asyncProperty(draft, async (one) => {
            const token = tokenOf(structuredDraft(one), mutation);
            const verdict = await verdictOf(token);
            seen.add(verdict);
            assert.ok(
              Object.hasOwn(may, verdict),
              `${verdict} is not in the table: ${mutations.indexOf(mutation)} ${token.slice(0, 2_000)}`,
            );
          }),
          { seed: 2027, numRuns: runs },
        );
    } finally {
      mock.timers.reset();
    }
    assert.deepEqual([...seen].sort(), Object.keys(may).sort(), "what no longer occurs leaves the table");
  });
}

/** Mutations change members: each run has its own. */
function structuredDraft({ header, claims, signer }: Draft): Draft {
  return { header: structuredClone(header), claims: structuredClone(claims), signer };
}

test("ours is nowhere more lenient than both, and where it accepts the others do", () => {
  for (const [name, { may }] of Object.entries(table))
    for (const verdict of Object.keys(may))
      assert.ok(verdict.startsWith("-") || verdict === "+++", `${name}: ${verdict}`);
});

/** Of docs/formats/token.md "What we refuse and others take": every verdict that is not unanimous. */
function disagreements(): string {
  const rows = Object.entries(table).flatMap(([name, { may }]) =>
    Object.entries(may).flatMap(([verdict, why]) =>
      new Set(verdict).size === 1
        ? []
        : [
            `| ${name} | ${verdict[1] === "+" ? "accepts" : "refuses"} | ${verdict[2] === "+" ? "accepts" : "refuses"} | ${why} |`,
          ],
    ),
  );
  return rows.join("\n");
}

test("the format page lists every disagreement, and no other", () => {
  const page = readFileSync(new URL("../../../../docs/formats/token.md", import.meta.url), "utf8");
  const listed = page
    .split("\n## ")
    .find((section) => section.includes("What we refuse and others take"))
    ?.split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| token"));
  assert.equal(listed?.join("\n"), disagreements());
});
