// Opaque tokens of an issuer outside, presented at a real gateway over real sockets: who is asked, what a yes opens, for how long, and the attacks on it
// (docs/identity/outside-introspection.md).
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { IntrospectionReply, IntrospectionTrouble } from "@sallyport/protocol/channel/messages.ts";
import type { OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { OutsideAccessRule } from "@sallyport/protocol/token/outside-access-token.ts";
import { opaqueTokenId, outsideSubject } from "@sallyport/protocol/token/outside-subject.ts";
import { inactiveMs, questionsPerSourceMax } from "./identify/introspection.ts";
import { triesMax } from "./identify/source-tries.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { standingClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import { issuer as own, type TestEstate } from "./testing/test-estate.ts";
import { rsaKeyPair, TestIssuer } from "./testing/test-issuer.ts";

const crypto = createTokenCrypto();
const url = "https://sso.example";
const otherUrl = "https://login.partner.example";
const user = "7d1c4a0e-0f0c-4d43-9a0b-6f2f6f0f1a11";
const keepMs = 30_000;

const web: OutsideAccessRule = {
  system: "portal",
  party: "portal-web",
  claims: {},
  speaksFor: "user",
  audiences: { "billing-api": ["billing"], "ledger-api": ["ledger"] },
  carries: { "invoices.read": ["billing:invoice.read"], "books.read": ["ledger:book.read"] },
};
const machine: OutsideAccessRule = {
  system: "analytics",
  party: "analytics",
  subject: "analytics",
  claims: {},
  speaksFor: "workload",
  audiences: { "billing-api": ["billing"] },
};

let upstream: CountingUpstream;
let bed: TestGateway;
let base: string;
let invoice: string;
let book: string;

const newToken = () => randomBytes(32).toString("base64url");
const hashOf = (token: string) => hash("sha256", token, "base64url");

const issuerOf = (id: string, at: string, changes: Partial<OutsideIssuerObject>): OutsideIssuerObject => ({
  ...{ id, url: at, kind: "access-token", algorithms: [], companions: [], lifetimeSecondsMax: 3_600, keys: [] },
  rules: [web, machine],
  ...changes,
});
const sso = (changes: Partial<OutsideIssuerObject> = {}) =>
  issuerOf("sso", url, { introspection: { providers: ["billing"], keepMs }, ...changes });
const partner = (changes: Partial<OutsideIssuerObject> = {}) =>
  issuerOf("partner", otherUrl, { introspection: { providers: ["ledger"], keepMs }, ...changes });

function estate(issuers: readonly OutsideIssuerObject[]): TestEstate {
  const reads = ["invoice.read", "payout.read"].map((name) => ({ name }));
  const proof = ["dpop", "mtls", "bearer"] as const;
  const books = [{ name: "book.read", method: "GET", path: "/v1/books/{id}" }] as const;
  return {
    systems: [
      billing(upstream.url),
      { id: "ledger", url: upstream.url, operations: books },
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
      { id: "analytics", clients: ["analytics"] },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: reads },
      { id: "portal-to-billing", from: "portal", to: "billing", proof, operations: reads },
      { id: "portal-to-ledger", from: "portal", to: "ledger", proof, operations: [{ name: "book.read" }] },
      { id: "analytics-to-billing", from: "analytics", to: "billing", proof, operations: reads },
    ],
    issuers,
  };
}

/** What the issuers say, by token. */
const says = new Map<string, IntrospectionReply>();
let lastCode: string | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  lastCode = deny?.code;
};

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    // Tries are counted for ten seconds, in which a busy machine may do little.
    clock: standingClock(),
    estate: estate([sso(), partner()]),
    openLog: openTestLog,
    changes: { observers: [{ crossing: remember }], admission: { badCredentialsPerPrefixMax: 1_000_000 } },
  });
  base = bed.addresses[0]?.url ?? "";
  invoice = `${base}/billing/v1/invoices/1`;
  book = `${base}/ledger/v1/books/1`;
  bed.feed.introspects = ({ token }) => says.get(token) ?? { active: false };
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});
beforeEach(() => {
  // What one test made this network try is no matter of the next.
  move(20_000);
  bed.feed.introspected.length = 0;
  bed.feed.silent = false;
  bed.feed.answering = Promise.resolve();
});

