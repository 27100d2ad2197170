// Questions to an issuer outside over a real store and, where it answers, real HTTPS: who is asked, how often, by which key (docs/identity/outside-introspection.md).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:https";
import { after, before, describe, test } from "node:test";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { IntrospectionQuestion, IntrospectionReply } from "@sallyport/protocol/channel/messages.ts";
import { decodeJwt, importJWK, type JWK, jwtVerify } from "jose";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import { testCertificate } from "../certificates.test-support.ts";
import { commandsUrl, type PeopleTestCommands, place, random, standingClock } from "../people/people.test-support.ts";
import { askIssuer, createPostForm, type PostForm } from "./ask-issuer.ts";
import { askedAtOnceMax, Introspections, strangersAtOnceMax } from "./introspections.ts";
import { QuestionRate } from "./question-rate.ts";

const perSecond = 50;
const issuer = (id: string, uri: string, providers = ["billing"]): IssuerConfig => ({
  ...{ id, url: `https://${id}.example`, kind: "access-token", algorithms: [], audiences: [], companions: [] },
  ...{ parties: null, lifetimeSecondsMax: 3_600, keys: { from: "file", keys: [] }, systems: [] },
  gateways: [
    {
      system: "portal",
      party: "web",
      claims: { "/org/id": "7" },
      speaksFor: "user",
      audiences: { "billing-api": ["billing"] },
    },
  ],
  introspection: { uri, allowPrivate: true, client: "sallyport", providers, keepMs: 30_000, perSecond },
  declaredAt: { file: `issuers/${id}.yaml`, line: 1, column: 1 },
});
const newToken = () => randomBytes(32).toString("base64url");
const question = (changes: Partial<IntrospectionQuestion> = {}): IntrospectionQuestion => ({
  ...{ issuer: "sso", provider: "billing", token: newToken(), known: false },
  ...changes,
});
const json = (body: object) => ({ status: 200, type: "application/json", body: Buffer.from(JSON.stringify(body)) });
/** Seals nothing: what is sealed is no matter here. */
const seeds = { seal: (_: object, bytes: Uint8Array) => bytes, open: (_: object, bytes: Uint8Array) => bytes };

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  let over: Pick<ConstructorParameters<typeof Introspections>[0], "store">;
  before(async () => {
    over = { store: await open<PeopleTestCommands>({ commands: commandsUrl, clock, place: open.newPlace() }) };
  });
  const faults: string[] = [];
  function opened(post: PostForm, issuers = [issuer("sso", "https://sso.example/introspect")]): Introspections {
    const one = new Introspections({
      ...{ ...place, ...over, clock, random, post },
      seeds: seeds as unknown as PurposeRing, // as: its two calls are all that is used
      fault: (error) => void faults.push(String(error)),
    });
    one.use(issuers, []);
    return one;
  }

  test("what travels on is what is read and pinned, and nothing else that an issuer says about somebody", async () => {
    const members = { sub: "u", aud: "billing-api", org: { id: "7" }, email: "ada@acme.example", username: "ada" };
    const asked = opened(async () => json({ active: true, ...members }));
    assert.deepEqual(await asked.ask(question()), {
      active: true,
      members: { sub: "u", aud: "billing-api", org: { id: "7" } },
    });
    const { answeredAt, trouble } = asked.state("sso") ?? {};
    assert.deepEqual([answeredAt, trouble], [clock.now(), null]);
  });

  test("attack: another provider, another issuer, a token of ours or a JWT: nobody is asked", async () => {
    let sent = 0;
    const asked = opened(async () => {
      sent += 1;
      return json({ active: false });
    });
    for (const wrong of [
      { provider: "ledger" },
      { issuer: "partner" },
      { token: `spt1_${"A".repeat(48)}` },
      { token: "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl" },
    ])
      assert.deepEqual(await asked.ask(question(wrong)), { trouble: "not-asked" });
    assert.equal(sent, 0);
    assert.deepEqual(await asked.ask(question()), { active: false });
    asked.use([], []);
    assert.deepEqual(await asked.ask(question()), { trouble: "not-asked" });
    assert.equal(asked.state("sso"), null);
  });

  test("one question for all who ask about a token at once, one connection each for all others, and no more at once than there is room", async () => {
    const gate = Promise.withResolvers<void>();
    let sent = 0;
    const asked = opened(async () => {
      sent += 1;
      await gate.promise;
      return json({ active: false });
    });
    const same = question();
    const answers = [asked.ask(same), asked.ask({ ...same, known: true })];
    for (let n = 1; n < strangersAtOnceMax; n += 1) answers.push(asked.ask(question()));
    assert.deepEqual(await asked.ask(question()), { trouble: "busy" }, "tokens nobody knows leave room");
    for (let n = strangersAtOnceMax; n < askedAtOnceMax; n += 1) answers.push(asked.ask(question({ known: true })));
    assert.deepEqual(await asked.ask(question({ known: true })), { trouble: "busy" });
    gate.resolve();
    for (const answer of await Promise.all(answers)) assert.deepEqual(answer, { active: false });
    assert.equal(sent, askedAtOnceMax);
  });

  test("attack: a spray of made-up tokens over all gateways costs the issuer no more than its file says, and known ones come first", async () => {
    clock.move(10_000);
    let sent = 0;
    const asked = opened(async () => {
      sent += 1;
      return json({ active: false });
    });
    const spray = async (known = false) => {
      const replies: IntrospectionReply[] = [];
      for (let n = 0; n < 200; n += 1) replies.push(await asked.ask(question({ known })));
      return replies.filter((reply) => !("trouble" in reply)).length;
    };
    assert.equal(await spray(), perSecond / 2);
    assert.equal(await spray(true), perSecond / 2, "what is left is for those that were good");
    clock.move(1_000);
    assert.equal(await spray(), perSecond / 2);
    assert.equal(sent, perSecond + perSecond / 2);
  });

  test("each issuer has a key of its own, the same at every node and after a restart", async () => {
    const two = [issuer("sso", "https://sso.example/i"), issuer("partner", "https://partner.example/i", ["ledger"])];
    const never: PostForm = () => Promise.reject(new Error("nobody is asked here"));
    const [one, other] = await Promise.all([opened(never, two).jwks(), opened(never, two).jwks()]);
    assert.deepEqual(one, other);
    const kids = one.keys.map((key) => ("kid" in key ? key.kid : null));
    assert.equal(new Set(kids).size, 2);
    assert.ok(one.keys.every((key) => !("d" in key)));
  });

  test("an issuer whose bundle is gone is not asked, and trouble is reported once for each kind", async () => {
    const [sso] = [issuer("sso", "https://sso.example/i")];
    let sent = 0;
    const asked = opened(async () => {
      sent += 1;
      throw new Error("connect-failed");
    });
    faults.length = 0;
    for (let n = 0; n < 3; n += 1) assert.deepEqual(await asked.ask(question()), { trouble: "unreachable" });
    assert.equal(faults.length, 1);
    assert.equal(sent, 3);
    if (sso.introspection === undefined) throw new Error("it is asked");
    asked.use([{ ...sso, introspection: { ...sso.introspection, trust: "gone" } }], []);
    assert.deepEqual(await asked.ask(question()), { trouble: "unreachable" });
    assert.equal(sent, 3);
  });
});

