// Access tokens of issuers outside, presented at a real gateway over real sockets: what they open, and the attacks on it (docs/identity/outside-access-tokens.md).
import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { OutsideAccessRule } from "@sallyport/protocol/token/outside-access-token.ts";
import { outsideSubject, outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import { audienceOf, issuer as own, type TestEstate } from "./testing/test-estate.ts";
import { type OutsideChanges, rsaKeyPair, signOutside, TestIssuer } from "./testing/test-issuer.ts";

const crypto = createTokenCrypto();
const url = "https://sso.example/realms/shop";
const user = "7d1c4a0e-0f0c-4d43-9a0b-6f2f6f0f1a11";
const robot = "55b1d1e2-service-account-analytics";

const web: OutsideAccessRule = {
  system: "portal",
  party: "portal-web",
  claims: {},
  speaksFor: "user",
  audiences: { "billing-api": ["billing"] },
  carries: { "invoices.read": ["billing:invoice.read"] },
};
const machine: OutsideAccessRule = {
  system: "analytics",
  party: "analytics",
  subject: robot,
  claims: {},
  speaksFor: "workload",
  audiences: { "billing-api": ["billing"] },
};

let upstream: CountingUpstream;
let bed: TestGateway;
let keycloak: TestIssuer;
let base: string;
let invoice: string;

function estate(issuers: readonly OutsideIssuerObject[]): TestEstate {
  const reads = ["invoice.read", "payout.read"].map((name) => ({ name }));
  const proof = ["dpop", "mtls", "bearer"] as const;
  return {
    systems: [
      billing(upstream.url),
      { id: "ledger", url: upstream.url, operations: [{ name: "book.read", method: "GET", path: "/v1/books/{id}" }] },
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
      { id: "analytics", clients: ["analytics"] },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: reads },
      { id: "portal-to-billing", from: "portal", to: "billing", proof, operations: reads },
      { id: "portal-to-ledger", from: "portal", to: "ledger", proof, operations: [{ name: "book.read" }] },
      { id: "analytics-to-billing", from: "analytics", to: "billing", operations: reads },
    ],
    issuers,
  };
}

const trusted = (rules = [web, machine], changes: Partial<OutsideIssuerObject> = {}) =>
  estate([keycloak.object(rules, changes)]);