/** Time goes by, and control is heard all the while. */
function move(ms: number): void {
  bed.clock.shiftMs += ms;
  bed.feed.heartbeat();
}
const seconds = () => Math.floor(bed.clock.now() / 1_000);
/** A token about which its issuer says yes, with members replaced; undefined takes one away. */
function active(changes: Readonly<Record<string, unknown>> = {}): string {
  const token = newToken();
  says.set(token, yes(changes));
  return token;
}
function yes(changes: Readonly<Record<string, unknown>> = {}): IntrospectionReply {
  const members = {
    ...{ sub: user, client_id: "portal-web", aud: "billing-api", scope: "openid invoices.read", token_type: "Bearer" },
    ...{ iat: seconds(), exp: seconds() + 300, ...changes },
  };
  return {
    active: true,
    members: Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)),
  };
}
const bearer = (token: string, at = invoice): Promise<Answer> =>
  call(at, { headers: { authorization: `Bearer ${token}` } });
const asked = (token: string) => bed.feed.introspected.filter((one) => one.token === token).length;

async function refused(code: string, send: () => Promise<Answer>, status = 401): Promise<Answer> {
  const reached = upstream.seen.length;
  const answer = await send();
  assert.equal(answer.status, status, answer.text);
  assert.equal(lastCode, code);
  assert.equal(upstream.seen.length, reached, "the provider was not reached");
  return answer;
}
async function passes(answer: Answer): Promise<Record<string, unknown>> {
  assert.equal(answer.status, 200, answer.text);
  const hop = String(upstream.seen.at(-1)?.headers["sallyport-identity"]);
  return JSON.parse(Buffer.from(hop.split(".")[1] ?? "", "base64url").toString("utf8"));
}
async function under(issuers: readonly OutsideIssuerObject[], work: () => Promise<void>): Promise<void> {
  await bed.publish(estate(issuers));
  try {
    await work();
  } finally {
    await bed.publish(estate([sso(), partner()]));
  }
}

describe("what a yes opens", () => {
  test("a user's opaque token stands for the mapped system and an opaque subject; issuer and record are named, the token goes nowhere", async () => {
    const token = active();
    const answer = await bearer(token);
    const hop = await passes(answer);
    assert.deepEqual([hop["sub"], hop["subject"], hop["idp"]], ["portal", outsideSubject(url, user, crypto), "sso"]);
    assert.deepEqual(bed.feed.introspected, [{ issuer: "sso", provider: "billing", token, known: false }]);
    assert.equal(JSON.stringify(upstream.seen.at(-1)).includes(token), false);
    const [leaf] = await bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    assert.equal(leaf.issuer, "sso");
    assert.equal(JSON.stringify(leaf).includes(token), false);
    assert.equal(
      bed.messages.some((line) => line.includes(token)),
      false,
    );
  });

  test("a client's own token may have no sub: it is the workload itself, and nobody's user", async () => {
    const hop = await passes(await bearer(active({ client_id: "analytics", sub: undefined, scope: undefined })));
    assert.deepEqual([hop["sub"], hop["subject"]], ["analytics", undefined]);
    await refused("token-unmapped", () => bearer(active({ sub: undefined })));
    await refused("token-unmapped", () => bearer(active({ client_id: "analytics" })));
  });

  test("its scope carries what the rule says, its audience opens what the rule says, and the grant is the ceiling", async () => {
    assert.equal((await bearer(active({ scope: "openid" }))).code, "scope-missing");
    await refused("token-audience", () => bearer(active({ aud: "ledger-api" })));
    await refused("token-audience", () => bearer(active({ aud: ["billing-api", "somebody-else"] })));
  });

  test("our own callers, and JWTs of issuers outside, are asked about nowhere", async () => {
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    await passes(await orders.send(invoice));
    const keycloak = new TestIssuer("keycloak", "https://kc.example", () => bed.clock.now());
    await under([sso(), keycloak.object([web])], async () => {
      await passes(await bearer(keycloak.token()));
    });
    assert.deepEqual(bed.feed.introspected, []);
  });
});