describe("one question over HTTPS", () => {
  const tls = testCertificate([{ type: "dns", value: "localhost" }]);
  const forms: URLSearchParams[] = [];
  const server = createServer({ cert: tls.cert, key: tls.key }, async (req, res) => {
    let body = "";
    for await (const chunk of req) body += String(chunk);
    forms.push(new URLSearchParams(body));
    res.writeHead(200, { "content-type": "application/json;charset=utf-8" }).end('{"active":false}');
  });
  let uri = "";
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    uri = `https://localhost:${typeof address === "object" ? address?.port : ""}/introspect`;
  });
  after(() => server.close());

  test("the token is shown in the body alone, beside an assertion that is good for this issuer alone, once, for a minute", async () => {
    const { generateSigner } = await import("@sallyport/kernel/token-crypto.ts");
    const { signer } = generateSigner("ES256");
    const { url, gateways = [], introspection } = issuer("sso", uri);
    assert.ok(introspection !== undefined);
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    const ports = { post: createPostForm(createDialer()), clock, random };
    const asked = {
      config: { url, gateways, introspection },
      place: { uri, allowPrivate: true, ca: tls.cert },
      signer,
    };
    const token = newToken();
    for (let n = 0; n < 2; n += 1) assert.deepEqual(await askIssuer(token, asked, ports), { active: false });
    assert.deepEqual(
      forms.map((form) => form.get("token")),
      [token, token],
    );
    const [first, second] = forms.map((form) => form.get("client_assertion") ?? "");
    const key = await importJWK({ ...signer.jwk } as JWK, "ES256"); // as: one shape under two names
    const { payload } = await jwtVerify(first ?? "", key, { issuer: "sallyport", subject: "sallyport", audience: url });
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 60);
    assert.notEqual(payload.jti, decodeJwt(second ?? "").jti);
    const closed = { ...asked, place: { ...asked.place, allowPrivate: false } };
    assert.deepEqual(await askIssuer(token, closed, ports), { trouble: "unreachable" });
    const other = testCertificate([{ type: "dns", value: "localhost" }]);
    const strange = { ...asked, place: { ...asked.place, ca: other.cert } };
    assert.deepEqual(await askIssuer(token, strange, ports), { trouble: "unreachable" });
    assert.equal(
      forms.length,
      2,
      "neither a private address without the word for it nor a stranger's server saw the token",
    );
  });
});

test("a rate gives back as time goes by, never more than a second's worth, and strangers stop half-way", () => {
  const rate = new QuestionRate(4, 0);
  const taken = (isKnown: boolean, nowMs: number) => {
    let n = 0;
    while (n < 100 && rate.take(isKnown, nowMs)) n += 1;
    return n;
  };
  assert.deepEqual([taken(false, 0), taken(true, 0), taken(true, 0)], [2, 2, 0]);
  assert.deepEqual([taken(false, 500), taken(true, 500)], [0, 2]);
  assert.deepEqual([taken(true, 60_000), taken(false, 60_000)], [4, 0]);
});