before(async () => {
  upstream = await startCountingUpstream();
  keycloak = new TestIssuer("keycloak", url);
  bed = await startTestGateway({
    estate: trusted(),
    openLog: openTestLog,
    changes: { observers: [{ crossing: remember }] },
  });
  base = bed.addresses[0]?.url ?? "";
  invoice = `${base}/billing/v1/invoices/1`;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const bearer = (token: string, at = invoice): Promise<Answer> =>
  call(at, { headers: { authorization: `Bearer ${token}` } });
const present = (changes: OutsideChanges = {}, at = invoice): Promise<Answer> => bearer(keycloak.token(changes), at);

/** Why the last crossing was refused: of strangers alike only the first few have a leaf of their own. */
let lastCode: string | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  lastCode = deny?.code;
};

/** Refused with this code for operators, one face for the caller, and nothing for the provider. */
async function refused(code: string, send: () => Promise<Answer>): Promise<void> {
  const reached = upstream.seen.length;
  const answer = await send();
  assert.equal(answer.status, 401, answer.text);
  assert.equal(answer.code, "unauthenticated");
  assert.equal(lastCode, code);
  assert.equal(upstream.seen.length, reached);
}

async function passes(answer: Answer): Promise<Record<string, unknown>> {
  assert.equal(answer.status, 200, answer.text);
  const hop = String(upstream.seen.at(-1)?.headers["sallyport-identity"]);
  return JSON.parse(Buffer.from(hop.split(".")[1] ?? "", "base64url").toString("utf8"));
}

/** With other rules, keys or issuers in force; afterwards the usual ones again. */
async function under(other: TestEstate, work: () => Promise<void>): Promise<void> {
  await bed.publish(other);
  try {
    await work();
  } finally {
    await bed.publish(trusted());
  }
}

describe("what an outside token opens", () => {
  test("a user's Keycloak token stands for the mapped system and an opaque subject; the provider gets a hop token that names the issuer, never the token", async () => {
    const token = keycloak.token();
    const hop = await passes(await bearer(token));
    assert.deepEqual(
      [hop["sub"], hop["subject"], hop["idp"], hop["act"]],
      ["portal", outsideSubject(url, user, crypto), "keycloak", undefined],
    );
    const received = upstream.seen.at(-1);
    assert.equal(received?.headers.authorization, undefined);
    assert.equal(JSON.stringify(received).includes(token.split(".")[2] ?? ""), false);
    assert.equal(JSON.stringify(received).includes(user), false);
  });

  test("the record names the issuer by its id and nothing of the token; those of our own callers name none", async () => {
    const recorded = async (answer: Answer) => {
      await passes(answer);
      const [leaf] = await bed.leaves(answer.id);
      assert.ok(leaf?.t === "crossing");
      return leaf;
    };
    // Twice: the second is printed from what the first left behind.
    const token = keycloak.token();
    for (let again = 0; again < 2; again++) {
      const leaf = await recorded(await bearer(token));
      assert.deepEqual([leaf.issuer, leaf.proof], ["keycloak", "bearer"]);
      assert.match(leaf.subject ?? "", /^2026:/);
      assert.doesNotMatch(JSON.stringify(leaf), /sso\.example|portal-web|7d1c4a0e|ext_/);
    }
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    const own = await recorded(await orders.send(invoice));
    assert.equal(own.issuer, null);
    assert.notEqual(own.token, undefined);
  });

  test("a workload's token stands for the system itself", async () => {
    const key = new TestCaller(bed.feed, "analytics", () => bed.clock.now());
    const token = keycloak.token({
      claims: { azp: "analytics", client_id: "analytics", sub: robot, cnf: { jkt: key.key.kid } },
    });
    const hop = await passes(await key.send(invoice, { token }));
    assert.deepEqual([hop["sub"], hop["subject"], hop["idp"]], ["analytics", undefined, "keycloak"]);
  });

  test("our own callers pass as before where an issuer outside is trusted", async () => {
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    const hop = await passes(await orders.send(invoice));
    assert.deepEqual([hop["sub"], hop["idp"]], ["orders", undefined]);
  });

  test("words of its scope carry what the rule says they do and nothing else", async () => {
    const without = await present({ claims: { scope: "openid profile constructor toString" } });
    assert.deepEqual([without.status, without.code], [403, "scope-missing"]);
    await under(trusted([{ ...web, carries: { "invoices.read": ["billing:payout.read"] } }]), async () => {
      assert.equal((await present()).code, "scope-missing");
    });
    const { carries: _, ...unscoped } = web;
    await under(trusted([unscoped]), async () => {
      await passes(await present({ claims: { scope: "" } }));
    });
  });

  test("an unbound token passes only where the integration accepts bearer", async () => {
    const answer = await present({ claims: { azp: "analytics", sub: robot } });
    assert.deepEqual([answer.status, answer.code], [403, "proof-not-accepted"]);
  });

  test("a policy can refuse what an outsider's word alone proves", async () => {
    const cedar = 'forbid(principal, action == Action::"billing:invoice.read", resource) when { context has issuer };';
    const on = trusted();
    const systems = on.systems.map((system) => ({
      ...system,
      operations: (system.operations ?? []).map((one) => (one.name === "invoice.read" ? { ...one, cedar } : one)),
    }));
    await under({ ...on, systems }, async () => {
      assert.equal((await present()).code, "policy-denied");
      const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
      await passes(await orders.send(invoice));
    });
  });

  test("its acr and auth_time are worth nothing here unless the rule says what they are worth", async () => {
    const now = Math.floor(bed.clock.now() / 1000);
    const claims = { acr: "gold", auth_time: now, scope: "payouts" };
    const carries = { payouts: ["billing:payout.read"] };
    const payouts = `${base}/billing/v1/payouts`;
    await under(trusted([{ ...web, carries }]), async () => {
      for (const acr of ["gold", "urn:sallyport:acr:phishing-resistant"])
        assert.equal((await present({ claims: { ...claims, acr } }, payouts)).code, "insufficient-user-authentication");
    });
    await under(trusted([{ ...web, carries, acr: { gold: "urn:sallyport:acr:mfa" } }]), async () => {
      await passes(await present({ claims }, payouts));
      for (const acr of ["silver", "urn:sallyport:acr:mfa"])
        assert.equal((await present({ claims: { ...claims, acr } }, payouts)).code, "insufficient-user-authentication");
      const old = await present({ claims: { ...claims, auth_time: now - 3_600 } }, payouts);
      assert.equal(old.code, "insufficient-user-authentication");
    });
  });
});

describe("while a system is only observed", () => {
  const observed = () => {
    const mode = { mode: "observe", untilMs: bed.clock.now() + 3_600_000, reason: "moving over" } as const;
    return { ...trusted(), estate: { mode } };
  };
  const sent = () => upstream.seen.at(-1)?.headers;

  test("a token that is not accepted yet goes on as before, one that is accepted is taken off, a revoked one is refused", async () => {
    await under(observed(), async () => {
      const stranger = keycloak.token({ claims: { azp: "not-moved-yet" } });
      assert.equal((await bearer(stranger)).status, 200);
      assert.deepEqual([sent()?.authorization, sent()?.["sallyport-identity"]], [`Bearer ${stranger}`, undefined]);
      await passes(await present());
      assert.equal(sent()?.authorization, undefined);
      bed.feed.revoke("jti", outsideTokenId({ issuer: url, jti: "observed-1", text: "" }, crypto));
      await refused("token-revoked", () => present({ claims: { jti: "observed-1" } }));
    });
  });
});

describe("attack 1: algorithm confusion", () => {
  const parts = (header: object, claims: object) =>
    [header, claims].map((one) => Buffer.from(JSON.stringify(one)).toString("base64url")).join(".");
  const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

  test("no signature at all, and the public key as an HMAC secret", async () => {
    const claims = claimsOf(keycloak.token());
    const none = parts({ alg: "none", typ: "JWT", kid: keycloak.key.kid }, claims);
    await refused("token-malformed", () => bearer(`${none}.`));
    await refused("token-algorithm", () => bearer(`${none}.AAAA`));
    const pem = createPublicKey(keycloak.key.privateKey).export({ type: "spki", format: "pem" });
    const hmac = parts({ alg: "HS256", typ: "JWT", kid: keycloak.key.kid }, claims);
    await refused("token-algorithm", () =>
      bearer(`${hmac}.${createHmac("sha256", pem).update(hmac).digest("base64url")}`),
    );
  });

  test("a good signature under an algorithm the issuer may not use, and under another name", async () => {
    const claims = claimsOf(keycloak.token());
    const pss = parts({ alg: "PS256", typ: "JWT", kid: keycloak.key.kid }, claims);
    const signature = sign("sha256", Buffer.from(pss), { key: keycloak.key.privateKey, padding: 6, saltLength: 32 });
    await refused("token-algorithm", () => bearer(`${pss}.${signature.toString("base64url")}`));
    await refused("token-algorithm", () => present({ header: { alg: "ES256" } }));
  });
});

describe("attack 2: other spellings of one token", () => {
  test("padding, a space, a flipped trailing bit: refused, and none outlives the revocation of its id", async () => {
    const token = keycloak.token({ claims: { jti: "spelt-1" } });
    await passes(await bearer(token));
    const last = token.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const flipped = `${token.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`;
    await refused("token-malformed", () => bearer(`${token}==`));
    await refused("token-malformed", () => bearer(flipped));
    bed.feed.revoke("jti", outsideTokenId({ issuer: url, jti: "spelt-1", text: "" }, crypto));
    await refused("token-revoked", () => bearer(token));
    await refused("token-revoked", () => present({ claims: { jti: "spelt-1", scope: "invoices.read" } }));
  });

  test("claims written twice", async () => {
    const claims = `{"iss":"${url}","iss":"${own}","sub":"${user}"}`;
    const input = `${Buffer.from(JSON.stringify({ alg: "RS256", typ: "JWT", kid: keycloak.key.kid })).toString("base64url")}.${Buffer.from(claims).toString("base64url")}`;
    const signature = sign("sha256", Buffer.from(input), keycloak.key.privateKey).toString("base64url");
    // Ours is the first to refuse it, for its algorithm; what it says cannot be read at all.
    await refused("token-algorithm", () => bearer(`${input}.${signature}`));
  });
});

describe("attack 3 and 4: names of keys, and places to fetch them", () => {
  const looks = () => bed.feed.sent.filter(({ t }) => t === "look-for-keys");

  test("a storm of unknown key names is refused at once and asks control once; nobody is dialled", async () => {
    const reached = upstream.seen.length;
    const before = looks().length;
    for (let i = 0; i < 20; i++) await refused("token-key-unknown", () => present({ header: { kid: `made-up-${i}` } }));
    assert.deepEqual(looks().slice(before), [{ t: "look-for-keys", issuer: "keycloak" }]);
    assert.equal(upstream.seen.length, reached);
  });

  test("nothing is asked for an issuer or an algorithm that is not trusted, nor for our own", async () => {
    const before = looks().length;
    bed.clock.shiftMs += 10_000;
    const stranger = { header: { kid: "new-key" } };
    await refused("token-issuer", () => present({ ...stranger, claims: { iss: "https://evil.example/realms/shop" } }));
    await refused("token-algorithm", () => present({ header: { kid: "new-key", alg: "PS256" } }));
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    await refused("token-key-unknown", () =>
      orders.send(invoice, { token: orders.token("billing", { signer: orders.key }) }),
    );
    assert.equal(looks().length, before);
    await refused("token-key-unknown", () => present(stranger));
    assert.equal(looks().length, before + 1, "the same name of a trusted issuer is");
    bed.clock.shiftMs += 60_000;
    await refused("token-key-unknown", () => present(stranger));
    assert.equal(looks().length, before + 2, "attack: named before it existed, it is asked for again within a minute");
  });

  test("jku, x5u, jwk, x5c, crit and b64 in the header are refused, and what they name is never dialled", async () => {
    const mine = rsaKeyPair(keycloak.key.kid);
    const reached = upstream.seen.length;
    for (const [name, value] of Object.entries({
      jku: `${upstream.url}/jwks`,
      x5u: `${upstream.url}/chain`,
      jwk: mine.jwk.jwk,
      x5c: ["AAAA"],
      crit: ["exp"],
      b64: false,
    }))
      await refused("token-malformed", () => present({ header: { [name]: value }, key: mine }));
    assert.equal(upstream.seen.length, reached);
  });

  test("the name of a trusted key over another key's signature; a key of another trusted issuer", async () => {
    await refused("token-signature", () => present({ key: rsaKeyPair(keycloak.key.kid) }));
    const partner = new TestIssuer("partner", "https://sso.partner.example");
    partner.key = rsaKeyPair("partner-key");
    await under(estate([keycloak.object([web]), partner.object([{ ...web, system: "orders" }])]), async () => {
      await refused("token-key-unknown", () => present({ key: partner.key }));
      await refused("token-signature", () => present({ key: { ...partner.key, kid: keycloak.key.kid } }));
    });
  });
});

describe("attack 5: another kind of token", () => {
  test("ID, refresh, offline and logout tokens of the same realm, and one without a kind", async () => {
    for (const typ of ["ID", "Refresh", "Offline", "Logout", undefined, "bearer"])
      await refused("token-type", () => present({ claims: { typ, nonce: "n" } }));
    await refused("token-type", () => present({ header: { typ: "logout+jwt" } }));
    await refused("token-type", () => present({ header: { typ: "dpop+jwt" } }));
  });

  test("a token that says it is ours, signed by the outsider, and ours that says it is the outsider's", async () => {
    await refused("token-algorithm", () => present({ claims: { iss: own } }));
    const ours = { header: { typ: "at+jwt" }, claims: { iss: own, client_id: "portal", aud: audienceOf("billing") } };
    await refused("token-algorithm", () => present(ours));
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    await refused("token-algorithm", () => orders.send(invoice, { token: orders.token("billing", { iss: url }) }));
  });

  test("an RFC 9068 issuer's token needs its type, and a Keycloak token is not one", async () => {
    await under(trusted([web], { kind: "access-token" }), async () => {
      await refused("token-type", () => present());
      await passes(await present({ header: { typ: "at+jwt" }, claims: { client_id: "portal-web", azp: undefined } }));
    });
  });

  test("a token somebody was delegated: who acts on the way would be lost", async () => {
    await refused("token-claims", () => present({ claims: { act: { sub: "robot" } } }));
  });

  test("a token without an id, because nobody could revoke it", async () => {
    await refused("token-claims", () => present({ claims: { jti: undefined } }));
  });
});

describe("attack 18: stolen bound tokens", () => {
  const holder = () => new TestCaller(bed.feed, "portal", () => bed.clock.now());

  test("a bound token as Bearer, with another key, with a proof for another token, and the same proof twice", async () => {
    const key = holder();
    const token = keycloak.token({ claims: { typ: "DPoP", cnf: { jkt: key.key.kid } } });
    await passes(await key.send(invoice, { token }));
    await refused("token-bound-as-bearer", () => bearer(token));
    await refused("dpop-key-mismatch", () => holder().send(invoice, { token }));
    const sent = (proof: string) => call(invoice, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
    await refused("dpop-token-hash", () => sent(key.proof("GET", invoice, keycloak.token())));
    const proof = key.proof("GET", invoice, token);
    await passes(await sent(proof));
    await refused("dpop-replayed", () => sent(proof));
    await refused("token-unbound", () => key.send(invoice, { token: keycloak.token() }));
  });

  test("bound to a certificate, presented without one; bound in a way nobody here knows", async () => {
    const x5t = "A".repeat(43);
    await refused("token-bound-as-bearer", () => present({ claims: { cnf: { "x5t#S256": x5t } } }));
    await refused("token-claims", () => present({ claims: { cnf: { kid: "somewhere" } } }));
    await refused("token-claims", () => present({ claims: { cnf: { jkt: holder().key.kid, jwk: {} } } }));
  });
});

describe("attack 21: revocations that are got round", () => {
  test("by subject: every token of that user dies, also one in the cache, one by another client, one whose issuer's clock runs ahead", async () => {
    const sub = "revoked-user";
    const token = keycloak.token({ claims: { sub } });
    await passes(await bearer(token));
    bed.feed.revoke("subject", outsideSubject(url, sub, crypto), bed.clock.now());
    await refused("token-revoked", () => bearer(token));
    const ahead = Math.floor(bed.clock.now() / 1000) + 4;
    await refused("token-revoked", () => present({ claims: { sub, iat: ahead, exp: ahead + 300 } }));
    await passes(await present({ claims: { sub: "somebody-else" } }));
  });

  test("by client of the mapped system", async () => {
    await under(trusted([{ ...web, system: "orders" }]), async () => {
      const token = keycloak.token({ claims: { sub: "of-orders" } });
      const before = await bearer(token);
      assert.equal(before.status, 403, "known, and refused for its proof");
      bed.feed.revoke("client", "orders", bed.clock.now());
      await refused("token-revoked", () => bearer(token));
    });
  });

  test("by id, in that issuer only", async () => {
    bed.feed.revoke("jti", outsideTokenId({ issuer: "https://other.example", jti: "shared-id", text: "" }, crypto));
    await passes(await present({ claims: { jti: "shared-id" } }));
    bed.feed.revoke("jti", outsideTokenId({ issuer: url, jti: "shared-id", text: "" }, crypto));
    await refused("token-revoked", () => present({ claims: { jti: "shared-id" } }));
  });

  test("control was restored: what was issued before is refused, whoever was revoked in the time that is lost", async () => {
    const token = keycloak.token();
    await passes(await bearer(token));
    await under(trusted([web], { notBeforeMs: bed.clock.now() }), async () => {
      await refused("token-revoked", () => bearer(token));
      const later = Math.floor(bed.clock.now() / 1000) + 10;
      bed.clock.shiftMs += 11_000;
      await passes(await present({ claims: { iat: later, exp: later + 300 } }));
    });
  });

  test("a cached token dies with its key, its rule, its issuer: with the snapshot that takes them away", async () => {
    const token = keycloak.token();
    await passes(await bearer(token));
    const next = rsaKeyPair("realm-key-2");
    await under(trusted([web], { keys: [next.jwk] }), () => refused("token-key-unknown", () => bearer(token)));
    await under(trusted([machine]), () => refused("token-unmapped", () => bearer(token)));
    await under(trusted([{ ...web, party: "portal-app" }]), () => refused("token-unmapped", () => bearer(token)));
    await under(estate([]), () => refused("token-algorithm", () => bearer(token)));
    await under(trusted([web], { lifetimeSecondsMax: 60 }), () => refused("token-claims", () => bearer(token)));
    await passes(await bearer(token));
  });

  test("expired, not yet valid, and living longer than the file allows", async () => {
    const now = Math.floor(bed.clock.now() / 1000);
    await refused("token-expired", () => present({ claims: { iat: now - 400, exp: now - 10 } }));
    await refused("token-not-yet-valid", () => present({ claims: { nbf: now + 60 } }));
    await refused("token-claims", () => present({ claims: { iat: now, exp: now + 3_601 } }));
    await refused("token-claims", () => present({ claims: { exp: String(now + 60) } }));
  });
});

describe("attack 25: trust that is too loose", () => {
  test("an issuer that begins, ends or almost is a trusted one", async () => {
    for (const iss of [
      `${url}/`,
      `${url}-evil`,
      url.toUpperCase(),
      "https://sso.example",
      `https://evil.example/?${url}`,
    ])
      await refused("token-issuer", () => present({ claims: { iss } }));
    await refused("token-algorithm", () => present({ claims: { iss: [url] } }));
  });

  test("a client that was not named, begins like one, or is named in one of two members only", async () => {
    for (const azp of ["portal-web-2", "Portal-web", "portal", "*"])
      await refused("token-unmapped", () => present({ claims: { azp } }));
    await refused("token-unmapped", () => present({ claims: { azp: undefined } }));
    await refused("token-claims", () => present({ claims: { azp: "portal-web", client_id: "evil" } }));
    await refused("token-claims", () => present({ claims: { azp: ["portal-web"] } }));
  });

  test("a user of a workload's client is not the workload, and the workload is nobody's user", async () => {
    await refused("token-unmapped", () => present({ claims: { azp: "analytics" } }));
    const both = { ...machine, party: "portal-web" };
    await under(trusted([web, both]), async () => {
      const answer = await present({ claims: { sub: robot } });
      assert.equal(answer.code, "proof-not-accepted", "analytics, which accepts no bearer");
      await passes(await present());
    });
  });

  test("a token that two rules fit, and one whose pinned claim is another's", async () => {
    await under(trusted([web, { ...web, system: "orders", claims: { acr: "1" } }]), () =>
      refused("token-unmapped", () => present()),
    );
    await under(trusted([{ ...web, claims: { "/resource_access/billing/tier": "gold" } }]), async () => {
      const tier = (value: unknown) => ({ claims: { resource_access: { billing: { tier: value } } } });
      await passes(await present(tier("gold")));
      for (const value of ["golden", ["gold"], null]) await refused("token-unmapped", () => present(tier(value)));
    });
  });

  test("a token for one provider opens no other, one for the realm opens nothing, one for somebody else as well neither", async () => {
    const books = `${base}/ledger/v1/books/1`;
    await refused("token-audience", () => present({}, books));
    for (const aud of [
      "account",
      [],
      ["account"],
      undefined,
      ["billing-api", "https://erp.example"],
      audienceOf("ledger"),
    ])
      await refused(
        (Array.isArray(aud) && aud.length === 0) || aud === undefined ? "token-claims" : "token-audience",
        () => present({ claims: { aud } }),
      );
    await under(
      trusted([{ ...web, carries: { "invoices.read": ["billing:invoice.read", "ledger:book.read"] } }]),
      async () => {
        await passes(await present({ claims: { aud: [audienceOf("ledger"), "account"] } }, books));
        await refused("token-audience", () => present({ claims: { aud: [audienceOf("ledger")] } }));
        await passes(await present({ claims: { aud: [audienceOf("billing"), audienceOf("ledger")] } }, books));
      },
    );
  });

  test("an audience named like a member of every object", async () => {
    for (const aud of ["constructor", "__proto__", "toString"])
      await refused("token-audience", () => present({ claims: { aud } }));
  });

  test("a route that is not there is told apart from one that is only after the token was good", async () => {
    const nowhere = `${base}/nowhere`;
    assert.equal((await present({}, nowhere)).status, 404);
    await refused("token-audience", () => present({ claims: { aud: "erp" } }, nowhere));
  });

  test("a snapshot that names our own issuer as an outside one, or trusts assertions at gateways, trusts nobody more", async () => {
    await under(trusted([web], { url: own }), async () => {
      await refused("token-algorithm", () => present({ claims: { iss: own } }));
      await refused("token-algorithm", () => present());
    });
    await under(trusted([web], { kind: "assertion" }), () => refused("token-algorithm", () => present()));
  });
});

describe("a gateway that is started again while control is away", () => {
  test("believes the issuers and keys of its last snapshot", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sallyport-outside-"));
    try {
      const first = await startTestGateway({ estate: trusted(), openLog: openTestLog, directory });
      const { feed, clock } = first;
      await first.close();
      feed.silent = true;
      const again = await startTestGateway({
        ...{ estate: trusted(), openLog: openTestLog, directory, feed, clock, unpublished: true },
        changes: { hop: first.hop },
      });
      try {
        const at = `${again.addresses[0]?.url}/billing/v1/invoices/1`;
        const answer = await bearer(keycloak.token(), at);
        assert.deepEqual([answer.status, answer.code], [503, "exchange-unavailable"], "known, granted, allowed");
        assert.equal((await bearer(keycloak.token({ key: rsaKeyPair("other") }), at)).status, 401);
      } finally {
        await again.close();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("odd keys", () => {
  test("a tiny RSA key and a point off the curve in a snapshot are no keys", async () => {
    const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const token = signOutside(
      { alg: "RS256", typ: "JWT", kid: "small" },
      JSON.parse(Buffer.from(keycloak.token().split(".")[1] ?? "", "base64url").toString()),
      { kid: "small", privateKey: small.privateKey, jwk: keycloak.key.jwk },
    );
    await refused("token-key-unknown", () => bearer(token));
  });
});