describe("how long a yes holds", () => {
  test("it is used again until its time is over, then asked for again; the token's own end comes first", async () => {
    const token = active();
    for (let n = 0; n < 3; n += 1) await passes(await bearer(token));
    assert.equal(asked(token), 1);
    move(keepMs);
    await passes(await bearer(token));
    assert.equal(asked(token), 2);
    assert.equal(bed.feed.introspected.at(-1)?.known, true, "its issuer said yes before");
    const short = active({ exp: seconds() + 10 });
    await passes(await bearer(short));
    move(16_000);
    await refused("token-expired", () => bearer(short));
    assert.equal(asked(short), 1);
  });

  test("what its issuer ended is refused once the yes is old, and at once for what is restricted only after 5 s", async () => {
    const token = active();
    await passes(await bearer(token));
    says.delete(token);
    move(keepMs - 1_000);
    await passes(await bearer(token));
    move(1_000);
    await refused("token-inactive", () => bearer(token));
    const on = estate([sso(), partner()]);
    const systems = on.systems.map((system) => ({
      ...system,
      operations: (system.operations ?? []).map((one) => ({
        ...one,
        changes: { ...one.changes, classification: "restricted" as const },
      })),
    }));
    await bed.publish({ ...on, systems });
    const other = active();
    await passes(await bearer(other));
    says.delete(other);
    move(5_000);
    await refused("token-inactive", () => bearer(other));
    await bed.publish(on);
  });

  test("keep 0s asks each time; a rule that is taken back holds at once and without a question", async () => {
    await under([sso({ introspection: { providers: ["billing"], keepMs: 0 } })], async () => {
      const token = active();
      for (let n = 0; n < 3; n += 1) await passes(await bearer(token));
      assert.equal(asked(token), 3);
    });
    const token = active();
    await passes(await bearer(token));
    await under([sso({ rules: [machine] })], () => refused("token-unmapped", () => bearer(token)).then(() => {}));
    await under([partner()], () => refused("token-malformed", () => bearer(token)).then(() => {}));
    assert.equal(asked(token), 1);
  });

  test("a no is not asked for again for 5 s, and no longer", async () => {
    const token = newToken();
    for (let n = 0; n < 3; n += 1) await refused("token-inactive", () => bearer(token));
    assert.equal(asked(token), 1);
    says.set(token, yes());
    move(inactiveMs);
    await passes(await bearer(token));
  });
});

describe("while nobody answers", () => {
  test("control away or the issuer down: 503 for what is new, a yes goes on until its time and no longer, and no failure is kept", async () => {
    const held = active();
    await passes(await bearer(held));
    const answering = bed.feed.introspects;
    bed.feed.introspects = () => Promise.reject(new Error("control is gone"));
    const answer = await refused("token-unresolved", () => bearer(active()), 503);
    assert.equal(answer.code, "token-unresolved");
    await passes(await bearer(held));
    move(keepMs);
    await refused("token-unresolved", () => bearer(held), 503);
    bed.feed.introspects = answering;
    await passes(await bearer(held));
  });

  test("each trouble of control's is the same face to the caller, and no failure is kept", async () => {
    for (const trouble of ["not-asked", "busy", "unreachable", "client-refused", "malformed"] as const) {
      const token = newToken();
      says.set(token, { trouble } satisfies { trouble: IntrospectionTrouble });
      const answer = await refused("token-unresolved", () => bearer(token), 503);
      assert.equal(answer.text.includes("sso"), false);
      says.set(token, yes());
      await passes(await bearer(token));
    }
  });
});

describe("bound tokens", () => {
  test("a DPoP-bound opaque token passes with its key's proof over it", async () => {
    const key = new TestCaller(bed.feed, "portal", () => bed.clock.now());
    const token = active({ token_type: "DPoP", cnf: { jkt: key.key.kid } });
    await passes(await key.send(invoice, { token }));
  });

  test("attack: shown as bearer, with another's proof, with a proof over another token, or bound to what nobody here understands", async () => {
    const key = new TestCaller(bed.feed, "portal", () => bed.clock.now());
    await key.learnNonce(`${base}/`);
    const token = active({ token_type: "DPoP", cnf: { jkt: key.key.kid } });
    await refused("token-bound-as-bearer", () => bearer(token));
    const thief = new TestCaller(bed.feed, "portal", () => bed.clock.now());
    await thief.learnNonce(`${base}/`);
    await refused("dpop-key-mismatch", () => thief.send(invoice, { token }));
    const proof = key.proof("GET", invoice, newToken());
    await refused("dpop-token-hash", () => call(invoice, { headers: { authorization: `DPoP ${token}`, dpop: proof } }));
    const plain = active();
    await refused("token-unbound", () => key.send(invoice, { token: plain }));
    await refused("token-claims", () => bearer(active({ cnf: { kid: "k1" } })));
    await refused("token-claims", () => bearer(active({ token_type: "DPoP" })));
    await refused("token-claims", () => bearer(active({ cnf: { jkt: key.key.kid } })));
    await refused("token-bound-as-bearer", () => bearer(active({ cnf: { "x5t#S256": "A".repeat(43) } })));
  });
});

describe("attacks on what a yes must say", () => {
  test("attack: no audience, no end, no beginning, an end in the past, a life that is too long, another issuer, no kind, a refresh token, a delegated token", async () => {
    const cases: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
      ["token-claims", { aud: undefined }],
      ["token-claims", { aud: [] }],
      ["token-claims", { exp: undefined }],
      ["token-claims", { exp: String(seconds() + 300) }],
      ["token-claims", { iat: undefined }],
      ["token-expired", { iat: seconds() - 400, exp: seconds() - 100 }],
      ["token-not-yet-valid", { nbf: seconds() + 100 }],
      ["token-claims", { exp: seconds() + 3_601 }],
      ["token-issuer", { iss: `${url}/` }],
      ["token-issuer", { iss: own }],
      ["token-issuer", { iss: otherUrl }],
      ["token-type", { token_type: undefined }],
      ["token-type", { token_type: "N_A" }],
      ["token-claims", { client_id: "portal-web", azp: "other" }],
      ["token-unmapped", { client_id: undefined }],
      ["token-claims", { act: { sub: "somebody" } }],
    ];
    for (const [code, changes] of cases) {
      // A crowd of tokens that were not active is no matter here: each of these was.
      await refused(code, () => bearer(active(changes)));
    }
    await passes(await bearer(active({ iss: url, token_type: "bearer" })));
  });

  test("attack: a token, subject or client revoked here is refused, also when the issuer's yes comes after the revocation", async () => {
    const token = active({ sub: "leaver" });
    await passes(await bearer(token));
    bed.feed.revoke("subject", outsideSubject(url, "leaver", crypto));
    await refused("token-revoked", () => bearer(token));
    const late = active();
    const gate = Promise.withResolvers<void>();
    bed.feed.answering = gate.promise;
    const crossing = refused("token-revoked", () => bearer(late));
    while (asked(late) === 0) await new Promise((resolve) => setImmediate(resolve));
    bed.feed.revoke("jti", opaqueTokenId(url, hashOf(late), crypto));
    gate.resolve();
    await crossing;
    assert.equal(asked(late), 1);
  });
});

describe("attacks on who is asked", () => {
  test("attack: one token is never shown to two issuers, and a yes of one opens nothing of the other's", async () => {
    const token = active();
    await passes(await bearer(token));
    // The partner's issuer says no: what the first one said is about another token.
    bed.feed.introspects = ({ issuer, token: shown }) =>
      issuer === "sso" ? (says.get(shown) ?? { active: false }) : { active: false };
    await refused("token-inactive", () => bearer(token, book));
    assert.deepEqual(
      bed.feed.introspected.map(({ issuer, provider }) => [issuer, provider]),
      [
        ["sso", "billing"],
        ["partner", "ledger"],
      ],
    );
    await passes(await bearer(token));
    bed.feed.introspects = ({ token: shown }) => says.get(shown) ?? { active: false };
    await under([sso({ introspection: { providers: ["billing", "ledger"], keepMs } }), partner()], () =>
      refused("token-malformed", () => bearer(active(), book)).then(() => {}),
    );
  });

  test("attack: our own tokens, JWTs however mangled, and short or odd texts are shown to nobody", async () => {
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    const jwt = orders.token("billing");
    const [header = "", payload = "", signature = ""] = jwt.split(".");
    const outside = new TestIssuer("kc", "https://kc.example", () => bed.clock.now()).token({ key: rsaKeyPair("k") });
    for (const text of [
      jwt,
      outside,
      `${header}x.${payload}.${signature}`,
      `${header}.${payload}`,
      `${header.slice(0, -1)}+.${payload}.${signature}`,
      `${jwt}==`,
      `${jwt}.${signature}`,
      `spt1_${"A".repeat(48)}`,
      `spk1_${"A".repeat(48)}`,
      `sps1_${"A".repeat(48)}`,
      "short",
      "A".repeat(2_049),
    ])
      assert.equal((await bearer(text)).status, 401, text.slice(0, 20));
    await bearer(active(), `${base}/nobody/here`);
    assert.deepEqual(bed.feed.introspected, []);
  });

  test("attack: a spray of made-up tokens from one network is soon not asked about, and who was known goes on", async () => {
    move(60_000);
    const known = active();
    await passes(await bearer(known));
    bed.feed.introspected.length = 0;
    move(keepMs - 5_000);
    for (let n = 0; n < triesMax; n += 1) await refused("token-inactive", () => bearer(newToken()));
    const spent = newToken();
    for (let n = 0; n < 8; n += 1) await refused("token-unresolved", () => bearer(newToken()), 503);
    await refused("token-unresolved", () => bearer(spent), 503);
    assert.equal(bed.feed.introspected.length, triesMax);
    move(6_000);
    await passes(await bearer(known));
    assert.equal(asked(known), 1, "its yes was old, and it was asked about all the same");
    move(10_000);
    await refused("token-inactive", () => bearer(spent));
  });

  test("many crossings with one new token: one question; more than 16 new tokens of one network at once: no question", async () => {
    const gate = Promise.withResolvers<void>();
    bed.feed.answering = gate.promise;
    const token = active();
    const same = Array.from({ length: 8 }, () => bearer(token));
    while (asked(token) === 0) await new Promise((resolve) => setImmediate(resolve));
    const others = Array.from({ length: questionsPerSourceMax - 1 }, () => active());
    const waiting = others.map((one) => bearer(one));
    while (bed.feed.introspected.length < questionsPerSourceMax) await new Promise((resolve) => setImmediate(resolve));
    const late = active();
    await refused("token-unresolved", () => bearer(late), 503);
    assert.equal(asked(late), 0);
    gate.resolve();
    const statuses = (await Promise.all([...same, ...waiting])).map(({ status }) => status);
    assert.deepEqual(new Set(statuses), new Set([200]));
    assert.equal(asked(token), 1);
  });

  test("attack: answers that come in another order are each their own token's", async () => {
    const gates = new Map<string, PromiseWithResolvers<void>>();
    bed.feed.introspects = async ({ token }) => {
      await gates.get(token)?.promise;
      return says.get(token) ?? { active: false };
    };
    const [ada, bob] = [active({ sub: "ada" }), active({ sub: "bob" })];
    for (const token of [ada, bob]) gates.set(token, Promise.withResolvers());
    const answers = [bearer(ada), bearer(bob)];
    while (bed.feed.introspected.length < 2) await new Promise((resolve) => setImmediate(resolve));
    gates.get(bob)?.resolve();
    await answers[1];
    const second = upstream.seen.at(-1)?.headers["sallyport-identity"];
    gates.get(ada)?.resolve();
    await answers[0];
    const subjectIn = (hop: unknown) =>
      JSON.parse(Buffer.from(String(hop).split(".")[1] ?? "", "base64url").toString("utf8")).subject;
    assert.equal(subjectIn(second), outsideSubject(url, "bob", crypto));
    assert.equal(subjectIn(upstream.seen.at(-1)?.headers["sallyport-identity"]), outsideSubject(url, "ada", crypto));
    bed.feed.introspects = ({ token }) => says.get(token) ?? { active: false };
  });
});
